//! From the tokens of control cells to the expression of perturbed ones.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::panel::Panel;
use super::params::ScgptParams;
use crate::Result;
use crate::language::kernels::attention::Arrangement;
use crate::language::kernels::bias::add_by_group;
use crate::language::kernels::gelu::gelu;
use crate::language::mask::Mask;
use crate::language::parameters::{Parameters, Start};
use crate::language::transformer::{Linear, Transformer};

/// Embeddings of genes start with this deviation, as the published ones.
const OF_GENES: f32 = 1.0;
/// What is told starts smaller than the gene that it is told to.
const OF_TOLD: f32 = 0.3;
/// The decoder starts near zero, so that a prediction starts at the genes' means.
const OF_DECODER: f32 = 0.02;

/// Some cells, with the same genes of each.
pub(super) struct Tokens<'a> {
    /// Places in the panel: (n_genes).
    pub(super) genes: &'a [u32],
    /// Log-normalised: (n_cells · n_genes).
    pub(super) expression: Vec<f32>,
    /// 1 where the gene is perturbed: (n_cells · n_genes); empty if no component is a gene.
    pub(super) perturbed: Vec<f32>,
    /// What is told of conditions: (n_cells · n_told).
    pub(super) told: Vec<f32>,
}

pub(super) struct Network {
    genes: Tensor,
    value: [Linear; 2],
    perturbed: Option<Tensor>,
    told: Linear,
    transformer: Transformer,
    decoder: [Linear; 2],
    mean: Tensor,
    n_told: usize,
}

impl Network {
    /// Makes it; `means` are those of the panel's genes over training cells, where the fit starts.
    pub(super) fn new(
        parameters: &mut Parameters,
        params: &ScgptParams,
        panel: &Panel,
        n_told: usize,
        means: Vec<f32>,
    ) -> Result<Self> {
        let width = params.transformer.width;
        let even = 1.0 / (width as f32).sqrt();
        Ok(Self {
            genes: parameters.tensor("genes", &[panel.n_genes, width], Start::Normal(OF_GENES))?,
            value: [
                Linear::new(parameters, "value.0", 1, width, 1.0)?,
                Linear::new(parameters, "value.1", width, width, even)?,
            ],
            perturbed: match panel.has_targets() {
                true => Some(parameters.tensor("perturbed", &[1, width], Start::Normal(OF_GENES))?),
                false => None,
            },
            told: Linear::new(parameters, "told", n_told, width, OF_TOLD)?,
            transformer: Transformer::new(parameters, "transformer", params.transformer)?,
            decoder: [
                Linear::new(parameters, "decoder.0", width, width, even)?,
                Linear::new(parameters, "decoder.1", width, 2, OF_DECODER)?,
            ],
            mean: parameters.tensor("mean", &[panel.n_genes, 1], Start::Values(means))?,
            n_told,
        })
    }

    /// The expression of every token's gene once the cell is perturbed: (n_cells, n_genes).
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if the shapes do not fit.
    pub(super) fn forward(&self, tokens: &Tokens<'_>, device: &Device) -> Result<Tensor> {
        let (n_genes, width) = (tokens.genes.len(), self.transformer.params.width);
        let n_cells = tokens.expression.len() / n_genes;
        let n_rows = n_cells * n_genes;
        let genes = Tensor::new(tokens.genes, device)?;
        let expression = Tensor::from_vec(tokens.expression.clone(), (n_rows, 1), device)?;
        let told = Tensor::from_vec(tokens.told.clone(), (n_cells, self.n_told), device)?;

        let mut x = self.value[1].forward(&gelu(&self.value[0].forward(&expression)?)?)?;
        if let Some(perturbed) = &self.perturbed {
            x = (x + Tensor::from_vec(tokens.perturbed.clone(), (n_rows, 1), device)?.matmul(perturbed)?)?;
        }
        let of_genes = self.genes.index_select(&genes, 0)?.unsqueeze(0)?;
        let x = x.reshape((n_cells, n_genes, width))?.broadcast_add(&of_genes)?.reshape((n_rows, width))?;
        let x = add_by_group(&x, &self.told.forward(&told)?, &Arc::new((0..n_cells as u32).collect()))?;

        let arrangement = Arrangement {
            n_heads: self.transformer.params.n_heads,
            mask: Arc::new(Mask::none(n_genes)),
            prefix_of_sequence: Arc::default(),
            prefix_lengths: Arc::default(),
        };
        let x = self.transformer.forward(&x, None, &arrangement, None)?;
        let decoded = self.decoder[1].forward(&gelu(&self.decoder[0].forward(&x)?)?)?;
        let affine = ((decoded.narrow(1, 0, 1)? * expression)? + decoded.narrow(1, 1, 1)?)?;
        let means = self.mean.index_select(&genes, 0)?.reshape((1, n_genes))?;
        Ok(affine.reshape((n_cells, n_genes))?.broadcast_add(&means)?)
    }
}
