//! Where the numbers come from: versions, parameters, digests, as nested lists.

use serde_json::Value;

use super::html::escape;

/// The section of provenance.
pub fn section(provenance: &Value, settings: &Value) -> String {
    // The metrics' meanings stand beside the tables already.
    let settings = match settings {
        Value::Object(entries) => Value::Object(
            entries.iter().filter(|(key, _)| *key != "metrics").map(|(k, v)| (k.clone(), v.clone())).collect(),
        ),
        other => other.clone(),
    };
    format!(
        "<section><h2>Provenance</h2><p>What was computed, from which files, with which settings. A digest is the SHA-256 of \
         a file.</p>{}<details><summary>Settings of the evaluation</summary>{}</details></section>",
        list(provenance),
        list(&settings)
    )
}

fn list(value: &Value) -> String {
    match value {
        Value::Object(entries) => {
            let (nested, plain): (Vec<_>, Vec<_>) =
                entries.iter().partition(|(_, value)| value.as_object().is_some_and(|map| !map.is_empty()));
            let mut html = String::new();
            for (key, value) in plain {
                html.push_str(&format!("<dt>{}</dt><dd>{}</dd>", escape(key), text(value)));
            }
            let mut html = if html.is_empty() { html } else { format!("<dl class=\"facts\">{html}</dl>") };
            for (key, value) in nested {
                html.push_str(&format!("<h4>{}</h4><div class=\"nested\">{}</div>", escape(key), list(value)));
            }
            html
        }
        other => format!("<p>{}</p>", text(other)),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::String(text) => escape(text),
        Value::Array(values) if values.is_empty() => "none".into(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(", "),
        other => escape(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_value_is_listed_and_escaped() {
        let provenance = json!({ "version": "1", "parameters": { "seed": 7, "held_out": ["<b>", "A+B"], "x": null } });
        let html = section(&provenance, &json!({ "metrics": ["hidden"], "min_cells": 20 }));
        for part in
            ["<dt>version</dt><dd>1</dd>", "<dd>&lt;b&gt;, A+B</dd>", "<dt>seed</dt><dd>7</dd>", "<dd>none</dd>"]
        {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(html.contains("min_cells") && !html.contains("hidden"));
    }
}
