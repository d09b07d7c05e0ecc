//! The pictures of a report as files for a publication: each as SVG and as PNG, in the colours of the light page.

use std::collections::BTreeMap;

use kuva::plot::forest::ForestPlot;
use kuva::plot::scatter::ScatterPlot;
use kuva::render::figure::Figure;
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;
use kuva::render::render::{Scene, render_multiple};

use super::contents::{Contents, Kind, MapCell};
use super::drawing::{Colours, LABELS, png, svg};
use super::{changes, curves};
use crate::Result;
use crate::metrics::benchmark::Benchmark;
use crate::metrics::leaderboard::FIRST;

const COLOURS: Colours = Colours::PRINT;
/// Panels side by side.
const COLUMNS: usize = 3;
/// Width and height of a map.
const MAP: [f64; 2] = [560.0, 480.0];

/// A picture with the name of its files.
pub struct Picture {
    /// Without an ending.
    pub name: &'static str,
    scene: Scene,
}

impl Picture {
    /// As SVG.
    pub fn svg(&self) -> String {
        svg(&self.scene, self.name)
    }

    /// As PNG.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if it cannot be drawn.
    pub fn png(&self) -> Result<Vec<u8>> {
        png(&self.scene)
    }
}

/// The pictures of a prediction: cells, Leiden labels, changes of genes, and the training, as far as they are there.
pub fn of_prediction(contents: &Contents) -> Vec<Picture> {
    let mut pictures = Vec::new();
    if !contents.cells.is_empty() {
        pictures.push(Picture { name: "cells", scene: cells(&contents.cells) });
        pictures.push(Picture { name: "leiden", scene: leiden(&contents.cells) });
    }
    let (conditions, _) = changes::drawn(contents);
    if !conditions.is_empty() {
        pictures.push(Picture { name: "changes", scene: panels(&conditions) });
    }
    pictures.extend(curves::printed(contents).map(|scene| Picture { name: "training", scene }));
    pictures
}

/// The picture of a benchmark: how far each method is, with its interval.
pub fn of_benchmark(benchmark: &Benchmark) -> Vec<Picture> {
    let mut forest =
        ForestPlot::new().with_color(COLOURS.real).with_show_null_line(false).with_marker_size(3.5).with_cap_size(3.0);
    let mut n_rows = 0;
    for own in &benchmark.standings {
        if let Some(place) = own.places.get(FIRST) {
            let mean = place.mean;
            // Without an interval, as with a single condition, the mean stands alone.
            let [low, high] = mean.interval.unwrap_or([mean.mean; 2]);
            forest = forest.with_row(own.method.as_str(), mean.mean, low, high);
            n_rows += 1;
        }
    }
    if n_rows == 0 {
        return Vec::new();
    }
    let plots: Vec<Plot> = vec![forest.into()];
    let layout = Layout::auto_from_plots(&plots)
        .with_theme(COLOURS.theme())
        .with_width(640.0)
        .with_height(90.0 + 26.0 * f64::from(n_rows))
        .with_x_label("edist_l2: mean over held-out conditions, 95 % interval (lower is better)")
        .with_label_size(13)
        .with_tick_size(12);
    vec![Picture { name: "leaderboard", scene: render_multiple(plots, layout) }]
}

fn cloud<'a>(cells: impl Iterator<Item = &'a MapCell>, colour: &str) -> ScatterPlot {
    let points: Vec<(f64, f64)> = cells.map(|cell| (cell.position[0], cell.position[1])).collect();
    ScatterPlot::new().with_data(points).with_color(colour).with_size(1.6).with_marker_opacity(0.6)
}

fn map_layout(plots: &[Plot]) -> Layout {
    Layout::auto_from_plots(plots)
        .with_theme(COLOURS.theme())
        .with_width(MAP[0])
        .with_height(MAP[1])
        .with_show_grid(false)
        .with_x_label("UMAP 1")
        .with_y_label("UMAP 2")
        .with_label_size(13)
        .with_tick_size(12)
}

/// Generated over real over control cells.
fn cells(cells: &[MapCell]) -> Scene {
    let layer = |(kind, colour): (Kind, &str)| {
        cloud(cells.iter().filter(|cell| cell.kind == kind), colour).with_legend(kind.name()).into()
    };
    let kinds = [(Kind::Control, COLOURS.control), (Kind::Real, COLOURS.real), (Kind::Generated, COLOURS.generated)];
    let plots: Vec<Plot> = kinds.map(layer).into();
    let layout = map_layout(&plots);
    render_multiple(plots, layout)
}

/// Real and generated cells side by side, by Leiden label.
fn leiden(cells: &[MapCell]) -> Scene {
    let side = |kind: Kind| -> Vec<Plot> {
        let mut groups = BTreeMap::<usize, Vec<&MapCell>>::new();
        for cell in cells.iter().filter(|cell| cell.kind == kind) {
            groups.entry(cell.leiden).or_default().push(cell);
        }
        let layer = |(label, group): (usize, Vec<&MapCell>)| {
            cloud(group.into_iter(), LABELS[label % LABELS.len()]).with_legend(label.to_string()).into()
        };
        groups.into_iter().map(layer).collect()
    };
    let sides = [Kind::Real, Kind::Generated].map(|kind| (kind, side(kind)));
    let frame = |axis: usize| {
        let values = || cells.iter().map(move |cell| cell.position[axis]);
        let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        let margin = 0.04 * (high - low);
        (low - margin, high + margin)
    };
    let ((left, right), (bottom, top)) = (frame(0), frame(1));
    let layout = |(kind, plots): &(Kind, Vec<Plot>)| {
        let layout = map_layout(plots).with_title(format!("{} cells", kind.name())).with_title_size(15);
        layout.with_x_axis_min(left).with_x_axis_max(right).with_y_axis_min(bottom).with_y_axis_max(top)
    };
    let layouts = sides.iter().map(layout).collect();
    Figure::new(1, 2)
        .with_plots(sides.into_iter().map(|(_, plots)| plots).collect())
        .with_layouts(layouts)
        .with_cell_size(MAP[0], MAP[1])
        .render()
}

/// Changes of genes, one panel per condition.
fn panels(conditions: &[changes::Condition]) -> Scene {
    let parts = conditions.iter().map(|condition| {
        let (plots, layout) = changes::parts(condition, COLOURS);
        (plots, layout.with_title(condition.name.as_str()).with_title_size(14))
    });
    let (plots, layouts): (Vec<_>, Vec<_>) = parts.unzip();
    let columns = conditions.len().min(COLUMNS);
    let figure = Figure::new(conditions.len().div_ceil(columns), columns).with_plots(plots).with_layouts(layouts);
    figure.with_cell_size(380.0, 380.0).render()
}
