//! Training cells as counts, and minibatches of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::told::Told;
use crate::cells::SparseMatrix;
use crate::conditions::Condition;
use crate::training::Part;
use crate::{Error, Result};

/// The counts of training cells in sparse rows, with their library sizes and what is told of their conditions.
pub struct CountCells {
    counts: Arc<SparseMatrix>,
    libraries: Vec<f32>,
    /// All that is told of each condition, one or the other at random: (n_numbers) each.
    told: Vec<Vec<Vec<f32>>>,
    /// The condition of each cell.
    condition_of: Vec<u32>,
    n_codes: usize,
}

/// Some cells: rows of the training cells, each with its library size and what is told of its condition. Only what a network
/// reads becomes dense.
pub struct Batch<'a> {
    cells: &'a CountCells,
    /// The place of each cell, and which of all that is told of its condition.
    rows: Vec<(usize, usize)>,
}

/// What was seen in some cells, apart from the training cells that it is a part of.
pub(super) struct Observed {
    counts: Arc<SparseMatrix>,
    rows: Vec<usize>,
    /// (n_cells).
    pub(super) libraries: Vec<f32>,
}

impl Observed {
    /// Number of genes.
    pub(super) fn n_genes(&self) -> usize {
        self.counts.n_columns()
    }

    /// The genes and counts of a cell, only those above zero.
    pub(super) fn counts(&self, cell: usize) -> (&[u32], &[f32]) {
        self.counts.row(self.rows[cell])
    }
}

impl CountCells {
    /// Takes training cells.
    ///
    /// **Shapes** `counts`: (n_cells, n_genes); one library size and one condition per cell. **Units** whole counts.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`]; [`Error::TooFew`] without cells; [`Error::WrongScale`] for counts that are not whole;
    /// [`Error::BadValues`] for library sizes that are not above zero; those of [`Told`].
    pub fn new(
        counts: Arc<SparseMatrix>,
        library_sizes: &[f64],
        conditions: &[Condition],
        told: &Told,
    ) -> Result<Self> {
        let n_cells = counts.n_rows();
        if library_sizes.len() != n_cells || conditions.len() != n_cells {
            return Err(Error::ShapeMismatch {
                what: "counts, library sizes and conditions of training cells".into(),
                expected: format!("{n_cells} of each"),
                got: format!("{} and {}", library_sizes.len(), conditions.len()),
            });
        }
        if n_cells == 0 || counts.n_columns() == 0 {
            return Err(Error::TooFew {
                what: "training cells and genes".into(),
                needed: 1,
                got: 0,
                hint: "hold out fewer conditions".into(),
            });
        }
        check_counts(&counts)?;
        check_libraries(library_sizes)?;
        let mut numbers = BTreeMap::<&Condition, u32>::new();
        let mut of = Vec::new();
        let mut condition_of = Vec::with_capacity(n_cells);
        for condition in conditions {
            let number = match numbers.get(condition) {
                Some(number) => *number,
                None => {
                    of.push(told.training_numbers(condition)?);
                    numbers.insert(condition, of.len() as u32 - 1);
                    of.len() as u32 - 1
                }
            };
            condition_of.push(number);
        }
        let libraries = library_sizes.iter().map(|size| *size as f32).collect();
        Ok(Self { counts, libraries, told: of, condition_of, n_codes: told.codes.n() })
    }

    /// Number of cells.
    pub fn n_cells(&self) -> usize {
        self.counts.n_rows()
    }

    /// Number of genes.
    pub fn n_genes(&self) -> usize {
        self.counts.n_columns()
    }

    /// The counts: (n_cells, n_genes).
    pub(super) fn counts(&self) -> &SparseMatrix {
        &self.counts
    }

    /// Some cells by their places, told the first of all that there is to tell of their conditions.
    pub fn batch(&self, rows: Vec<usize>) -> Batch<'_> {
        Batch { cells: self, rows: rows.into_iter().map(|row| (row, 0)).collect() }
    }

    /// Draws cells, each as likely as any other, and what is told of them.
    pub fn draw(&self, n_cells: usize, rng: &mut ChaCha8Rng) -> Batch<'_> {
        let mut draw = |_| {
            let row = rng.random_range(0..self.n_cells());
            let n_told = self.told[self.condition_of[row] as usize].len();
            (row, if n_told > 1 { rng.random_range(0..n_told) } else { 0 })
        };
        Batch { cells: self, rows: (0..n_cells).map(&mut draw).collect() }
    }
}

impl<'a> Batch<'a> {
    /// Number of cells.
    pub fn n_cells(&self) -> usize {
        self.rows.len()
    }

    /// Number of genes.
    pub fn n_genes(&self) -> usize {
        self.cells.n_genes()
    }

    /// The genes and counts of a cell of the batch, only those above zero.
    pub fn counts(&self, cell: usize) -> (&[u32], &[f32]) {
        self.cells.counts.row(self.rows[cell].0)
    }

    /// The library sizes: (n_cells).
    pub fn libraries(&self) -> Vec<f32> {
        self.rows.iter().map(|&(row, _)| self.cells.libraries[row]).collect()
    }

    /// The same numbers for an operation that outlives the batch.
    pub(super) fn observed(&self) -> Observed {
        Observed {
            counts: self.cells.counts.clone(),
            rows: self.rows.iter().map(|&(row, _)| row).collect(),
            libraries: self.libraries(),
        }
    }

    /// ln(1 + count) of every gene: (n_cells, n_genes).
    ///
    /// # Errors
    /// [`Error::Backend`] if the tensor cannot be made.
    pub fn log_counts(&self, device: &Device) -> Result<Tensor> {
        self.dense(device, f32::ln_1p)
    }

    /// The counts: (n_cells, n_genes).
    ///
    /// # Errors
    /// [`Error::Backend`] if the tensor cannot be made.
    pub(super) fn dense_counts(&self, device: &Device) -> Result<Tensor> {
        self.dense(device, |count| count)
    }

    fn dense(&self, device: &Device, of: impl Fn(f32) -> f32) -> Result<Tensor> {
        let n_genes = self.n_genes();
        let mut values = vec![0.0_f32; self.n_cells() * n_genes];
        for (cell, row) in values.chunks_exact_mut(n_genes).enumerate() {
            let (genes, counts) = self.counts(cell);
            genes.iter().zip(counts).for_each(|(&gene, &count)| row[gene as usize] = of(count));
        }
        Ok(Tensor::from_vec(values, (self.n_cells(), n_genes), device)?)
    }

    /// What is told of each cell's condition: its codes, 0 or 1, then its doses, then the numbers of an estimate if there is one:
    /// (n_cells, n_numbers).
    ///
    /// # Errors
    /// [`Error::Backend`] if the tensor cannot be made.
    pub fn told(&self, device: &Device) -> Result<Tensor> {
        let rows = self.rows.iter().map(|&(row, which)| &self.cells.told[self.cells.condition_of[row] as usize][which]);
        let numbers: Vec<f32> = rows.flatten().copied().collect();
        let shape = (self.n_cells(), numbers.len() / self.n_cells().max(1));
        Ok(Tensor::from_vec(numbers, shape, device)?)
    }

    /// The codes of each cell's condition, 0 or 1: (n_cells, n_codes).
    ///
    /// # Errors
    /// [`Error::Backend`] if the tensor cannot be made.
    pub fn codes(&self, device: &Device) -> Result<Tensor> {
        Ok(self.told(device)?.narrow(1, 0, self.cells.n_codes)?.contiguous()?)
    }

    /// The mean of a loss over the cells as a sum of parts of about `n_cells_each` cells, each with random numbers of its
    /// own.
    pub fn parts<'p>(
        &self,
        n_cells_each: usize,
        rng: &mut ChaCha8Rng,
        loss_of: impl Fn(&Batch<'_>, &mut ChaCha8Rng) -> Result<Tensor> + Copy + Send + 'p,
    ) -> Vec<Part<'p>>
    where
        'a: 'p,
    {
        let n_parts = (self.rows.len() / n_cells_each).max(1);
        let mut part = |rows: &[(usize, usize)]| -> Part<'p> {
            let mut rng = ChaCha8Rng::seed_from_u64(rng.random());
            let weight = rows.len() as f64 / self.rows.len() as f64;
            let batch = Batch { cells: self.cells, rows: rows.to_vec() };
            Box::new(move || Ok((loss_of(&batch, &mut rng)? * weight)?))
        };
        self.rows.chunks(self.rows.len().div_ceil(n_parts)).map(&mut part).collect()
    }
}

fn check_counts(counts: &SparseMatrix) -> Result<()> {
    let mut bad = counts.values().iter().filter(|value| !(**value >= 0.0 && value.fract() == 0.0));
    match bad.next() {
        None => Ok(()),
        Some(first) => Err(Error::WrongScale {
            what: "counts of training cells".into(),
            expected: "whole counts".into(),
            found: format!("{first} and {} more", bad.count()),
            hint: "prepare the screen again from raw counts".into(),
        }),
    }
}

fn check_libraries(sizes: &[f64]) -> Result<()> {
    let bad: Vec<String> =
        sizes.iter().filter(|size| !(**size > 0.0 && size.is_finite())).map(ToString::to_string).collect();
    if bad.is_empty() {
        return Ok(());
    }
    Err(Error::BadValues {
        place: "library sizes of training cells".into(),
        problem: "not above zero".into(),
        n_bad: bad.len(),
        n_total: sizes.len(),
        examples: bad.into_iter().take(3).collect(),
        hint: "drop cells without counts when the screen is prepared".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::codes::Codes;
    use super::*;

    fn told(conditions: &[Condition]) -> Told {
        Told { codes: Codes::fit(conditions), guide: None }
    }

    fn cells() -> CountCells {
        let rows = (0..10).map(|cell| vec![(0, cell as f32), (2, 1.0)]);
        let counts = Arc::new(SparseMatrix::from_rows(3, rows));
        let condition = |cell: usize| Condition::parse(["control", "A", "B+A"][cell % 3], "control").unwrap();
        let conditions: Vec<Condition> = (0..10).map(condition).collect();
        let sizes: Vec<f64> = (0..10).map(|cell| f64::from(cell + 1)).collect();
        CountCells::new(counts, &sizes, &conditions, &told(&conditions)).unwrap()
    }

    #[test]
    fn a_batch_has_the_numbers_of_its_cells() {
        let cells = cells();
        let batch = cells.batch(vec![5, 0]);
        let log = batch.log_counts(&Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(log, [vec![6.0_f32.ln(), 0.0, 2.0_f32.ln()], vec![0.0, 0.0, 2.0_f32.ln()]]);
        assert_eq!(batch.codes(&Device::Cpu).unwrap().to_vec2::<f32>().unwrap(), [[1.0, 1.0], [0.0, 0.0]]);
        assert_eq!(batch.libraries(), [6.0, 1.0]);
    }

    #[test]
    fn parts_are_the_cells_in_order_and_their_losses_add_up_to_the_mean() {
        let cells = cells();
        let batch = cells.batch((0..10).collect());
        let loss = |batch: &Batch<'_>, _: &mut ChaCha8Rng| {
            Ok(Tensor::from_vec(batch.libraries(), batch.n_cells(), &Device::Cpu)?.mean_all()?)
        };
        for (n_cells_each, n_parts) in [(3, 3), (10, 1), (64, 1), (1, 10)] {
            let parts = batch.parts(n_cells_each, &mut ChaCha8Rng::seed_from_u64(0), loss);
            assert_eq!(parts.len(), n_parts);
            let sum: f32 = parts.into_iter().map(|part| part().unwrap().to_scalar::<f32>().unwrap()).sum();
            assert!((sum - 5.5).abs() < 1e-5, "{sum}");
        }
    }

    #[test]
    fn every_cell_is_as_likely_as_any_other() {
        let cells = cells();
        let mut n_drawn = [0; 10];
        cells.draw(20_000, &mut ChaCha8Rng::seed_from_u64(1)).rows.iter().for_each(|(row, _)| n_drawn[*row] += 1);
        assert!(n_drawn.iter().all(|n| (1800..2200).contains(n)), "{n_drawn:?}");
    }

    #[test]
    fn what_is_no_count_or_no_library_size_is_refused() {
        let conditions = vec![Condition::default(); 2];
        let told = told(&conditions);
        let new = |value: f32, sizes: &[f64]| {
            let counts = Arc::new(SparseMatrix::from_rows(1, [vec![(0, value)], vec![]]));
            CountCells::new(counts, sizes, &conditions, &told).err()
        };
        assert!(new(2.0, &[1.0, 3.0]).is_none());
        assert!(matches!(new(0.5, &[1.0, 3.0]), Some(Error::WrongScale { .. })));
        assert!(matches!(new(-1.0, &[1.0, 3.0]), Some(Error::WrongScale { .. })));
        assert!(matches!(new(1.0, &[1.0, 0.0]), Some(Error::BadValues { .. })));
        assert!(matches!(new(1.0, &[1.0]), Some(Error::ShapeMismatch { .. })));
    }
}
