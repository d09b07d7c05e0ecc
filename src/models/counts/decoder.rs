//! From the numbers of a cell to the law of its counts, and to counts.

use candle_core::Tensor;
use ndarray::{Array2, ArrayView2};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::layers::Stack;
use super::likelihood::{CountLikelihood, Outputs};
use super::start::{Depth, Start};
use super::told::repeated;
use crate::cells::SparseMatrix;
use crate::language::kernels::{alone, values};
use crate::language::parameters::{Parameters, Start as Init};
use crate::language::transformer::Linear;
use crate::models::gene_decoder::{CountLaw, draw_evenly};
use crate::{Error, Result};

/// Sizes and choices of a decoder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DecoderSizes {
    /// Numbers of a cell.
    pub n_in: usize,
    /// Numbers that every layer is told of conditions.
    pub n_told: usize,
    /// Numbers per layer.
    pub width: usize,
    /// Hidden layers.
    pub n_layers: usize,
    /// Genes.
    pub n_genes: usize,
    /// The law of a count.
    pub likelihood: CountLikelihood,
}

/// Hidden layers, then affine maps to the shares of genes and, where zeros are inflated, to their log odds; one inverse
/// dispersion for each gene.
#[derive(Debug, Clone)]
pub struct CountDecoder {
    hidden: Stack,
    shares: Linear,
    dropout: Option<Linear>,
    log_inverse_dispersion: Tensor,
    depth: Depth,
    n_genes: usize,
}

/// Weights of the last layer start small: a cell starts near the mean shares.
const DEVIATION: f32 = 0.02;

impl CountDecoder {
    /// Makes the decoder; without a closed form to start from the last layer starts at zero, to be taken from a file.
    ///
    /// # Errors
    /// Those of [`Parameters::tensor`].
    pub fn new(parameters: &mut Parameters, sizes: DecoderSizes, depth: Depth, start: Option<&Start>) -> Result<Self> {
        let DecoderSizes { n_in, n_told, width, n_layers, n_genes, likelihood } = sizes;
        let from = |of: fn(&Start) -> &Vec<f32>| start.map_or(Init::Zeros, |start| Init::Values(of(start).clone()));
        let n_shares = n_genes + usize::from(depth.has_rest);
        let hidden = Stack::new(parameters, "decoder", n_in, width, n_layers, n_told)?;
        let bias = from(|start| &start.log_shares);
        let shares = Linear::with_bias(parameters, "shares", width, n_shares, DEVIATION, bias)?;
        let dropout = match likelihood {
            CountLikelihood::Nb => None,
            // Few zeros beside the negative binomial's to begin with.
            CountLikelihood::Zinb => {
                let bias = Init::Values(vec![-2.0; n_genes]);
                Some(Linear::with_bias(parameters, "dropout", width, n_genes, DEVIATION, bias)?)
            }
        };
        let sizes = from(|start| &start.log_inverse_dispersions);
        let log_inverse_dispersion = parameters.tensor("log_inverse_dispersion", &[n_genes], sizes)?;
        Ok(Self { hidden, shares, dropout, log_inverse_dispersion, depth, n_genes })
    }

    /// The law of counts: (n_cells, n_in), (n_cells, n_told) → for (n_cells, n_genes).
    ///
    /// # Errors
    /// [`Error::Backend`] if the shapes do not fit.
    pub fn forward(&self, x: &Tensor, told: Option<&Tensor>) -> Result<Outputs> {
        let hidden = self.hidden.forward(x, told, None)?;
        Ok(Outputs {
            logits: self.shares.forward(&hidden)?,
            log_inverse_dispersion: self.log_inverse_dispersion.clone(),
            dropout: self.dropout.as_ref().map(|dropout| dropout.forward(&hidden)).transpose()?,
        })
    }

    /// Draws counts of cells from their laws; the same seed gives the same counts on any number of threads.
    ///
    /// Each count follows its own law; those of a gene are drawn evenly over the cells ([`draw_evenly`]), as for the
    /// methods that work on principal components.
    ///
    /// **Shapes** `latents`: (n_cells, n_in); `told` of their condition, where layers are told: (n_told); `library_sizes`: (n_cells) →
    /// (n_cells, n_genes).
    ///
    /// # Errors
    /// [`Error::Backend`] if the shapes do not fit.
    pub fn generate(
        &self,
        latents: ArrayView2<f32>,
        told: Option<&[f32]>,
        library_sizes: &[f64],
        seed: u64,
    ) -> Result<SparseMatrix> {
        let laws = self.laws(latents, told, library_sizes)?;
        let sizes: Vec<f64> = values(&self.log_inverse_dispersion)?.iter().map(|log| f64::from(*log).exp()).collect();
        let of_gene = |gene: usize| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(gene as u64);
            let law = |cell: usize| {
                let mean = f64::from(laws.means[[cell, gene]]);
                CountLaw { mean, dispersion: 1.0 / sizes[gene], rounding: 0.0 }
            };
            let is_read = |cell: usize| 1.0 - laws.zeros.as_ref().map_or(0.0, |zeros| f64::from(zeros[[cell, gene]]));
            let positive = |cell: usize| is_read(cell) * (1.0 - law(cell).zero_probability());
            let quantile = |cell: usize, within: f64| {
                let zero = law(cell).zero_probability();
                law(cell).quantile(zero + (1.0 - zero) * within)
            };
            draw_evenly(library_sizes.len(), positive, quantile, &mut rng)
        };
        let drawn: Vec<Vec<(usize, f64)>> = (0..self.n_genes).into_par_iter().map(of_gene).collect();
        let mut rows = vec![Vec::new(); library_sizes.len()];
        for (gene, counts) in drawn.into_iter().enumerate() {
            counts.into_iter().for_each(|(cell, count)| rows[cell].push((gene as u32, count as f32)));
        }
        Ok(SparseMatrix::from_rows(self.n_genes, rows))
    }

    /// Means and probabilities of further zeros.
    fn laws(&self, latents: ArrayView2<f32>, told: Option<&[f32]>, library_sizes: &[f64]) -> Result<Laws> {
        const CELLS: usize = 64;
        let n_cells = latents.nrows();
        let device = self.log_inverse_dispersion.device();
        let block = |start: usize| -> Result<(Vec<f32>, Vec<f32>)> {
            let n = CELLS.min(n_cells - start);
            let rows = latents.slice(ndarray::s![start..start + n, ..]);
            let x = Tensor::from_vec(rows.iter().copied().collect::<Vec<f32>>(), rows.dim(), device)?;
            let told = told.map(|told| repeated(told, n, device)).transpose()?;
            let outputs = self.forward(&x, told.as_ref())?;
            let shares = candle_nn::ops::softmax(&outputs.logits, 1)?.narrow(1, 0, self.n_genes)?;
            let depths: Vec<f32> =
                library_sizes[start..start + n].iter().map(|size| self.depth.factor * *size as f32).collect();
            let means = shares.broadcast_mul(&Tensor::from_vec(depths, (n, 1), device)?)?;
            let zeros = outputs.dropout.map(|odds| values(&candle_nn::ops::sigmoid(&odds)?)).transpose()?;
            Ok((values(&means)?, zeros.unwrap_or_default()))
        };
        let starts: Vec<usize> = (0..n_cells).step_by(CELLS).collect();
        let blocks: Vec<_> = starts.into_par_iter().map(|start| alone(|| block(start))).collect::<Result<_>>()?;
        let (mut means, mut zeros) = (Vec::new(), Vec::new());
        for (of_means, of_zeros) in blocks {
            means.extend(of_means);
            zeros.extend(of_zeros);
        }
        let matrix = |values: Vec<f32>| {
            Array2::from_shape_vec((n_cells, self.n_genes), values)
                .map_err(|source| Error::backend("collecting the laws of counts", source))
        };
        let zeros = if zeros.is_empty() { None } else { Some(matrix(zeros)?) };
        Ok(Laws { means: matrix(means)?, zeros })
    }
}

/// Means of counts, and probabilities of zeros beside those of the negative binomial: (n_cells, n_genes).
struct Laws {
    means: Array2<f32>,
    zeros: Option<Array2<f32>>,
}
