//! Interactions as a bilinear form of codes that are learned from the combinations themselves.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::super::algebra::{mean_square, ridge, solve, stack, symmetric_products};
use super::at_dose::at_dose;
use crate::Result;
use crate::conditions::Perturbation;
use crate::models::lists::matrix;

/// Numbers per code; chosen by us on simulated screens, where 2 is worse and 4 is as good.
const RANK: usize = 3;
/// Weight of the squares of codes and coefficients against residuals of mean squared length [`RANK`].
const RIDGE: f64 = 1.0;
/// Fits from different starts, whose mean is the estimate.
const N_STARTS: usize = 3;
/// Alternations between coefficients and codes.
const N_ROUNDS: usize = 40;

/// r(A + B) ≈ T(e_A ⊗ e_B) + W(e_A + e_B), symmetric in A and B; the sum over pairs for larger combinations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LowRank {
    starts: Vec<Start>,
}

/// The fit from one start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Start {
    codes: BTreeMap<String, Vec<f32>>,
    /// T over the symmetric products, then W: (n_products + RANK, n_dims).
    #[serde(with = "matrix")]
    coefficients: Array2<f32>,
}

impl LowRank {
    /// Fits codes and coefficients by alternating least squares; nothing without combinations that interact.
    ///
    /// **Shapes** `residuals`: (n_dims) per combination.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if a regression cannot be solved.
    pub(super) fn fit(residuals: &BTreeMap<Perturbation, Array1<f64>>, seed: u64) -> Result<Option<Self>> {
        let Some(n_dims) = residuals.values().next().map(Array1::len) else { return Ok(None) };
        let targets = stack(residuals.values(), n_dims);
        let unit = (mean_square(targets.view()) / RANK as f64).sqrt();
        if unit == 0.0 {
            return Ok(None);
        }
        let problem = Problem::of(residuals.keys(), targets / unit);
        let mut starts = Vec::with_capacity(N_STARTS);
        for start in 0..N_STARTS {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(start as u64);
            let (codes, coefficients) = problem.solve(&mut rng)?;
            let codes = problem.names.iter().zip(codes.rows());
            starts.push(Start {
                codes: codes.map(|(name, code)| ((*name).clone(), code.mapv(|value| value as f32).to_vec())).collect(),
                coefficients: coefficients.mapv(|value| (value * unit) as f32),
            });
        }
        Ok(Some(Self { starts }))
    }

    /// The interaction of a combination; nothing if a component was in no training combination. Codes at a dose between two lie
    /// between theirs.
    pub(super) fn estimate(&self, perturbation: &Perturbation) -> Option<Array1<f64>> {
        let mut sum: Option<Array1<f64>> = None;
        for start in &self.starts {
            let code = |name: &String| at_dose(&start.codes, name);
            let codes = perturbation.components().iter().map(code).collect::<Option<Vec<_>>>()?;
            let features = features(&codes.iter().collect::<Vec<_>>());
            let estimate = features.dot(&start.coefficients.mapv(f64::from)) / self.starts.len() as f64;
            sum = Some(sum.map_or_else(|| estimate.clone(), |sum| sum + &estimate));
        }
        sum
    }
}

/// The symmetric products and sums of codes, summed over pairs.
fn features(codes: &[&Array1<f64>]) -> Array1<f64> {
    let mut sum = Array1::zeros(RANK * (RANK + 1) / 2 + RANK);
    for (i, a) in codes.iter().enumerate() {
        for b in &codes[i + 1..] {
            let mut of_pair = symmetric_products(a, b);
            of_pair.extend((*a + *b).iter());
            sum += &Array1::from_vec(of_pair);
        }
    }
    sum
}

/// Combinations with their components as numbers.
struct Problem<'a> {
    names: Vec<&'a String>,
    /// Per combination.
    components: Vec<Vec<usize>>,
    /// (n_combinations, n_dims).
    targets: Array2<f64>,
}

impl<'a> Problem<'a> {
    fn of(combinations: impl Iterator<Item = &'a Perturbation>, targets: Array2<f64>) -> Self {
        let combinations: Vec<&Perturbation> = combinations.collect();
        let mut names: Vec<&String> = combinations.iter().flat_map(|combination| combination.components()).collect();
        names.sort();
        names.dedup();
        let place = |name: &String| names.binary_search(&name).unwrap_or_default();
        let components = combinations.iter().map(|combination| combination.components().iter().map(place).collect());
        Self { components: components.collect(), targets, names }
    }

    /// Codes and coefficients: (n_components, RANK), (n_products + RANK, n_dims).
    fn solve(&self, rng: &mut ChaCha8Rng) -> Result<(Array2<f64>, Array2<f64>)> {
        let mut codes: Vec<Array1<f64>> =
            self.names.iter().map(|_| Array1::from_shape_simple_fn(RANK, || StandardNormal.sample(rng))).collect();
        let mut coefficients = self.coefficients(&codes)?;
        for _ in 1..N_ROUNDS {
            for component in 0..codes.len() {
                codes[component] = self.code(component, &codes, coefficients.view())?;
            }
            coefficients = self.coefficients(&codes)?;
        }
        Ok((stack(codes.iter(), RANK), coefficients))
    }

    fn coefficients(&self, codes: &[Array1<f64>]) -> Result<Array2<f64>> {
        let of = |members: &Vec<usize>| features(&members.iter().map(|&member| &codes[member]).collect::<Vec<_>>());
        let all: Vec<Array1<f64>> = self.components.iter().map(of).collect();
        let width = all.first().map_or(0, Array1::len);
        ridge(stack(all.iter(), width).view(), self.targets.view(), RIDGE)
    }

    /// The best code of a component, all others as they are: the residual is linear in it.
    fn code(&self, component: usize, codes: &[Array1<f64>], coefficients: ArrayView2<f64>) -> Result<Array1<f64>> {
        let mut gram = Array2::<f64>::eye(RANK) * RIDGE;
        let mut right = Array2::<f64>::zeros((RANK, 1));
        for (members, target) in self.components.iter().zip(self.targets.rows()) {
            if !members.contains(&component) {
                continue;
            }
            let others: Vec<&Array1<f64>> =
                members.iter().filter(|&&member| member != component).map(|&member| &codes[member]).collect();
            let zero = Array1::zeros(RANK);
            let with_zero: Vec<&Array1<f64>> = others.iter().copied().chain([&zero]).collect();
            let rest = &target - &features(&with_zero).dot(&coefficients);
            let slope = slope(&others, coefficients); // (RANK, n_dims)
            gram += &slope.dot(&slope.t());
            right += &slope.dot(&rest).insert_axis(Axis(1));
        }
        Ok(solve(gram.view(), right.view())?.column(0).to_owned())
    }
}

/// How the interaction changes with the code of a component that meets others: (RANK, n_dims).
fn slope(others: &[&Array1<f64>], coefficients: ArrayView2<f64>) -> Array2<f64> {
    let n_products = RANK * (RANK + 1) / 2;
    let mut slope = &coefficients.slice(s![n_products.., ..]) * others.len() as f64;
    let mut product = 0;
    for i in 0..RANK {
        for j in i..RANK {
            let form = coefficients.row(product);
            for other in others {
                slope.row_mut(i).scaled_add(other[j], &form);
                if i != j {
                    slope.row_mut(j).scaled_add(other[i], &form);
                }
            }
            product += 1;
        }
    }
    slope
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Interactions that follow r = T(e⊗e) + W(e + e), all pairs of nine components.
    fn planted() -> BTreeMap<Perturbation, Array1<f64>> {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let mut draw = |n| Array1::<f64>::from_shape_simple_fn(n, || StandardNormal.sample(&mut rng));
        let codes: Vec<Array1<f64>> = (0..9).map(|_| draw(RANK)).collect();
        let coefficients = draw(9 * 20).into_shape_with_order((9, 20)).unwrap();
        let pairs = (0..9).flat_map(|b| (0..b).map(move |a| (a, b)));
        let of = |(a, b): (usize, usize)| {
            let name = Perturbation::parse(&format!("{a}+{b}"), "control").unwrap();
            (name, features(&[&codes[a], &codes[b]]).dot(&coefficients))
        };
        pairs.map(of).collect()
    }

    #[test]
    fn a_pair_that_was_left_out_is_recovered() {
        let all = planted();
        let (mut error, mut total) = (0.0, 0.0);
        for (left_out, truth) in all.iter().step_by(6) {
            let mut known = all.clone();
            known.remove(left_out);
            let estimate = LowRank::fit(&known, 0).unwrap().unwrap().estimate(left_out).unwrap();
            error += (&estimate - truth).mapv(|gap| gap * gap).sum();
            total += truth.mapv(|value| value * value).sum();
        }
        assert!(error < 0.15 * total, "{error} of {total}");
    }

    #[test]
    fn the_slope_is_the_change_of_the_interaction() {
        let coefficients = Array2::from_shape_fn((9, 2), |(i, j)| (i * 2 + j) as f64 - 7.0);
        let (a, b, c) = (Array1::from(vec![1.0, -2.0, 0.5]), Array1::from(vec![0.3, 0.7, -1.0]), Array1::ones(RANK));
        let at = |a: &Array1<f64>| features(&[a, &b, &c]).dot(&coefficients);
        let moved = at(&a) - at(&Array1::zeros(RANK));
        let expected = a.dot(&slope(&[&b, &c], coefficients.view()));
        assert!((moved - expected).iter().all(|gap| gap.abs() < 1e-12));
    }

    #[test]
    fn components_without_combinations_have_no_interaction() {
        let fitted = LowRank::fit(&planted(), 0).unwrap().unwrap();
        assert!(fitted.estimate(&Perturbation::parse("0 + new", "control").unwrap()).is_none());
        assert!(LowRank::fit(&BTreeMap::new(), 0).unwrap().is_none());
    }
}
