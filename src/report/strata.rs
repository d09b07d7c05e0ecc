//! Means over the conditions of each stratum: how far conditions are from training decides how hard they are.

use super::contents::Metric;
use super::html::escape;
use super::scores::{cell, is_best, metric_heads};
use super::words;
use crate::metrics::ScoreRow;
use crate::metrics::definitions;
use crate::metrics::leaderboard::{CEILING, LEADING};
use crate::metrics::summary::{by_method, rows_by_stratum};

/// The table of the leading metrics by stratum and method; nothing where all conditions are of one stratum.
pub fn section(rows: &[ScoreRow]) -> String {
    let strata = rows_by_stratum(rows);
    if strata.len() < 2 {
        return String::new();
    }
    let leading: Vec<Metric> = LEADING
        .iter()
        .filter_map(|name| definitions().iter().find(|own| own.name == *name))
        .map(Metric::from)
        .collect();
    let leading: Vec<&Metric> = leading.iter().collect();
    let mut body = String::new();
    for (stratum, rows) in &strata {
        let methods = by_method(rows);
        for (place, (method, n, means)) in methods.iter().enumerate() {
            let ceiling = method == CEILING;
            let mut row = format!(
                "<th title=\"{}\">{}</th><td>{}</td><td class=\"n\">{n}</td>",
                escape(&words::stratum(stratum)),
                escape(stratum),
                escape(method)
            );
            for metric in &leading {
                // A mean over other conditions is no rival.
                let rivals: Vec<f64> = methods
                    .iter()
                    .filter(|(other, n_other, _)| other != CEILING && n_other == n)
                    .filter_map(|(.., means)| means.get(&metric.name).copied())
                    .collect();
                let value = means.get(&metric.name).copied();
                row.push_str(&cell(value, !ceiling && is_best(value, &rivals, &metric.better), None));
            }
            let class = match (place == 0, ceiling) {
                (true, true) => " class=\"first ceiling\"",
                (true, false) => " class=\"first\"",
                (false, true) => " class=\"ceiling\"",
                (false, false) => "",
            };
            body.push_str(&format!("<tr{class}>{row}</tr>"));
        }
    }
    let items: String = strata
        .keys()
        .map(|stratum| format!("<dt>{}</dt><dd>{}</dd>", escape(stratum), escape(&words::stratum(stratum))))
        .collect();
    format!(
        "<section><h2>By stratum</h2><p>Means over the conditions that are equally far from training.</p><dl>{items}</dl>\
         <div class=\"scroll\"><table class=\"sortable\"><thead><tr><th>stratum</th><th>method</th><th class=\"n\">conditions</th>{}</tr>\
         </thead><tbody>{body}</tbody></table></div></section>",
        metric_heads(&leading)
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_stratum_has_its_means_and_one_alone_needs_no_table() {
        let row = |stratum: &str, perturbation: &str, value: f64| ScoreRow {
            method: "model".into(),
            perturbation: perturbation.into(),
            stratum: stratum.into(),
            values: BTreeMap::from([("edist_l2".to_owned(), value)]),
            ..ScoreRow::default()
        };
        let mut rows = vec![row("combo_seen2", "A+B", 0.25), row("combo_seen2", "A+C", 0.75)];
        assert_eq!(section(&rows), "");
        rows.push(row("<b>", "D", 2.0));
        let html = section(&rows);
        for part in [
            "<th title=\"combinations, every component was measured alone\">combo_seen2</th>",
            "data-value=\"0.5\"",
            "&lt;b&gt;",
        ] {
            assert!(html.contains(part), "{part} {html}");
        }
    }
}
