//! The page as a whole.

use std::collections::BTreeSet;

use super::{audit, conditions, differences, leaderboard, verdict::verdict};
use crate::metrics::benchmark::Benchmark;
use crate::metrics::leaderboard::{metrics, over_seeds};
use crate::report::contents::Metric;
use crate::report::html::{count, escape};
use crate::report::shell::shell;
use crate::report::{provenance, scores, strata, words};

/// The page; without a title it is named after what was compared.
pub fn page(benchmark: &Benchmark, title: Option<&str>) -> String {
    let methods: BTreeSet<&str> = benchmark.standings.iter().map(|own| own.method.as_str()).collect();
    let competing = methods.iter().filter(|name| **name != crate::metrics::leaderboard::CEILING).count();
    let n = benchmark.audit.n_conditions();
    let default = format!("{} on {}", count(competing, "method"), count(n, "held-out condition"));
    let seeds: BTreeSet<u64> = benchmark.rows.iter().map(|one| one.seed).collect();
    let lead = format!(
        "<p class=\"lead\">{}, {} each, fitted to {} training cells of the same screen. Means are taken over seeds first, then \
         over splits that hold out the same condition, then over conditions.</p>",
        count(benchmark.audit.splits.len(), "split"),
        count(seeds.len(), "seed"),
        training_cells(benchmark)
    );
    let main: Vec<Metric> = metrics().into_iter().map(Metric::from).collect();
    let main: Vec<&Metric> = main.iter().collect();
    let body = [
        leaderboard::section(benchmark, &main),
        explained(benchmark),
        scores::meanings(&main),
        differences::section(benchmark),
        strata::section(&over_seeds(&benchmark.rows)),
        conditions::section(benchmark, &main),
        audit::section(benchmark),
        leaderboard::costs(benchmark),
        provenance::section(&serde_json::json!({}), &benchmark.settings),
    ];
    shell(title.unwrap_or(&default), &lead, &verdict(benchmark), &body.join("\n"))
}

/// How many cells a fit was given: one number, or the least and the greatest over splits.
fn training_cells(benchmark: &Benchmark) -> String {
    let of = || benchmark.audit.splits.iter().map(|split| split.n_training_cells);
    match (of().min().unwrap_or(0), of().max().unwrap_or(0)) {
        (least, most) if least == most => least.to_string(),
        (least, most) => format!("{least} to {most}"),
    }
}

fn explained(benchmark: &Benchmark) -> String {
    let items: String = benchmark
        .standings
        .iter()
        .map(|own| (own.method.as_str(), words::fitted_method_explained(&own.method)))
        .filter(|(_, explained)| !explained.is_empty())
        .map(|(name, explained)| format!("<dt>{}</dt><dd>{explained}</dd>", escape(name)))
        .collect();
    format!("<details><summary>What the methods are</summary><dl>{items}</dl></details>")
}

#[cfg(test)]
mod tests {
    use super::super::verdict::tests::benchmark;
    use super::*;

    #[test]
    fn the_page_has_all_sections_and_escapes_what_files_say() {
        let mut found = benchmark(&[("<b>flow</b>", &[0.1, 0.2, 0.3]), ("additive-shift", &[0.4, 0.6, 0.5])]);
        found.failures.push(crate::metrics::benchmark::Failure {
            split: "one".into(),
            method: "cfm".into(),
            seed: 1,
            stage: "fit".into(),
            reason: "the <loss> became NaN".into(),
        });
        let html = page(&found, None);
        for part in [
            "2 methods on 3 held-out conditions",
            "1 split, 1 seed each, fitted to 70 training cells",
            "<h2>Leaderboard</h2>",
            "<h2>Differences to additive-shift</h2>",
            "<h2>By condition</h2>",
            "<h2>Leakage audit</h2>",
            "&lt;b&gt;flow&lt;/b&gt;",
            "the &lt;loss&gt; became NaN",
            "table class=\"sortable",
        ] {
            assert!(html.contains(part), "{part}");
        }
        assert!(!html.contains("<b>flow</b>") && !html.contains("<loss>"));
        assert_eq!(page(&found, Some("A & B")).matches("A &amp; B").count(), 2);
    }
}
