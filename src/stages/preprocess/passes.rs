//! The passes over the counts, each in blocks of rows.

use ndarray::{Array2, Axis, s};

use super::PreprocessParams;
use crate::Result;
use crate::cells::{Cells, NOWHERE, SparseMatrix};
use crate::embedding::pca::CrossFitted;
use crate::io::h5ad::{Derived, Matrix, Partial};
use crate::prepared::Coordinates;
use crate::preprocess::counts::Check;
use crate::preprocess::gene_moments::GeneMoments;
use crate::preprocess::normalize::log_scaled;
use crate::preprocess::quality::Quality;
use crate::preprocess::variable_genes::{BatchMoments, Batches, Flavor, Search, VariableGenes};

/// Bytes of counts that stay in memory from the first pass on: about 40 million.
pub(super) const REMEMBERED: usize = 1 << 27;

/// The counts of a screen on disk.
pub(super) struct Passes<'a> {
    pub(super) file: &'a Partial,
    pub(super) matrix: &'a Matrix<'a>,
    /// Counts of a block.
    pub(super) n_values: usize,
}

/// The cells that passed the filters.
pub(super) struct KeptCells<'a> {
    /// Their rows in the file, rising.
    pub(super) rows: &'a [usize],
    /// The positions of training cells among them, rising.
    pub(super) training: &'a [usize],
    /// What the counts of each are multiplied by before log1p.
    pub(super) factors: &'a [f64],
}

/// Some of the genes of the file.
struct Genes {
    /// The place of each gene of the file, or [`NOWHERE`].
    places: Vec<u32>,
    /// Number of places.
    n: usize,
}

/// What is known of the genes of the file over training cells.
pub(super) struct Moments {
    batches: BatchMoments,
    /// Of log-normalised expression.
    pub(super) logarithms: GeneMoments,
}

impl Moments {
    /// The number of training cells that express each gene.
    pub(super) fn n_expressing(&self) -> Vec<usize> {
        self.batches.n_expressing()
    }
}

impl Passes<'_> {
    /// Checks that the matrix holds counts, and measures every cell.
    pub(super) fn measure(
        &self,
        outline: &Cells,
        is_mitochondrial: &[bool],
        params: &PreprocessParams,
        say: &dyn Fn(&str),
    ) -> Result<Quality> {
        let new_check = |layer: Option<&str>| {
            let is_marked = layer.is_none() && outline.uns.contains_key("log1p");
            Check::new(layer, is_marked, &outline.obs.index, &outline.var.index)
        };
        let mut check = new_check(params.counts_layer.as_deref());
        let mut quality = Quality::new();
        self.matrix.blocks(self.n_values, &mut |_, block| {
            check.add(&block);
            quality.measure(&block, is_mitochondrial);
            Ok(())
        })?;
        let looks_like_counts = |layer: Option<&str>| {
            let mut check = new_check(layer);
            self.file.matrix(layer)?.blocks(self.n_values, &mut |_, block| {
                check.add(&block);
                Ok(())
            })?;
            Ok(check.looks_like_counts())
        };
        let note = check.finish(params.accept_fractional_counts, &self.file.layers()?, looks_like_counts)?;
        note.iter().for_each(|note| say(note));
        Ok(quality)
    }

    /// Takes the moments of all genes over training cells.
    pub(super) fn moments(
        &self,
        cells: &KeptCells,
        flavor: Flavor,
        batches: Batches,
        n_genes: usize,
    ) -> Result<Moments> {
        let mut moments = BatchMoments::new(flavor, batches, n_genes);
        let mut logarithms = GeneMoments::new(n_genes);
        self.blocks(cells, None, &mut |first, counts| {
            let factors = &cells.factors[first..first + counts.n_rows()];
            moments.add(&counts, first, factors);
            let x = normalized(counts, factors);
            logarithms.add(&x, &cells.training_of(first, x.n_rows()), |_, value| f64::from(value));
            Ok(())
        })?;
        Ok(Moments { batches: moments, logarithms })
    }

    /// Chooses the variable ones of the genes `columns`.
    pub(super) fn variable_genes(
        &self,
        cells: &KeptCells,
        columns: &[usize],
        moments: &Moments,
        n_top: usize,
    ) -> Result<VariableGenes> {
        match moments.batches.select(columns).search(n_top)? {
            Search::Found(genes) => Ok(genes),
            Search::Again(mut sums) => {
                self.blocks(cells, self.genes(columns).as_ref(), &mut |first, counts| {
                    sums.add(&counts, first);
                    Ok(())
                })?;
                Ok(sums.finish())
            }
        }
    }

    /// Fits the components to the `chosen` ones of the genes `columns`, of training cells; `mean` is that of all `columns`.
    pub(super) fn components(
        &self,
        cells: &KeptCells,
        columns: &[usize],
        mean: Vec<f64>,
        chosen: &[usize],
        n_components: usize,
    ) -> Result<CrossFitted> {
        // Other genes are left out of the blocks.
        let mut places = vec![NOWHERE; self.matrix.n_columns()];
        chosen.iter().for_each(|&place| places[columns[place]] = place as u32);
        let genes = Genes { places, n: columns.len() };
        CrossFitted::fit(mean, chosen, n_components, &|visit| {
            self.blocks(cells, Some(&genes), &mut |first, counts| {
                let training = cells.training_of(first, counts.n_rows());
                let factors = &cells.factors[first..first + counts.n_rows()];
                visit(&normalized(counts, factors), &training);
                Ok(())
            })
        })
    }

    /// Writes `X` and the counts, of the genes `columns`, and another matrix as `counts_original`; returns the coordinates of
    /// the cells.
    pub(super) fn write(
        &self,
        cells: &KeptCells,
        columns: &[usize],
        fitted: &CrossFitted,
        derived: &Derived,
        original: Option<&Matrix>,
    ) -> Result<Coordinates> {
        let mut matrices = derived.matrices(&[None, Some("counts")], self.matrix.n_stored())?;
        let shape = (cells.rows.len(), fitted.pca.n_components());
        let (mut seen, mut unseen) = (Array2::zeros(shape), Array2::zeros(shape));
        let mut n_training = 0;
        let genes = self.genes(columns);
        self.blocks(cells, genes.as_ref(), &mut |first, counts| {
            let range = first..first + counts.n_rows();
            let x = normalized(counts.clone(), &cells.factors[range.clone()]);
            let training = cells.training_of(first, x.n_rows());
            // What one leaves idle while it writes, the other uses.
            let (appended, (coordinates, cross_fitted)) = rayon::join(
                || matrices.append(&[&x, &counts]),
                || (fitted.pca.transform(&x), fitted.coordinates(&x, &training, n_training)),
            );
            appended?;
            let coordinates = coordinates?;
            unseen.slice_mut(s![range.clone(), ..]).assign(&coordinates);
            for (&row, coordinates) in training.iter().zip(cross_fitted.axis_iter(Axis(0))) {
                unseen.row_mut(first + row).assign(&coordinates);
            }
            n_training += training.len();
            seen.slice_mut(s![range, ..]).assign(&coordinates);
            Ok(())
        })?;
        matrices.finish()?;
        if let Some(original) = original {
            let mut matrices = derived.matrices(&[Some("counts_original")], original.n_stored())?;
            let passes = Passes { matrix: original, ..*self };
            passes.blocks(cells, genes.as_ref(), &mut |_, block| matrices.append(&[&block]))?;
            matrices.finish()?;
        }
        Ok(Coordinates { seen, unseen })
    }

    /// The genes `columns`; `None` if these are all.
    fn genes(&self, columns: &[usize]) -> Option<Genes> {
        let mut places = vec![NOWHERE; self.matrix.n_columns()];
        columns.iter().enumerate().for_each(|(place, &column)| places[column] = place as u32);
        (columns.len() < places.len()).then_some(Genes { places, n: columns.len() })
    }

    /// Calls `visit` with the kept cells block by block: the number of the first one among those kept, and their counts in
    /// the given genes, or in all.
    fn blocks(
        &self,
        cells: &KeptCells,
        genes: Option<&Genes>,
        visit: &mut dyn FnMut(usize, SparseMatrix) -> Result<()>,
    ) -> Result<()> {
        self.matrix.blocks(self.n_values, &mut |start, mut block| {
            let place = |row: usize| cells.rows.partition_point(|&kept| kept < row);
            let (first, end) = (place(start), place(start + block.n_rows()));
            if first == end {
                return Ok(());
            }
            if end - first < block.n_rows() {
                let rows: Vec<usize> = cells.rows[first..end].iter().map(|row| row - start).collect();
                block = block.select_rows(&rows);
            }
            if let Some(genes) = genes {
                block = block.move_columns(&genes.places, genes.n);
            }
            visit(first, block)
        })
    }
}

impl KeptCells<'_> {
    /// The training cells among `n` kept cells from `first` on, counted from there.
    fn training_of(&self, first: usize, n: usize) -> Vec<usize> {
        let place = |position: usize| self.training.partition_point(|&row| row < position);
        self.training[place(first)..place(first + n)].iter().map(|row| row - first).collect()
    }
}

/// ln(1 + count · factor of the cell).
fn normalized(mut counts: SparseMatrix, factors: &[f64]) -> SparseMatrix {
    log_scaled(&mut counts, factors);
    counts
}
