//! Encoder, embeddings, decoder, adversaries.

use candle_core::Tensor;

use super::adversary::Adversaries;
use super::doses::DoseCurves;
use super::params::CpaParams;
use crate::Result;
use crate::language::parameters::{Parameters, Start as Init};
use crate::language::transformer::Linear;
use crate::models::counts::{CountDecoder, DecoderSizes, Outputs, Shape, Stack, Start};

/// Embeddings start small: at first all conditions are alike.
const DEVIATION: f32 = 0.1;

pub(super) struct Network {
    encoder: Stack,
    basal: Linear,
    /// One for each component and each value of a covariate, then one for each number of an estimate:
    /// (n_told − n_doses, n_latent).
    pub(super) embeddings: Tensor,
    /// How strongly components act at their doses, where a screen has several.
    doses: Option<DoseCurves>,
    pub(super) decoder: CountDecoder,
}

impl Network {
    pub(super) fn new(
        parameters: &mut Parameters,
        params: &CpaParams,
        shape: &Shape,
        start: Option<&Start>,
    ) -> Result<Self> {
        let CpaParams { n_latent, width, n_layers, likelihood, .. } = *params;
        let n_genes = shape.n_genes;
        let decoder = DecoderSizes { n_in: n_latent, n_told: 0, width, n_layers, n_genes, likelihood };
        // Doses have no embeddings: they scale those of their components.
        let n_told = shape.told.n_numbers() - shape.told.codes.doses().n();
        let embeddings = Init::NormalThenZeros(shape.told.codes.n() * n_latent, DEVIATION);
        Ok(Self {
            encoder: Stack::new(parameters, "encoder", n_genes, width, n_layers, 0)?,
            basal: Linear::new(parameters, "basal", width, n_latent, 1.0 / (width as f32).sqrt())?,
            embeddings: parameters.tensor("embeddings", &[n_told, n_latent], embeddings)?,
            doses: DoseCurves::new(parameters, &shape.told.codes)?,
            decoder: CountDecoder::new(parameters, decoder, shape.depth, start)?,
        })
    }

    /// Makes the adversaries, which only a fit has.
    pub(super) fn adversaries(parameters: &mut Parameters, params: &CpaParams, shape: &Shape) -> Result<Adversaries> {
        Adversaries::new(parameters, &shape.told.codes, params.n_latent, params.adversary_width)
    }

    /// (n_cells, n_genes) logarithms of 1 + count → basal states, (n_cells, n_latent).
    pub(super) fn encode(&self, log_counts: &Tensor) -> Result<Tensor> {
        self.basal.forward(&self.encoder.forward(log_counts, None, None)?)
    }

    /// basal + Σ f(dose)·embedding of what is told: (n_cells, n_latent), (n_cells, n_told) → (n_cells, n_latent).
    pub(super) fn compose(&self, basal: &Tensor, told: &Tensor) -> Result<Tensor> {
        Ok((basal + self.shift(told)?)?)
    }

    /// What is added to a basal state: (n_cells, n_told) → (n_cells, n_latent).
    pub(super) fn shift(&self, told: &Tensor) -> Result<Tensor> {
        match &self.doses {
            None => Ok(told.matmul(&self.embeddings)?),
            Some(doses) => Ok(doses.scale(told)?.matmul(&self.embeddings)?),
        }
    }

    /// (n_cells, n_latent) → the law of counts.
    pub(super) fn decode(&self, latents: &Tensor) -> Result<Outputs> {
        self.decoder.forward(latents, None)
    }
}
