//! The velocity field.

use std::f32::consts::PI;
use std::sync::Arc;

use candle_core::Tensor;
use ndarray::ArrayView2;

use super::params::CfmParams;
use crate::flow::Spread;
use crate::language::kernels::perceptron::{Tensors, perceptron};
use crate::language::parameters::{Parameters, Start};
use crate::language::transformer::{Linear, Norm, perceptron_of};
use crate::models::condition_reader::ConditionReader;
use crate::models::prompts::Prompts;
use crate::models::reader::Sizes;
use crate::{Error, Result};

/// Waves by which the network knows the time: cos πkt and sin πkt, k = 1 … this, beside t itself.
const N_WAVES: usize = 8;
const N_TIME: usize = 2 * N_WAVES + 1;

/// A perceptron after a layer normalisation and beside a residual.
fn block(parameters: &mut Parameters, name: &str, width: usize) -> Result<Tensors> {
    let norm = Norm::new(parameters, &format!("{name}.norm"), width)?;
    let up = Linear::new(parameters, &format!("{name}.up"), width, width, 0.7 / (width as f32).sqrt())?;
    let down = Linear::new(parameters, &format!("{name}.down"), width, width, 0.02)?;
    Ok(perceptron_of(norm, up, down))
}

/// A minibatch's conditions after the parts of the network that read them.
pub(super) struct Conditioning {
    /// Added in every block: (n_prompts, width).
    shift: Tensor,
    /// Where the cells of each condition lie: (n_prompts, n_dims).
    centre: Tensor,
    /// The condition of each group of rows.
    of_group: Arc<Vec<u32>>,
}

/// v(x, t) = f(x, t, condition) + c_t g ⊙ x + (1 − c_t t) m(condition).
///
/// c_t is the posterior slope for Gaussian ends ([`Spread::gaussian`]), so that f needs to learn only what a Gaussian of
/// mean m does not explain; g starts at one, m is affine in the condition.
pub(super) struct Network {
    spread: Spread,
    conditions: ConditionReader,
    to_shift: Linear,
    to_centre: Linear,
    /// g: (n_dims).
    gates: Tensor,
    first: Linear,
    blocks: Vec<Tensors>,
    last: Norm,
    output: Linear,
}

impl Network {
    pub(super) fn new(parameters: &mut Parameters, params: &CfmParams, sizes: Sizes) -> Result<Self> {
        let (width, n_dims) = (params.width, sizes.n_dims);
        let deviation = |n_in: usize| 0.7 / (n_in as f32).sqrt();
        let words = ConditionReader::words(parameters, sizes.n_words, width)?;
        let inputs = ConditionReader::inputs(parameters, sizes.n_inputs, width)?;
        let block = |number: usize| block(parameters, &format!("blocks.{number}"), width);
        let blocks = (0..params.n_layers).map(block).collect::<Result<_>>()?;
        Ok(Self {
            spread: params.spread(),
            conditions: ConditionReader::new(Some(words), inputs),
            to_shift: Linear::new(parameters, "to_shift", width, width, deviation(width))?,
            to_centre: Linear::new(parameters, "to_centre", width, n_dims, 0.01)?,
            gates: parameters.tensor("gates", &[n_dims], Start::Ones)?,
            first: Linear::new(parameters, "first", n_dims + N_TIME, width, deviation(n_dims + N_TIME))?,
            blocks,
            last: Norm::new(parameters, "last", width)?,
            output: Linear::new(parameters, "output", width, n_dims, 0.02)?,
        })
    }

    pub(super) fn read(&self, prompts: &Prompts) -> Result<Conditioning> {
        // Words are always read.
        let Some(meaning) = self.conditions.read(prompts)? else {
            return Err(Error::backend("reading conditions", "the network has no words"));
        };
        Ok(Conditioning {
            shift: self.to_shift.forward(&meaning)?,
            centre: self.to_centre.forward(&meaning)?,
            of_group: prompts.of_sequence.clone(),
        })
    }

    /// The velocities of points at their times; groups of equal size belong to one condition each.
    ///
    /// **Shapes** `points`: (n_points, n_dims); `times`: (n_points) → (n_points, n_dims).
    pub(super) fn velocity(
        &self,
        points: ArrayView2<f32>,
        times: &[f32],
        conditioning: &Conditioning,
    ) -> Result<Tensor> {
        let (n, n_dims) = points.dim();
        let mut rows = Vec::with_capacity(n * (n_dims + N_TIME));
        let (mut skips, mut weights) = (Vec::with_capacity(n * n_dims), Vec::with_capacity(n));
        for (point, &t) in points.rows().into_iter().zip(times) {
            rows.extend(point);
            rows.push(t);
            rows.extend((1..=N_WAVES).flat_map(|wave| {
                let (sin, cos) = (PI * wave as f32 * t).sin_cos();
                [cos, sin]
            }));
            let (slope, weight) = self.spread.gaussian(t);
            skips.extend(point.iter().map(|value| slope * value));
            weights.push(weight);
        }
        let mut x = self.first.forward(&Tensor::from_vec(rows, (n, n_dims + N_TIME), self.gates.device())?)?;
        for block in &self.blocks {
            x = perceptron(&x, Some((&conditioning.shift, &conditioning.of_group)), block)?;
        }
        let free = self.output.forward(&self.last.forward(&x)?)?;
        let skips = Tensor::from_vec(skips, (n, n_dims), self.gates.device())?.broadcast_mul(&self.gates)?;
        let per_group = n / conditioning.of_group.len();
        let of_point: Vec<u32> =
            conditioning.of_group.iter().flat_map(|&prompt| std::iter::repeat_n(prompt, per_group)).collect();
        let centres = conditioning.centre.index_select(&Tensor::from_vec(of_point, n, self.gates.device())?, 0)?;
        let centres = centres.broadcast_mul(&Tensor::from_vec(weights, (n, 1), self.gates.device())?)?;
        Ok(((free + skips)? + centres)?)
    }
}
