//! Interactions as a bilinear form of what the components do alone.

use std::collections::BTreeMap;

use faer::{Mat, Side};
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use super::super::algebra::{mean_square, pairs, ridge, stack, symmetric_products};
use super::at_dose::at_dose;
use crate::conditions::Perturbation;
use crate::models::lists::matrix;
use crate::{Error, Result};

/// Leading components of the singles' effects; chosen by us on simulated screens, where 4 to 8 are as good.
const N_LEADING: usize = 6;
/// Weight of the squared coefficients against squared residuals.
const RIDGE: f64 = 1.0;
/// Root mean square length of a z, so that its products are about as large as itself.
const LENGTH: f64 = 1.5;

/// r(A + B) ≈ ridge regression on [z_A + z_B, sym(z_A ⊗ z_B), z_A² + z_B²], summed over pairs; z are the leading
/// principal components (about zero) of the singles' effects; a z at a dose between two lies between theirs, as its effect does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Bilinear {
    z: BTreeMap<String, Vec<f32>>,
    /// (n_features, n_dims).
    #[serde(with = "matrix")]
    coefficients: Array2<f32>,
}

impl Bilinear {
    /// Fits the regression; nothing without combinations or effects.
    ///
    /// **Shapes** `residuals`: (n_dims) per combination; `singles`: (n_dims) per component, of all those in combinations.
    ///
    /// # Errors
    /// [`Error::Backend`] if a regression cannot be solved.
    pub(super) fn fit(
        residuals: &BTreeMap<Perturbation, Array1<f64>>,
        singles: &BTreeMap<String, Array1<f64>>,
    ) -> Result<Option<Self>> {
        let Some(n_dims) = residuals.values().next().map(Array1::len) else { return Ok(None) };
        let Some(scores) = leading_scores(&stack(singles.values(), n_dims))? else { return Ok(None) };
        let z: BTreeMap<String, Vec<f32>> = singles
            .keys()
            .zip(scores.rows())
            .map(|(name, row)| (name.clone(), row.mapv(|value| value as f32).to_vec()))
            .collect();
        let known = |combination: &&Perturbation| features(&z, combination).is_some();
        let used: Vec<&Perturbation> = residuals.keys().filter(known).collect();
        let Some(first) = used.first().and_then(|combination| features(&z, combination)) else { return Ok(None) };
        let rows: Vec<Array1<f64>> = used.iter().filter_map(|combination| features(&z, combination)).collect();
        let targets = stack(used.iter().map(|combination| &residuals[*combination]), n_dims);
        let coefficients = ridge(stack(rows.iter(), first.len()).view(), targets.view(), RIDGE)?;
        Ok(Some(Self { z, coefficients: coefficients.mapv(|value| value as f32) }))
    }

    /// The interaction of a combination; nothing if a component has no effect of its own.
    pub(super) fn estimate(&self, perturbation: &Perturbation) -> Option<Array1<f64>> {
        Some(features(&self.z, perturbation)?.dot(&self.coefficients.mapv(f64::from)))
    }
}

fn features(z: &BTreeMap<String, Vec<f32>>, combination: &Perturbation) -> Option<Array1<f64>> {
    let of = |name: &String| at_dose(z, name);
    let mut sum: Option<Array1<f64>> = None;
    for (a, b) in pairs(combination.components()) {
        let (a, b) = (of(a)?, of(b)?);
        let mut row = (&a + &b).to_vec();
        row.extend(symmetric_products(&a, &b));
        row.extend((&a * &a + &b * &b).iter());
        let row = Array1::from_vec(row);
        sum = Some(sum.map_or_else(|| row.clone(), |sum| sum + &row));
    }
    sum
}

/// The scores of the rows on their leading principal components about zero: (n_rows, at most N_LEADING).
fn leading_scores(effects: &Array2<f64>) -> Result<Option<Array2<f64>>> {
    let n = effects.nrows();
    let gram = effects.dot(&effects.t());
    let failed =
        |source| Error::backend("the components of single effects", std::io::Error::other(format!("{source:?}")));
    let parts = Mat::from_fn(n, n, |i, j| gram[[i, j]]).self_adjoint_eigen(Side::Lower).map_err(failed)?;
    let (vectors, values) = (parts.U(), parts.S());
    // Eigenvalues come in rising order; G = U S Uᵀ, so that the scores are U √S.
    let kept = N_LEADING.min(n).min(effects.ncols());
    let score = |(i, k): (usize, usize)| vectors[(i, n - 1 - k)] * values[n - 1 - k].max(0.0).sqrt();
    let scores = Array2::from_shape_fn((n, kept), score);
    let unit = mean_square(scores.view()).sqrt();
    Ok((unit > 0.0).then(|| scores * (LENGTH / unit)))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    #[test]
    fn a_rule_of_combination_carries_over_to_components_never_combined() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut draw = |n| Array1::<f64>::from_shape_simple_fn(n, || StandardNormal.sample(&mut rng));
        // Effects in two programmes; two perturbations of opposite programmes cancel in a third.
        let programmes = draw(3 * 10).into_shape_with_order((3, 10)).unwrap();
        let doses: Vec<Array1<f64>> = (0..20).map(|_| draw(2)).collect();
        let single = |dose: &Array1<f64>| programmes.row(0).to_owned() * dose[0] + &programmes.row(1) * dose[1];
        let singles: BTreeMap<String, Array1<f64>> =
            doses.iter().enumerate().map(|(i, dose)| (format!("p{i:02}"), single(dose))).collect();
        let truth =
            |a: usize, b: usize| programmes.row(2).to_owned() * (doses[a][0] * doses[b][1] + doses[a][1] * doses[b][0]);
        let name = |a: usize, b: usize| Perturbation::parse(&format!("p{a:02}+p{b:02}"), "control").unwrap();
        let pairs = (0..18).flat_map(|b| (0..b).map(move |a| (a, b)));
        let residuals = pairs.map(|(a, b)| (name(a, b), truth(a, b))).collect();
        let fitted = Bilinear::fit(&residuals, &singles).unwrap().unwrap();
        let gap = fitted.estimate(&name(18, 19)).unwrap() - truth(18, 19);
        let (error, total) = (gap.dot(&gap).sqrt(), truth(18, 19).dot(&truth(18, 19)).sqrt());
        assert!(error < 0.1 * total, "{error} of {total}");
        assert!(fitted.estimate(&Perturbation::parse("p00 + new", "control").unwrap()).is_none());
    }
}
