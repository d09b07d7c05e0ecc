//! Where flows start: noise, or control cells.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayD, ArrayView2, Axis, Ix2};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::conditions::Condition;
use crate::{Error, Result};

/// At most this many control cells are kept per combination of covariates.
pub const MOST_CELLS: usize = 4096;

/// Every method that starts from control cells keeps at least this many of a combination of covariates, if there are as many:
/// more cells than this are not different ones for all of them.
pub const FEWEST_KEPT: usize = 512;

type Covariates = BTreeMap<String, String>;

/// Where flows start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// From N(0, I) in flow coordinates.
    #[default]
    Noise,
    /// From training control cells with the covariates of the condition.
    Control,
}

/// Control cells of training as principal components, by covariates.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlCells {
    by_covariates: BTreeMap<Covariates, Array2<f32>>,
}

/// The places of the control cells among all, in rising order; of those with the same covariates at most `most`, drawn with
/// the seed.
pub fn control_rows(conditions: &[Condition], most: usize, seed: u64) -> Vec<usize> {
    let mut by_covariates = BTreeMap::<&Covariates, Vec<usize>>::new();
    for (row, condition) in conditions.iter().enumerate().filter(|(_, one)| one.perturbation.is_control()) {
        by_covariates.entry(&condition.covariates).or_default().push(row);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut kept = Vec::new();
    for rows in by_covariates.into_values() {
        match rows.len() <= most {
            true => kept.extend(rows),
            false => kept.extend(sample(&mut rng, rows.len(), most).into_iter().map(|place| rows[place])),
        }
    }
    kept.sort_unstable();
    kept
}

impl ControlCells {
    /// Keeps the control cells of training, thinned where there are very many.
    ///
    /// **Shapes** `embedding`: (n_cells, n_dims); one condition per cell.
    pub fn fit(embedding: ArrayView2<f32>, conditions: &[Condition], seed: u64) -> Self {
        let rows = control_rows(conditions, MOST_CELLS, seed);
        Self::of(embedding.select(Axis(0), &rows).view(), rows.iter().map(|&row| &conditions[row]))
    }

    /// Keeps all of these control cells.
    ///
    /// **Shapes** `cells`: (n_cells, n_dims); one condition per cell.
    pub fn of<'a>(cells: ArrayView2<f32>, conditions: impl Iterator<Item = &'a Condition>) -> Self {
        let mut rows = BTreeMap::<Covariates, Vec<usize>>::new();
        for (row, condition) in conditions.enumerate() {
            rows.entry(condition.covariates.clone()).or_default().push(row);
        }
        let of = |(covariates, rows): (Covariates, Vec<usize>)| (covariates, cells.select(Axis(0), &rows));
        Self { by_covariates: rows.into_iter().map(of).collect() }
    }

    /// The number of control cells with the covariates of a condition.
    pub fn n_cells(&self, condition: &Condition) -> usize {
        self.by_covariates.get(&condition.covariates).map_or(0, Array2::nrows)
    }

    /// Draws control cells with the covariates of a condition, without replacement until all were drawn, then anew:
    /// (n_cells, n_dims).
    ///
    /// # Errors
    /// [`Error::UnknownName`] if there are none.
    pub fn draw(&self, condition: &Condition, n_cells: usize, rng: &mut ChaCha8Rng) -> Result<Array2<f32>> {
        let cells = self.by_covariates.get(&condition.covariates).ok_or_else(|| Error::UnknownName {
            what: "control cells for".into(),
            name: condition.to_string(),
            place: "the model".into(),
            nearest: Vec::new(),
        })?;
        let n_known = cells.nrows();
        if n_cells <= n_known {
            let rows = sample(rng, n_known, n_cells).into_vec();
            return Ok(cells.select(Axis(0), &rows));
        }
        let mut rows = Vec::with_capacity(n_cells);
        let mut order: Vec<usize> = (0..n_known).collect();
        while rows.len() < n_cells {
            order.shuffle(rng);
            rows.extend(order.iter().copied().take(n_cells - rows.len()));
        }
        Ok(cells.select(Axis(0), &rows))
    }

    /// The cells by name, for a file; the name is the covariates as JSON.
    ///
    /// # Errors
    /// [`Error::Backend`] if a name cannot be written.
    pub fn to_arrays(&self) -> Result<BTreeMap<String, ArrayD<f32>>> {
        let named = |(covariates, cells): (&Covariates, &Array2<f32>)| {
            let name = serde_json::to_string(covariates);
            let name = name.map_err(|source| Error::backend("naming control cells", source))?;
            Ok((name, cells.clone().into_dyn()))
        };
        self.by_covariates.iter().map(named).collect()
    }

    /// What [`Self::to_arrays`] gave.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if a name is none; [`Error::ShapeMismatch`] if cells have another shape.
    pub fn from_arrays(arrays: BTreeMap<String, ArrayD<f32>>, n_dims: usize) -> Result<Self> {
        let read = |(name, cells): (String, ArrayD<f32>)| {
            let covariates = serde_json::from_str(&name).map_err(|source| Error::InvalidParameter {
                name: "control cells".into(),
                value: name.clone(),
                reason: source.to_string(),
            })?;
            let shape = format!("{:?}", cells.shape());
            match cells.into_dimensionality::<Ix2>() {
                Ok(cells) if cells.ncols() == n_dims && cells.nrows() > 0 => Ok((covariates, cells)),
                _ => Err(Error::ShapeMismatch {
                    what: format!("control cells of {name}"),
                    expected: format!("[n_cells, {n_dims}]"),
                    got: shape,
                }),
            }
        };
        Ok(Self { by_covariates: arrays.into_iter().map(read).collect::<Result<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controls() -> ControlCells {
        let condition = |text: &str| Condition::parse(text, "control").unwrap();
        let conditions: Vec<Condition> =
            ["control | t=x", "A | t=x", "control | t=y", "control | t=x", "control | t=x"].map(condition).to_vec();
        let cells = Array2::from_shape_fn((5, 2), |(row, column)| (10 * row + column) as f32);
        ControlCells::fit(cells.view(), &conditions, 0)
    }

    #[test]
    fn cells_are_drawn_without_replacement_until_all_were_drawn() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let condition = Condition::parse("B | t=x", "control").unwrap();
        let mut counts = |n: usize| {
            let cells = controls().draw(&condition, n, &mut rng).unwrap();
            [0.0, 30.0, 40.0].map(|first| cells.column(0).iter().filter(|value| **value == first).count())
        };
        assert_eq!(counts(3), [1, 1, 1]);
        assert_eq!(counts(6), [2, 2, 2]);
        let seven = counts(7);
        assert!(seven.iter().sum::<usize>() == 7 && seven.iter().all(|n| *n >= 2), "{seven:?}");
        let unknown = Condition::parse("B | t=z", "control").unwrap();
        assert!(controls().draw(&unknown, 1, &mut ChaCha8Rng::seed_from_u64(0)).is_err());
    }

    #[test]
    fn a_file_gives_the_same_cells() {
        let arrays = controls().to_arrays().unwrap();
        assert_eq!(ControlCells::from_arrays(arrays.clone(), 2).unwrap(), controls());
        assert!(ControlCells::from_arrays(arrays, 3).is_err());
    }
}
