//! A line chart, drawn by kuva in the colours of the page's style.

use std::sync::Arc;

use kuva::backend::svg::SvgBackend;
use kuva::plot::LinePlot;
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;
use kuva::render::render::render_multiple;
use kuva::render::theme::Theme;

/// Above this ratio of the largest to the smallest value an axis is logarithmic.
const LOGARITHMIC_FROM: f64 = 20.0;

/// One line of a chart.
pub struct Line {
    /// A colour of the style, such as `var(--real)`.
    pub colour: &'static str,
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
    /// Tells the chart from the others of the page.
    pub id: usize,
    /// What the first axis counts.
    pub x_label: &'a str,
    /// True for a logarithmic second axis.
    pub logarithmic: bool,
    /// Escaped text that is read out in place of the chart.
    pub described: &'a str,
    /// Width and height, in pixels.
    pub size: [f64; 2],
}

/// The chart as SVG.
pub fn chart(lines: &[Line], look: &Look) -> String {
    let [width, height] = look.size;
    let plots: Vec<Plot> = lines
        .iter()
        .map(|line| {
            let plot = LinePlot::new().with_data(line.points.iter().copied());
            plot.with_color(line.colour).with_stroke_width(1.6).into()
        })
        .collect();
    let mut layout = Layout::auto_from_plots(&plots)
        .with_theme(theme())
        .with_width(width)
        .with_height(height)
        .with_x_label(look.x_label)
        .with_y_tick_format(TickFormat::Custom(Arc::new(tick)))
        .with_label_size(13)
        .with_tick_size(12);
    if look.logarithmic {
        layout = layout.with_log_y();
    }
    let scene = render_multiple(plots, layout);
    format!(
        "<svg class=\"chart\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">{}</svg>",
        scene.width,
        scene.height,
        look.described,
        renumber(&SvgBackend::new().render_scene(&scene), look.id)
    )
}

/// A tick's number without needless digits.
fn tick(value: f64) -> String {
    let magnitude = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    let decimals = (3 - magnitude).clamp(0, 9) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Names the clip path after the chart: kuva numbers them through the life of the process, so that the bytes of a second
/// report would differ.
fn renumber(svg: &str, id: usize) -> String {
    const NAME: &str = "kuva-clip-";
    let mut parts = svg.split(NAME);
    let mut renumbered = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        renumbered.push_str(&format!("clip-{id}{rest}"));
    }
    renumbered
}

fn theme() -> Theme {
    Theme {
        background: "none".into(),
        axis_color: "var(--muted)".into(),
        grid_color: "var(--line)".into(),
        tick_color: "var(--muted)".into(),
        text_color: "var(--ink)".into(),
        font_family: Some("system-ui, sans-serif".into()),
        ..Theme::light()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(values: &[f64]) -> Line {
        let points = values.iter().enumerate().map(|(i, &value)| (i as f64, value)).collect();
        Line { colour: "var(--real)", points }
    }

    #[test]
    fn the_axis_is_logarithmic_where_positive_values_span_much() {
        assert!(spans_much(&[line(&[100.0, 1.0])]) && spans_much(&[line(&[100.0]), line(&[1.0])]));
        assert!(!spans_much(&[line(&[100.0, 50.0])]) && !spans_much(&[line(&[100.0, -1.0])]));
    }

    #[test]
    fn ticks_have_no_needless_digits() {
        assert_eq!([0.0, 0.1, 1.5e-3, -20.0, 1e5].map(tick), ["0", "0.1", "0.0015", "-20", "100000"]);
    }

    #[test]
    fn a_chart_has_no_colour_of_its_own() {
        let look = Look { id: 3, x_label: "step", logarithmic: true, described: "loss", size: [640.0, 300.0] };
        let svg = chart(&[line(&[300.0, 20.0, 3.0])], &look);
        assert!(svg.contains("url(#clip-3)") && svg.contains("id=\"clip-3\"") && !svg.contains("kuva-clip"));
        assert!(svg.contains("var(--real)") && svg.contains("var(--ink)"), "{svg}");
        assert!(!svg.contains("#000000") && !svg.contains("#ffffff"), "{svg}");
    }
}
