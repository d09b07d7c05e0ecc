//! Fits the rates: Poisson quasi-likelihood, gene by gene, from the least-squares reconstruction as a start.

use std::ops::Range;

use ndarray::{Array, Array1, Array2, ArrayView2, Axis, Dimension, Zip, s};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::least_squares;
use super::link::Link;
use super::params::GeneDecoderParams;
use crate::cells::SparseMatrix;

/// Genes fitted together on one thread; genes do not depend on each other.
pub(super) const GENES_PER_BLOCK: usize = 64;
const SOFTNESS: f32 = 0.1;
const SOFTNESS_RANGE: (f32, f32) = (0.03, 2.0);
/// The share of a gene's mean rate that every cell has at least.
const FLOOR: f64 = 0.01;

/// What is fitted for some genes.
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// (n_components, n_genes) on scaled components.
    pub weights: Array2<f32>,
    /// (n_genes)
    pub bias: Array1<f32>,
    /// (n_genes)
    pub log_softness: Array1<f32>,
    /// (n_genes)
    pub ceiling: Array1<f32>,
    /// (n_genes)
    pub floor: Array1<f32>,
    /// Counts per cell of the log1p scale.
    pub target_sum: f32,
}

/// The training cells.
pub(super) struct Training<'a> {
    /// Components scaled to unit standard deviation: (n_cells, n_components).
    pub scaled: &'a Array2<f32>,
    /// (n_cells, n_genes)
    pub counts: &'a SparseMatrix,
    /// (n_cells)
    pub libraries: &'a [f64],
}

impl Block {
    /// The link of one gene of the block.
    pub fn link(&self, gene: usize) -> Link {
        Link {
            softness: self.log_softness[gene].exp(),
            ceiling: self.ceiling[gene],
            floor: self.floor[gene],
            target_sum: self.target_sum,
        }
    }

    /// The rates of cells: (n_cells, n_components) → (n_cells, n_genes).
    pub fn rates(&self, scaled: ArrayView2<f32>) -> Array2<f32> {
        let mut rates = scaled.dot(&self.weights);
        for (gene, mut column) in rates.columns_mut().into_iter().enumerate() {
            let link = self.link(gene);
            let bias = self.bias[gene];
            column.mapv_inplace(|predictor| link.rate(predictor + bias));
        }
        rates
    }

    /// The mean over cells of the loss, summed over genes.
    pub fn loss(&self, scaled: ArrayView2<f32>, counts: ArrayView2<f32>, libraries: &[f32]) -> f64 {
        let predictors = scaled.dot(&self.weights) + &self.bias;
        let losses = predictors
            .indexed_iter()
            .map(|((cell, gene), &predictor)| self.link(gene).loss(predictor, counts[[cell, gene]], libraries[cell]));
        losses.sum::<f64>() / libraries.len() as f64
    }

    /// The gradient of [`Self::loss`].
    ///
    /// **Shapes** `scaled`: (minibatch, n_components); `counts`: (minibatch, n_genes); `libraries`: (minibatch).
    fn gradient(&self, scaled: ArrayView2<f32>, counts: ArrayView2<f32>, libraries: &[f32]) -> Gradient {
        let n = libraries.len() as f32;
        let n_genes = self.bias.len();
        let links: Vec<Link> = (0..n_genes).map(|gene| self.link(gene)).collect();
        let mut slopes = scaled.dot(&self.weights); // (minibatch, n_genes): predictors, then the slopes by them
        let (mut bias, mut log_softness) = (Array1::zeros(n_genes), Array1::zeros(n_genes));
        for ((mut row, counts), &library) in slopes.rows_mut().into_iter().zip(counts.rows()).zip(libraries) {
            for gene in 0..n_genes {
                let found = links[gene].slopes(row[gene] + self.bias[gene], counts[gene], library);
                row[gene] = found.predictor / n;
                bias[gene] += found.predictor / n;
                log_softness[gene] += found.log_softness / n;
            }
        }
        Gradient { weights: scaled.t().dot(&slopes), bias, log_softness }
    }
}

/// The derivatives of the loss.
struct Gradient {
    weights: Array2<f32>,
    bias: Array1<f32>,
    log_softness: Array1<f32>,
}

/// Adam's running moments of one parameter (Kingma & Ba 2015, arXiv:1412.6980v9, Algorithm 1), β₁ = 0.9, β₂ = 0.99.
struct Moments<D: Dimension> {
    first: Array<f32, D>,
    second: Array<f32, D>,
}

impl<D: Dimension> Moments<D> {
    fn like(parameter: &Array<f32, D>) -> Self {
        Self { first: Array::zeros(parameter.raw_dim()), second: Array::zeros(parameter.raw_dim()) }
    }

    fn step(&mut self, parameter: &mut Array<f32, D>, gradient: &Array<f32, D>, step: usize, rate: f32) {
        let unbias = |beta: f32| 1.0 / (1.0 - beta.powi(step as i32 + 1));
        let (first_scale, second_scale) = (unbias(0.9), unbias(0.99));
        Zip::from(parameter).and(&mut self.first).and(&mut self.second).and(gradient).for_each(|p, m, v, &g| {
            *m = 0.9 * *m + 0.1 * g;
            *v = 0.99 * *v + 0.01 * g * g;
            *p -= rate * (*m * first_scale) / ((*v * second_scale).sqrt() + 1e-8);
        });
    }
}

/// The linear reconstruction of log1p expression, log1p(counts / library · target_sum) ≈ baseline + loadings · components.
///
/// On training cells it equals the principal components' own, and it exists for genes outside the PCA too.
/// **Returns** (n_genes, 1 + n_components), the baseline first, on scaled components.
pub(super) fn reconstruction(training: &Training, target_sum: f64) -> Array2<f64> {
    let n_columns = training.scaled.ncols() + 1;
    let mut design = Array2::<f64>::ones((training.scaled.nrows(), n_columns));
    design.slice_mut(s![.., 1..]).assign(&training.scaled.mapv(f64::from));
    let mut products = Array2::<f64>::zeros((training.counts.n_columns(), n_columns));
    for (cell, row) in design.rows().into_iter().enumerate() {
        let (genes, counts) = training.counts.row(cell);
        for (&gene, &count) in genes.iter().zip(counts) {
            let expression = (f64::from(count) / training.libraries[cell] * target_sum).ln_1p();
            products.row_mut(gene as usize).scaled_add(expression, &row);
        }
    }
    let mut ridge = vec![1.0; n_columns]; // one cell's worth; the baseline is free
    ridge[0] = 0.0;
    least_squares::solve(design.t().dot(&design).view(), &ridge, products.view())
}

/// The counts of a range of genes, dense: (n_cells, n_genes of the block).
pub(super) fn dense_block(counts: &SparseMatrix, genes: &Range<usize>) -> Array2<f32> {
    let mut dense = Array2::zeros((counts.n_rows(), genes.len()));
    for (cell, mut row) in dense.rows_mut().into_iter().enumerate() {
        let (columns, values) = counts.row(cell);
        let start = columns.partition_point(|&column| (column as usize) < genes.start);
        for (&column, &value) in columns[start..].iter().zip(&values[start..]) {
            if column as usize >= genes.end {
                break;
            }
            row[column as usize - genes.start] = value;
        }
    }
    dense
}

/// The cells of each step: shuffled passes over all cells.
pub(super) fn minibatches(n_cells: usize, params: &GeneDecoderParams) -> Vec<Vec<usize>> {
    let mut rng = ChaCha8Rng::seed_from_u64(params.seed);
    let size = params.minibatch.min(n_cells);
    let mut order: Vec<usize> = (0..n_cells).collect();
    let mut steps = Vec::with_capacity(params.steps);
    while steps.len() < params.steps {
        order.shuffle(&mut rng);
        steps.extend(order.chunks_exact(size).take(params.steps - steps.len()).map(<[usize]>::to_vec));
    }
    steps
}

/// Where a block starts: the linear reconstruction, bounded by what the training cells showed.
pub(super) fn start(training: &Training, counts: &Array2<f32>, linear: ArrayView2<f64>, target_sum: f64) -> Block {
    let total: f64 = training.libraries.iter().sum();
    let largest_library = training.libraries.iter().fold(0.0_f64, |most, &library| most.max(library));
    let (mut floor, mut ceiling) = (Array1::zeros(counts.ncols()), Array1::zeros(counts.ncols()));
    for (gene, column) in counts.columns().into_iter().enumerate() {
        let sum: f64 = column.iter().map(|&count| f64::from(count)).sum();
        let rates = column.iter().zip(training.libraries).map(|(&count, library)| f64::from(count) / library);
        floor[gene] = ((FLOOR * sum + FLOOR) / total) as f32;
        ceiling[gene] = (rates.fold(1.0 / largest_library, f64::max) * target_sum).ln_1p() as f32;
    }
    Block {
        weights: linear.slice(s![.., 1..]).t().mapv(|value| value as f32).as_standard_layout().into_owned(),
        bias: linear.column(0).mapv(|value| value as f32),
        log_softness: Array1::from_elem(counts.ncols(), SOFTNESS.ln()),
        ceiling,
        floor,
        target_sum: target_sum as f32,
    }
}

/// Fits a block with Adam: a warm-up, then a cosine down to zero.
pub(super) fn optimize(
    mut block: Block,
    training: &Training,
    counts: &Array2<f32>,
    steps: &[Vec<usize>],
    learning_rate: f64,
) -> Block {
    const WARM_UP: f64 = 20.0;
    let mut weights = Moments::like(&block.weights);
    let mut bias = Moments::like(&block.bias);
    let mut softness = Moments::like(&block.log_softness);
    for (step, cells) in steps.iter().enumerate() {
        let libraries: Vec<f32> = cells.iter().map(|&cell| training.libraries[cell] as f32).collect();
        let scaled = training.scaled.select(Axis(0), cells);
        let gradient = block.gradient(scaled.view(), counts.select(Axis(0), cells).view(), &libraries);
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / steps.len() as f64).cos());
        let rate = (learning_rate * cosine * ((step as f64 + 1.0) / WARM_UP).min(1.0)) as f32;
        weights.step(&mut block.weights, &gradient.weights, step, rate);
        bias.step(&mut block.bias, &gradient.bias, step, rate);
        // Three times the rate: the bend has far to go from its common start.
        softness.step(&mut block.log_softness, &gradient.log_softness, step, 3.0 * rate);
        block.log_softness.mapv_inplace(|value| value.clamp(SOFTNESS_RANGE.0.ln(), SOFTNESS_RANGE.1.ln()));
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    /// 40 cells, 3 components, 4 genes.
    fn example() -> (Block, Array2<f32>, Array2<f32>, Vec<f32>) {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut draw = |rows, columns| Array2::from_shape_fn((rows, columns), |_| rng.random_range(-1.0_f32..1.0));
        let block = Block {
            weights: draw(3, 4),
            bias: draw(1, 4).row(0).to_owned(),
            log_softness: Array1::from_elem(4, -1.0),
            ceiling: Array1::from_elem(4, 4.0),
            floor: Array1::from_elem(4, 1e-3),
            target_sum: 10.0,
        };
        let scaled = draw(40, 3);
        let counts = draw(40, 4).mapv(|value| (value * 3.0).max(0.0).round());
        let libraries = (0..40).map(|cell| 8.0 + (cell % 5) as f32).collect();
        (block, scaled, counts, libraries)
    }

    #[test]
    fn every_parameter_has_the_gradient_of_finite_differences() {
        const STEP: f32 = 1e-2;
        let (block, scaled, counts, libraries) = example();
        let gradient = block.gradient(scaled.view(), counts.view(), &libraries);
        let difference = |change: &dyn Fn(&mut Block, f32)| {
            let at = |step: f32| {
                let mut moved = block.clone();
                change(&mut moved, step);
                moved.loss(scaled.view(), counts.view(), &libraries)
            };
            (at(STEP) - at(-STEP)) / f64::from(2.0 * STEP)
        };
        let check = |got: f32, expected: f64, what: &str| {
            assert!(got != 0.0, "{what} gets no gradient");
            assert!((f64::from(got) - expected).abs() < 0.01 * expected.abs() + 2e-3, "{what}: {got} {expected}");
        };
        for gene in 0..4 {
            for component in 0..3 {
                let expected = difference(&|block, step| block.weights[[component, gene]] += step);
                check(gradient.weights[[component, gene]], expected, "weight");
            }
            check(gradient.bias[gene], difference(&|block, step| block.bias[gene] += step), "bias");
            check(gradient.log_softness[gene], difference(&|b, step| b.log_softness[gene] += step), "softness");
        }
    }

    #[test]
    fn minibatches_hold_as_many_cells_as_asked_and_each_cell_once_per_pass() {
        let params = GeneDecoderParams { steps: 8, minibatch: 5, ..GeneDecoderParams::default() };
        let steps = minibatches(20, &params);
        assert_eq!(steps.len(), 8);
        let mut first: Vec<usize> = steps[..4].concat();
        first.sort_unstable();
        assert_eq!(first, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn the_dense_block_holds_the_columns_asked_for() {
        let counts = SparseMatrix::from_rows(5, [vec![(0, 1.0), (2, 3.0), (4, 9.0)], vec![(3, 2.0)]]);
        assert_eq!(dense_block(&counts, &(2..4)), ndarray::array![[3.0, 0.0], [0.0, 2.0]]);
    }
}
