//! Back to genes: from principal components to whole counts with the zeros, the scatter and the means of real cells.
//!
//! Goes in: components of generated cells, library sizes drawn from training cells. Comes out: counts, and from them
//! log1p expression on the scale of the data.
//!
//! - **Rates** (`link`, `fit`): per gene, a soft-thresholded linear predictor of log1p expression, fitted by Poisson
//!   quasi-likelihood. It is linear on the log1p scale and bounded by what training cells showed, so that cells outside
//!   the training data cannot explode.
//! - **Scatter** (`law`, `dispersion`): negative binomial where counts vary more than Poisson counts do given the
//!   components, and less than Poisson where the components tell the count already.
//! - **Depth** (`library`): components also tell the depth; library sizes are handed to the cells that they fit.
//! - **Means** (`draws`): within a condition, each gene's means are scaled so that the expected log1p expression is
//!   that of the linear reconstruction, and counts are drawn with little noise in the condition's mean.

mod arrays;
mod check;
mod dispersion;
mod draws;
mod fit;
mod law;
mod least_squares;
mod library;
mod link;
mod params;

use std::collections::BTreeMap;
use std::ops::Range;

use ndarray::{Array1, Array2, ArrayView2, Axis, concatenate, s};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

pub use draws::draw_evenly;
pub use law::CountLaw;
pub use params::GeneDecoderParams;

use crate::cells::SparseMatrix;
use crate::{Error, Result};
use dispersion::Scatter;
use draws::LogTable;
use fit::{Block, GENES_PER_BLOCK, Training};
use library::LibraryModel;

/// A correction of a condition's mean never exceeds this factor: chosen by us, far above what held-out conditions needed.
const LARGEST_CORRECTION: f64 = 8.0;

/// Cells on which a condition's correction is found; more would only cost time.
const MOST_CORRECTED_CELLS: usize = 2000;

/// Turns principal components into counts.
#[derive(Debug, Clone)]
pub struct GeneDecoder {
    target_sum: f32,
    /// The largest sum of a training cell's rates over genes.
    largest_total: f32,
    /// Standard deviation of each component: (n_components).
    scale: Array1<f32>,
    /// (n_components, n_genes) on scaled components.
    weights: Array2<f32>,
    bias: Array1<f32>,
    log_softness: Array1<f32>,
    ceiling: Array1<f32>,
    floor: Array1<f32>,
    /// The linear reconstruction of log1p expression: (n_components, n_genes) on scaled components.
    loadings: Array2<f32>,
    baseline: Array1<f32>,
    scatter: Vec<Scatter>,
    library: LibraryModel,
}

impl GeneDecoder {
    /// Fits training cells; the same seed gives the same decoder on any number of threads.
    ///
    /// **Shapes** `embedding`: (n_cells, n_components); `counts`: (n_cells, n_genes); `library_sizes`: (n_cells).
    /// **Units** components of log1p(counts / library size · target_sum); whole counts.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`]; [`Error::BadValues`] for components that are not finite or library sizes that are not
    /// positive; [`Error::WrongScale`] for counts that are not whole; [`Error::TooFew`] for fewer than two cells per
    /// component; [`Error::InvalidParameter`]; [`Error::NonFiniteLoss`].
    pub fn fit(
        embedding: ArrayView2<f32>,
        counts: &SparseMatrix,
        library_sizes: &[f64],
        params: &GeneDecoderParams,
    ) -> Result<Self> {
        params.check()?;
        let (n_cells, n_components) = embedding.dim();
        check::same_cells("counts for the gene decoder", n_cells, counts.n_rows())?;
        check::libraries(library_sizes, n_cells)?;
        check::components(embedding, n_components)?;
        check::whole_counts(counts)?;
        let needed = 2 * (n_components + 1);
        if n_cells < needed {
            return Err(Error::TooFew {
                what: format!("training cells for {n_components} components"),
                needed,
                got: n_cells,
                hint: "use fewer principal components".into(),
            });
        }
        let scale = embedding.std_axis(Axis(0), 0.0).mapv(|deviation| if deviation > 0.0 { deviation } else { 1.0 });
        let scaled = &embedding / &scale;
        let training = Training { scaled: &scaled, counts, libraries: library_sizes };
        let linear = fit::reconstruction(&training, params.target_sum);
        let steps = fit::minibatches(n_cells, params);
        let fitted: Vec<(Block, Vec<Scatter>)> = blocks(counts.n_columns())
            .into_par_iter()
            .map(|genes| fit_block(&training, linear.slice(s![genes.clone(), ..]), &genes, &steps, params))
            .collect::<Result<_>>()?;
        let join = |part: fn(&Block) -> &Array1<f32>| -> Array1<f32> {
            fitted.iter().flat_map(|(block, _)| part(block).iter().copied()).collect()
        };
        let weights: Vec<_> = fitted.iter().map(|(block, _)| block.weights.view()).collect();
        let mut decoder = Self {
            target_sum: params.target_sum as f32,
            largest_total: f32::INFINITY,
            weights: concatenate(Axis(1), &weights).map_err(|source| Error::backend("joining weights", source))?,
            bias: join(|block| &block.bias),
            log_softness: join(|block| &block.log_softness),
            ceiling: join(|block| &block.ceiling),
            floor: join(|block| &block.floor),
            loadings: linear.slice(s![.., 1..]).t().mapv(|value| value as f32).as_standard_layout().into_owned(),
            baseline: linear.column(0).mapv(|value| value as f32),
            scatter: fitted.iter().flat_map(|(_, scatter)| scatter.iter().copied()).collect(),
            library: LibraryModel::unfitted(n_components),
            scale,
        };
        let totals = counts.row_sums().into_iter().zip(library_sizes).map(|(sum, library)| sum / library);
        decoder.library = decoder.fit_library(scaled.view(), library_sizes);
        decoder.largest_total = totals.fold(0.0_f64, f64::max) as f32;
        Ok(decoder)
    }

    /// Number of components that a cell must have.
    pub fn n_components(&self) -> usize {
        self.scale.len()
    }

    /// Number of genes that a cell gets.
    pub fn n_genes(&self) -> usize {
        self.bias.len()
    }

    /// The scale of log1p expression: counts per cell.
    pub fn target_sum(&self) -> f64 {
        f64::from(self.target_sum)
    }

    /// Expected counts per unit of library size: (n_cells, n_components) → (n_cells, n_genes).
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`]; [`Error::BadValues`] for components that are not finite.
    pub fn rates(&self, embedding: ArrayView2<f32>) -> Result<Array2<f32>> {
        check::components(embedding, self.n_components())?;
        Ok(self.scaled_rates((&embedding / &self.scale).view()))
    }

    /// Hands the library sizes of each group to the cells of the group that they fit; none is changed or lost.
    ///
    /// **Shapes** as in [`Self::generate`] → (n_cells).
    ///
    /// # Errors
    /// As in [`Self::generate`].
    pub fn assign_library_sizes(
        &self,
        embedding: ArrayView2<f32>,
        library_sizes: &[f64],
        groups: &[usize],
    ) -> Result<Vec<f64>> {
        self.check_cells(embedding, library_sizes, groups)?;
        let scaled = &embedding / &self.scale;
        let rates = self.scaled_rates(scaled.view());
        let members: Vec<Vec<usize>> = members(groups).into_values().collect();
        Ok(self.library.assign(scaled.view(), rates.view(), library_sizes, &members))
    }

    /// Draws counts; the same seed gives the same counts on any number of threads.
    ///
    /// **Shapes** `embedding`: (n_cells, n_components); `library_sizes`, `groups` (the condition of each cell): (n_cells)
    /// → (n_cells, n_genes). Draw library sizes from training cells, then [`Self::assign_library_sizes`].
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`]; [`Error::BadValues`] for components that are not finite or library sizes that are not
    /// positive.
    pub fn generate(
        &self,
        embedding: ArrayView2<f32>,
        library_sizes: &[f64],
        groups: &[usize],
        seed: u64,
    ) -> Result<SparseMatrix> {
        self.check_cells(embedding, library_sizes, groups)?;
        let mut rows: Vec<Vec<(u32, f32)>> = vec![Vec::new(); embedding.nrows()];
        for (group, cells) in members(groups) {
            let scaled = &embedding.select(Axis(0), &cells) / &self.scale;
            let libraries: Vec<f64> = cells.iter().map(|&cell| library_sizes[cell]).collect();
            for (gene, counts) in self.generate_group(scaled.view(), &libraries, group, seed).into_iter().enumerate() {
                for (cell, count) in counts {
                    rows[cells[cell]].push((gene as u32, count as f32));
                }
            }
        }
        Ok(SparseMatrix::from_rows(self.n_genes(), rows))
    }

    /// The model of library sizes; the rates of all cells would be as large as the dense counts.
    fn fit_library(&self, scaled: ArrayView2<f32>, library_sizes: &[f64]) -> LibraryModel {
        const CELLS_AT_A_TIME: usize = 2048;
        let median = library::median(library_sizes);
        let mut features = Array2::zeros((scaled.nrows(), library::n_features(self.n_components())));
        let blocks = scaled.axis_chunks_iter(Axis(0), CELLS_AT_A_TIME);
        for (scaled, mut features) in blocks.zip(features.axis_chunks_iter_mut(Axis(0), CELLS_AT_A_TIME)) {
            features.assign(&library::features(scaled, self.scaled_rates(scaled).view(), median));
        }
        LibraryModel::fit(features, library_sizes, median)
    }

    /// The counts of one condition's cells, gene by gene: (cell, count) where there is one.
    fn generate_group(
        &self,
        scaled: ArrayView2<f32>,
        libraries: &[f64],
        group: usize,
        seed: u64,
    ) -> Vec<Vec<(usize, f64)>> {
        let rates = self.scaled_rates(scaled);
        // The correction is found on some of many cells, and on what these should show on average.
        let stride = libraries.len().div_ceil(MOST_CORRECTED_CELLS).max(1);
        let sample = scaled.slice(s![..;stride as isize, ..]);
        let centre: Array1<f64> = sample.mapv(f64::from).sum_axis(Axis(0)) / sample.nrows() as f64;
        let targets = self.loadings.mapv(f64::from).t().dot(&centre) + self.baseline.mapv(f64::from);
        let scales = libraries.iter().step_by(stride).map(|library| self.target_sum() / library);
        let per_count = LogTable::new(scales.collect());
        (0..self.n_genes())
            .into_par_iter()
            .map(|gene| {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                rng.set_stream((group as u64) << 32 | gene as u64);
                let means = rates.column(gene);
                let law = |(&rate, library): (&f32, &f64)| self.scatter[gene].law(f64::from(rate) * library);
                let mut laws: Vec<CountLaw> = means.iter().zip(libraries).map(law).collect();
                let sample: Vec<CountLaw> = laws.iter().step_by(stride).copied().collect();
                let factor = draws::correction(&sample, &per_count, targets[gene], LARGEST_CORRECTION);
                laws.iter_mut().for_each(|law| law.mean *= factor);
                draws::draw(&laws, &mut rng)
            })
            .collect()
    }

    /// The rates of scaled components; a cell's sum over genes is at most that of the richest training cell.
    fn scaled_rates(&self, scaled: ArrayView2<f32>) -> Array2<f32> {
        let mut rates = Array2::zeros((scaled.nrows(), self.n_genes()));
        let parts: Vec<_> = rates.axis_chunks_iter_mut(Axis(1), GENES_PER_BLOCK).zip(blocks(self.n_genes())).collect();
        parts.into_par_iter().for_each(|(mut part, genes)| {
            let block = Block {
                weights: self.weights.slice(s![.., genes.clone()]).as_standard_layout().into_owned(),
                bias: self.bias.slice(s![genes.clone()]).to_owned(),
                log_softness: self.log_softness.slice(s![genes.clone()]).to_owned(),
                ceiling: self.ceiling.slice(s![genes.clone()]).to_owned(),
                floor: self.floor.slice(s![genes]).to_owned(),
                target_sum: self.target_sum,
            };
            part.assign(&block.rates(scaled));
        });
        for mut row in rates.rows_mut() {
            let total = row.sum();
            if total > self.largest_total {
                row *= self.largest_total / total;
            }
        }
        rates
    }

    fn check_cells(&self, embedding: ArrayView2<f32>, library_sizes: &[f64], groups: &[usize]) -> Result<()> {
        check::components(embedding, self.n_components())?;
        check::same_cells("conditions of generated cells", embedding.nrows(), groups.len())?;
        check::libraries(library_sizes, embedding.nrows())
    }
}

/// Fits the rates and the scatter of some genes.
fn fit_block(
    training: &Training,
    linear: ArrayView2<f64>,
    genes: &Range<usize>,
    steps: &[Vec<usize>],
    params: &GeneDecoderParams,
) -> Result<(Block, Vec<Scatter>)> {
    let counts = fit::dense_block(training.counts, genes);
    let start = fit::start(training, &counts, linear, params.target_sum);
    let block = fit::optimize(start, training, &counts, steps, params.learning_rate);
    let last = steps.last().map_or(&[][..], Vec::as_slice);
    let libraries: Vec<f32> = last.iter().map(|&cell| training.libraries[cell] as f32).collect();
    let loss =
        block.loss(training.scaled.select(Axis(0), last).view(), counts.select(Axis(0), last).view(), &libraries);
    if !loss.is_finite() || block.weights.iter().chain(&block.bias).any(|value| !value.is_finite()) {
        return Err(Error::NonFiniteLoss {
            step: steps.len(),
            loss,
            hint: "lower the gene decoder's learning rate".into(),
        });
    }
    let mut means = block.rates(training.scaled.view()).mapv(f64::from);
    for (mut row, &library) in means.rows_mut().into_iter().zip(training.libraries) {
        row *= library;
    }
    let scatter = dispersion::scatter(counts.view(), means.view(), training.scaled.ncols() + 1);
    Ok((block, scatter))
}

/// The genes in blocks.
fn blocks(n_genes: usize) -> Vec<Range<usize>> {
    (0..n_genes).step_by(GENES_PER_BLOCK).map(|start| start..(start + GENES_PER_BLOCK).min(n_genes)).collect()
}

/// The cells of each group.
fn members(groups: &[usize]) -> BTreeMap<usize, Vec<usize>> {
    let mut members = BTreeMap::<usize, Vec<usize>>::new();
    for (cell, &group) in groups.iter().enumerate() {
        members.entry(group).or_default().push(cell);
    }
    members
}
