//! The angles by which positions turn queries and keys.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::refuse;
use crate::language::kernels::rotary::Angles;

/// How frequencies are stretched to reach longer contexts than those of the first training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Scaling {
    /// Not at all.
    Default,
    /// All frequencies are divided.
    Linear {
        /// By this.
        factor: f64,
    },
    /// Low frequencies are divided, high ones stay, with a smooth way between them (Llama 3.1).
    Llama3 {
        /// What low frequencies are divided by.
        factor: f64,
        /// Wavelengths above the original context over this are divided.
        low_freq_factor: f64,
        /// Wavelengths below the original context over this stay.
        high_freq_factor: f64,
        /// The context of the first training.
        original_max_position_embeddings: f64,
    },
}

/// Rotary positions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotaryParams {
    /// Numbers of each head that are turned; even.
    pub n_turned: usize,
    /// The base of the frequencies.
    pub theta: f64,
    /// How they are stretched.
    pub scaling: Scaling,
}

impl RotaryParams {
    /// # Errors
    /// [`crate::Error::InvalidParameter`] if numbers cannot be turned in pairs within a head, or a factor is not above zero.
    pub fn check(&self, head_width: usize) -> Result<()> {
        if self.n_turned == 0 || !self.n_turned.is_multiple_of(2) || self.n_turned > head_width {
            let reason = format!("an even number between 2 and the {head_width} of a head must be turned");
            return refuse("rotary numbers", self.n_turned, &reason);
        }
        let factors = match self.scaling {
            Scaling::Default => vec![self.theta],
            Scaling::Linear { factor } => vec![self.theta, factor],
            Scaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings: context,
            } => {
                // The way between low and high frequencies would have no length.
                vec![self.theta, factor, low_freq_factor, high_freq_factor - low_freq_factor, context]
            }
        };
        match factors.into_iter().find(|factor| !(*factor > 0.0 && factor.is_finite())) {
            Some(factor) => {
                refuse("rope factor", factor, "factors, and the differences between them, must be above zero")
            }
            None => Ok(()),
        }
    }

    /// The angle of each pair per position, in 32 bits as PyTorch has them: (n_turned / 2).
    pub fn frequencies(&self) -> Vec<f32> {
        let plain = (0..self.n_turned).step_by(2).map(|i| self.theta.powf(-(i as f64) / self.n_turned as f64));
        plain.map(|frequency| self.scaled(frequency) as f32).collect()
    }

    fn scaled(&self, frequency: f64) -> f64 {
        match self.scaling {
            Scaling::Default => frequency,
            Scaling::Linear { factor } => frequency / factor,
            Scaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings: context,
            } => {
                let turns = context * frequency / (2.0 * std::f64::consts::PI);
                let share = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
                (1.0 - share) * frequency / factor + share * frequency
            }
        }
    }

    /// Cosines and sines of the positions below `n_positions`.
    pub fn angles(&self, n_positions: usize) -> Angles {
        let frequencies = self.frequencies();
        let (mut cosines, mut sines) = (Vec::new(), Vec::new());
        for position in 0..n_positions {
            for frequency in &frequencies {
                let angle = f64::from(position as f32 * frequency);
                cosines.push(angle.cos() as f32);
                sines.push(angle.sin() as f32);
            }
        }
        Angles { n_turned: self.n_turned, cosines, sines }
    }
}
