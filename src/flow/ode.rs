//! Carries points along a velocity field from t = 0 to t = 1.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::error::refuse;
use crate::{Error, Result};

/// A velocity field: time and points (n_points, n_dims) → velocities of the same shape.
pub type Velocity<'a> = dyn Fn(f32, &Array2<f32>) -> Result<Array2<f32>> + 'a;

/// Evaluations after which an adaptive solver gives up.
const MOST_EVALUATIONS: usize = 20_000;

/// How a velocity is followed: as an ordinary differential equation, or as the stochastic one with the same marginal laws.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Solver {
    /// x + Δ v(t, x).
    Euler {
        /// Steps of equal length.
        n_steps: usize,
    },
    /// The mean of the velocities at both ends of an Euler step (order 2).
    Heun {
        /// Steps of equal length.
        n_steps: usize,
    },
    /// Dormand & Prince 1980, J. Comput. Appl. Math. 6:19: order 5 with an error estimate of order 4; a step is taken if the
    /// root mean square over all numbers of error/(τ + τ max(|x|, |x′|)) is at most 1.
    Dopri5 {
        /// τ, for absolute and relative errors alike.
        tolerance: f32,
    },
    /// The stochastic equation, in steps of equal length ([`super::sde::euler_maruyama`]); it needs the score.
    EulerMaruyama {
        /// Steps of equal length.
        n_steps: usize,
    },
}

impl Default for Solver {
    fn default() -> Self {
        Self::Dopri5 { tolerance: 1e-3 }
    }
}

impl Solver {
    /// # Errors
    /// [`Error::InvalidParameter`] for a value that cannot work.
    pub fn check(self) -> Result<()> {
        match self {
            Self::Euler { n_steps: 0 } | Self::Heun { n_steps: 0 } | Self::EulerMaruyama { n_steps: 0 } => {
                refuse("solver-steps", "0", "it must be above zero")
            }
            Self::Dopri5 { tolerance } if !(tolerance > 0.0 && tolerance.is_finite()) => {
                refuse("tolerance", tolerance, "it must be above zero")
            }
            _ => Ok(()),
        }
    }

    /// Carries points from t = 0 to t = 1 along an ordinary differential equation: (n_points, n_dims) → the same.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] for a stochastic solver; those of the field; [`Error::Backend`] if the adaptive solver does not reach the end.
    pub fn solve(self, start: Array2<f32>, velocity: &Velocity<'_>) -> Result<Array2<f32>> {
        match self {
            Self::Euler { n_steps } => fixed(start, n_steps, |t, step, x| Ok(x + &(velocity(t, x)? * step))),
            Self::Heun { n_steps } => fixed(start, n_steps, |t, step, x| {
                let first = velocity(t, x)?;
                let second = velocity(t + step, &(x + &(&first * step)))?;
                Ok(x + &((first + second) * (0.5 * step)))
            }),
            Self::Dopri5 { tolerance } => adaptive(start, tolerance, velocity),
            Self::EulerMaruyama { .. } => refuse("solver", "sde", "a velocity alone has no stochastic equation"),
        }
    }
}

/// Steps of equal length; `advance` takes the time, the length of the step and the points.
fn fixed(
    start: Array2<f32>,
    n_steps: usize,
    advance: impl Fn(f32, f32, &Array2<f32>) -> Result<Array2<f32>>,
) -> Result<Array2<f32>> {
    let step = 1.0 / n_steps as f32;
    (0..n_steps).try_fold(start, |x, number| advance(number as f32 * step, step, &x))
}

/// Times, weights of the stages before, weights of the solution, and of the error estimate.
const TIMES: [f32; 6] = [1.0 / 5.0, 3.0 / 10.0, 4.0 / 5.0, 8.0 / 9.0, 1.0, 1.0];
const STAGES: [&[f32]; 6] = [
    &[1.0 / 5.0],
    &[3.0 / 40.0, 9.0 / 40.0],
    &[44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0],
    &[19372.0 / 6561.0, -25360.0 / 2187.0, 64448.0 / 6561.0, -212.0 / 729.0],
    &[9017.0 / 3168.0, -355.0 / 33.0, 46732.0 / 5247.0, 49.0 / 176.0, -5103.0 / 18656.0],
    &[35.0 / 384.0, 0.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0],
];
const ERROR: [f32; 7] =
    [71.0 / 57600.0, 0.0, -71.0 / 16695.0, 71.0 / 1920.0, -17253.0 / 339_200.0, 22.0 / 525.0, -1.0 / 40.0];
/// A new step is at most this much longer or shorter than the one before, and this much shorter than the estimate allows.
const LONGER: f32 = 10.0;
const SHORTER: f32 = 0.2;
const SAFETY: f32 = 0.9;

fn adaptive(start: Array2<f32>, tolerance: f32, velocity: &Velocity<'_>) -> Result<Array2<f32>> {
    let (mut t, mut x) = (0.0_f32, start);
    let mut first = velocity(0.0, &x)?;
    let mut step = first_step(&x, &first, tolerance);
    let mut n_evaluations = 1;
    while t < 1.0 {
        // A last step that would be tiny is taken together with the one before.
        let is_last = t + 1.01 * step >= 1.0;
        let length = if is_last { 1.0 - t } else { step };
        let mut stages = vec![first.clone()];
        let mut next = x.clone();
        for (time, weights) in TIMES.iter().zip(STAGES) {
            next = plus(&x, &stages, weights, length);
            stages.push(velocity(t + time * length, &next)?);
        }
        n_evaluations += TIMES.len();
        let error = plus(&Array2::zeros(x.dim()), &stages, &ERROR, length);
        let ratio = relative(&error, &x, &next, tolerance);
        let ratio = if ratio.is_finite() { ratio } else { f32::MAX };
        if ratio <= 1.0 {
            t = if is_last { 1.0 } else { t + length };
            x = next;
            first = stages.swap_remove(6);
        }
        if t < 1.0 && (n_evaluations > MOST_EVALUATIONS || t + length == t) {
            let problem =
                format!("no step from t = {t} keeps to the tolerance {tolerance}; {n_evaluations} evaluations");
            return Err(Error::backend("solving for the cells", problem));
        }
        step = length * (SAFETY * ratio.max(1e-10).powf(-0.2)).clamp(SHORTER, LONGER);
    }
    Ok(x)
}

/// x + Δ Σ w_i k_i.
fn plus(x: &Array2<f32>, stages: &[Array2<f32>], weights: &[f32], length: f32) -> Array2<f32> {
    let mut sum = x.clone();
    for (stage, weight) in stages.iter().zip(weights).filter(|(_, weight)| **weight != 0.0) {
        sum.scaled_add(length * weight, stage);
    }
    sum
}

/// The root mean square of errors relative to the tolerated.
fn relative(error: &Array2<f32>, x: &Array2<f32>, next: &Array2<f32>, tolerance: f32) -> f32 {
    let squares = error.iter().zip(x.iter().zip(next)).map(|(error, (x, next))| {
        let tolerated = tolerance * (1.0 + x.abs().max(next.abs()));
        f64::from(error / tolerated).powi(2)
    });
    (squares.sum::<f64>() / error.len().max(1) as f64).sqrt() as f32
}

/// A hundredth of the time in which the points would move by their own size (Hairer, Nørsett & Wanner 1993, II.4).
fn first_step(x: &Array2<f32>, first: &Array2<f32>, tolerance: f32) -> f32 {
    let zeros = Array2::zeros(x.dim());
    let (size, speed) = (relative(x, x, &zeros, tolerance), relative(first, x, &zeros, tolerance));
    let step = if size < 1e-5 || speed < 1e-5 { 1e-3 } else { 0.01 * size / speed };
    step.clamp(1e-5, 0.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// dx/dt = (y, −x)·2 + t: a turn with a drift; from (1, 0) and (0, 2).
    fn turn(t: f32, x: &Array2<f32>) -> Result<Array2<f32>> {
        Ok(Array2::from_shape_fn(x.dim(), |(row, column)| match column {
            0 => 2.0 * x[[row, 1]] + t,
            _ => -2.0 * x[[row, 0]],
        }))
    }

    /// x = A cos 2t + B sin 2t, y = (dx/dt − t)/2 with d²x/dt² = −4x + 1, so x = ¼ + …
    fn exact(start: [f32; 2], t: f64) -> [f64; 2] {
        let a = f64::from(start[0]) - 0.25;
        let b = f64::from(start[1]);
        let x = 0.25 + a * (2.0 * t).cos() + b * (2.0 * t).sin();
        let slope = -2.0 * a * (2.0 * t).sin() + 2.0 * b * (2.0 * t).cos();
        [x, 0.5 * (slope - t)]
    }

    fn worst(solver: Solver) -> f64 {
        let starts = [[1.0_f32, 0.0], [0.0, 2.0]];
        let end = solver.solve(ndarray::arr2(&starts), &turn).unwrap();
        let gaps = starts.iter().zip(end.rows()).flat_map(|(start, end)| {
            let exact = exact(*start, 1.0);
            [(f64::from(end[0]) - exact[0]).abs(), (f64::from(end[1]) - exact[1]).abs()]
        });
        gaps.fold(0.0, f64::max)
    }

    #[test]
    fn errors_fall_with_the_order_of_the_solver() {
        let ratio = |solver: fn(usize) -> Solver| worst(solver(20)) / worst(solver(40));
        let euler = ratio(|n_steps| Solver::Euler { n_steps });
        let heun = ratio(|n_steps| Solver::Heun { n_steps });
        assert!((1.7..2.4).contains(&euler), "{euler}");
        assert!((3.5..4.6).contains(&heun), "{heun}");
    }

    #[test]
    fn the_adaptive_solver_keeps_to_its_tolerance() {
        let (loose, tight) = (worst(Solver::Dopri5 { tolerance: 1e-2 }), worst(Solver::Dopri5 { tolerance: 1e-5 }));
        assert!(loose < 2e-2 && tight < 2e-5, "{loose} {tight}");
        // A field of order four in t is solved exactly.
        let field = |t: f32, x: &Array2<f32>| Ok(Array2::from_elem(x.dim(), 5.0 * t.powi(4)));
        let end = Solver::default().solve(Array2::zeros((1, 1)), &field).unwrap();
        assert!((end[[0, 0]] - 1.0).abs() < 1e-5, "{end}");
    }

    #[test]
    fn a_field_that_blows_up_is_an_error() {
        let field = |_: f32, x: &Array2<f32>| Ok(x.mapv(|x| x * x));
        assert!(Solver::default().solve(Array2::from_elem((1, 1), 3.0), &field).is_err());
        assert!(Solver::Heun { n_steps: 0 }.check().is_err() && Solver::Dopri5 { tolerance: 0.0 }.check().is_err());
    }
}
