//! Mean and variance of each gene, taken from blocks of cells in one pass.

use rayon::prelude::*;

use crate::cells::SparseMatrix;

/// So many cells are summed apart before they are joined to the rest. The number is fixed, so that the number of threads
/// changes nothing.
const CELLS_PER_CHUNK: usize = 512;
/// Chunks whose sums are in memory at once.
const CHUNKS_AT_ONCE: usize = 16;
/// Genes of one task that joins chunks.
const GENES_PER_TASK: usize = 1024;

/// Number of values, mean and variance of each gene, over cells that come in blocks. **Shapes** (n_genes) each.
///
/// Values of 0 are counted but need not be stored. Other values are summed as differences to the first of their gene, 512
/// cells at a time, and joined by the formulae of Chan, Golub & LeVeque (1983), in which nothing cancels; zeros join in
/// closed form at the end. So the variance of a constant gene is 0, and other blocks of the same cells change the last
/// digits at most (10⁻¹² of the value; tested).
#[derive(Debug, Clone, PartialEq)]
pub struct GeneMoments {
    n_cells: usize,
    genes: Vec<Moments>,
}

/// The values other than 0 of one gene.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Moments {
    n: usize,
    /// Exact where values are whole numbers, so that genes of the same counts have the same mean to the last digit.
    sum: f64,
    /// The first value, and what the mean of the others is more than it: together they tell the mean with more digits.
    first: f64,
    offset: f64,
    /// The sum of squared differences to the mean.
    squares: f64,
}

impl Moments {
    /// Joins the values of others; Chan, Golub & LeVeque (1983), equation 2.1.
    fn join(&mut self, other: Self) {
        if self.n == 0 || other.n == 0 {
            *self = if self.n == 0 { other } else { *self };
            return;
        }
        let n = (self.n + other.n) as f64;
        let difference = (other.first - self.first) + (other.offset - self.offset);
        self.offset += difference * other.n as f64 / n;
        self.squares += other.squares + difference * difference * (self.n as f64 * other.n as f64 / n);
        self.n += other.n;
        self.sum += other.sum;
    }
}

/// The sums of one gene over a chunk of cells, of differences to the first value.
#[derive(Clone, Copy, Default)]
struct Chunk {
    n: usize,
    first: f64,
    sum: f64,
    squares: f64,
}

impl Chunk {
    #[inline]
    fn add(&mut self, value: f64) {
        if self.n == 0 {
            self.first = value;
        }
        let difference = value - self.first;
        self.n += 1;
        self.sum += difference;
        self.squares += difference * difference;
    }

    fn moments(self) -> Moments {
        if self.n == 0 {
            return Moments::default();
        }
        let offset = self.sum / self.n as f64;
        Moments {
            n: self.n,
            sum: self.first * self.n as f64 + self.sum,
            first: self.first,
            offset,
            squares: (self.squares - self.sum * offset).max(0.0),
        }
    }
}

impl GeneMoments {
    /// No cells yet.
    pub fn new(n_genes: usize) -> Self {
        Self { n_cells: 0, genes: vec![Moments::default(); n_genes] }
    }

    /// Adds the given rows of a block; `of` turns a row's number and a stored value into what is measured, such as
    /// `|row, count| count * factors[row]`. It must turn 0 into 0.
    ///
    /// **Shapes** `block`: (_, n_genes)
    pub fn add(&mut self, block: &SparseMatrix, rows: &[usize], of: impl Fn(usize, f32) -> f64 + Sync) {
        self.n_cells += rows.len();
        let add = |sums: &mut Chunk, row: usize, _, value: f32| sums.add(of(row, value));
        sum_genes(block, rows, &mut self.genes, add, |moments, sums: &Chunk| moments.join(sums.moments()));
    }

    /// Adds the cells of others.
    pub fn join(&mut self, other: &Self) {
        self.n_cells += other.n_cells;
        self.genes.iter_mut().zip(&other.genes).for_each(|(moments, &other)| moments.join(other));
    }

    /// Keeps the given genes, in the given order.
    pub fn select(&self, genes: &[usize]) -> Self {
        Self { n_cells: self.n_cells, genes: genes.iter().map(|&gene| self.genes[gene]).collect() }
    }

    /// Number of cells with another value than 0 of one gene.
    pub fn n_expressing_of(&self, gene: usize) -> usize {
        self.genes[gene].n
    }

    /// Number of genes.
    pub fn n_genes(&self) -> usize {
        self.genes.len()
    }

    /// Number of cells so far.
    pub fn n_cells(&self) -> usize {
        self.n_cells
    }

    /// Number of cells with another value than 0; of counts, those that express the gene.
    pub fn n_expressing(&self) -> Vec<usize> {
        self.genes.iter().map(|moments| moments.n).collect()
    }

    /// Means over all cells; NaN if there are none.
    pub fn means(&self) -> Vec<f64> {
        self.genes.iter().map(|moments| moments.sum / self.n_cells as f64).collect()
    }

    /// Variances over all cells, with the divisor n_cells − 1; NaN if there are fewer than two.
    pub fn variances(&self) -> Vec<f64> {
        let n = self.n_cells as f64;
        let of = |moments: &Moments| {
            let zeros = n - moments.n as f64;
            (moments.squares + (moments.first + moments.offset).powi(2) * (moments.n as f64 * zeros / n)) / (n - 1.0)
        };
        self.genes.iter().map(of).collect()
    }
}

/// Sums the stored values other than 0 of the given rows gene by gene, in parallel over a fixed number of cells: `add` takes
/// a value into the sums of its gene (row, gene, value), `join` takes these into the totals, always in the same order.
///
/// **Shapes** `block`: (_, n_genes); `totals`: (n_genes)
pub(super) fn sum_genes<Total: Send, Sums: Copy + Default + Send + Sync>(
    block: &SparseMatrix,
    rows: &[usize],
    totals: &mut [Total],
    add: impl Fn(&mut Sums, usize, usize, f32) + Sync,
    join: impl Fn(&mut Total, &Sums) + Sync,
) {
    let n_genes = totals.len();
    for group in rows.chunks(CELLS_PER_CHUNK * CHUNKS_AT_ONCE) {
        let chunks: Vec<Vec<Sums>> = group
            .par_chunks(CELLS_PER_CHUNK)
            .map(|rows| {
                let mut sums = vec![Sums::default(); n_genes];
                for &row in rows {
                    let (genes, values) = block.row(row);
                    for (&gene, &value) in genes.iter().zip(values).filter(|&(_, &value)| value != 0.0) {
                        add(&mut sums[gene as usize], row, gene as usize, value);
                    }
                }
                sums
            })
            .collect();
        totals.par_iter_mut().with_min_len(GENES_PER_TASK).enumerate().for_each(|(gene, total)| {
            chunks.iter().for_each(|chunk| join(total, &chunk[gene]));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of which some are 0: (n_cells, 3).
    fn matrix(n_cells: usize) -> SparseMatrix {
        let value = |cell: usize, gene: usize| match gene {
            0 => 7.3,
            1 => ((cell * 7919) % 13) as f32,
            _ => 1e4 + ((cell * 31) % 5) as f32 * 1e-2,
        };
        SparseMatrix::from_rows(3, (0..n_cells).map(|cell| (0..3).map(|g| (g as u32, value(cell, g))).collect()))
    }

    fn whole(matrix: &SparseMatrix, rows: &[usize]) -> GeneMoments {
        let mut moments = GeneMoments::new(3);
        moments.add(matrix, rows, |_, value| f64::from(value));
        moments
    }

    #[test]
    fn moments_are_those_of_two_passes() {
        let matrix = matrix(2000);
        let rows: Vec<usize> = (0..2000).filter(|row| row % 3 != 0).collect();
        let moments = whole(&matrix, &rows);
        let dense = matrix.to_dense().mapv(f64::from);
        for gene in 0..3 {
            let values: Vec<f64> = rows.iter().map(|&row| dense[[row, gene]]).collect();
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
            assert!((moments.means()[gene] / mean - 1.0).abs() < 1e-14);
            assert!((moments.variances()[gene] - variance).abs() <= 1e-12 * variance, "{gene}");
            assert_eq!(moments.n_expressing()[gene], values.iter().filter(|&&value| value != 0.0).count());
        }
        assert_eq!(moments.variances()[0], 0.0, "a constant gene does not vary at all");
    }

    #[test]
    fn blocks_do_not_matter() {
        let matrix = matrix(3000);
        let at_once = whole(&matrix, &(0..3000).collect::<Vec<_>>());
        for size in [1, 7, 512, 1999] {
            let mut moments = GeneMoments::new(3);
            for start in (0..3000).step_by(size) {
                let rows: Vec<usize> = (start..(start + size).min(3000)).collect();
                let block = matrix.select_rows(&rows);
                moments.add(&block, &(0..rows.len()).collect::<Vec<_>>(), |_, value| f64::from(value));
            }
            assert_eq!(moments.n_expressing(), at_once.n_expressing());
            for gene in 0..3 {
                let differs = |a: f64, b: f64| (a - b).abs() > 1e-12 * b;
                assert!(!differs(moments.means()[gene], at_once.means()[gene]), "{size}");
                assert!(!differs(moments.variances()[gene], at_once.variances()[gene]), "{size}");
            }
        }
    }

    #[test]
    fn groups_join_and_genes_are_chosen() {
        let matrix = matrix(100);
        let (mut first, second) =
            (whole(&matrix, &(0..40).collect::<Vec<_>>()), whole(&matrix, &(40..100).collect::<Vec<_>>()));
        first.join(&second);
        let all = whole(&matrix, &(0..100).collect::<Vec<_>>());
        assert!((first.variances()[1] / all.variances()[1] - 1.0).abs() < 1e-13);
        assert_eq!(all.select(&[2, 1]).means(), [all.means()[2], all.means()[1]]);
        let mut scaled = GeneMoments::new(3);
        scaled.add(&matrix, &[4, 9], |row, value| f64::from(value) * row as f64);
        assert!((scaled.means()[0] - 7.3 * 6.5).abs() < 1e-5);
    }
}
