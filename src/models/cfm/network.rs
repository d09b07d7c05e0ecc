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
    score: Option<ScoreHead>,
}

/// s(x, t) = (σ²/2)∇log p(x), from the same hidden numbers: s = h(x, t, condition) − (σ²/2)(g ⊙ x − t m(condition))/V_t, V_t
/// the variance for Gaussian ends ([`Spread::gaussian_score`]).
struct ScoreHead {
    /// g: (n_dims).
    gates: Tensor,
    output: Linear,
}

/// What the network says of points: (n_points, n_dims) each.
pub(super) struct Fields {
    pub(super) velocity: Tensor,
    /// (σ²/2)∇log p, where it is learned.
    pub(super) score: Option<Tensor>,
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
            score: params.score.then(|| ScoreHead::new(parameters, width, n_dims)).transpose()?,
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

    /// The fields at points and their times; groups of equal size belong to one condition each.
    ///
    /// **Shapes** `points`: (n_points, n_dims); `times`: (n_points).
    pub(super) fn fields(&self, points: ArrayView2<f32>, times: &[f32], conditioning: &Conditioning) -> Result<Fields> {
        let (n, n_dims) = points.dim();
        let mut rows = Vec::with_capacity(n * (n_dims + N_TIME));
        for (point, &t) in points.rows().into_iter().zip(times) {
            rows.extend(point);
            rows.push(t);
            rows.extend((1..=N_WAVES).flat_map(|wave| {
                let (sin, cos) = (PI * wave as f32 * t).sin_cos();
                [cos, sin]
            }));
        }
        let mut x = self.first.forward(&Tensor::from_vec(rows, (n, n_dims + N_TIME), self.gates.device())?)?;
        for block in &self.blocks {
            x = perceptron(&x, Some((&conditioning.shift, &conditioning.of_group)), block)?;
        }
        let hidden = self.last.forward(&x)?;
        let per_group = n / conditioning.of_group.len();
        let of_point: Vec<u32> =
            conditioning.of_group.iter().flat_map(|&prompt| std::iter::repeat_n(prompt, per_group)).collect();
        let centres = conditioning.centre.index_select(&Tensor::from_vec(of_point, n, self.gates.device())?, 0)?;
        let at = Skips { points: points.view(), times, centres: &centres };
        let skips = at.weighed(&self.gates, |t| self.spread.gaussian(t))?;
        let velocity = (self.output.forward(&hidden)? + skips)?;
        let half = 0.5 * self.spread.sigma().powi(2);
        let of_head = |head: &ScoreHead| {
            let skips = at.weighed(&head.gates, |t| {
                let (precision, of_mean) = self.spread.gaussian_score(t);
                (-half * precision, half * of_mean)
            })?;
            Ok::<_, Error>((head.output.forward(&hidden)? + skips)?)
        };
        Ok(Fields { velocity, score: self.score.as_ref().map(of_head).transpose()? })
    }
}

impl ScoreHead {
    fn new(parameters: &mut Parameters, width: usize, n_dims: usize) -> Result<Self> {
        Ok(Self {
            gates: parameters.tensor("score.gates", &[n_dims], Start::Ones)?,
            output: Linear::new(parameters, "score.output", width, n_dims, 0.02)?,
        })
    }
}

/// Points and their conditions' centres, to be added past the network.
struct Skips<'a> {
    points: ArrayView2<'a, f32>,
    times: &'a [f32],
    /// (n_points, n_dims).
    centres: &'a Tensor,
}

impl Skips<'_> {
    /// a_t g ⊙ x + b_t m(condition): (n_points, n_dims), with (a_t, b_t) of each point's time.
    fn weighed(&self, gates: &Tensor, weights: impl Fn(f32) -> (f32, f32)) -> Result<Tensor> {
        let (slopes, of_centres): (Vec<f32>, Vec<f32>) = self.times.iter().map(|&t| weights(t)).unzip();
        let rows = self.points.rows().into_iter().zip(slopes);
        let points: Vec<f32> = rows.flat_map(|(point, slope)| point.into_iter().map(move |x| slope * x)).collect();
        let points = Tensor::from_vec(points, self.points.dim(), gates.device())?.broadcast_mul(gates)?;
        let of_centres = Tensor::from_vec(of_centres, (self.times.len(), 1), gates.device())?;
        Ok((points + self.centres.broadcast_mul(&of_centres)?)?)
    }
}
