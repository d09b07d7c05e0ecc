//! Entropic optimal transport between clouds of equal size.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use crate::{Error, Result};

/// Products of a matrix and a vector between two absorptions of the scalings into the potentials.
const INNER: usize = 20;
/// Absorptions of one solution.
const MOST_ROUNDS: usize = 500;
/// Iterations of the scalings as they are.
const MOST_ITERATIONS: usize = 20_000;
/// Iterations between two looks at the pace.
const WATCH: usize = 50;
/// The greatest rate of the plain iteration that is believed.
const SLOWEST: f64 = 0.999_99;
/// Scalings beyond these are absorbed at once.
const LARGEST: f64 = 1e100;
/// While the regularisation falls to its value, the marginals need not be better than this.
const COARSE: f64 = 0.1;

/// The plan of least Σ P_ij C_ij + ε Σ P_ij (log P_ij − 1) with uniform marginals, P_ij = exp((f_i + g_j − C_ij)/ε).
///
/// Sinkhorn's iterations with the potentials f, g in the log domain (Schmitzer 2019, SIAM J. Sci. Comput. 41:A1443,
/// arXiv 1610.06519): products of the absorbed kernel with scalings, which are absorbed before they leave the range of
/// numbers, while ε falls from the greatest cost by halves. Rows sum to 1/n to the last digits; columns to within
/// `tolerance` in all.
///
/// **Shapes** `costs`: (n, n), finite.
///
/// # Errors
/// [`Error::ShapeMismatch`] if the matrix is not square; [`Error::BadValues`] if a cost is not finite;
/// [`Error::InvalidParameter`] for an ε that is not above zero.
pub fn plan(costs: ArrayView2<f64>, regularisation: f64, tolerance: f64) -> Result<Array2<f64>> {
    let n = costs.nrows();
    super::check(costs, "costs of a plan")?;
    if !(regularisation > 0.0 && regularisation.is_finite()) {
        return Err(Error::InvalidParameter {
            name: "regularisation".into(),
            value: regularisation.to_string(),
            reason: "it must be above zero".into(),
        });
    }
    let greatest = costs.iter().fold(0.0_f64, |most, cost| most.max(cost.abs()));
    let (mut f, mut g) = (Array1::zeros(n), Array1::zeros(n));
    let mut epsilon = greatest.max(regularisation);
    while epsilon > regularisation {
        solve(costs, epsilon, tolerance.max(COARSE), &mut f, &mut g);
        epsilon = (0.5 * epsilon).max(regularisation);
    }
    solve(costs, regularisation, tolerance, &mut f, &mut g);
    Ok(kernel(costs, regularisation, &f, &g))
}

/// Σ P_ij C_ij of the plan of [`plan`], without the entropy, and without the plan itself.
///
/// The scalings of the kernel exp(−C/ε) as they are (Cuturi 2013, arXiv 1306.0895, algorithm 1), one pass over the kernel
/// per iteration, with steps as long as their pace allows (Thibault et al. 2021, Algorithms 14:143). Where the scalings
/// leave the range of numbers, the plan is made with potentials.
///
/// # Errors
/// Those of [`plan`]; [`Error::Backend`] if the columns do not come within `tolerance`.
pub fn cost(costs: ArrayView2<f64>, regularisation: f64, tolerance: f64) -> Result<f64> {
    super::check(costs, "costs of a plan")?;
    let n = costs.nrows();
    let share = 1.0 / n as f64;
    let gibbs = costs.mapv(|cost| (-cost / regularisation).exp());
    let (mut u, mut v) = (Array1::<f64>::ones(n), Array1::<f64>::ones(n));
    let (mut stride, mut gap) = (Stride::default(), f64::INFINITY);
    for iteration in 1..=MOST_ITERATIONS {
        // The plain iteration, whose rows are exact, has the last word.
        let length = if gap <= tolerance { 1.0 } else { stride.length };
        let mut sums = Array1::<f64>::zeros(n);
        for (u, row) in u.iter_mut().zip(gibbs.rows()) {
            *u *= (share / row.dot(&v) / *u).powf(length);
            sums.scaled_add(*u, &row);
        }
        gap = sums.iter().zip(&v).map(|(sum, v)| (sum * v - share).abs()).sum();
        if !gap.is_finite() {
            let plan = plan(costs, regularisation, tolerance)?;
            return Ok(plan.iter().zip(costs).map(|(share, cost)| share * cost).sum());
        }
        if gap <= tolerance && length == 1.0 {
            let row_cost = |(row, (u, kernel)): (usize, (&f64, ArrayView1<f64>))| {
                let terms = kernel.iter().zip(&v).zip(costs.row(row)).map(|((kernel, v), cost)| kernel * v * cost);
                u * terms.sum::<f64>()
            };
            return Ok(u.iter().zip(gibbs.rows()).enumerate().map(row_cost).sum());
        }
        v.zip_mut_with(&sums, |v, sum| *v *= (share / sum / *v).powf(length));
        if iteration % WATCH == 0 {
            stride.adapt(gap);
        }
    }
    let reason = format!("columns are off by {gap} after {MOST_ITERATIONS} iterations");
    Err(Error::backend("entropic transport", reason))
}

/// How far an iteration goes: 1 to where its marginal is right, up to 2 beyond.
struct Stride {
    length: f64,
    gap: f64,
}

impl Default for Stride {
    fn default() -> Self {
        Self { length: 1.0, gap: f64::INFINITY }
    }
}

impl Stride {
    /// Sets the length by the pace since the last call: with the plain iteration's rate λ the best is 2/(1 + √(1 − λ)), and
    /// the pace ρ at length ω tells λ = (ρ + ω − 1)²/(ρ ω²) (Young 1954, Trans. Am. Math. Soc. 76:92).
    fn adapt(&mut self, gap: f64) {
        let (pace, beyond) = ((gap / self.gap).powf(1.0 / WATCH as f64), self.length - 1.0);
        self.gap = gap;
        if pace >= 1.0 {
            self.length = 1.0;
        } else if pace > beyond {
            let rate = ((pace + beyond) / self.length).powi(2) / pace;
            self.length = 2.0 / (1.0 + (1.0 - rate.min(SLOWEST)).sqrt());
        }
    }
}

fn kernel(costs: ArrayView2<f64>, epsilon: f64, f: &Array1<f64>, g: &Array1<f64>) -> Array2<f64> {
    Array2::from_shape_fn(costs.dim(), |(row, column)| ((f[row] + g[column] - costs[[row, column]]) / epsilon).exp())
}

/// Brings the potentials to those of ε; the last update is that of f.
fn solve(costs: ArrayView2<f64>, epsilon: f64, tolerance: f64, f: &mut Array1<f64>, g: &mut Array1<f64>) {
    let n = costs.nrows();
    let share = 1.0 / n as f64;
    for _ in 0..MOST_ROUNDS {
        update(costs.view(), epsilon, g, f);
        update(costs.t(), epsilon, f, g);
        let absorbed = kernel(costs, epsilon, f, g);
        let (mut u, mut v) = (Array1::ones(n), Array1::ones(n));
        let mut gap = f64::INFINITY;
        for _ in 0..INNER {
            let next_u = absorbed.dot(&v).mapv(|sum: f64| share / sum);
            let sums = absorbed.t().dot(&next_u);
            let within = |values: &Array1<f64>| values.iter().all(|value| *value < LARGEST && *value > 1.0 / LARGEST);
            if !(within(&next_u) && within(&sums)) {
                break;
            }
            gap = sums.iter().zip(&v).map(|(sum, v)| (sum * v - share).abs()).sum();
            u = next_u;
            if gap <= tolerance {
                break;
            }
            v = sums.mapv(|sum| share / sum);
        }
        f.zip_mut_with(&u, |f, u| *f += epsilon * u.ln());
        g.zip_mut_with(&v, |g, v| *g += epsilon * v.ln());
        if gap <= tolerance {
            break;
        }
    }
    update(costs, epsilon, g, f);
}

/// f_i = −ε log Σ_j exp((g_j − C_ij)/ε) − ε log n.
fn update(costs: ArrayView2<f64>, epsilon: f64, g: &Array1<f64>, f: &mut Array1<f64>) {
    let size = (costs.nrows() as f64).ln();
    for (f, costs) in f.iter_mut().zip(costs.axis_iter(Axis(0))) {
        let exponents = || g.iter().zip(costs).map(|(g, cost)| (g - cost) / epsilon);
        let greatest = exponents().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = exponents().map(|exponent| (exponent - greatest).exp()).sum();
        *f = -epsilon * (greatest + sum.ln() + size);
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::transport::exact::assignment;

    #[test]
    fn two_points_have_the_closed_form() {
        let (cost, epsilon) = (3.0_f64, 0.7);
        let plan = plan(array![[0.0, cost], [cost, 0.0]].view(), epsilon, 1e-12).unwrap();
        let straight = 0.5 / (1.0 + (-cost / epsilon).exp());
        for (got, expected) in plan.iter().zip([straight, 0.5 - straight, 0.5 - straight, straight]) {
            assert!((got - expected).abs() < 1e-12, "{plan}");
        }
    }

    #[test]
    fn little_regularisation_gives_the_assignment_and_much_gives_independence() {
        let n = 12;
        // Points of a low-discrepancy sequence have no ties.
        let point = |i: usize, step: f64| 10.0 * (step * (i + 1) as f64).fract();
        let costs = Array2::from_shape_fn((n, n), |(i, j)| (point(i, 0.618) - point(j, 0.414) - 1.0).powi(2));
        let sharp = plan(costs.view(), 1e-3, 1e-9).unwrap();
        let columns = assignment(costs.view()).unwrap();
        let worst = (0..n).map(|row| (sharp[[row, columns[row]]] * n as f64 - 1.0).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-3, "{worst}");
        let flat = plan(costs.view(), 1e7, 1e-12).unwrap();
        assert!(flat.iter().all(|share| (share * (n * n) as f64 - 1.0).abs() < 1e-4));
    }

    #[test]
    fn the_cost_is_that_of_the_plan_also_where_the_kernel_leaves_the_range_of_numbers() {
        let point = |i: usize, step: f64| 10.0 * (step * (i + 1) as f64).fract();
        let costs = Array2::from_shape_fn((12, 12), |(i, j)| (point(i, 0.618) - point(j, 0.414) - 1.0).powi(2));
        for epsilon in [5.0, 0.5, 0.002] {
            let plan = plan(costs.view(), epsilon, 1e-10).unwrap();
            let expected: f64 = plan.iter().zip(&costs).map(|(share, cost)| share * cost).sum();
            let got = cost(costs.view(), epsilon, 1e-10).unwrap();
            assert!((got - expected).abs() < 1e-7, "{epsilon}: {got} {expected}");
        }
    }

    #[test]
    fn longer_strides_reach_the_same_cost_and_follow_the_pace() {
        // Two groups of points far from each other, unequal on both sides: mass moves between them slowly.
        let place = |i: usize, step: f64, n_left: usize| if i < n_left { 0.0 } else { 6.0 } + (step * i as f64).fract();
        let costs = Array2::from_shape_fn((40, 40), |(i, j)| (place(i, 0.618, 20) - place(j, 0.414, 17)).powi(2));
        let expected: f64 =
            plan(costs.view(), 2.0, 1e-12).unwrap().iter().zip(&costs).map(|(share, cost)| share * cost).sum();
        let got = cost(costs.view(), 2.0, 1e-10).unwrap();
        assert!((got / expected - 1.0).abs() < 1e-8, "{got} {expected}");
        let mut stride = Stride::default();
        stride.adapt(1.0);
        stride.adapt(0.999_f64.powi(WATCH as i32));
        assert!((stride.length - 2.0 / (1.0 + 0.001_f64.sqrt())).abs() < 1e-9, "{}", stride.length);
        stride.adapt(2.0);
        assert_eq!(stride.length, 1.0);
    }

    #[test]
    fn marginals_are_uniform_in_many_dimensions() {
        let n = 40;
        let costs = Array2::from_shape_fn((n, n), |(i, j)| 60.0 + 40.0 * ((i * 31 + j * 17 + i * j) as f64).sin());
        let plan = plan(costs.view(), 0.5, 1e-3).unwrap();
        let rows = plan.sum_axis(Axis(1));
        let columns = plan.sum_axis(Axis(0));
        assert!(rows.iter().all(|sum| (sum * n as f64 - 1.0).abs() < 1e-10));
        assert!(columns.iter().map(|sum| (sum - 1.0 / n as f64).abs()).sum::<f64>() < 2e-3, "{columns}");
    }

    #[test]
    fn costs_and_regularisations_that_cannot_work_are_refused() {
        assert!(plan(array![[f64::NAN]].view(), 1.0, 1e-6).is_err());
        assert!(plan(array![[1.0, 2.0]].view(), 1.0, 1e-6).is_err());
        assert!(plan(array![[1.0]].view(), 0.0, 1e-6).is_err());
    }
}
