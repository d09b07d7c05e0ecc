//! How far a condition is from those that were measured in training, and the stratum of a split that follows from it.

use std::collections::BTreeSet;
use std::fmt;

use super::{Condition, Perturbation};

/// How far a condition is from the training conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// It is one of them.
    Seen,
    /// The perturbation was measured in training, but not with these covariates.
    UnseenCovariates,
    /// The combination was measured nowhere in training, each of its components alone.
    UnseenCombination {
        /// Components.
        n: usize,
    },
    /// Some components, or the only one, were never measured alone in training.
    Partly {
        /// Components that were measured alone.
        n_alone: usize,
        /// Components that were measured within combinations only.
        n_within: usize,
        /// Components in all.
        n: usize,
    },
}

impl Status {
    /// The stratum of a split, in the words of GEARS (Roohani et al. 2023, doi:10.1038/s41587-023-01905-6) for singles and
    /// pairs: `combo_seen2`, `combo_seen1` and `combo_seen0` by the components that were measured alone, `unseen_single`;
    /// for combinations of three and more `combo_seen2_of_3`; `unseen_covariate` where the perturbation was measured with
    /// other covariates; and `train`.
    pub fn stratum(self) -> String {
        let combination = |n_alone: usize, n: usize| match n {
            2 => format!("combo_seen{n_alone}"),
            _ => format!("combo_seen{n_alone}_of_{n}"),
        };
        match self {
            Self::Seen => "train".into(),
            Self::UnseenCovariates => "unseen_covariate".into(),
            Self::UnseenCombination { n } => combination(n, n),
            Self::Partly { n: 1, .. } => "unseen_single".into(),
            Self::Partly { n_alone, n, .. } => combination(n_alone, n),
        }
    }
}

/// `seen`, `unseen_covariates`, `unseen_combination`, `1_of_2_seen`, `1_of_2_seen_1_in_combinations`, `unseen`.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seen => f.write_str("seen"),
            Self::UnseenCovariates => f.write_str("unseen_covariates"),
            Self::UnseenCombination { .. } => f.write_str("unseen_combination"),
            Self::Partly { n_alone: 0, n_within: 0, .. } => f.write_str("unseen"),
            Self::Partly { n_alone, n_within: 0, n } => write!(f, "{n_alone}_of_{n}_seen"),
            Self::Partly { n_alone, n_within, n } => write!(f, "{n_alone}_of_{n}_seen_{n_within}_in_combinations"),
        }
    }
}

/// What was measured in training, as far as a [`Status`] asks.
#[derive(Debug, Clone, Default)]
pub struct Measured<'a> {
    conditions: BTreeSet<&'a Condition>,
    perturbations: BTreeSet<&'a Perturbation>,
    alone: BTreeSet<&'a str>,
    components: BTreeSet<&'a str>,
}

impl<'a> FromIterator<&'a Condition> for Measured<'a> {
    fn from_iter<I: IntoIterator<Item = &'a Condition>>(training: I) -> Self {
        let mut measured = Self::default();
        for condition in training {
            if !measured.conditions.insert(condition) {
                continue;
            }
            let components = condition.perturbation.components();
            if let [component] = components {
                measured.alone.insert(component);
            }
            measured.components.extend(components.iter().map(String::as_str));
            measured.perturbations.insert(&condition.perturbation);
        }
        measured
    }
}

impl Measured<'_> {
    /// How far a condition is from training.
    pub fn status(&self, condition: &Condition) -> Status {
        if self.conditions.contains(condition) {
            return Status::Seen;
        }
        if self.perturbations.contains(&condition.perturbation) {
            return Status::UnseenCovariates;
        }
        let components = condition.perturbation.components();
        let of = |names: &BTreeSet<&str>| components.iter().filter(|name| names.contains(name.as_str())).count();
        let (n_alone, n_known, n) = (of(&self.alone), of(&self.components), components.len());
        match n_alone == n {
            // A control without training cells of its covariates, or a single that was measured alone, is above.
            true => Status::UnseenCombination { n },
            false => Status::Partly { n_alone, n_within: n_known - n_alone, n },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_how_far_a_condition_is_from_training_and_in_which_stratum() {
        let condition = |text: &str| Condition::parse(text, "control").unwrap();
        let training = ["control | t=x", "control | t=y", "A | t=x", "A | t=y", "B | t=x", "D | t=x", "A+C | t=x"];
        let training = training.map(condition);
        let measured: Measured = training.iter().collect();
        for (text, status, stratum) in [
            ("A | t=x", "seen", "train"),
            ("C + A | t=x", "seen", "train"),
            ("control | t=z", "unseen_covariates", "unseen_covariate"),
            ("B | t=y", "unseen_covariates", "unseen_covariate"),
            ("A + C | t=y", "unseen_covariates", "unseen_covariate"),
            ("A + B | t=x", "unseen_combination", "combo_seen2"),
            ("A + B + D | t=y", "unseen_combination", "combo_seen3_of_3"),
            ("B + C | t=x", "1_of_2_seen_1_in_combinations", "combo_seen1"),
            ("B + E | t=x", "1_of_2_seen", "combo_seen1"),
            ("A + B + E | t=x", "2_of_3_seen", "combo_seen2_of_3"),
            ("C | t=x", "0_of_1_seen_1_in_combinations", "unseen_single"),
            ("C + E | t=x", "0_of_2_seen_1_in_combinations", "combo_seen0"),
            ("E + F | t=x", "unseen", "combo_seen0"),
            ("E | t=x", "unseen", "unseen_single"),
        ] {
            let found = measured.status(&condition(text));
            assert_eq!((found.to_string().as_str(), found.stratum().as_str()), (status, stratum), "{text}");
        }
    }
}
