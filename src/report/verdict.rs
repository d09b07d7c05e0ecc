//! What the numbers say, in sentences: counts over conditions and means over the conditions that two methods share.

use std::collections::BTreeMap;

use super::contents::condition;
use super::html::{count, join, number};
use super::words;
use crate::metrics::{ScoreRow, Scores};

/// The metric by which methods are compared in words.
const NEARNESS: &str = "edist_l2";
const BASELINES: [&str; 3] = ["additive", "perturbed_mean", "control_mean"];

/// How the model fares against the simple methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nearer than every simple method on more than half of the conditions.
    Better,
    /// Neither better nor worse.
    Mixed,
    /// Farther than some simple method on more than half of the conditions.
    Worse,
    /// Nothing could be compared.
    Unknown,
}

/// The verdict in words.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// How the model fares.
    pub tone: Tone,
    /// The main sentence.
    pub headline: String,
    /// What belongs to it.
    pub sentences: Vec<String>,
}

type Key = (String, BTreeMap<String, String>);

/// How the model stands to another method on the conditions where both have a value.
struct Duel {
    wins: usize,
    losses: usize,
    n: usize,
    model_mean: f64,
    other_mean: f64,
}

/// Reads the verdict off the scores; conditions that were not in training decide if there are any.
pub fn verdict(scores: &Scores) -> Verdict {
    let model: Vec<&ScoreRow> = scores.rows.iter().filter(|row| row.method == "model").collect();
    let (seen, unseen): (Vec<&ScoreRow>, Vec<&ScoreRow>) = model.iter().partition(|row| row.status == "seen");
    let (judged, of_what) = match (unseen.is_empty(), seen.is_empty()) {
        (false, _) => (&unseen, "not in training"),
        (true, false) => (&seen, "in training"),
        (true, true) => {
            let headline = "No condition of the model was evaluated.".into();
            return Verdict { tone: Tone::Unknown, headline, sentences: left_out(scores, &model) };
        }
    };
    let duels: Vec<(&str, Duel)> =
        BASELINES.iter().filter_map(|name| Some((*name, duel(scores, judged, name, NEARNESS)?))).collect();
    let headline = match duels.first() {
        Some((name, duel)) => headline(name, duel, of_what),
        None => format!(
            "The model cannot be compared with simple methods: no {} of both on a condition that was {of_what}.",
            words::metric(NEARNESS)
        ),
    };
    let mut sentences = Vec::new();
    if duels.first().is_some_and(|(name, _)| *name != "additive") {
        sentences.push("The additive estimate has no value on these conditions.".into());
    }
    if duels.len() > 1 {
        let others = duels[1..].iter().map(|(name, duel)| {
            let (n, wins, against) = (duel.n, duel.wins, number(duel.other_mean));
            format!("than {} on {wins} of {n} (mean {against})", words::method(name))
        });
        sentences.push(format!("It is nearer {}.", join(&others.collect::<Vec<_>>())));
    }
    sentences.extend(ceiling(scores, judged));
    sentences.extend(direction(scores, judged));
    sentences.extend(spread(judged));
    if unseen.is_empty() {
        sentences
            .push("No condition was held out: this tells how well the model fits, not how well it predicts.".into());
    } else if !seen.is_empty() {
        let n = count(seen.len(), "condition");
        sentences.push(format!("{n} that the model saw in training stand in the tables and are not counted here."));
    }
    sentences.extend(left_out(scores, &model));
    sentences.push("These are counts and means over conditions; no statistical test was made.".into());
    Verdict { tone: tone(&duels), headline, sentences }
}

fn headline(name: &str, duel: &Duel, of_what: &str) -> String {
    let (n, other) = (duel.n, words::method(name));
    let metric = words::metric(NEARNESS);
    let means = format!("({metric}: mean {} against {})", number(duel.model_mean), number(duel.other_mean));
    let where_ = format!("{} that {} {of_what}", count(n, "condition"), if n == 1 { "was" } else { "were" });
    if duel.losses == n {
        let all = if n == 1 { "" } else { "all " };
        return format!("{} is nearer to the real cells than the model on {all}{where_} {means}.", capital(other));
    }
    format!("On {where_}, the model is nearer to the real cells than {other} on {} of {n} {means}.", duel.wins)
}

fn tone(duels: &[(&str, Duel)]) -> Tone {
    if duels.is_empty() {
        Tone::Unknown
    } else if duels.iter().any(|(_, duel)| 2 * duel.losses > duel.n) {
        Tone::Worse
    } else if duels.iter().all(|(_, duel)| 2 * duel.wins > duel.n) {
        Tone::Better
    } else {
        Tone::Mixed
    }
}

fn ceiling(scores: &Scores, judged: &[&ScoreRow]) -> Option<String> {
    let halves = duel(scores, judged, "split_half", NEARNESS)?;
    let below = if halves.other_mean < 0.0 { ", which an unbiased estimate of nothing may be" } else { "" };
    Some(format!(
        "Two halves of the real cells themselves stand at a mean {} of {} from each other ({}){below}: a perfect model \
         would be near that.",
        words::metric(NEARNESS),
        number(halves.other_mean),
        count(halves.n, "condition"),
    ))
}

fn direction(scores: &Scores, judged: &[&ScoreRow]) -> Option<String> {
    let values: Vec<f64> = judged.iter().filter_map(|row| row.values.get("pearson_delta").copied()).collect();
    let others: Vec<String> = ["additive", "split_half"]
        .into_iter()
        .filter_map(|name| {
            let duel = duel(scores, judged, name, "pearson_delta")?;
            Some(format!("{} {}", words::method(name), number(duel.other_mean)))
        })
        .collect();
    let others = if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) };
    let mean = number(mean(&values)?);
    Some(format!(
        "The generated change of mean expression correlates with the real change at {mean} on average{others}."
    ))
}

fn spread(judged: &[&ScoreRow]) -> Option<String> {
    let values: Vec<f64> = judged.iter().filter_map(|row| row.values.get("std_ratio").copied()).collect();
    let mean = number(mean(&values)?);
    Some(format!(
        "Generated cells vary {mean} times as much as real ones (1 is right; towards 0 they collapse to one mean cell)."
    ))
}

fn left_out(scores: &Scores, model: &[&ScoreRow]) -> Vec<String> {
    let mut sentences = Vec::new();
    let without: Vec<&&ScoreRow> = model.iter().filter(|row| !row.values.contains_key(NEARNESS)).collect();
    if let Some(first) = without.first() {
        let reason = first.missing.get(NEARNESS).map_or("no reason is recorded", String::as_str);
        sentences.push(format!(
            "{} of the model without {}, for example {}: {reason}.",
            capital(&count(without.len(), "condition")),
            words::metric(NEARNESS),
            condition(first)
        ));
    }
    let absent: Vec<&str> = scores.settings["held_out_but_not_predicted"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(serde_json::Value::as_str)
        .collect();
    if !absent.is_empty() {
        let shown = absent.iter().take(3).map(ToString::to_string).collect::<Vec<_>>();
        let more = if absent.len() > 3 { ", among others" } else { "" };
        let n = count(absent.len(), "condition");
        sentences.push(format!("Held out but not predicted: {n}, {}{more}.", join(&shown)));
    }
    sentences
}

/// Compares model and `other` by a metric of which lower values are nearer; none if no condition has both.
fn duel(scores: &Scores, judged: &[&ScoreRow], other: &str, metric: &str) -> Option<Duel> {
    let key = |row: &ScoreRow| -> Key { (row.perturbation.clone(), row.covariates.clone()) };
    let others: BTreeMap<Key, f64> = scores
        .rows
        .iter()
        .filter(|row| row.method == other)
        .filter_map(|row| Some((key(row), *row.values.get(metric)?)))
        .collect();
    let pairs: Vec<(f64, f64)> =
        judged.iter().filter_map(|row| Some((*row.values.get(metric)?, *others.get(&key(row))?))).collect();
    let (own, theirs): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    Some(Duel {
        wins: pairs.iter().filter(|(own, theirs)| own < theirs).count(),
        losses: pairs.iter().filter(|(own, theirs)| own > theirs).count(),
        n: pairs.len(),
        model_mean: mean(&own)?,
        other_mean: mean(&theirs)?,
    })
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(method: &str, perturbation: &str, status: &str, distance: Option<f64>) -> ScoreRow {
        let mut row = ScoreRow {
            method: method.into(),
            perturbation: perturbation.into(),
            status: status.into(),
            ..ScoreRow::default()
        };
        match distance {
            Some(value) => drop(row.values.insert(NEARNESS.into(), value)),
            None => drop(row.missing.insert(NEARNESS.into(), "3 real cells".into())),
        }
        row
    }

    /// Distances of model and additive estimate per condition that was not in training.
    fn of(pairs: &[(f64, f64)]) -> Verdict {
        let rows = pairs.iter().enumerate().flat_map(|(i, &(model, additive))| {
            let name = format!("A+{i}");
            let status = "unseen_combination";
            [row("model", &name, status, Some(model)), row("additive", &name, status, Some(additive))]
        });
        verdict(&Scores { rows: rows.collect(), intervals: Vec::new(), settings: json!({}) })
    }

    #[test]
    fn winning_losing_and_splitting_are_told_apart() {
        let won = of(&[(0.1, 0.4), (0.2, 0.6)]);
        assert_eq!(won.tone, Tone::Better);
        assert_eq!(
            won.headline,
            "On 2 conditions that were not in training, the model is nearer to the real cells than the additive estimate \
             on 2 of 2 (energy distance: mean 0.150 against 0.500)."
        );
        let lost = of(&[(0.5, 0.4), (0.7, 0.6)]);
        assert_eq!(lost.tone, Tone::Worse);
        assert!(lost.headline.starts_with("The additive estimate is nearer to the real cells than the model on all 2"));
        assert_eq!(of(&[(0.5, 0.4), (0.1, 0.6)]).tone, Tone::Mixed);
        assert_eq!(of(&[(0.5, 0.5)]).tone, Tone::Mixed);
        assert_eq!(of(&[]).tone, Tone::Unknown);
    }

    #[test]
    fn one_simple_method_that_is_nearer_makes_the_verdict_worse() {
        let mut scores = Scores { rows: Vec::new(), intervals: Vec::new(), settings: json!({}) };
        for (method, distance) in [("model", 0.2), ("additive", 0.5), ("control_mean", 0.1)] {
            scores.rows.push(row(method, "A+B", "unseen_combination", Some(distance)));
        }
        let verdict = verdict(&scores);
        assert_eq!(verdict.tone, Tone::Worse);
        assert!(verdict.sentences[0].contains("than control cells as they are on 0 of 1"), "{verdict:?}");
    }

    #[test]
    fn seen_conditions_do_not_decide_and_gaps_are_told() {
        let rows = vec![
            row("model", "A", "seen", Some(0.0)),
            row("additive", "A", "seen", Some(1.0)),
            row("model", "A+B", "unseen_combination", Some(1.0)),
            row("additive", "A+B", "unseen_combination", Some(0.5)),
            row("model", "A+C", "unseen_combination", None),
        ];
        let settings = json!({ "held_out_but_not_predicted": ["B+C"] });
        let verdict = verdict(&Scores { rows, intervals: Vec::new(), settings });
        assert_eq!(verdict.tone, Tone::Worse);
        let text = verdict.sentences.join(" ");
        assert!(
            text.contains("1 condition of the model without energy distance, for example A+C: 3 real cells."),
            "{text}"
        );
        assert!(text.contains("Held out but not predicted: 1 condition, B+C.") && text.contains("saw in training"));
    }
}
