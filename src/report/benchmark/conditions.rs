//! Every method on every held-out condition, means over seeds and splits; and what has no value.

use std::collections::BTreeSet;

use crate::metrics::ScoreRow;
use crate::metrics::benchmark::Benchmark;
use crate::metrics::leaderboard::{CEILING, over_seeds};
use crate::report::contents::Metric;
use crate::report::html::escape;
use crate::report::scores::{finish_row, metric_heads, missing};

/// The section.
pub fn section(benchmark: &Benchmark, metrics: &[&Metric]) -> String {
    let mut rows = over_seeds(&benchmark.rows);
    let key = |row: &ScoreRow| (row.perturbation.clone(), row.covariates.clone());
    // A stable sort keeps the order of methods within a condition.
    rows.sort_by_key(key);
    let covariates: BTreeSet<&str> = rows.iter().flat_map(|row| row.covariates.keys().map(String::as_str)).collect();
    let names: String = covariates.iter().map(|name| format!("<th>{}</th>", escape(name))).collect();
    let mut body = String::new();
    let mut before = None;
    for row in &rows {
        let own = key(row);
        let rivals: Vec<&ScoreRow> = rows.iter().filter(|other| key(other) == own && other.method != CEILING).collect();
        let first = before.as_ref() != Some(&own);
        before = Some(own);
        body.push_str(&condition_row(row, &rivals, &covariates, metrics, first));
    }
    let all: Vec<ScoreRow> = benchmark.rows.iter().map(|one| one.row.clone()).collect();
    format!(
        "<section><h2>By condition</h2><p>Means over seeds, and over splits where several hold a condition out.</p>{}{}<div class=\"scroll\"><table class=\"sortable\"><thead><tr>\
         <th>perturbation</th>{names}<th>method</th><th class=\"n\">real</th>{}</tr></thead><tbody>{body}</tbody></table></div>\
         </section>",
        failures(benchmark),
        missing(&all),
        metric_heads(metrics)
    )
}

fn condition_row(
    row: &ScoreRow,
    rivals: &[&ScoreRow],
    covariates: &BTreeSet<&str>,
    metrics: &[&Metric],
    first: bool,
) -> String {
    let mut cells = format!("<th>{}</th>", escape(&row.perturbation));
    for name in covariates {
        cells.push_str(&format!("<td>{}</td>", escape(row.covariates.get(*name).map_or("", String::as_str))));
    }
    cells.push_str(&format!("<td>{}</td><td class=\"n\">{}</td>", escape(&row.method), row.n_real));
    finish_row(cells, row, rivals, metrics, first)
}

fn failures(benchmark: &Benchmark) -> String {
    if benchmark.failures.is_empty() {
        return String::new();
    }
    let items: String = benchmark
        .failures
        .iter()
        .map(|one| {
            format!(
                "<li><b>{}</b>, split {}, seed {}, {}: {}</li>",
                escape(&one.method),
                escape(&one.split),
                one.seed,
                escape(&one.stage),
                escape(&one.reason)
            )
        })
        .collect();
    format!("<details open><summary>What failed</summary><ul>{items}</ul></details>")
}
