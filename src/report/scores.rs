//! The tables of scores, with what the metrics mean and which values are best.

use std::collections::{BTreeMap, BTreeSet};

use super::contents::{Contents, Metric, condition};
use super::html::{count, escape, number};
use super::words;
use crate::metrics::ScoreRow;
use crate::metrics::leaderboard::{CEILING, badness};

/// The section of tables.
pub fn section(contents: &Contents) -> String {
    let (main, more): (Vec<&Metric>, Vec<&Metric>) = contents.metrics.iter().partition(|metric| metric.main);
    let further = if more.is_empty() {
        String::new()
    } else {
        let (table, words) = (summary(contents, &more), meanings(&more));
        format!("<details><summary>{} more</summary>{table}{words}</details>", count(more.len(), "metric"))
    };
    format!(
        "<section><h2>Scores</h2><p>Means over conditions. <span class=\"best\">Marked</span>: the best of the methods that \
         compete; halves of the real cells are the ceiling.</p>{}{}{}{further}<h3>By condition</h3>{}</section>",
        summary(contents, &main),
        methods(contents),
        meanings(&main),
        by_condition(contents, &main)
    )
}

fn summary(contents: &Contents, metrics: &[&Metric]) -> String {
    let shared = metrics_on_shared_conditions(&contents.scores.rows);
    let mut head = String::from("<th>method</th><th class=\"n\">conditions</th>");
    head.push_str(&metric_heads(metrics));
    let mut body = String::new();
    for own in &contents.summary {
        let ceiling = own.method == CEILING;
        let mut row = format!("<th>{}</th><td class=\"n\">{}</td>", escape(&own.method), own.n_conditions);
        for metric in metrics {
            let rivals: Vec<f64> = contents
                .summary
                .iter()
                .filter(|other| other.method != CEILING)
                .filter_map(|other| other.values.get(&metric.name).copied())
                .collect();
            let value = own.values.get(&metric.name).copied();
            let marked = !ceiling && shared.contains(metric.name.as_str());
            row.push_str(&cell(value, marked && is_best(value, &rivals, &metric.better), None));
        }
        body.push_str(&format!("<tr{}>{row}</tr>", if ceiling { " class=\"ceiling\"" } else { "" }));
    }
    // A metric without any value has nothing to compare.
    let any = |metric: &Metric| contents.summary.iter().any(|own| own.values.contains_key(&metric.name));
    let is_unequal = |metric: &&&Metric| !shared.contains(metric.name.as_str()) && any(metric);
    let unequal: Vec<&&Metric> = metrics.iter().filter(is_unequal).collect();
    let note = if unequal.is_empty() || contents.scores.rows.is_empty() {
        String::new()
    } else {
        let names: Vec<String> = unequal.iter().map(|metric| escape(&metric.name)).collect();
        format!(
            "<p class=\"note\">Not marked, because the methods have values on different conditions, so that their means \
             cannot be compared: {}.</p>",
            names.join(", ")
        )
    };
    format!("<div class=\"scroll\"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{note}")
}

/// The metrics for which every competing method has values on the same conditions.
fn metrics_on_shared_conditions(rows: &[ScoreRow]) -> BTreeSet<&str> {
    let names: BTreeSet<&str> = rows.iter().flat_map(|row| row.values.keys().map(String::as_str)).collect();
    let methods: BTreeSet<&str> = rows.iter().map(|row| row.method.as_str()).filter(|name| *name != CEILING).collect();
    let conditions = |method: &str, metric: &str| -> BTreeSet<(&str, &BTreeMap<String, String>)> {
        let with = |row: &&ScoreRow| row.method == method && row.values.contains_key(metric);
        rows.iter().filter(with).map(|row| (row.perturbation.as_str(), &row.covariates)).collect()
    };
    let shared = |metric: &&str| {
        // A method that has no value anywhere, as a change that is zero has no correlation, does not compete.
        let mut sets = methods.iter().map(|method| conditions(method, metric)).filter(|set| !set.is_empty());
        sets.next().is_some_and(|first| sets.all(|other| other == first))
    };
    names.into_iter().filter(shared).collect()
}

fn by_condition(contents: &Contents, metrics: &[&Metric]) -> String {
    let rows = &contents.scores.rows;
    let covariates: BTreeSet<&str> = rows.iter().flat_map(|row| row.covariates.keys().map(String::as_str)).collect();
    let mut head = String::from("<th>perturbation</th>");
    for name in &covariates {
        head.push_str(&format!("<th>{}</th>", escape(name)));
    }
    head.push_str("<th>in training</th><th>method</th><th class=\"n\">real</th><th class=\"n\">generated</th>");
    head.push_str(&metric_heads(metrics));
    let mut groups: Vec<(String, Vec<&ScoreRow>)> = Vec::new();
    for row in rows {
        let name = condition(row);
        match groups.iter_mut().find(|(other, _)| *other == name) {
            Some((_, group)) => group.push(row),
            None => groups.push((name, vec![row])),
        }
    }
    let mut body = String::new();
    for (_, group) in &groups {
        for (place, row) in group.iter().enumerate() {
            body.push_str(&condition_row(metrics, &covariates, group, row, place == 0));
        }
    }
    format!(
        "{}<p class=\"note click\" hidden>Click a heading to sort.</p><div class=\"scroll\"><table class=\"sortable\"><thead><tr>{head}</tr>\
         </thead><tbody>{body}</tbody></table></div>",
        missing(rows)
    )
}

fn condition_row(
    metrics: &[&Metric],
    covariates: &BTreeSet<&str>,
    group: &[&ScoreRow],
    row: &ScoreRow,
    first: bool,
) -> String {
    let mut cells = format!("<th>{}</th>", escape(&row.perturbation));
    for name in covariates {
        cells.push_str(&format!("<td>{}</td>", escape(row.covariates.get(*name).map_or("", String::as_str))));
    }
    let status = escape(&words::status(&row.status));
    cells.push_str(&format!(
        "<td title=\"{status}\">{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>",
        escape(&row.status),
        escape(&row.method),
        row.n_real,
        row.n_generated
    ));
    let rivals: Vec<&ScoreRow> = group.iter().filter(|other| other.method != CEILING).copied().collect();
    finish_row(cells, row, &rivals, metrics, first)
}

/// The row of a method on a condition: after its first cells those of the metrics, the best of all rivals marked. The
/// `first` row of a condition stands apart.
pub(super) fn finish_row(
    mut cells: String,
    row: &ScoreRow,
    rivals: &[&ScoreRow],
    metrics: &[&Metric],
    first: bool,
) -> String {
    let competes = row.method != CEILING;
    for metric in metrics {
        let others: Vec<f64> = rivals.iter().filter_map(|other| other.values.get(&metric.name).copied()).collect();
        let value = row.values.get(&metric.name).copied();
        let why = row.missing.get(&metric.name).or_else(|| row.undefined.get(&metric.name)).map(String::as_str);
        cells.push_str(&cell(value, competes && is_best(value, &others, &metric.better), why));
    }
    let class = match (first, competes) {
        (true, true) => " class=\"first\"",
        (false, false) => " class=\"ceiling\"",
        (true, false) => " class=\"first ceiling\"",
        (false, true) => "",
    };
    format!("<tr{class}>{cells}</tr>")
}

/// Every reason for missing values once, with the methods and metrics that it concerns.
pub(super) fn missing(rows: &[ScoreRow]) -> String {
    let mut by_reason = BTreeMap::<&str, (BTreeSet<&str>, BTreeSet<&str>, BTreeSet<String>)>::new();
    for row in rows {
        for (metric, reason) in row.missing.iter().chain(&row.undefined) {
            let (methods, metrics, conditions) = by_reason.entry(reason).or_default();
            methods.insert(&row.method);
            metrics.insert(metric);
            conditions.insert(condition(row));
        }
    }
    if by_reason.is_empty() {
        return String::new();
    }
    const MOST_NAMED: usize = 12;
    let names = |names: BTreeSet<&str>| match names.len() {
        n if n > MOST_NAMED => count(n, "metric"),
        _ => escape(&names.into_iter().collect::<Vec<_>>().join(", ")),
    };
    let mut items = String::new();
    for (reason, (methods, metrics, conditions)) in by_reason {
        let n = conditions.len();
        let example = conditions.into_iter().next().unwrap_or_default();
        let example = if n > 1 { format!("{n} conditions, such as {example}") } else { example };
        items.push_str(&format!(
            "<li><b>{}</b> of {} for {}: {}</li>",
            names(metrics),
            names(methods),
            escape(&example),
            escape(reason)
        ));
    }
    format!("<details open><summary>Why values are missing</summary><ul>{items}</ul></details>")
}

pub(super) fn metric_heads(metrics: &[&Metric]) -> String {
    let head = |metric: &&Metric| {
        let (sign, words) = words::better(&metric.better);
        // Long names may break at their underscores.
        let name = escape(&metric.name).replace('_', "_<wbr>");
        let meaning = escape(&metric.meaning);
        format!("<th class=\"n\" title=\"{meaning}\">{name} <span title=\"{words}\">{sign}</span></th>")
    };
    metrics.iter().map(head).collect()
}

pub(super) fn cell(value: Option<f64>, best: bool, why: Option<&str>) -> String {
    match value {
        Some(value) if best => {
            format!("<td class=\"n\" data-value=\"{value}\"><b class=\"best\">{}</b></td>", number(value))
        }
        Some(value) => format!("<td class=\"n\" data-value=\"{value}\">{}</td>", number(value)),
        None => format!("<td class=\"n none\" title=\"{}\">–</td>", escape(why.unwrap_or("no value"))),
    }
}

/// True if no rival is better; false without a direction or without a second rival.
pub(super) fn is_best(value: Option<f64>, rivals: &[f64], better: &str) -> bool {
    let badness = |value: f64| badness(value, better);
    let Some(own) = value.and_then(badness) else { return false };
    // Values that differ by rounding alone are equally good.
    let not_better = |rival: f64| own <= rival + 1e-6 * own.abs().max(rival.abs());
    rivals.len() > 1 && rivals.iter().filter_map(|&rival| badness(rival)).all(not_better)
}

fn methods(contents: &Contents) -> String {
    let items: String = contents
        .summary
        .iter()
        .map(|own| {
            let explained = match own.method.as_str() {
                "model" => {
                    let name = contents.scores.settings["model"].as_str().unwrap_or("");
                    let named = if name.is_empty() { String::new() } else { format!(" by “{}”", escape(name)) };
                    format!("{}{named}", words::method_explained("model"))
                }
                other => words::method_explained(other).to_owned(),
            };
            format!("<dt>{}</dt><dd>{explained}</dd>", escape(&own.method))
        })
        .collect();
    format!("<details><summary>What the methods are</summary><dl>{items}</dl></details>")
}

pub(super) fn meanings(metrics: &[&Metric]) -> String {
    let items: String = metrics
        .iter()
        .map(|metric| {
            let (_, direction) = words::better(&metric.better);
            let (name, meaning) = (escape(&metric.name), escape(&metric.meaning));
            format!("<dt>{name}</dt><dd>{}; {direction}. {meaning}.</dd>", escape(words::metric(&metric.name)))
        })
        .collect();
    format!(
        "<details open><summary>What the {} mean</summary><dl class=\"meanings\">{items}</dl><p class=\"note\">Read distances together with \
         std_ratio: cells that vary too little lie in the middle of the real ones, and a Wasserstein distance alone rewards \
         that.</p></details>",
        count(metrics.len(), "metric")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_value_respects_the_direction() {
        let rivals = [0.5, 0.9, 1.3];
        let best = |better: &str| -> Vec<bool> { rivals.map(|value| is_best(Some(value), &rivals, better)).into() };
        assert_eq!(best("lower"), [true, false, false]);
        assert_eq!(best("higher"), [false, false, true]);
        assert_eq!(best("one"), [false, true, false]);
        assert!(is_best(Some(-0.1), &[-0.1, 0.2], "zero") && !is_best(Some(-0.3), &[-0.3, 0.2], "zero"));
        assert_eq!(best(""), [false; 3]);
        assert!([1.04, 1.04 + 1e-9].iter().all(|&value| is_best(Some(value), &[1.04, 1.04 + 1e-9, 1.1], "one")));
        assert!(!is_best(None, &rivals, "lower") && !is_best(Some(1.0), &[1.0], "lower"));
    }

    #[test]
    fn means_over_different_conditions_are_not_compared() {
        let row = |method: &str, perturbation: &str| ScoreRow {
            method: method.into(),
            perturbation: perturbation.into(),
            values: BTreeMap::from([("w2_exact".to_owned(), 1.0)]),
            ..ScoreRow::default()
        };
        let mut rows = vec![row("model", "A+B"), row("additive", "A+B"), row("split_half", "A+C")];
        assert_eq!(metrics_on_shared_conditions(&rows).len(), 1);
        rows.push(ScoreRow { method: "control_mean".into(), ..ScoreRow::default() });
        assert_eq!(metrics_on_shared_conditions(&rows).len(), 1);
        rows.push(row("model", "A+C"));
        assert_eq!(metrics_on_shared_conditions(&rows).len(), 0);
    }
}
