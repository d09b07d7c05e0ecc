//! The results of a benchmark as files: `benchmark.json` with everything, and tables of it.

use std::path::Path;

use super::score_tables::{score_columns, write_intervals};
use super::table::{self, Series};
use super::{atomic, json, multiqc};
use crate::Result;
use crate::metrics::benchmark::{Benchmark, Cost, SeedRow};
use crate::metrics::intervals::{Estimate, Interval};
use crate::metrics::leaderboard::{Place, Standing, metrics};

/// The file that makes a folder one of a benchmark.
pub const CONTENT: &str = "benchmark.json";
const HINT: &str = "make this folder with `scflow benchmark`, and leave its files as they are";

/// Writes `benchmark.json`, `scores.csv` (one row per split, method, held-out condition and seed), `leaderboard.csv` (one row per method),
/// `intervals.csv` (strata too), `costs.csv` (one row per split, method and seed), and the leaderboard for MultiQC.
///
/// # Errors
/// Those of writing.
pub fn write(folder: &Path, benchmark: &Benchmark, intervals: &[Interval]) -> Result<()> {
    atomic::file(&folder.join("scores.csv"), |path| write_scores(path, &benchmark.rows))?;
    atomic::file(&folder.join("leaderboard.csv"), |path| write_leaderboard(path, benchmark))?;
    atomic::file(&folder.join("intervals.csv"), |path| write_intervals(path, intervals))?;
    atomic::file(&folder.join("costs.csv"), |path| write_costs(path, &benchmark.costs))?;
    let means = |own: &Standing| {
        let of_metric = |(metric, place): (&String, &Place)| (metric.clone(), place.mean.mean);
        (own.method.clone(), own.places.iter().map(of_metric).collect())
    };
    let means: Vec<_> = benchmark.standings.iter().map(means).collect();
    let run = multiqc::run_of(folder);
    atomic::file(&folder.join(multiqc::NAME), |path| multiqc::write(path, &run, &means))?;
    atomic::file(&folder.join(CONTENT), |path| json::write(path, benchmark))
}

/// Reads `benchmark.json`.
///
/// # Errors
/// [`crate::Error::Io`] or [`crate::Error::InvalidFile`].
pub fn read(folder: &Path) -> Result<Benchmark> {
    json::read(&folder.join(CONTENT), HINT)
}

fn write_scores(path: &Path, rows: &[SeedRow]) -> Result<()> {
    let (seeds, scores): (Vec<u64>, Vec<_>) = rows.iter().map(|one| (one.seed, one.row.clone())).unzip();
    let mut columns = score_columns(&scores);
    columns.insert(1, ("seed".into(), Series::Counts(seeds)));
    columns.insert(0, ("split".into(), Series::Texts(rows.iter().map(|one| one.split.clone()).collect())));
    table::write(path, columns)
}

/// First the means of the metrics of the first table, then what belongs to each of them.
fn write_leaderboard(path: &Path, benchmark: &Benchmark) -> Result<()> {
    let standings = &benchmark.standings;
    let numbers = |of: &dyn Fn(&Standing) -> Option<f64>| Series::Numbers(standings.iter().map(of).collect());
    let counts = |of: &dyn Fn(&Standing) -> usize| Series::Counts(standings.iter().map(|own| of(own) as u64).collect());
    let mut columns =
        vec![("method".to_owned(), Series::Texts(standings.iter().map(|own| own.method.clone()).collect()))];
    let metrics: Vec<&str> = metrics().into_iter().map(|metric| metric.name).collect();
    type Of = fn(&Place) -> Option<f64>;
    let column = |metric: &str, of: Of| numbers(&|own: &Standing| own.places.get(metric).and_then(of));
    for &metric in &metrics {
        columns.push((metric.to_owned(), column(metric, |place| Some(place.mean.mean))));
    }
    columns.push(("n_conditions".into(), counts(&|own| own.n_conditions)));
    columns.push(("n_seeds".into(), counts(&|own| own.n_seeds)));
    columns.push(("fit_cpu_seconds".into(), numbers(&|own| own.fit_cpu_seconds)));
    columns
        .push(("fit_peak_memory_mb".into(), numbers(&|own| own.fit_peak_memory_bytes.map(|bytes| bytes as f64 / 1e6))));
    let less = format!("less_{}", benchmark.reference.replace('-', "_"));
    fn end(estimate: Option<Estimate>, place: usize) -> Option<f64> {
        Some(estimate?.interval?[place])
    }
    for &metric in &metrics {
        let own: [(String, Of); 6] = [
            (format!("{metric}_low"), |place| end(Some(place.mean), 0)),
            (format!("{metric}_high"), |place| end(Some(place.mean), 1)),
            (format!("{metric}_rank"), |place| place.rank),
            (format!("{metric}_{less}"), |place| Some(place.less_reference?.mean)),
            (format!("{metric}_{less}_low"), |place| end(place.less_reference, 0)),
            (format!("{metric}_{less}_high"), |place| end(place.less_reference, 1)),
        ];
        columns.extend(own.into_iter().map(|(name, of)| (name, column(metric, of))));
    }
    table::write(path, columns)
}

fn write_costs(path: &Path, costs: &[Cost]) -> Result<()> {
    let numbers = |of: &dyn Fn(&Cost) -> Option<f64>| Series::Numbers(costs.iter().map(of).collect());
    let whole = |cost: &Cost, value: f64| (!cost.fit.went_on).then_some(value);
    let columns = vec![
        ("split".to_owned(), Series::Texts(costs.iter().map(|cost| cost.split.clone()).collect())),
        ("method".to_owned(), Series::Texts(costs.iter().map(|cost| cost.method.clone()).collect())),
        ("seed".to_owned(), Series::Counts(costs.iter().map(|cost| cost.seed).collect())),
        ("n_steps".to_owned(), numbers(&|cost| cost.n_steps.map(|n| n as f64))),
        ("fit_cpu_seconds".to_owned(), numbers(&|cost| whole(cost, cost.fit.cpu_seconds))),
        ("fit_wall_seconds".to_owned(), numbers(&|cost| whole(cost, cost.fit.wall_seconds))),
        ("fit_peak_memory_mb".to_owned(), numbers(&|cost| Some(cost.fit.peak_memory_bytes as f64 / 1e6))),
        ("predict_cpu_seconds".to_owned(), numbers(&|cost| Some(cost.predict.cpu_seconds))),
        ("predict_peak_memory_mb".to_owned(), numbers(&|cost| Some(cost.predict.peak_memory_bytes as f64 / 1e6))),
    ];
    table::write(path, columns)
}
