//! A line chart.

use std::sync::Arc;

use kuva::plot::LinePlot;
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;
use kuva::render::render::{Scene, render_multiple};

use super::drawing::{Colours, tick};

/// Above this ratio of the largest to the smallest value an axis is logarithmic.
const LOGARITHMIC_FROM: f64 = 20.0;

/// One line of a chart.
pub struct Line {
    /// A colour, such as `var(--real)` on the page.
    pub colour: &'static str,
    /// What the line is, for a drawing with a legend.
    pub name: Option<String>,
    /// The points, in order.
    pub points: Vec<(f64, f64)>,
}

/// True if the values are positive and span so much that a logarithmic axis shows more.
pub fn spans_much(lines: &[Line]) -> bool {
    let values = || lines.iter().flat_map(|line| &line.points).map(|point| point.1);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    low > 0.0 && high / low > LOGARITHMIC_FROM
}

/// What a chart looks like.
pub struct Look<'a> {
    /// Colours of everything but the lines.
    pub colours: Colours,
    /// What the first axis counts.
    pub x_label: &'a str,
    /// True for a logarithmic second axis.
    pub logarithmic: bool,
    /// Width and height, in pixels.
    pub size: [f64; 2],
}

/// The chart.
pub fn chart(lines: &[Line], look: &Look) -> Scene {
    let [width, height] = look.size;
    let plots: Vec<Plot> = lines
        .iter()
        .map(|line| {
            let plot = LinePlot::new().with_data(line.points.iter().copied());
            let plot = plot.with_color(line.colour).with_stroke_width(1.6);
            match &line.name {
                Some(name) => plot.with_legend(name.as_str()).into(),
                None => plot.into(),
            }
        })
        .collect();
    let mut layout = Layout::auto_from_plots(&plots)
        .with_theme(look.colours.theme())
        .with_width(width)
        .with_height(height)
        .with_x_label(look.x_label)
        .with_y_tick_format(TickFormat::Custom(Arc::new(tick)))
        .with_label_size(13)
        .with_tick_size(12);
    if look.logarithmic {
        layout = layout.with_log_y();
    }
    render_multiple(plots, layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::drawing::element;

    fn line(values: &[f64]) -> Line {
        let points = values.iter().enumerate().map(|(i, &value)| (i as f64, value)).collect();
        Line { colour: "var(--real)", name: None, points }
    }

    #[test]
    fn the_axis_is_logarithmic_where_positive_values_span_much() {
        assert!(spans_much(&[line(&[100.0, 1.0])]) && spans_much(&[line(&[100.0]), line(&[1.0])]));
        assert!(!spans_much(&[line(&[100.0, 50.0])]) && !spans_much(&[line(&[100.0, -1.0])]));
    }

    #[test]
    fn a_chart_of_the_page_has_no_colour_of_its_own() {
        let look = Look { colours: Colours::PAGE, x_label: "step", logarithmic: true, size: [640.0, 300.0] };
        let svg = element(&chart(&[line(&[300.0, 20.0, 3.0])], &look), "3", "loss");
        assert!(svg.contains("url(#clip-3-0)") && svg.contains("id=\"clip-3-0\"") && !svg.contains("kuva-clip"));
        assert!(svg.contains("var(--real)") && svg.contains("var(--ink)"), "{svg}");
        assert!(!svg.contains("#000000") && !svg.contains("#ffffff"), "{svg}");
    }
}
