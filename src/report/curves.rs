//! The history of the fit as charts: losses together, every other column by itself.

use kuva::render::render::Scene;

use super::contents::Contents;
use super::curve::{Line, Look, chart, spans_much};
use super::drawing::{Colours, LABELS, element};
use super::html::{count, escape};

/// At most this many points of a line are drawn.
const MOST_POINTS: usize = 1200;
const PRINTED: [&str; 4] = [Colours::PRINT.real, Colours::PRINT.generated, LABELS[4], LABELS[8]];
const COLOURS: [&str; 4] = ["var(--real)", "var(--generated)", "var(--c4)", "var(--c8)"];

type Column = (String, Vec<Option<f64>>);

/// The section of the training curve.
pub fn section(contents: &Contents) -> String {
    let (steps, losses) = losses(contents);
    let columns: Vec<&Column> =
        contents.history.iter().filter(|(name, values)| name != "step" && values.iter().any(Option::is_some)).collect();
    if columns.is_empty() {
        return "<section><h2>Training</h2><p class=\"note\">The prediction carries no history of a fit.</p></section>"
            .into();
    }
    let others: Vec<&Column> = columns.into_iter().filter(|column| !losses.contains(column)).collect();
    // Four lines share a chart at most; a history with more losses shows the rest one by one.
    let together = losses.len().min(COLOURS.len());
    let mut figures = String::new();
    if together > 0 {
        figures.push_str(&figure(0, steps, &losses[..together]));
    }
    for (place, column) in losses[together..].iter().chain(&others).enumerate() {
        figures.push_str(&figure(place + 1, steps, &[*column]));
    }
    let n = contents.history.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    let thinned = n.div_ceil(MOST_POINTS);
    let drawn = if thinned > 1 { format!("; one in {thinned} is drawn") } else { String::new() };
    let n = count(n, "record");
    format!("<section><h2>Training</h2><p>{n} of the fit{drawn}.</p><div class=\"maps\">{figures}</div></section>")
}

/// The losses as a drawing for print; none without a history.
pub fn printed(contents: &Contents) -> Option<Scene> {
    let (steps, losses) = losses(contents);
    let line =
        |(column, colour): (&&Column, _)| Line { colour, name: Some(column.0.clone()), points: points(steps, column) };
    let lines: Vec<Line> = losses.iter().zip(PRINTED).map(line).collect();
    let x_label = if steps.is_some() { "step" } else { "record" };
    let look = Look { colours: Colours::PRINT, x_label, logarithmic: spans_much(&lines), size: [720.0, 360.0] };
    (!lines.is_empty()).then(|| chart(&lines, &look))
}

/// The steps, and the columns that are losses.
fn losses(contents: &Contents) -> (Option<&Column>, Vec<&Column>) {
    let steps = contents.history.iter().find(|(name, _)| name == "step");
    let has_values = |values: &[Option<f64>]| values.iter().any(Option::is_some);
    let is_loss = |name: &str| ["loss", "validation"].iter().any(|word| name.contains(word));
    (steps, contents.history.iter().filter(|(name, values)| is_loss(name) && has_values(values)).collect())
}

/// The chart of some columns; the first of the page, with the losses, is wide and may have a logarithmic axis.
fn figure(id: usize, steps: Option<&Column>, columns: &[&Column]) -> String {
    let line = |(column, colour): (&&Column, _)| Line { colour, name: None, points: points(steps, column) };
    let lines: Vec<Line> = columns.iter().zip(COLOURS).map(line).collect();
    let x_label = if steps.is_some() { "step" } else { "record" };
    let names: Vec<String> = columns.iter().map(|(name, _)| escape(name)).collect();
    let key: String = names
        .iter()
        .zip(COLOURS)
        .map(|(name, colour)| format!("<i class=\"chip\" style=\"background:{colour}\"></i><b>{name}</b> "))
        .collect();
    let logarithmic = id == 0 && spans_much(&lines);
    let described = format!("{} by {x_label}", names.join(" and "));
    let (class, size) = if id == 0 { (" class=\"wide\"", [720.0, 300.0]) } else { ("", [420.0, 240.0]) };
    let look = Look { colours: Colours::PAGE, x_label, logarithmic, size };
    let drawing = element(&chart(&lines, &look), &id.to_string(), &described);
    let scale = if logarithmic { "logarithmic axis" } else { "" };
    format!("<figure{class}>{drawing}<figcaption>{key}{scale}</figcaption></figure>")
}

/// The rows where both the step and the value are there, thinned; the last one is always kept.
fn points(steps: Option<&Column>, (_, values): &Column) -> Vec<(f64, f64)> {
    let at = |row: usize| steps.map_or(Some(row as f64), |(_, steps)| steps.get(row).copied().flatten());
    let all: Vec<(f64, f64)> =
        values.iter().enumerate().filter_map(|(row, value)| Some((at(row)?, (*value)?))).collect();
    let stride = all.len().div_ceil(MOST_POINTS).max(1);
    let last = all.len().saturating_sub(1);
    all.into_iter().enumerate().filter(|(row, _)| row % stride == 0 || *row == last).map(|(_, point)| point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_histories_are_thinned_and_keep_their_end() {
        let values: Vec<Option<f64>> = (0..5000).map(|i| Some(f64::from(i))).collect();
        let thinned = points(None, &("loss".into(), values));
        assert!(thinned.len() <= MOST_POINTS + 1 && thinned.last() == Some(&(4999.0, 4999.0)));
    }

    #[test]
    fn rows_without_a_value_are_not_drawn() {
        let steps = ("step".to_owned(), vec![Some(10.0), Some(20.0), Some(30.0)]);
        let validation = ("validation".to_owned(), vec![None, Some(2.0), None]);
        assert_eq!(points(Some(&steps), &validation), [(20.0, 2.0)]);
    }
}
