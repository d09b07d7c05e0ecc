//! The leakage audit: what was held out, and whether any of it stands among training cells.

use crate::metrics::benchmark::{AuditedSplit, Benchmark};
use crate::report::html::{count, escape, join};

/// The section.
pub fn section(benchmark: &Benchmark) -> String {
    let audit = &benchmark.audit;
    let n_cells: usize = audit.all_held_out().map(|one| one.n_held_out).sum();
    let rows: String = audit.splits.iter().map(rows).collect();
    let models = match audit.leaking_models.is_empty() {
        true => format!(
            "{} looked at: each was fitted to the prepared screen of its split, and none names a condition that this holds out \
             among its training conditions.",
            count(audit.n_models, "model")
        ),
        false => {
            let named = join(&audit.leaking_models);
            format!("These models name a held-out condition or were fitted to another file: {}.", escape(&named))
        }
    };
    let fact = |name: &str, digest: &str| format!("<dt>{}</dt><dd>{}</dd>", escape(name), escape(digest));
    let of_split = |split: &AuditedSplit| fact(&format!("prepared screen of {}", split.name), &split.prepared_sha256);
    let digests: String = audit.splits.iter().map(of_split).collect();
    format!(
        "<section><h2>Leakage audit</h2><p>{}: {} with {n_cells} cells held out. Variable genes, components, effects and weights \
         are fitted to training cells of the split only. {models}</p><div class=\"scroll\"><table \
         class=\"sortable\"><thead><tr><th>split</th><th>held-out condition</th><th class=\"n\">cells held out</th><th \
         class=\"n\">training cells of it</th><th class=\"n\">training cells in all</th></tr></thead><tbody>{rows}</tbody></table>\
         </div><dl class=\"facts\">{}{digests}</dl></section>",
        count(audit.splits.len(), "split"),
        count(audit.n_conditions(), "condition"),
        fact("screen", &audit.screen_sha256)
    )
}

fn rows(split: &AuditedSplit) -> String {
    let row = |one: &crate::metrics::benchmark::AuditedCondition| {
        let marked = if one.n_training > 0 { " class=\"worse\"" } else { "" };
        format!(
            "<tr><td>{}</td><th>{}</th><td class=\"n\">{}</td><td class=\"n\"><span{marked}>{}</span></td><td \
             class=\"n\">{}</td></tr>",
            escape(&split.name),
            escape(&one.condition),
            one.n_held_out,
            one.n_training,
            split.n_training_cells
        )
    };
    split.held_out.iter().map(row).collect()
}
