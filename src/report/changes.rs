//! Changes of genes, generated against real: one panel per condition.

use std::collections::BTreeMap;
use std::sync::Arc;

use kuva::plot::LinePlot;
use kuva::plot::scatter::ScatterPlot;
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;
use kuva::render::render::{Scene, render_multiple};

use super::contents::Contents;
use super::drawing::{Colours, element, tick};
use super::html::{count, escape, number};
use crate::metrics::effects::{GeneChange, MOST_GENES};

/// At most this many conditions have a panel.
const MOST_PANELS: usize = 6;
/// Width and height of a panel.
const SIZE: [f64; 2] = [380.0, 360.0];

/// The genes of a condition.
pub struct Condition<'a> {
    /// The condition in words.
    pub name: String,
    /// Its genes, the greatest change first.
    pub genes: Vec<&'a GeneChange>,
}

/// The conditions that are drawn, those of the greatest real change first, and how many there are in all.
pub fn drawn(contents: &Contents) -> (Vec<Condition<'_>>, usize) {
    let mut groups = BTreeMap::<(&str, &str), Vec<&GeneChange>>::new();
    for change in &contents.changes {
        groups.entry((&change.perturbation, &change.covariate)).or_default().push(change);
    }
    let n = groups.len();
    let mut groups: Vec<_> = groups.into_iter().collect();
    let size = |genes: &[&GeneChange]| genes.iter().map(|gene| gene.real * gene.real).sum::<f64>();
    groups.sort_by(|one, other| size(&other.1).total_cmp(&size(&one.1)).then(one.0.cmp(&other.0)));
    groups.truncate(MOST_PANELS);
    let condition = |((perturbation, covariate), genes): ((&str, &str), Vec<_>)| Condition {
        name: if covariate.is_empty() { perturbation.into() } else { format!("{perturbation} in {covariate}") },
        genes,
    };
    (groups.into_iter().map(condition).collect(), n)
}

/// The section of the page.
pub fn section(contents: &Contents) -> String {
    let (conditions, n) = drawn(contents);
    if conditions.is_empty() {
        return "<section><h2>Changes of genes</h2><p class=\"note\">No condition has scores.</p></section>".into();
    }
    let panel = |(place, condition): (usize, &Condition)| {
        let name = escape(&condition.name);
        let scene = panel(condition, Colours::PAGE);
        let described = format!("Changes of genes by {name}, generated against real");
        let greatest =
            condition.genes.iter().take(5).map(|gene| {
                format!("<b>{}</b> {} | {}", escape(&gene.gene), number(gene.real), number(gene.generated))
            });
        format!(
            "<figure>{}<figcaption><b>{name}</b>: {}</figcaption></figure>",
            element(&scene, &format!("changes-{place}"), &described),
            greatest.collect::<Vec<_>>().join(", ")
        )
    };
    let panels: String = conditions.iter().enumerate().map(panel).collect();
    let chosen = if n > conditions.len() {
        format!(" The {} of {} with the greatest real changes are drawn.", conditions.len(), count(n, "condition"))
    } else {
        String::new()
    };
    format!(
        "<section><h2>Changes of genes</h2><p>Mean expression of a condition less that of its training control cells (log1p), \
         real along, generated up. Of each condition the {MOST_GENES} genes that change most, one way or the other; on the line \
         both agree. Below stand the first ones, real | generated.{chosen}</p><div class=\"maps small\">{panels}</div></section>"
    )
}

/// One condition as a drawing.
pub fn panel(condition: &Condition, colours: Colours) -> Scene {
    let (plots, layout) = parts(condition, colours);
    render_multiple(plots, layout)
}

/// The plots of a condition and their frame, for a drawing of one or of several.
pub fn parts(condition: &Condition, colours: Colours) -> (Vec<Plot>, Layout) {
    let points: Vec<(f64, f64)> = condition.genes.iter().map(|gene| (gene.real, gene.generated)).collect();
    let values = || points.iter().flat_map(|(real, generated)| [*real, *generated]);
    let (low, high) = values().fold((0.0_f64, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    let margin = 0.05 * (high - low).max(1e-6);
    let (low, high) = (low - margin, high + margin);
    let line = LinePlot::new().with_data([(low, low), (high, high)]).with_color(colours.control).with_stroke_width(1.2);
    let genes =
        ScatterPlot::new().with_data(points).with_color(colours.generated).with_size(2.6).with_marker_opacity(0.7);
    let plots: Vec<Plot> = vec![line.into(), genes.into()];
    let ticks = || TickFormat::Custom(Arc::new(tick));
    let layout = Layout::auto_from_plots(&plots)
        .with_theme(colours.theme())
        .with_width(SIZE[0])
        .with_height(SIZE[1])
        .with_x_axis_min(low)
        .with_x_axis_max(high)
        .with_y_axis_min(low)
        .with_y_axis_max(high)
        .with_x_tick_format(ticks())
        .with_y_tick_format(ticks())
        .with_x_label("real change")
        .with_y_label("generated change")
        .with_label_size(13)
        .with_tick_size(12);
    (plots, layout)
}
