//! The page as a whole.

use std::collections::BTreeSet;

use super::contents::Contents;
use super::html::{count, escape, join};
use super::shell::shell;
use super::verdict::verdict;
use super::{changes, curves, panels, provenance, scores, strata, words};
use crate::metrics::ScoreRow;

/// At most this many perturbations are named in the heading.
const MOST_NAMED: usize = 8;

/// The page; without a title it is named after what was predicted.
pub fn page(contents: &Contents, title: Option<&str>) -> String {
    let model: Vec<&ScoreRow> = contents.scores.rows.iter().filter(|row| row.method == "model").collect();
    let perturbations: BTreeSet<&str> = model.iter().map(|row| row.perturbation.as_str()).collect();
    let title = title.map_or_else(|| default_title(&perturbations), str::to_owned);
    let verdict = verdict(&contents.scores);
    let body = format!(
        "{}\n{}\n{}\n{}\n{}\n{}",
        panels::section(contents),
        changes::section(contents),
        strata::section(&contents.scores.rows),
        scores::section(contents),
        curves::section(contents),
        provenance::section(&contents.provenance, &contents.scores.settings)
    );
    shell(&title, &lead(&model, &perturbations), &verdict, &body)
}

fn default_title(perturbations: &BTreeSet<&str>) -> String {
    let names: Vec<String> = perturbations.iter().map(ToString::to_string).collect();
    match names.len() {
        0 => "Prediction".into(),
        1..=3 => format!("Prediction of {}", join(&names)),
        n => format!("Prediction of {n} perturbations"),
    }
}

/// What was predicted: perturbations, cells, and how far the conditions are from training.
fn lead(model: &[&ScoreRow], perturbations: &BTreeSet<&str>) -> String {
    if model.is_empty() {
        return "<p class=\"lead\">Nothing was predicted.</p>".into();
    }
    let mut statuses: Vec<(&str, usize)> = Vec::new();
    for row in model {
        match statuses.iter_mut().find(|(status, _)| *status == row.status) {
            Some((_, n)) => *n += 1,
            None => statuses.push((&row.status, 1)),
        }
    }
    let told: Vec<String> =
        statuses.iter().map(|(status, n)| format!("{}: {}", count(*n, "condition"), words::status(status))).collect();
    let names: Vec<String> =
        perturbations.iter().take(MOST_NAMED).map(|name| format!("<b>{}</b>", escape(name))).collect();
    let more = perturbations.len().saturating_sub(MOST_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(
        "<p class=\"lead\">{} {} of {}{more}, against {} real cells. {}.</p>",
        model.iter().map(|row| row.n_generated).sum::<usize>(),
        "generated cells",
        if more.is_empty() { join(&names) } else { names.join(", ") },
        model.iter().map(|row| row.n_real).sum::<usize>(),
        escape(&told.join("; "))
    )
}
