//! The maps of the page: generated over real cells, Leiden labels side by side, one panel per condition.

use std::collections::{BTreeMap, BTreeSet};

use super::contents::{Contents, Kind, MapCell};
use super::html::{count, escape};
use super::map::{Frame, middle};

/// With more conditions than this there are no panels of single ones.
const MOST_PANELS: usize = 6;

/// Number of colours that the style gives to Leiden labels; further labels use them again.
const N_COLOURS: usize = 18;

/// The section of maps.
pub fn section(contents: &Contents) -> String {
    let cells = &contents.cells;
    if cells.is_empty() {
        return "<section><h2>Cells</h2><p class=\"note\">The map holds no cells.</p></section>".into();
    }
    let frame = Frame::around(cells);
    let of = |kind: Kind| cells.iter().filter(move |cell| cell.kind == kind);
    let controls = format!("<g id=\"controls\">{}</g>", frame.dots(of(Kind::Control), "class=\"dots control\""));
    let numbers = [Kind::Real, Kind::Generated, Kind::Control]
        .map(|kind| format!("{} {} cells", of(kind).count(), kind.name()))
        .join(", ");
    format!(
        "<section><h2>Cells</h2><p>UMAP of the principal components, laid out for real and generated cells together: \
         {numbers}. Near cells are alike; distances between far groups and the axes mean nothing.</p>\
         <div class=\"maps\">{overlay}</div><h3>Leiden labels</h3><p>Clusters of the real cells; generated cells carry the \
         label that a classifier trained on the real ones gives them. Where the model is right, both maps look alike.</p>\
         <div class=\"maps\">{real}{generated}</div>{key}{panels}</section>",
        overlay = overlay(&frame, cells, &controls),
        real = labelled(&frame, &of(Kind::Real).collect::<Vec<_>>(), "Real cells"),
        generated = labelled(&frame, &of(Kind::Generated).collect::<Vec<_>>(), "Generated cells"),
        key = key(cells),
        panels = conditions(&frame, cells),
    )
}

/// Controls, real and generated cells in layers that the reader can switch off.
fn overlay(frame: &Frame, cells: &[MapCell], controls: &str) -> String {
    let of = |kind: Kind| cells.iter().filter(move |cell| cell.kind == kind);
    let layers = format!(
        "{controls}{}{}",
        frame.dots(of(Kind::Real), "class=\"dots real\""),
        frame.dots(of(Kind::Generated), "class=\"dots generated\"")
    );
    let switches: String = [Kind::Generated, Kind::Real, Kind::Control]
        .map(|kind| {
            let name = kind.name();
            format!(
                "<label><input type=\"checkbox\" class=\"show-{name}\" checked><i class=\"chip {name}\"></i>{name}</label>"
            )
        })
        .concat();
    let drawing = frame.drawing("UMAP of generated over real cells, controls behind", &layers);
    format!(
        "<figure class=\"wide\">{drawing}<figcaption><b>Generated over real cells</b> <span class=\"switches\">{switches}\
         </span></figcaption></figure>"
    )
}

/// One kind of cells, coloured by Leiden label, with each label's number in the middle of its cells.
fn labelled(frame: &Frame, cells: &[&MapCell], title: &str) -> String {
    let mut groups = BTreeMap::<usize, Vec<&MapCell>>::new();
    for cell in cells {
        groups.entry(cell.leiden).or_default().push(cell);
    }
    let mut layers = String::from("<use href=\"#controls\"/>");
    for (label, group) in &groups {
        let attributes = format!("class=\"dots label l{}\"", label % N_COLOURS);
        layers.push_str(&frame.dots(group.iter().copied(), &attributes));
    }
    for (label, group) in &groups {
        if let Some(position) = middle(group) {
            let [x, y] = frame.place(position);
            layers.push_str(&format!("<text x=\"{x}\" y=\"{y}\">{label}</text>"));
        }
    }
    let drawing = frame.drawing(&format!("UMAP of {}, coloured by Leiden label", title.to_lowercase()), &layers);
    format!("<figure>{drawing}<figcaption><b>{title}</b>, {}</figcaption></figure>", count(groups.len(), "label"))
}

/// The share of every label among real and among generated cells.
fn key(cells: &[MapCell]) -> String {
    let total = |kind: Kind| cells.iter().filter(|cell| cell.kind == kind).count();
    let labels: BTreeSet<usize> =
        cells.iter().filter(|cell| cell.kind != Kind::Control).map(|cell| cell.leiden).collect();
    let share = |kind: Kind, label: usize| {
        let n = cells.iter().filter(|cell| cell.kind == kind && cell.leiden == label).count();
        let percent = 100.0 * n as f64 / total(kind).max(1) as f64;
        if n > 0 && percent < 1.0 { "&lt;1 %".to_owned() } else { format!("{percent:.0} %") }
    };
    let mut items = String::new();
    for label in labels {
        let (real, generated) = (share(Kind::Real, label), share(Kind::Generated, label));
        items.push_str(&format!(
            "<li><i class=\"chip l{}\"></i><b>{label}</b> {real} | {generated}</li>",
            label % N_COLOURS
        ));
    }
    format!(
        "<p class=\"note\">Share of the drawn cells with each label, real | generated:</p><ul class=\"key\">{items}</ul>"
    )
}

/// One panel per condition, or per perturbation, if there are few.
fn conditions(frame: &Frame, cells: &[MapCell]) -> String {
    let grouped = |with_covariate: bool| {
        let mut groups = BTreeMap::<(&str, &str), Vec<&MapCell>>::new();
        for cell in cells.iter().filter(|cell| cell.kind != Kind::Control) {
            let covariate = if with_covariate { cell.covariate.as_str() } else { "" };
            groups.entry((&cell.perturbation, covariate)).or_default().push(cell);
        }
        groups
    };
    let full = grouped(true);
    let groups = if full.len() <= MOST_PANELS { full } else { grouped(false) };
    if groups.len() > MOST_PANELS {
        return format!(
            "<p class=\"note\">{} perturbations: too many for a panel each (at most {MOST_PANELS}); the table below lists \
             them.</p>",
            groups.len()
        );
    }
    let mut panels = String::new();
    for ((perturbation, covariate), group) in &groups {
        let of = |kind: Kind| group.iter().copied().filter(move |cell| cell.kind == kind);
        let layers = format!(
            "<use href=\"#controls\"/>{}{}",
            frame.dots(of(Kind::Real), "class=\"dots real\""),
            frame.dots(of(Kind::Generated), "class=\"dots generated\"")
        );
        let name = escape(perturbation);
        let drawing = frame.drawing(&format!("UMAP of {name}, generated over real cells"), &layers);
        let covariate = if covariate.is_empty() { String::new() } else { format!(", {}", escape(covariate)) };
        panels.push_str(&format!(
            "<figure>{drawing}<figcaption><b>{name}</b>{covariate}: <span><i class=\"chip real\"></i>{} real</span>, \
             <span><i class=\"chip generated\"></i>{} generated</span></figcaption></figure>",
            of(Kind::Real).count(),
            of(Kind::Generated).count()
        ));
    }
    format!("<h3>One by one</h3><div class=\"maps small\">{panels}</div>")
}
