//! From the tokens of control cells to the expression of perturbed ones.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::panel::Panel;
use super::params::ScgptParams;
use crate::Result;
use crate::language::encoder::Encoder;
use crate::language::kernels::attention::Arrangement;
use crate::language::kernels::bias::add_by_group;
use crate::language::mask::Mask;
use crate::language::parameters::{Parameters, Start};
use crate::language::transformer::{Linear, Norm};

/// Embeddings of genes and flags start with this deviation; those of genes are normalised.
const OF_TOKENS: f32 = 1.0;
/// The first map of a value has a bias from the start: without one, all that is not expressed would be normalised from zero.
const OF_VALUES: f32 = 0.6;
/// What is told starts smaller than the gene that it is told to.
const OF_TOLD: f32 = 0.3;
/// The decoder starts near zero, so that a prediction starts at the genes' means.
const OF_DECODER: f32 = 0.02;
/// What leaky rectified linear units let through below zero, as PyTorch has it.
const LEAK: f64 = 0.01;

/// Some cells, with the same genes of each.
pub(crate) struct Tokens<'a> {
    /// Places in the panel: (n_genes).
    pub(crate) genes: &'a [u32],
    /// Log-normalised: (n_cells · n_genes). The published network cuts it at 512, which no logarithm reaches.
    pub(crate) expression: Vec<f32>,
    /// 1 where the gene is perturbed, otherwise 0: (n_cells · n_genes).
    pub(crate) perturbed: Vec<f32>,
    /// What is told of conditions: (n_cells · n_told).
    pub(crate) told: Vec<f32>,
}

/// The published network with what is told of a condition beside it. Its tensors are named as published.
pub(crate) struct Network {
    genes: Tensor,
    gene_norm: Norm,
    value: [Linear; 2],
    value_norm: Norm,
    flags: Tensor,
    told: Linear,
    /// A batch normalisation that stands still: gain and shift.
    still: Option<(Tensor, Tensor)>,
    encoder: Encoder,
    decoder: [Linear; 3],
    mean: Tensor,
    n_told: usize,
}

impl Network {
    /// Makes it; `means` are those of the panel's genes over training cells, where the fit starts.
    pub(crate) fn new(
        parameters: &mut Parameters,
        params: &ScgptParams,
        panel: &Panel,
        n_told: usize,
        means: Vec<f32>,
    ) -> Result<Self> {
        let width = params.encoder.width;
        let even = 1.0 / (width as f32).sqrt();
        Ok(Self {
            genes: parameters.tensor("encoder.embedding", &[panel.n_genes, width], Start::Normal(OF_TOKENS))?,
            gene_norm: Norm::new(parameters, "encoder.enc_norm", width)?,
            value: [
                Linear::with_bias(parameters, "value_encoder.linear1", 1, width, OF_VALUES, Start::Normal(OF_VALUES))?,
                Linear::new(parameters, "value_encoder.linear2", width, width, even)?,
            ],
            value_norm: Norm::new(parameters, "value_encoder.norm", width)?,
            flags: parameters.tensor("pert_encoder", &[2, width], Start::Normal(OF_TOKENS))?,
            told: Linear::new(parameters, "told", n_told, width, OF_TOLD)?,
            still: match params.batch_norm {
                true => Some((
                    parameters.tensor("bn.gain", &[width], Start::Ones)?,
                    parameters.tensor("bn.bias", &[width], Start::Zeros)?,
                )),
                false => None,
            },
            encoder: Encoder::new(parameters, "transformer_encoder", params.encoder)?,
            decoder: [
                Linear::new(parameters, "decoder.fc.0", width, width, even)?,
                Linear::new(parameters, "decoder.fc.2", width, width, even)?,
                Linear::new(parameters, "decoder.fc.4", width, 2, OF_DECODER)?,
            ],
            mean: parameters.tensor("mean", &[panel.n_genes, 1], Start::Values(means))?,
            n_told,
        })
    }

    /// What the transformer makes of the tokens: (n_cells · n_genes, width).
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if the shapes do not fit.
    pub(crate) fn hidden(&self, tokens: &Tokens<'_>, device: &Device) -> Result<Tensor> {
        let (n_genes, width) = (tokens.genes.len(), self.encoder.params.width);
        let n_cells = tokens.expression.len() / n_genes;
        let n_rows = n_cells * n_genes;
        let genes = Tensor::new(tokens.genes, device)?;
        let expression = Tensor::from_vec(tokens.expression.clone(), (n_rows, 1), device)?;
        let told = Tensor::from_vec(tokens.told.clone(), (n_cells, self.n_told), device)?;
        // One column for genes that are left alone, one for those that are perturbed.
        let flags: Vec<f32> = tokens.perturbed.iter().flat_map(|&flag| [1.0 - flag, flag]).collect();
        let flags = Tensor::from_vec(flags, (n_rows, 2), device)?;

        let values = self.value[1].forward(&self.value[0].forward(&expression)?.relu()?)?;
        let x = (self.value_norm.forward(&values)? + flags.matmul(&self.flags)?)?;
        let of_genes = self.gene_norm.forward(&self.genes.index_select(&genes, 0)?)?.unsqueeze(0)?;
        let x = x.reshape((n_cells, n_genes, width))?.broadcast_add(&of_genes)?.reshape((n_rows, width))?;
        let mut x = add_by_group(&x, &self.told.forward(&told)?, &Arc::new((0..n_cells as u32).collect()))?;
        if let Some((gain, shift)) = &self.still {
            x = x.broadcast_mul(gain)?.broadcast_add(shift)?;
        }
        let arrangement = Arrangement {
            n_heads: self.encoder.params.n_heads,
            mask: Arc::new(Mask::none(n_genes)),
            prefix_of_sequence: Arc::default(),
            prefix_lengths: Arc::default(),
        };
        self.encoder.forward(&x, &arrangement)
    }

    /// The expression of every token's gene once the cell is perturbed: (n_cells, n_genes).
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if the shapes do not fit.
    pub(crate) fn forward(&self, tokens: &Tokens<'_>, device: &Device) -> Result<Tensor> {
        let n_genes = tokens.genes.len();
        let n_cells = tokens.expression.len() / n_genes;
        let expression = Tensor::from_vec(tokens.expression.clone(), (n_cells * n_genes, 1), device)?;
        let x = self.hidden(tokens, device)?;
        let x = leaky(&self.decoder[0].forward(&x)?)?;
        let decoded = self.decoder[2].forward(&leaky(&self.decoder[1].forward(&x)?)?)?;
        let affine = ((decoded.narrow(1, 1, 1)? * expression)? + decoded.narrow(1, 0, 1)?)?;
        let means = self.mean.index_select(&Tensor::new(tokens.genes, device)?, 0)?.reshape((1, n_genes))?;
        Ok(affine.reshape((n_cells, n_genes))?.broadcast_add(&means)?)
    }
}

/// max(x, 0.01 x).
fn leaky(x: &Tensor) -> Result<Tensor> {
    Ok(((x * LEAK)? + (x.relu()? * (1.0 - LEAK))?)?)
}
