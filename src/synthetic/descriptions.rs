//! What the components of a simulated screen are, in words.

use super::truth::{SingleTruth, Truth};
use crate::Result;
use crate::conditions::descriptions::Descriptions;

/// The names of pathways.
const LETTERS: [&str; 24] = [
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "omicron", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
];

/// Describes every component by its class, what it does to which pathways and how strongly, and whether all cells respond.
/// What it does beside its pathways, in genes of its own, is not told.
///
/// # Errors
/// Those of [`Descriptions::new`].
pub fn describe(truth: &Truth) -> Result<Descriptions> {
    Descriptions::new(truth.singles.iter().map(|single| (single.perturbation.clone(), text(single))))
}

fn text(single: &SingleTruth) -> String {
    let (pathway, verb, class) = (name(single.pathway), verb(single.activity), class(single.activity));
    let side = match single.side_activity {
        0.0 => String::new(),
        activity => format!(" and weakly {} the {} pathway", self::verb(activity), name(single.side_pathway)),
    };
    let response = if single.penetrance < 1.0 { "some cells do not respond" } else { "all cells respond" };
    format!("{pathway} {class}; it {} {verb} the {pathway} pathway{side}; {response}", strength(single.activity.abs()))
}

/// `alpha`, …; after the letters `number 25`, …
fn name(pathway: usize) -> String {
    LETTERS.get(pathway).map_or_else(|| format!("number {}", pathway + 1), ToString::to_string)
}

fn verb(activity: f64) -> &'static str {
    if activity > 0.0 { "activates" } else { "inhibits" }
}

fn class(activity: f64) -> &'static str {
    if activity > 0.0 { "activator" } else { "inhibitor" }
}

/// Activities lie between 0.8 and 1.3: a third each.
fn strength(activity: f64) -> &'static str {
    match activity {
        activity if activity < 0.97 => "mildly",
        activity if activity < 1.13 => "clearly",
        _ => "strongly",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_tells_class_targets_strength_and_response() {
        let single = SingleTruth {
            perturbation: "drug A".into(),
            pathway: 1,
            activity: -1.2,
            side_pathway: 30,
            side_activity: 0.2,
            penetrance: 0.8,
        };
        let told = "beta inhibitor; it strongly inhibits the beta pathway and weakly activates the number 31 pathway; some \
                    cells do not respond";
        assert_eq!(text(&single), told);
        let alone = SingleTruth { activity: 0.9, side_activity: 0.0, penetrance: 1.0, ..single };
        assert_eq!(text(&alone), "beta activator; it mildly activates the beta pathway; all cells respond");
    }
}
