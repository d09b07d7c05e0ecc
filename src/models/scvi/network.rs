//! Encoder and decoder.

use candle_core::Tensor;

use super::params::ScviParams;
use crate::Result;
use crate::language::parameters::Parameters;
use crate::language::transformer::Linear;
use crate::models::counts::{CountDecoder, DecoderSizes, Dropout, Outputs, Shape, Stack, Start};

/// Added to variances of latents, as in scvi-tools.
const LEAST_VARIANCE: f64 = 1e-4;
/// Weights of the maps to latents start with this deviation, so that q starts near the prior.
const DEVIATION: f32 = 0.02;

pub(super) struct Network {
    encoder: Stack,
    mean: Linear,
    log_variance: Linear,
    decoder: CountDecoder,
}

/// The law of latents: means and variances, (n_cells, n_latent) each.
pub(super) struct Latents {
    pub(super) mean: Tensor,
    pub(super) variance: Tensor,
}

impl Latents {
    /// KL(N(mean, variance) ‖ N(0, I)) of each cell, its mean over cells: a scalar.
    pub(super) fn divergence(&self) -> Result<Tensor> {
        let terms = ((self.mean.sqr()? + &self.variance)? - self.variance.log()?)?;
        Ok(((terms - 1.0)?.sum(1)?.mean_all()? * 0.5)?)
    }

    /// mean + deviation · noise.
    pub(super) fn at(&self, noise: &Tensor) -> Result<Tensor> {
        Ok((&self.mean + (self.variance.sqrt()? * noise)?)?)
    }
}

impl Network {
    pub(super) fn new(
        parameters: &mut Parameters,
        params: &ScviParams,
        shape: &Shape,
        start: Option<&Start>,
    ) -> Result<Self> {
        let (width, n_layers) = (params.width, params.n_layers);
        let n_told = shape.told.n_numbers();
        let decoder = DecoderSizes {
            n_in: params.n_latent,
            n_told,
            width,
            n_layers,
            n_genes: shape.n_genes,
            likelihood: params.likelihood,
        };
        Ok(Self {
            encoder: Stack::new(parameters, "encoder", shape.n_genes, width, n_layers, n_told)?,
            mean: Linear::new(parameters, "mean", width, params.n_latent, 1.0 / (width as f32).sqrt())?,
            log_variance: Linear::new(parameters, "log_variance", width, params.n_latent, DEVIATION)?,
            decoder: CountDecoder::new(parameters, decoder, shape.depth, start)?,
        })
    }

    /// (n_cells, n_genes) logarithms of 1 + count, (n_cells, n_told) → the law of their latents.
    pub(super) fn encode(&self, log_counts: &Tensor, told: &Tensor, dropout: Option<Dropout<'_>>) -> Result<Latents> {
        let hidden = self.encoder.forward(log_counts, Some(told), dropout)?;
        Ok(Latents {
            mean: self.mean.forward(&hidden)?,
            variance: (self.log_variance.forward(&hidden)?.exp()? + LEAST_VARIANCE)?,
        })
    }

    /// (n_cells, n_latent), (n_cells, n_told) → the law of counts.
    pub(super) fn decode(&self, latents: &Tensor, told: &Tensor) -> Result<Outputs> {
        self.decoder.forward(latents, Some(told))
    }

    pub(super) fn decoder(&self) -> &CountDecoder {
        &self.decoder
    }
}
