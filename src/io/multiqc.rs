//! Mean scores as custom content of MultiQC, which finds files that end in `_mqc.json` by itself.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::json;
use crate::Result;
use crate::metrics::{Definition, definitions};

/// The file's name in a folder of results.
pub const NAME: &str = "scflow_mqc.json";

/// Writes a table with one row per method: the metrics of the first table, each with its meaning. Rows are named after the
/// method and the `run`, so that those of several runs stand in one table of a MultiQC report.
///
/// # Errors
/// [`crate::Error::Backend`] or [`crate::Error::Io`].
pub fn write(path: &Path, run: &str, means: &[(String, BTreeMap<String, f64>)]) -> Result<()> {
    let metrics: Vec<_> = definitions().iter().filter(|metric| metric.main).collect();
    let header = |(place, metric): (usize, &&Definition)| -> (String, Value) {
        let Definition { name, better, meaning, .. } = metric;
        // The better end of a scale is green.
        let scale = match *better {
            "lower" => json!("RdYlGn-rev"),
            "higher" => json!("RdYlGn"),
            _ => json!(false),
        };
        let header = json!({
            "title": name, "description": meaning, "format": "{:,.4g}", "scale": scale, "placement": 10 * place,
        });
        ((*name).to_owned(), header)
    };
    let headers: serde_json::Map<String, Value> = metrics.iter().enumerate().map(header).collect();
    let row = |(method, values): &(String, BTreeMap<String, f64>)| {
        let told = metrics.iter().filter_map(|metric| Some((metric.name, *values.get(metric.name)?)));
        (format!("{method} | {run}"), told.collect::<BTreeMap<_, _>>())
    };
    let content = json!({
        "id": "scflow_scores",
        "section_name": "scflow: unseen perturbations",
        "description": "How near generated cells are to real cells of conditions that were held out: means over conditions.",
        "plot_type": "table",
        "pconfig": {"id": "scflow_scores_table", "title": "scflow: scores", "col1_header": "Method | run"},
        "headers": headers,
        "data": means.iter().map(row).collect::<BTreeMap<_, _>>(),
    });
    json::write_pretty(path, &content)
}

/// What a folder of results is called.
pub fn run_of(folder: &Path) -> String {
    folder.file_name().map_or_else(|| "scflow".into(), |name| name.to_string_lossy().into_owned())
}
