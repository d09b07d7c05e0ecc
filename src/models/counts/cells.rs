//! Training cells as counts, and minibatches of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::codes::Codes;
use crate::cells::SparseMatrix;
use crate::conditions::Condition;
use crate::training::Part;
use crate::{Error, Result};

/// The counts of training cells in sparse rows, with their library sizes and the codes of their conditions.
pub struct CountCells {
    counts: Arc<SparseMatrix>,
    libraries: Vec<f32>,
    /// The codes of each condition.
    codes: Vec<Vec<u32>>,
    /// The condition of each cell.
    condition_of: Vec<u32>,
    n_codes: usize,
}

/// Some cells: rows of the training cells, each with its library size and codes. Only what a network reads becomes dense.
pub struct Batch<'a> {
    cells: &'a CountCells,
    rows: Vec<usize>,
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
    /// [`Error::BadValues`] for library sizes that are not above zero; those of [`Codes::of`].
    pub fn new(
        counts: Arc<SparseMatrix>,
        library_sizes: &[f64],
        conditions: &[Condition],
        codes: &Codes,
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
                    of.push(codes.of(condition)?);
                    numbers.insert(condition, of.len() as u32 - 1);
                    of.len() as u32 - 1
                }
            };
            condition_of.push(number);
        }
        let libraries = library_sizes.iter().map(|size| *size as f32).collect();
        Ok(Self { counts, libraries, codes: of, condition_of, n_codes: codes.n() })
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

    /// Some cells by their places.
    pub fn batch(&self, rows: Vec<usize>) -> Batch<'_> {
        Batch { cells: self, rows }
    }

    /// Draws cells, each as likely as any other.
    pub fn draw(&self, n_cells: usize, rng: &mut ChaCha8Rng) -> Batch<'_> {
        self.batch((0..n_cells).map(|_| rng.random_range(0..self.n_cells())).collect())
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
        self.cells.counts.row(self.rows[cell])
    }

    /// The library sizes: (n_cells).
    pub fn libraries(&self) -> Vec<f32> {
        self.rows.iter().map(|&row| self.cells.libraries[row]).collect()
    }

    /// The same numbers for an operation that outlives the batch.
    pub(super) fn observed(&self) -> Observed {
        Observed { counts: self.cells.counts.clone(), rows: self.rows.clone(), libraries: self.libraries() }
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

    /// 1 where a condition has a code: (n_cells, n_codes).
    ///
    /// # Errors
    /// [`Error::Backend`] if the tensor cannot be made.
    pub fn codes(&self, device: &Device) -> Result<Tensor> {
        let codes: Vec<&[u32]> = (0..self.n_cells()).map(|cell| self.codes_of(cell)).collect();
        multi_hot(&codes, self.cells.n_codes, device)
    }

    /// The codes of a cell of the batch.
    pub fn codes_of(&self, cell: usize) -> &[u32] {
        &self.cells.codes[self.cells.condition_of[self.rows[cell]] as usize]
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
        let mut part = |rows: &[usize]| -> Part<'p> {
            let mut rng = ChaCha8Rng::seed_from_u64(rng.random());
            let weight = rows.len() as f64 / self.rows.len() as f64;
            let batch = self.cells.batch(rows.to_vec());
            Box::new(move || Ok((loss_of(&batch, &mut rng)? * weight)?))
        };
        self.rows.chunks(self.rows.len().div_ceil(n_parts)).map(&mut part).collect()
    }
}

/// Codes as rows of ones and zeros: (n_rows, n_codes).
///
/// # Errors
/// [`Error::Backend`] if the tensor cannot be made.
pub(super) fn multi_hot(codes: &[&[u32]], n_codes: usize, device: &Device) -> Result<Tensor> {
    let mut values = vec![0.0_f32; codes.len() * n_codes];
    for (row, codes) in codes.iter().enumerate() {
        codes.iter().for_each(|&code| values[row * n_codes + code as usize] = 1.0);
    }
    Ok(Tensor::from_vec(values, (codes.len(), n_codes), device)?)
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
    use super::*;

    fn cells() -> CountCells {
        let rows = (0..10).map(|cell| vec![(0, cell as f32), (2, 1.0)]);
        let counts = Arc::new(SparseMatrix::from_rows(3, rows));
        let condition = |cell: usize| Condition::parse(["control", "A", "B+A"][cell % 3], "control").unwrap();
        let conditions: Vec<Condition> = (0..10).map(condition).collect();
        let sizes: Vec<f64> = (0..10).map(|cell| f64::from(cell + 1)).collect();
        CountCells::new(counts, &sizes, &conditions, &Codes::fit(&conditions)).unwrap()
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
        cells.draw(20_000, &mut ChaCha8Rng::seed_from_u64(1)).rows.iter().for_each(|row| n_drawn[*row] += 1);
        assert!(n_drawn.iter().all(|n| (1800..2200).contains(n)), "{n_drawn:?}");
    }

    #[test]
    fn what_is_no_count_or_no_library_size_is_refused() {
        let conditions = vec![Condition::default(); 2];
        let codes = Codes::fit(&conditions);
        let new = |value: f32, sizes: &[f64]| {
            let counts = Arc::new(SparseMatrix::from_rows(1, [vec![(0, value)], vec![]]));
            CountCells::new(counts, sizes, &conditions, &codes).err()
        };
        assert!(new(2.0, &[1.0, 3.0]).is_none());
        assert!(matches!(new(0.5, &[1.0, 3.0]), Some(Error::WrongScale { .. })));
        assert!(matches!(new(-1.0, &[1.0, 3.0]), Some(Error::WrongScale { .. })));
        assert!(matches!(new(1.0, &[1.0, 0.0]), Some(Error::BadValues { .. })));
        assert!(matches!(new(1.0, &[1.0]), Some(Error::ShapeMismatch { .. })));
    }
}
