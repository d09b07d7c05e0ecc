//! Means over conditions.

use std::collections::BTreeMap;

use super::scores::{ScoreRow, definitions};

/// A method, the number of its conditions with at least one value, and metric → mean.
pub type MethodMeans = (String, usize, BTreeMap<String, f64>);

/// Method, number of its conditions with at least one value, and the mean of every metric over the conditions where it
/// has a value; methods in the order of their first rows.
pub fn by_method(rows: &[ScoreRow]) -> Vec<MethodMeans> {
    let mut methods: Vec<&str> = Vec::new();
    for row in rows {
        if !methods.contains(&row.method.as_str()) {
            methods.push(&row.method);
        }
    }
    let summarise = |method: &str| {
        let own: Vec<&ScoreRow> = rows.iter().filter(|row| row.method == method && !row.values.is_empty()).collect();
        let mut means = BTreeMap::new();
        for metric in definitions() {
            let values: Vec<f64> = own.iter().filter_map(|row| row.values.get(metric.name).copied()).collect();
            if !values.is_empty() {
                means.insert(metric.name.to_owned(), values.iter().sum::<f64>() / values.len() as f64);
            }
        }
        (method.to_owned(), own.len(), means)
    };
    methods.into_iter().map(summarise).collect()
}

/// The rows of each stratum.
pub fn rows_by_stratum(rows: &[ScoreRow]) -> BTreeMap<String, Vec<ScoreRow>> {
    let mut strata = BTreeMap::<String, Vec<ScoreRow>>::new();
    rows.iter().for_each(|row| strata.entry(row.stratum.clone()).or_default().push(row.clone()));
    strata
}

/// The same as [`by_method`] as text in columns, one line per method: the metrics of the first table.
pub fn table(rows: &[ScoreRow]) -> String {
    let mut text = format!("{:<16}{:>11}", "method", "conditions");
    let shown = || definitions().iter().filter(|metric| metric.main);
    for metric in shown() {
        text.push_str(&format!("{:>width$}", metric.name, width = metric.name.len().max(9) + 2));
    }
    for (method, n, means) in by_method(rows) {
        text.push_str(&format!("\n{method:<16}{n:>11}"));
        for metric in shown() {
            let value = means.get(metric.name).map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
            text.push_str(&format!("{value:>width$}", width = metric.name.len().max(9) + 2));
        }
    }
    text
}
