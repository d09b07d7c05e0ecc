//! What the numbers of a benchmark say, in sentences: who is nearer than the reference beyond what conditions vary by.

use crate::metrics::benchmark::Benchmark;
use crate::metrics::intervals::Estimate;
use crate::metrics::leaderboard::{CEILING, FIRST, Standing};
use crate::report::html::{count, join, number};
use crate::report::verdict::{Tone, Verdict};
use crate::report::words;

/// Cells that spread less than this share of the real ones have collapsed.
const COLLAPSED: f64 = 0.2;
/// With fewer conditions nothing is called significant: without any difference, five would agree in sign one time in sixteen,
/// and then their interval leaves zero out.
const FEWEST_CONDITIONS: usize = 6;
/// With fewer conditions a percentile interval is still too narrow to be taken at its word.
const FEW_CONDITIONS: usize = 10;

/// How a method stands to the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    /// The interval of the difference lies on the better side of zero, and conditions are many enough.
    Better,
    /// It lies on the worse side, likewise.
    Worse,
    /// It holds zero, or conditions are too few.
    Undecided,
    /// There is none.
    Unknown,
}

/// How a difference to the reference stands, for a metric with this direction.
pub(super) fn stand(less_reference: Option<Estimate>, better: &str) -> Stand {
    match side(less_reference, better) {
        Stand::Better | Stand::Worse if less_reference.is_some_and(|less| less.n < FEWEST_CONDITIONS) => {
            Stand::Undecided
        }
        side => side,
    }
}

/// On which side of zero the interval lies, however many conditions it rests on.
fn side(less_reference: Option<Estimate>, better: &str) -> Stand {
    let sign = match better {
        "lower" => 1.0,
        "higher" => -1.0,
        // The distance from one or zero is not what the difference measures.
        _ => return Stand::Unknown,
    };
    match less_reference.and_then(|less| less.interval) {
        None => Stand::Unknown,
        Some([low, high]) if sign * low < 0.0 && sign * high < 0.0 => Stand::Better,
        Some([low, high]) if sign * low > 0.0 && sign * high > 0.0 => Stand::Worse,
        Some(_) => Stand::Undecided,
    }
}

/// Reads the verdict off the leaderboard.
pub fn verdict(benchmark: &Benchmark) -> Verdict {
    let reference = benchmark.reference.as_str();
    let rivals: Vec<&Standing> =
        benchmark.standings.iter().filter(|own| own.method != reference && own.method != CEILING).collect();
    let less = |own: &Standing| own.places.get(FIRST).and_then(|place| place.less_reference);
    let of = |wanted: Stand| -> Vec<String> {
        let own = rivals.iter().filter(|own| stand(less(own), "lower") == wanted);
        own.map(|own| own.method.clone()).collect()
    };
    let [better, worse, undecided] = [Stand::Better, Stand::Worse, Stand::Undecided].map(of);
    let n = rivals.iter().filter_map(|own| less(own)).map(|less| less.n).max().unwrap_or(0);
    let metric = words::metric(FIRST);
    let on = format!("On {} {}", if n == 1 { "this" } else { "these" }, count(n, "held-out condition"));
    let by = format!("({metric}, paired 95 % bootstrap intervals)");
    let (tone, headline) = match (better.is_empty(), n) {
        (_, 0) => (Tone::Unknown, format!("No method can be held against {reference}: no {metric} of both.")),
        (_, 1) => (Tone::Unknown, format!("{on} nothing can be said of significance: an interval needs two at least.")),
        (true, _) if undecided.is_empty() => {
            (Tone::Worse, format!("{on} every other method is farther than {reference} significantly {by}."))
        }
        (true, _) => (Tone::Mixed, format!("{on} no method beats {reference} significantly {by}.")),
        (false, _) => {
            let verb = if better.len() == 1 { "beats" } else { "beat" };
            (Tone::Better, format!("{on}, {} {verb} {reference} significantly {by}.", join(&better)))
        }
    };
    let mut sentences = Vec::new();
    sentences.extend(nearest(benchmark));
    if n > 1 && !worse.is_empty() {
        sentences.push(format!("Significantly farther than {reference}: {}.", join(&worse)));
    }
    sentences.extend(too_few(&rivals, reference, n));
    sentences.extend(direction(&rivals, reference));
    sentences.extend(collapsed(&rivals));
    if let Some(place) =
        benchmark.standings.iter().find(|own| own.method == CEILING).and_then(|own| own.places.get(FIRST))
    {
        sentences.push(format!(
            "Two halves of the real cells stand at a mean {metric} of {} from each other: a perfect method would be near that.",
            number(place.mean.mean)
        ));
    }
    if !benchmark.failures.is_empty() {
        let n = count(benchmark.failures.len(), "fit");
        sentences.push(format!("{n} failed and have no scores; see below."));
    }
    sentences.push(match benchmark.audit.is_clean() {
        true => "No held-out cell was trained on, as far as the files tell.".into(),
        false => "There is leakage: held-out conditions stand among training cells; see the audit.".into(),
    });
    let few = if (2..FEW_CONDITIONS).contains(&n) { " They are rough, as there are few conditions." } else { "" };
    let strata = match benchmark.rows.iter().any(|one| !one.row.covariates.is_empty()) {
        true => " A perturbation in several strata of covariates counts as several conditions.",
        false => "",
    };
    let n_splits = benchmark.audit.splits.len();
    if n_splits > 1 {
        sentences.push(format!(
            "The conditions are those of {n_splits} splits, for each of which every method was fitted anew; one that several hold \
             out counts once. Splits share training cells, so that conditions are not independent of each other, and intervals \
             are somewhat too narrow."
        ));
    }
    sentences.push(format!(
        "Intervals tell how far a mean would move if the conditions were drawn again. They are not corrected for the number of \
         methods.{few}{strata}"
    ));
    let tone = if benchmark.audit.is_clean() { tone } else { Tone::Worse };
    Verdict { tone, headline, sentences }
}

/// Why nothing is significant where there are too few conditions, and what the intervals say all the same.
fn too_few(rivals: &[&Standing], reference: &str, n: usize) -> Option<String> {
    if !(2..FEWEST_CONDITIONS).contains(&n) {
        return None;
    }
    let less = |own: &Standing| own.places.get(FIRST).and_then(|place| place.less_reference);
    let nearer: Vec<String> =
        rivals.iter().filter(|own| side(less(own), "lower") == Stand::Better).map(|own| own.method.clone()).collect();
    let nearer = match nearer.is_empty() {
        true => String::new(),
        false => format!(" The intervals that lie below {reference} all the same are those of {}.", join(&nearer)),
    };
    let chance = 1 << (n - 1);
    Some(format!(
        "Fewer than {FEWEST_CONDITIONS} conditions cannot show significance: without any difference, {n} of them agree in sign \
         one time in {chance}.{nearer}"
    ))
}

/// The nearest methods by the mean.
fn nearest(benchmark: &Benchmark) -> Option<String> {
    let value = |own: &Standing| own.places.get(FIRST).map(|place| place.mean.mean);
    let ranked =
        benchmark.standings.iter().filter(|own| own.places.get(FIRST).is_some_and(|place| place.rank.is_some()));
    let named: Vec<String> =
        ranked.take(3).filter_map(|own| Some(format!("{} ({})", own.method, number(value(own)?)))).collect();
    let (first, others) = named.split_first()?;
    let then = if others.is_empty() { String::new() } else { format!(", then {}", join(others)) };
    Some(format!("Nearest on average, by {}: {first}{then}.", words::metric(FIRST)))
}

/// Who tells the direction of the change better than the reference.
fn direction(rivals: &[&Standing], reference: &str) -> Option<String> {
    let stand = |own: &Standing| Some(stand(own.places.get("pearson_delta")?.less_reference, "higher"));
    let of = |wanted: Stand| -> Vec<String> {
        rivals.iter().filter(|own| stand(own) == Some(wanted)).map(|own| own.method.clone()).collect()
    };
    let (better, worse) = (of(Stand::Better), of(Stand::Worse));
    let told =
        |names: &[String], how: &str| (!names.is_empty()).then(|| format!("significantly {how}: {}", join(names)));
    let parts: Vec<String> = [told(&better, "better"), told(&worse, "worse")].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| {
        format!("By the direction of the change of mean expression, against {reference}: {}.", parts.join("; "))
    })
}

/// Methods whose cells have collapsed.
fn collapsed(rivals: &[&Standing]) -> Option<String> {
    let ratio = |own: &Standing| own.places.get("std_ratio").map(|place| place.mean.mean);
    let names: Vec<String> = rivals
        .iter()
        .filter(|own| ratio(own).is_some_and(|ratio| ratio < COLLAPSED))
        .map(|own| own.method.clone())
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "The cells of {} have collapsed to one mean cell (spread ratio below {COLLAPSED}): they answer where a population \
             lies, not how it varies, and a Wasserstein distance alone rewards that.",
            join(&names)
        )
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::metrics::ScoreRow;
    use crate::metrics::benchmark::{Audit, AuditedCondition, AuditedSplit, SeedRow};
    use crate::metrics::leaderboard::standings;

    /// Energy distances of each method on some conditions; spread ratio one tenth of a method named `point`.
    pub(in crate::report::benchmark) fn benchmark(of: &[(&str, &[f64])]) -> Benchmark {
        let mut rows = Vec::new();
        for (method, distances) in of {
            for (place, &distance) in distances.iter().enumerate() {
                let spread = if *method == "point" { 0.1 } else { 1.0 };
                let row = ScoreRow {
                    method: (*method).into(),
                    perturbation: format!("A+{place}"),
                    status: "unseen_combination".into(),
                    values: BTreeMap::from([(FIRST.to_owned(), distance), ("std_ratio".to_owned(), spread)]),
                    ..ScoreRow::default()
                };
                rows.push(SeedRow { split: "one".into(), seed: 0, row });
            }
        }
        let (standings, _) = standings(&rows, &[], "additive-shift", 0);
        let n = of.iter().map(|(_, distances)| distances.len()).max().unwrap_or(0);
        let held_out = (0..n)
            .map(|place| AuditedCondition { condition: format!("A+{place}"), n_held_out: 9, n_training: 0 })
            .collect();
        Benchmark {
            reference: "additive-shift".into(),
            rows,
            standings,
            costs: vec![],
            failures: vec![],
            audit: Audit {
                splits: vec![AuditedSplit {
                    name: "one".into(),
                    held_out,
                    n_training_cells: 70,
                    ..AuditedSplit::default()
                }],
                ..Audit::default()
            },
            settings: serde_json::json!({ "seeds": 1 }),
        }
    }

    const REFERENCE: (&str, &[f64]) = ("additive-shift", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);

    #[test]
    fn what_varies_between_conditions_is_not_called_a_win() {
        let found = verdict(&benchmark(&[("flow", &[0.5, 2.6, 2.2, 4.8, 4.6, 6.1]), REFERENCE]));
        assert_eq!(
            found.headline,
            "On these 6 held-out conditions no method beats additive-shift significantly (energy distance, paired 95 % \
             bootstrap intervals)."
        );
        assert_eq!(found.tone, Tone::Mixed);
        let found = verdict(&benchmark(&[("flow", &[0.5, 1.6, 2.2, 3.8, 4.6, 5.7]), REFERENCE]));
        assert!(found.headline.contains("flow beats additive-shift significantly"), "{}", found.headline);
        assert_eq!(found.tone, Tone::Better);
        let found = verdict(&benchmark(&[("flow", &[1.5, 2.6, 3.2, 4.8, 5.6, 6.7]), REFERENCE]));
        assert!(found.headline.contains("every other method is farther") && found.tone == Tone::Worse);
        assert!(found.sentences.iter().any(|one| one == "Significantly farther than additive-shift: flow."));
    }

    #[test]
    fn five_conditions_that_agree_are_no_proof() {
        let found = verdict(&benchmark(&[("flow", &[0.5, 1.6, 2.2, 3.8, 4.6]), ("additive-shift", &REFERENCE.1[..5])]));
        assert!(found.headline.starts_with("On these 5 held-out conditions no method beats"), "{}", found.headline);
        let text = found.sentences.join(" ");
        assert!(text.contains("agree in sign one time in 16. The intervals that lie below additive-shift"), "{text}");
        assert_eq!(found.tone, Tone::Mixed);
    }

    #[test]
    fn one_condition_decides_nothing_and_a_collapsed_population_is_named() {
        let found = verdict(&benchmark(&[("flow", &[0.1]), ("additive-shift", &[0.9])]));
        assert!(found.tone == Tone::Unknown && found.headline.starts_with("On this 1 held-out condition nothing"));
        let found = verdict(&benchmark(&[("point", &[3.0, 3.0]), ("additive-shift", &[1.0, 2.0])]));
        let text = found.sentences.join(" ");
        assert!(text.contains("cells of point have collapsed") && text.contains("few conditions"), "{text}");
        assert!(text.contains("Nearest on average, by energy distance: additive-shift (1.50), then point (3.00)."));
    }

    #[test]
    fn a_leak_is_told_whatever_the_scores() {
        let mut found = benchmark(&[("flow", &[0.5, 1.0]), ("additive-shift", &[1.0, 2.0])]);
        found.audit.splits[0].held_out[0].n_training = 3;
        let found = verdict(&found);
        assert!(found.tone == Tone::Worse && found.sentences.iter().any(|one| one.starts_with("There is leakage")));
    }
}
