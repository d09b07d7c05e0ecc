//! Layers of a perceptron that may be told of a condition in each of them.

use candle_core::Tensor;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::Result;
use crate::language::parameters::Parameters;
use crate::language::transformer::{Linear, Norm};

/// Numbers that are left out at random while a network is fitted, the others grow in proportion (Srivastava et al. 2014).
pub struct Dropout<'a> {
    /// The probability of being left out.
    pub probability: f32,
    /// Decides which.
    pub rng: &'a mut ChaCha8Rng,
}

/// Layers, each affine → layer normalisation → ReLU → dropout; what is told of
/// conditions stands beside the numbers that go into every layer.
///
/// scvi-tools' `FCLayers` with `use_layer_norm` and `inject_covariates`. Batch normalisation, its default, would tie the
/// cells of a minibatch together, which here is computed in parts, and needs running means beside the weights.
#[derive(Debug, Clone)]
pub struct Stack {
    layers: Vec<(Linear, Norm)>,
}

impl Stack {
    /// Makes layers from `n_in` numbers and `n_told` that are told of conditions to `width` numbers.
    ///
    /// # Errors
    /// Those of [`Parameters::tensor`].
    pub fn new(
        parameters: &mut Parameters,
        name: &str,
        n_in: usize,
        width: usize,
        n_layers: usize,
        n_told: usize,
    ) -> Result<Self> {
        let mut layer = |number: usize| {
            let n_in = n_told + if number == 0 { n_in } else { width };
            let name = format!("{name}.{number}");
            let linear = Linear::new(parameters, &format!("{name}.linear"), n_in, width, 1.0 / (n_in as f32).sqrt())?;
            Ok((linear, Norm::new(parameters, &format!("{name}.norm"), width)?))
        };
        Ok(Self { layers: (0..n_layers).map(&mut layer).collect::<Result<_>>()? })
    }

    /// (n_cells, n_in), (n_cells, n_told) → (n_cells, width).
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if the shapes do not fit.
    pub fn forward(&self, x: &Tensor, told: Option<&Tensor>, mut dropout: Option<Dropout<'_>>) -> Result<Tensor> {
        let mut x = x.clone();
        for (linear, norm) in &self.layers {
            if let Some(told) = told {
                x = Tensor::cat(&[&x, told], 1)?;
            }
            x = norm.forward(&linear.forward(&x)?)?.relu()?;
            if let Some(Dropout { probability, rng }) = &mut dropout {
                let kept = 1.0 / (1.0 - *probability);
                let mask = (0..x.elem_count()).map(|_| if rng.random::<f32>() < *probability { 0.0 } else { kept });
                x = (&x * Tensor::from_vec(mask.collect::<Vec<f32>>(), x.shape(), x.device())?)?;
            }
        }
        Ok(x)
    }
}
