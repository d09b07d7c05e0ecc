//! Means over conditions with bootstrap intervals, by stratum, and differences to the additive estimate.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::scores::{ScoreRow, definitions};

/// Part of the resamples that an interval holds.
pub const LEVEL: f64 = 0.95;
/// Resamples of the conditions.
pub const N_RESAMPLES: usize = 2000;
/// The method that the others are held against.
const RIVAL: &str = "additive";
/// All conditions that were not in training.
pub const HELD_OUT: &str = "held_out";

/// The mean of a metric over the conditions of a stratum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// `held_out`, all conditions that were not in training, or one stratum: `combo_seen2`, `combo_seen1`, `combo_seen0`,
    /// `unseen_single`, `unseen_covariate`, `train`, … ([`crate::conditions::status::Status::stratum`]).
    pub stratum: String,
    /// The method.
    pub method: String,
    /// The metric.
    pub metric: String,
    /// Mean and interval.
    pub mean: Estimate,
    /// The same for the difference to the rival, the additive estimate, on conditions where both have a value; none of
    /// itself.
    pub less_additive: Option<Estimate>,
}

/// A mean with the interval that conditions drawn again would give it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Number of conditions.
    pub n: usize,
    /// Mean.
    pub mean: f64,
    /// Ends of the interval; none for a single condition.
    pub interval: Option<[f64; 2]>,
}

/// Takes means and percentile intervals (Efron & Tibshirani 1993, chapter 13). Conditions are drawn with replacement, the
/// same for all methods and metrics with as many conditions; the seed decides which.
pub fn intervals(rows: &[ScoreRow], seed: u64) -> Vec<Interval> {
    intervals_against(rows, RIVAL, seed)
}

/// The same with differences to the method `rival`.
pub fn intervals_against(rows: &[ScoreRow], rival: &str, seed: u64) -> Vec<Interval> {
    let mut strata: Vec<&str> = rows.iter().map(|row| row.stratum.as_str()).collect();
    strata.sort_unstable();
    strata.dedup();
    if rows.iter().any(|row| row.status != "seen") {
        strata.insert(0, HELD_OUT);
    }
    let mut methods: Vec<&str> = Vec::new();
    for row in rows {
        if !methods.contains(&row.method.as_str()) {
            methods.push(&row.method);
        }
    }
    let mut resamples = Resamples { seed, by_size: BTreeMap::new() };
    let mut found = Vec::new();
    for stratum in strata {
        for &method in &methods {
            for metric in definitions() {
                let own = values(rows, stratum, method, metric.name);
                if own.is_empty() {
                    continue;
                }
                let theirs = values(rows, stratum, rival, metric.name);
                let differences: Vec<f64> =
                    own.iter().filter_map(|(key, value)| Some(value - theirs.get(key)?)).collect();
                let paired = method != rival && !differences.is_empty();
                found.push(Interval {
                    stratum: stratum.into(),
                    method: method.into(),
                    metric: metric.name.into(),
                    mean: resamples.estimate(&own.into_values().collect::<Vec<_>>()),
                    less_additive: paired.then(|| resamples.estimate(&differences)),
                });
            }
        }
    }
    found
}

type Key<'a> = (&'a str, &'a BTreeMap<String, String>);

/// The values of one method's metric over the conditions of a stratum, in the order of the conditions.
fn values<'a>(rows: &'a [ScoreRow], stratum: &str, method: &str, metric: &str) -> BTreeMap<Key<'a>, f64> {
    let inside = |row: &&ScoreRow| {
        row.method == method && (row.stratum == stratum || stratum == HELD_OUT && row.status != "seen")
    };
    let value = |row: &'a ScoreRow| Some(((row.perturbation.as_str(), &row.covariates), *row.values.get(metric)?));
    rows.iter().filter(inside).filter_map(value).collect()
}

/// Draws of as many conditions as there are, made once for each number of them.
struct Resamples {
    seed: u64,
    by_size: BTreeMap<usize, Vec<u32>>,
}

impl Resamples {
    fn estimate(&mut self, values: &[f64]) -> Estimate {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        if n < 2 {
            return Estimate { n, mean, interval: None };
        }
        let seed = self.seed ^ n as u64;
        let draws = self.by_size.entry(n).or_insert_with(|| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            (0..n * N_RESAMPLES).map(|_| rng.random_range(0..n as u32)).collect()
        });
        let mean_of = |draw: &[u32]| draw.iter().map(|&place| values[place as usize]).sum::<f64>() / n as f64;
        let mut means: Vec<f64> = draws.chunks(n).map(mean_of).collect();
        means.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - LEVEL) / 2.0;
        Estimate { n, mean, interval: Some([quantile(&means, tail), quantile(&means, 1.0 - tail)]) }
    }
}

/// The quantile of sorted values, on the line between its neighbours.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, rest) = (place.floor() as usize, place.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + rest * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(method: &str, perturbation: &str, stratum: &str, value: f64) -> ScoreRow {
        ScoreRow {
            method: method.into(),
            perturbation: perturbation.into(),
            status: if stratum == "train" { "seen" } else { "unseen" }.into(),
            stratum: stratum.into(),
            values: BTreeMap::from([("edist_l2".to_owned(), value)]),
            ..ScoreRow::default()
        }
    }

    #[test]
    fn strata_have_their_own_means_and_differences_are_paired_by_condition() {
        let mut rows: Vec<ScoreRow> = Vec::new();
        for (name, stratum, model, additive) in [
            ("A+B", "combo_seen2", 1.0, 2.0),
            ("A+C", "combo_seen2", 3.0, 5.0),
            ("A+D", "combo_seen1", 8.0, 4.0),
            ("A", "train", 100.0, 100.0),
        ] {
            rows.extend([row("model", name, stratum, model), row("additive", name, stratum, additive)]);
        }
        rows.push(row("model", "B+C", "combo_seen2", 2.0));
        let found = intervals(&rows, 1);
        let of = |stratum: &str, method: &str| {
            found.iter().find(|other| other.stratum == stratum && other.method == method).unwrap().clone()
        };
        let all = of("held_out", "model");
        assert_eq!((all.mean.n, all.mean.mean), (4, 3.5));
        let difference = all.less_additive.unwrap();
        assert_eq!((difference.n, difference.mean), (3, 1.0 / 3.0));
        let [low, high] = difference.interval.unwrap();
        assert!((-2.0..1.0 / 3.0).contains(&low) && high > 1.0 / 3.0 && high <= 4.0, "{low} {high}");
        assert_eq!((of("combo_seen1", "model").mean.mean, of("combo_seen1", "model").mean.interval), (8.0, None));
        assert_eq!(of("combo_seen2", "additive").less_additive, None);
        assert_eq!(intervals(&rows, 1), found);
    }

    #[test]
    fn an_interval_has_the_width_of_the_normal_limit() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 20)).collect();
        let mut resamples = Resamples { seed: 3, by_size: BTreeMap::new() };
        let Estimate { mean, interval, .. } = resamples.estimate(&values);
        let [low, high] = interval.unwrap();
        // Standard deviation of 0..20 is √(399/12).
        let expected = 1.96 * (399.0_f64 / 12.0).sqrt() / 20.0;
        assert!((mean - 9.5).abs() < 1e-12);
        let mut others = Resamples { seed: 4, by_size: BTreeMap::new() };
        assert_ne!(others.estimate(&values).interval, interval);
        assert!(((high - low) / 2.0 / expected - 1.0).abs() < 0.08, "{low} {high} {expected}");
    }
}
