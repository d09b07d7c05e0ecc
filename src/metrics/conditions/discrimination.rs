//! Whether a generated effect is nearer to its own real effect than to those of other conditions.

use super::Profile;

/// How effects are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// Σ |x − y|.
    L1,
    /// √Σ (x − y)².
    L2,
    /// 1 − x·y / (|x| |y|); 1 if an effect is zero.
    Cosine,
}

/// The perturbation discrimination score: 1 − r/P, r the number of the P real effects that are nearer to the generated
/// effect than its own one is, those at the same distance counted half (cell-eval: `discrimination_score`, where ties fall
/// as sorting leaves them). 1 is best, about ½ what chance gives. The genes of the perturbation itself do not count.
///
/// **Shapes** `real`: P effects of (n_genes); `generated`: (n_genes), the effect of condition `own`.
pub fn discrimination(norm: Norm, real: &[Vec<f64>], generated: &[f64], own: usize, targets: &[usize]) -> f64 {
    let without_targets = |effect: &[f64]| {
        let mut effect = effect.to_vec();
        targets.iter().for_each(|&gene| effect[gene] = 0.0);
        effect
    };
    let generated = without_targets(generated);
    let distances: Vec<f64> = real.iter().map(|real| distance(norm, &without_targets(real), &generated)).collect();
    1.0 - rank_of(&distances, own) / distances.len() as f64
}

/// PerturBench's rank: the number of the P generated effects that are more like the real effect of `own` than its own
/// generated one is, ties counted half, divided by P (Wu et al. 2024, arXiv 2408.10609). Effects are
/// log₂(mean + 0.1) − log₂(control mean + 0.1), compared by cosine. 0 is best, about ½ what chance gives.
pub fn logfc_rank(group: &[&Profile], own: usize) -> f64 {
    let real = log_changes(&group[own].real, &group[own].control);
    let distance =
        |profile: &&Profile| distance(Norm::Cosine, &real, &log_changes(&profile.generated, &profile.control));
    let distances: Vec<f64> = group.iter().map(distance).collect();
    rank_of(&distances, own) / distances.len() as f64
}

fn log_changes(means: &[f64], control: &[f64]) -> Vec<f64> {
    // Estimates of a mean may fall below zero, expression cannot.
    let log = |mean: f64| (mean.max(0.0) + 0.1).log2();
    means.iter().zip(control).map(|(mean, base)| log(*mean) - log(*base)).collect()
}

fn distance(norm: Norm, first: &[f64], second: &[f64]) -> f64 {
    let pairs = || first.iter().zip(second);
    match norm {
        Norm::L1 => pairs().map(|(x, y)| (x - y).abs()).sum(),
        Norm::L2 => pairs().map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt(),
        Norm::Cosine => {
            let squares = |effect: &[f64]| effect.iter().map(|x| x * x).sum::<f64>();
            let scale = (squares(first) * squares(second)).sqrt();
            if scale > 0.0 { 1.0 - pairs().map(|(x, y)| x * y).sum::<f64>() / scale } else { 1.0 }
        }
    }
}

/// How many distances are below that of `own`, equal ones counted half.
fn rank_of(distances: &[f64], own: usize) -> f64 {
    let nearer = distances.iter().filter(|&&distance| distance < distances[own]).count();
    let equal = distances.iter().filter(|&&distance| distance == distances[own]).count() - 1;
    nearer as f64 + equal as f64 / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_nearer_effects_and_half_of_equal_ones() {
        let real = vec![vec![1.0, 0.0, 0.0], vec![0.0, 1.0, 0.0], vec![0.0, 3.0, 0.0], vec![0.0, 0.0, 5.0]];
        let score = |generated: &[f64], own| discrimination(Norm::L1, &real, generated, own, &[]);
        assert_eq!(score(&[0.9, 0.0, 0.0], 0), 1.0);
        assert_eq!(score(&[0.0, 2.0, 0.0], 0), 1.0 - 2.0 / 4.0);
        assert_eq!(score(&[0.0, 2.0, 0.0], 2), 1.0 - 0.5 / 4.0);
        assert_eq!(discrimination(Norm::L2, &real, &[0.0, 0.0, 0.0], 3, &[]), 0.25);
        assert_eq!(discrimination(Norm::Cosine, &real, &[0.0; 3], 0, &[]), 1.0 - 1.5 / 4.0);
        assert_eq!(discrimination(Norm::Cosine, &real, &[0.0, 1.0, 0.0], 1, &[]), 1.0 - 0.5 / 4.0);
    }

    #[test]
    fn the_gene_that_was_perturbed_does_not_give_the_condition_away() {
        let real = vec![vec![-5.0, 1.0, 0.0], vec![0.0, 0.0, 1.0]];
        let generated = [-5.0, 0.0, 1.0];
        assert_eq!(discrimination(Norm::L1, &real, &generated, 0, &[]), 1.0);
        assert_eq!(discrimination(Norm::L1, &real, &generated, 0, &[0]), 0.5);
    }
}
