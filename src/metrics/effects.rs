//! The genes that a condition changes most, as data for pictures.

use super::conditions::Profile;
use super::scores::ScoreRow;

/// At most this many genes of each condition.
pub const MOST_GENES: usize = 200;

/// How much the mean of a gene changes from the training control cells with the same covariates, log1p scale.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneChange {
    /// The perturbation.
    pub perturbation: String,
    /// The values of the covariates, joined.
    pub covariate: String,
    /// The gene.
    pub gene: String,
    /// In the real cells.
    pub real: f64,
    /// In the generated cells.
    pub generated: f64,
    /// By the additive estimate, where there is one.
    pub additive: Option<f64>,
}

/// Of each condition, the genes that change most, really or as generated, the greatest first.
///
/// `judged` has one entry per condition with the rows of all methods; `genes` are the names.
pub fn largest(judged: &[Vec<(ScoreRow, Option<Profile>)>], genes: &[String]) -> Vec<GeneChange> {
    judged.iter().flat_map(|rows| of_condition(rows, genes)).collect()
}

fn of_condition(rows: &[(ScoreRow, Option<Profile>)], genes: &[String]) -> Vec<GeneChange> {
    let of = |method: &str| rows.iter().find(|(row, _)| row.method == method);
    let Some((row, Some(profile))) = of("model") else { return Vec::new() };
    let [real, generated] = profile.effects();
    let additive = of("additive").and_then(|(_, profile)| profile.as_ref()).map(|profile| profile.effects()[1].clone());
    let size = |gene: usize| real[gene].abs().max(generated[gene].abs());
    let mut order: Vec<usize> = (0..genes.len()).collect();
    order.sort_by(|&one, &other| size(other).total_cmp(&size(one)).then(one.cmp(&other)));
    order.truncate(MOST_GENES);
    let covariate = row.covariates.values().cloned().collect::<Vec<_>>().join(" | ");
    let change = |gene: usize| GeneChange {
        perturbation: row.perturbation.clone(),
        covariate: covariate.clone(),
        gene: genes[gene].clone(),
        real: real[gene],
        generated: generated[gene],
        additive: additive.as_ref().map(|changes| changes[gene]),
    };
    order.into_iter().map(change).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_greatest_changes_come_first_wherever_they_are_and_conditions_without_scores_have_none() {
        let row = |method: &str| ScoreRow {
            method: method.into(),
            perturbation: "A+B".into(),
            covariates: BTreeMap::from([("t".into(), "x".into()), ("u".into(), "y".into())]),
            ..ScoreRow::default()
        };
        let profile = |generated: Vec<f64>| Profile {
            group: (String::new(), BTreeMap::new()),
            real: Arc::new(vec![1.0, 2.0, 0.0]),
            generated,
            control: Arc::new(vec![1.0; 3]),
            targets: vec![],
        };
        let scored =
            vec![(row("model"), Some(profile(vec![4.0, 2.5, 1.0]))), (row("additive"), Some(profile(vec![1.0; 3])))];
        let genes = ["g", "h", "i"].map(String::from);
        let changes = largest(&[scored, vec![(row("model"), None)]], &genes);
        let told: Vec<_> = changes.iter().map(|c| (c.gene.as_str(), c.real, c.generated, c.additive)).collect();
        assert_eq!(told, [("g", 0.0, 3.0, Some(0.0)), ("h", 1.0, 1.5, Some(0.0)), ("i", -1.0, 0.0, Some(0.0))]);
        assert_eq!((changes[0].perturbation.as_str(), changes[0].covariate.as_str()), ("A+B", "x | y"));
    }
}
