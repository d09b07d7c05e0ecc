//! Gene programmes: sets of genes that rise and fall together.

use rand::Rng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// How a programme is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// The share of genes that belong to it.
    pub share: f64,
    /// The mean size of a loading: natural logarithm of a fold change at activity 1.
    pub loading: f64,
    /// The share of its genes that rise with the activity; the others fall.
    pub rising: f64,
}

/// A set of genes with their loadings.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Programme {
    /// Positions of genes, rising.
    genes: Vec<usize>,
    /// Natural logarithm of the fold change of each of these genes at activity 1.
    loadings: Vec<f64>,
}

impl Programme {
    /// Draws a programme among the first `n_genes` genes.
    pub fn draw(n_genes: usize, shape: Shape, rng: &mut ChaCha8Rng) -> Self {
        let n = ((n_genes as f64 * shape.share).round() as usize).clamp(3, n_genes);
        let mut genes = index::sample(rng, n_genes, n).into_vec();
        genes.sort_unstable();
        let loading = |_: &usize| {
            let normal: f64 = StandardNormal.sample(rng);
            // A spread of 40 % around the mean, kept away from zero so that every member counts.
            let size = shape.loading * (1.0 + 0.4 * normal).max(0.2);
            if rng.random_bool(shape.rising) { size } else { -size }
        };
        let loadings = genes.iter().map(loading).collect();
        Self { genes, loadings }
    }

    /// Adds the programme at some activity to log expression (n_genes).
    pub fn add_to(&self, activity: f64, log_expression: &mut [f64]) {
        for (&gene, &loading) in self.genes.iter().zip(&self.loadings) {
            log_expression[gene] += activity * loading;
        }
    }
}

/// Activities of programmes: (programme, activity), each programme at most once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Activities(pub Vec<(usize, f64)>);

impl Activities {
    /// Adds `factor` times the other activities.
    pub fn add(&mut self, other: &Self, factor: f64) {
        for &(programme, activity) in &other.0 {
            match self.0.iter_mut().find(|(known, _)| *known == programme) {
                Some(known) => known.1 += factor * activity,
                None => self.0.push((programme, factor * activity)),
            }
        }
    }

    /// The change of log expression: (n_genes); `sensitivity` scales each programme.
    pub fn effect(&self, programmes: &[Programme], sensitivity: &[f64], n_genes: usize) -> Vec<f64> {
        let mut effect = vec![0.0; n_genes];
        for &(programme, activity) in &self.0 {
            programmes[programme].add_to(activity * sensitivity[programme], &mut effect);
        }
        effect
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_programme_has_its_share_of_genes_and_both_directions() {
        let shape = Shape { share: 0.1, loading: 1.0, rising: 0.7 };
        let programme = Programme::draw(5000, shape, &mut ChaCha8Rng::seed_from_u64(0));
        let rising = programme.loadings.iter().filter(|&&loading| loading > 0.0).count();
        assert_eq!(programme.genes.len(), 500);
        assert!(programme.genes.is_sorted() && programme.genes.windows(2).all(|pair| pair[0] != pair[1]));
        assert!((300..400).contains(&rising), "{rising}");
    }

    #[test]
    fn effects_are_linear_in_activities() {
        let programmes = [Programme { genes: vec![0, 2], loadings: vec![1.0, -2.0] }];
        let mut activities = Activities(vec![(0, 1.5)]);
        activities.add(&Activities(vec![(0, 1.0)]), 0.5);
        assert_eq!(activities.effect(&programmes, &[2.0], 3), [4.0, 0.0, -8.0]);
    }
}
