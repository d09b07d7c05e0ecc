//! The leakage audit: what was held out, and whether any of it stands among training cells.

use crate::metrics::benchmark::Benchmark;
use crate::report::html::{count, escape, join};

/// The section.
pub fn section(benchmark: &Benchmark) -> String {
    let audit = &benchmark.audit;
    let n_cells: usize = audit.held_out.iter().map(|one| one.n_held_out).sum();
    let rows: String = audit
        .held_out
        .iter()
        .map(|one| {
            let marked = if one.n_training > 0 { " class=\"worse\"" } else { "" };
            format!(
                "<tr><th>{}</th><td class=\"n\">{}</td><td class=\"n\"><span{marked}>{}</span></td></tr>",
                escape(&one.condition),
                one.n_held_out,
                one.n_training
            )
        })
        .collect();
    let models = match audit.leaking_models.is_empty() {
        true => format!(
            "{} looked at: each was fitted to this prepared screen, and none names a held-out condition among its training \
             conditions.",
            count(audit.n_models, "model")
        ),
        false => {
            let named = join(&audit.leaking_models);
            format!("These models name a held-out condition or were fitted to another file: {}.", escape(&named))
        }
    };
    let digests: String = audit
        .digests
        .iter()
        .map(|(name, digest)| format!("<dt>{}</dt><dd>{}</dd>", escape(name), escape(digest)))
        .collect();
    format!(
        "<section><h2>Leakage audit</h2><p>{} with {n_cells} cells held out; {} training cells. Variable genes, components, \
         effects and weights are fitted to training cells only. {models}</p><div class=\"scroll\"><table \
         class=\"sortable\"><thead><tr><th>held-out condition</th><th class=\"n\">cells held out</th><th class=\"n\">training cells of \
         it</th></tr></thead><tbody>{rows}</tbody></table></div><dl class=\"facts\">{digests}</dl></section>",
        count(audit.held_out.len(), "condition"),
        audit.n_training_cells
    )
}
