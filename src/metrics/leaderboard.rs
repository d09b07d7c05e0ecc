//! How methods stand to each other over the held-out conditions of a benchmark.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::benchmark::{Cost, SeedRow};
use super::intervals::{Estimate, HELD_OUT, Interval, intervals_against};
use super::scores::{Definition, ScoreRow, definitions};

/// The metric by which methods are put in order.
pub const FIRST: &str = "edist_l2";
/// The metrics that the field looks at first; with [`FIRST`] at their head.
pub const LEADING: [&str; 5] = [FIRST, "mmd2_rbf_median", "w2_exact", "std_ratio", "pearson_delta"];
/// Half of the real cells against the other half: the ceiling, not a competitor.
pub const CEILING: &str = "split_half";
/// The status of a condition that has another one in another split.
const SEVERAL: &str = "several";

/// One method of a benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// The method.
    pub method: String,
    /// Conditions with at least one value.
    pub n_conditions: usize,
    /// Seeds with at least one value.
    pub n_seeds: usize,
    /// Metric → where the method stands by it.
    pub places: BTreeMap<String, Place>,
    /// Mean CPU seconds of a fit; none if no fit was measured from beginning to end.
    pub fit_cpu_seconds: Option<f64>,
    /// Greatest peak of resident memory of a fit, in bytes.
    pub fit_peak_memory_bytes: Option<u64>,
}

/// Where a method stands by one metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Mean over conditions of the mean over seeds and splits, with the interval that conditions drawn again would give it.
    pub mean: Estimate,
    /// 1 for the best; methods that are equal share the mean of their ranks. None for the ceiling, for a metric without a
    /// direction, and for a method without a value on conditions where others have one.
    pub rank: Option<f64>,
    /// The same as `mean` for the difference to the reference method, condition by condition; none of itself.
    pub less_reference: Option<Estimate>,
}

/// The metrics of a leaderboard: those of the first table, the leading ones first.
pub fn metrics() -> Vec<&'static Definition> {
    let place = |metric: &Definition| LEADING.iter().position(|name| *name == metric.name).unwrap_or(LEADING.len());
    let mut main: Vec<&Definition> = definitions().iter().filter(|metric| metric.main).collect();
    main.sort_by_key(|metric| place(metric));
    main
}

/// The means over seeds and then over splits: one row per method and condition. A condition that several splits hold out
/// counts once; a method without a value in one of them has none, as its mean would be over other models than that of the rest.
/// Where a condition is nearer to training in one split than in another, its status is `several`, and its stratum likewise.
pub fn over_seeds(rows: &[SeedRow]) -> Vec<ScoreRow> {
    type Key<'a> = (&'a str, &'a BTreeMap<String, String>);
    fn key(row: &ScoreRow) -> Key<'_> {
        (row.perturbation.as_str(), &row.covariates)
    }
    let mut splits = BTreeMap::<Key, BTreeSet<&str>>::new();
    let mut order = Vec::<ScoreRow>::new();
    // Of each row: metric → split → sum and number of values.
    let mut sums = Vec::<BTreeMap<&str, BTreeMap<&str, (f64, usize)>>>::new();
    let mut places = BTreeMap::<(&str, Key), usize>::new();
    for SeedRow { split, row, .. } in rows {
        splits.entry(key(row)).or_default().insert(split);
        let place = *places.entry((row.method.as_str(), key(row))).or_insert_with(|| {
            order.push(ScoreRow { values: BTreeMap::new(), ..row.clone() });
            sums.push(BTreeMap::new());
            order.len() - 1
        });
        if order[place].status != row.status {
            order[place].status = SEVERAL.into();
        }
        if order[place].stratum != row.stratum {
            order[place].stratum = SEVERAL.into();
        }
        for (metric, value) in &row.values {
            let sum = sums[place].entry(metric).or_default().entry(split).or_default();
            *sum = (sum.0 + value, sum.1 + 1);
        }
    }
    for (row, sums) in order.iter_mut().zip(sums) {
        let n_splits = splits[&key(row)].len();
        let whole = sums.into_iter().filter(|(_, of_splits)| of_splits.len() == n_splits);
        let mean = |of_splits: BTreeMap<&str, (f64, usize)>| {
            of_splits.into_values().map(|(sum, n)| sum / n as f64).sum::<f64>() / n_splits as f64
        };
        row.values = whole.map(|(metric, of_splits)| (metric.to_owned(), mean(of_splits))).collect();
    }
    order
}

/// Means over seeds, over splits, and then over conditions, with intervals, differences to the method `reference`, and ranks; best first by
/// [`FIRST`], the ceiling last. The seed decides which conditions are drawn again.
///
/// Also returns the intervals of all strata.
pub fn standings(rows: &[SeedRow], costs: &[Cost], reference: &str, seed: u64) -> (Vec<Standing>, Vec<Interval>) {
    let means = over_seeds(rows);
    let intervals = intervals_against(&means, reference, seed);
    let mut methods = Vec::<&str>::new();
    for row in &means {
        if !methods.contains(&row.method.as_str()) {
            methods.push(&row.method);
        }
    }
    let mut found: Vec<Standing> = methods.iter().map(|method| standing(method, rows, &means, costs)).collect();
    for interval in intervals.iter().filter(|interval| interval.stratum == HELD_OUT) {
        if let Some(own) = found.iter_mut().find(|own| own.method == interval.method) {
            let place = Place { mean: interval.mean, rank: None, less_reference: interval.less_additive };
            own.places.insert(interval.metric.clone(), place);
        }
    }
    for metric in definitions() {
        rank(&mut found, metric.name, metric.better);
    }
    let order = |own: &Standing| own.places.get(FIRST).and_then(|place| place.rank).unwrap_or(f64::INFINITY);
    found.sort_by(|a, b| (a.method == CEILING).cmp(&(b.method == CEILING)).then_with(|| order(a).total_cmp(&order(b))));
    (found, intervals)
}

fn standing(method: &str, rows: &[SeedRow], means: &[ScoreRow], costs: &[Cost]) -> Standing {
    let mut seeds: Vec<u64> =
        rows.iter().filter(|one| one.row.method == method && !one.row.values.is_empty()).map(|one| one.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let own = || costs.iter().filter(|cost| cost.method == method);
    let whole: Vec<f64> = own().filter(|cost| !cost.fit.went_on).map(|cost| cost.fit.cpu_seconds).collect();
    Standing {
        method: method.to_owned(),
        n_conditions: means.iter().filter(|row| row.method == method && !row.values.is_empty()).count(),
        n_seeds: seeds.len(),
        places: BTreeMap::new(),
        fit_cpu_seconds: (!whole.is_empty()).then(|| whole.iter().sum::<f64>() / whole.len() as f64),
        fit_peak_memory_bytes: own().map(|cost| cost.fit.peak_memory_bytes).max(),
    }
}

/// How far a value is from the best that there could be; none if the metric has no direction.
pub fn badness(value: f64, better: &str) -> Option<f64> {
    match better {
        "lower" => Some(value),
        "higher" => Some(-value),
        "one" => Some((value - 1.0).abs()),
        "zero" => Some(value.abs()),
        _ => None,
    }
}

/// Ranks the methods that have a value on as many conditions as any.
fn rank(standings: &mut [Standing], metric: &str, better: &str) {
    let competes = |own: &Standing| own.method != CEILING;
    let n = |own: &Standing| own.places.get(metric).map_or(0, |place| place.mean.n);
    let most = standings.iter().filter(|own| competes(own)).map(n).max().unwrap_or(0);
    let bad = |own: &Standing| own.places.get(metric).and_then(|place| badness(place.mean.mean, better));
    let rivals: Vec<f64> = standings.iter().filter(|own| competes(own) && n(own) == most).filter_map(bad).collect();
    for own in standings.iter_mut().filter(|own| own.method != CEILING) {
        let (Some(bad), true) = (bad(own), n(own) == most) else { continue };
        let lower = rivals.iter().filter(|&&other| other < bad).count() as f64;
        let equal = rivals.iter().filter(|&&other| other == bad).count() as f64;
        if let Some(place) = own.places.get_mut(metric) {
            place.rank = Some(lower + (equal + 1.0) / 2.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::benchmark::Usage;

    fn row(method: &str, seed: u64, perturbation: &str, value: f64) -> SeedRow {
        let row = ScoreRow {
            method: method.into(),
            perturbation: perturbation.into(),
            status: "unseen_combination".into(),
            values: BTreeMap::from([(FIRST.to_owned(), value), ("std_ratio".to_owned(), value)]),
            ..ScoreRow::default()
        };
        SeedRow { split: "one".into(), seed, row }
    }

    #[test]
    fn seeds_are_averaged_before_conditions_and_differences_are_paired() {
        let mut rows = Vec::new();
        for (name, rival, own) in [("A+B", 1.0, [0.5, 0.7]), ("A+C", 2.0, [1.9, 1.7])] {
            rows.push(row("rival", 0, name, rival));
            rows.push(row("rival", 1, name, rival));
            rows.extend([row("own", 0, name, own[0]), row("own", 1, name, own[1])]);
            rows.push(row(CEILING, 0, name, 0.0));
        }
        // One condition only: it has no rank among those with two.
        rows.push(row("partial", 0, "A+B", 0.0));
        let usage = |cpu_seconds: f64, went_on: bool| Usage {
            cpu_seconds,
            wall_seconds: 1.0,
            peak_memory_bytes: cpu_seconds as u64,
            went_on,
        };
        let cost = |seed: u64, fit: Usage| Cost {
            split: "one".into(),
            method: "own".into(),
            seed,
            n_steps: None,
            fit,
            predict: fit,
        };
        let costs = [cost(0, usage(4.0, false)), cost(1, usage(9.0, true))];
        let (standings, _) = standings(&rows, &costs, "rival", 0);
        let names: Vec<&str> = standings.iter().map(|own| own.method.as_str()).collect();
        assert_eq!(names, ["own", "rival", "partial", CEILING]);
        let own = &standings[0];
        assert_eq!((own.n_conditions, own.n_seeds), (2, 2));
        let place = own.places[FIRST];
        assert!((place.mean.mean - 1.2).abs() < 1e-12 && place.rank == Some(1.0));
        let less = place.less_reference.unwrap();
        assert!((less.mean + 0.3).abs() < 1e-12 && less.n == 2, "{less:?}");
        let [low, high] = less.interval.unwrap();
        assert!((low + 0.4).abs() < 1e-12 && (high + 0.2).abs() < 1e-12, "{low} {high}");
        // 1.2 is nearer to one than 1.5.
        assert_eq!(own.places["std_ratio"].rank, Some(1.0));
        assert_eq!(standings[1].places[FIRST].less_reference, None);
        assert!(standings[2].places[FIRST].rank.is_none() && standings[3].places[FIRST].rank.is_none());
        // What was done before a checkpoint is not known; the memory is.
        assert_eq!((own.fit_cpu_seconds, own.fit_peak_memory_bytes), (Some(4.0), Some(9)));
    }

    #[test]
    fn a_condition_of_several_splits_counts_once_and_only_where_it_has_a_value_in_all_of_them() {
        let of = |split: &str, one: SeedRow| SeedRow { split: split.into(), ..one };
        let rows = [
            of("x", row("a", 0, "A", 1.0)),
            of("x", row("a", 1, "A", 2.0)),
            of("y", row("a", 0, "A", 5.5)),
            of("y", row("a", 0, "B", 7.0)),
            of("x", row("b", 0, "A", 1.0)),
            of("y", row("b", 0, "B", 6.0)),
        ];
        let means = over_seeds(&rows);
        let values: Vec<_> = means.iter().map(|own| (own.method.as_str(), own.values.get(FIRST).copied())).collect();
        assert_eq!(values, [("a", Some(3.5)), ("a", Some(7.0)), ("b", None), ("b", Some(6.0))]);
        let (standings, _) = standings(&rows, &[], "a", 0);
        let of_b = standings.iter().find(|own| own.method == "b").unwrap().places[FIRST];
        assert_eq!((of_b.less_reference.unwrap().n, of_b.less_reference.unwrap().mean), (1, -1.0));
    }

    #[test]
    fn equal_methods_share_their_rank() {
        let rows = [row("a", 0, "A", 1.0), row("b", 0, "A", 1.0), row("c", 0, "A", 2.0)];
        let (standings, _) = standings(&rows, &[], "a", 0);
        assert_eq!(standings.iter().map(|own| own.places[FIRST].rank).collect::<Vec<_>>(), [1.5, 1.5, 3.0].map(Some));
    }
}
