//! The `variational` decoder (He et al. 2024): a Gaussian latent per token, decoded to the next state.

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;

use super::params::CalmFlowParams;
use super::trajectories::Trajectories;
use crate::Result;
use crate::language::kernels::gelu::gelu;
use crate::language::parameters::Parameters;
use crate::language::transformer::{Linear, Norm};
use crate::numbers::fill_normal;

/// Added to every variance.
const LEAST_VARIANCE: f64 = 1e-4;

/// Two layers with a GELU between them.
struct Perceptron {
    first: Linear,
    second: Linear,
}

impl Perceptron {
    fn new(parameters: &mut Parameters, name: &str, width: usize) -> Result<Self> {
        let deviation = 0.7 / (width as f32).sqrt();
        Ok(Self {
            first: Linear::new(parameters, &format!("{name}.first"), width, width, deviation)?,
            second: Linear::new(parameters, &format!("{name}.second"), width, width, 0.02)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.second.forward(&gelu(&self.first.forward(x)?)?)
    }
}

/// μ = MLP(h), σ² = exp(MLP(h)) + 1e-4 per token; ẑ = Dec(ℓ_1 ‖ … ‖ ℓ_K) with Dec = Linear → LayerNorm → ReLU → residual
/// block → Linear.
pub(super) struct Variational {
    width: usize,
    n_spatial: usize,
    beta: f64,
    mean: Perceptron,
    log_variance: Perceptron,
    first: Linear,
    norm: Norm,
    residual_up: Linear,
    residual_down: Linear,
    last: Linear,
}

impl Variational {
    pub(super) fn new(parameters: &mut Parameters, params: &CalmFlowParams, n_dims: usize) -> Result<Self> {
        let (width, n_latent) = (params.transformer.width, params.n_spatial * params.transformer.width);
        let n_hidden = n_latent.max(128);
        let mut linear = |name: &str, n_in: usize, n_out: usize| {
            Linear::new(parameters, &format!("variational.{name}"), n_in, n_out, 0.7 / (n_in as f32).sqrt())
        };
        let first = linear("first", n_latent, n_hidden)?;
        let residual_up = linear("residual_up", n_hidden, n_hidden)?;
        let residual_down = linear("residual_down", n_hidden, n_hidden)?;
        let last = linear("last", n_hidden, n_dims)?;
        Ok(Self {
            width,
            n_spatial: params.n_spatial,
            beta: params.beta,
            mean: Perceptron::new(parameters, "variational.mean", width)?,
            log_variance: Perceptron::new(parameters, "variational.log_variance", width)?,
            first,
            norm: Norm::new(parameters, "variational.norm", n_hidden)?,
            residual_up,
            residual_down,
            last,
        })
    }

    /// (n_states · n_spatial, width): means and variances of the latents.
    fn latent(&self, hidden: &Tensor) -> Result<(Tensor, Tensor)> {
        let tokens = hidden.reshape(((), self.width))?;
        let variance = (self.log_variance.forward(&tokens)?.clamp(-20.0_f32, 10.0_f32)?.exp()? + LEAST_VARIANCE)?;
        Ok((self.mean.forward(&tokens)?, variance))
    }

    /// A draw ℓ ~ N(μ, (τσ)²).
    fn draw(mean: &Tensor, variance: &Tensor, temperature: f64, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let mut noise = vec![0.0; mean.elem_count()];
        fill_normal(rng, &mut noise);
        let noise = Tensor::from_vec(noise, mean.shape(), mean.device())?;
        Ok((mean + (variance.sqrt()?.mul(&noise)? * temperature)?)?)
    }

    fn decode(&self, latent: &Tensor) -> Result<Tensor> {
        let joined = latent.reshape(((), self.n_spatial * self.width))?;
        let x = self.norm.forward(&self.first.forward(&joined)?)?.relu()?;
        let x = (&x + self.residual_down.forward(&self.residual_up.forward(&x)?.relu()?)?)?;
        self.last.forward(&x)
    }

    /// mean over states of |ẑ − z′|² + β KL(N(μ, σ²) ‖ N(0, I)), both summed over their dimensions: a scalar.
    pub(super) fn loss(&self, hidden: &Tensor, trajectories: &Trajectories, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let (mean, variance) = self.latent(hidden)?;
        let decoded = self.decode(&Self::draw(&mean, &variance, 1.0, rng)?)?;
        let n_states = trajectories.n_states() as f64;
        let target = trajectories.next()?.to_device(decoded.device())?;
        let error = ((decoded - target)?.sqr()?.sum_all()? / n_states)?;
        let divergence = (((mean.sqr()? + &variance)? - variance.log()?)? - 1.0)?.sum_all()?;
        Ok((error + (divergence * (0.5 * self.beta / n_states))?)?)
    }

    /// Draws the states at the next time: (n_states, n_dims).
    pub(super) fn step(&self, hidden: &Tensor, temperature: f32, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let (mean, variance) = self.latent(hidden)?;
        self.decode(&Self::draw(&mean, &variance, f64::from(temperature), rng)?)
    }
}
