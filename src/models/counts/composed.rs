//! The likelihood of counts from the tensor library's own operations, for devices without kernels of ours.

use candle_core::{D, Tensor};

use super::cells::Batch;
use super::likelihood::Outputs;
use crate::Result;

/// Γ functions are taken at arguments raised by this much, where Stirling's series needs few terms.
const RAISED: usize = 8;

/// ln(1 + x), also for small x: the library knows only ln.
fn ln_1p(x: &Tensor) -> candle_core::Result<Tensor> {
    // x − x²/2 + x³/3 below a hundredth, where ln(1 + x) would lose digits.
    let series = (x * ((((x * (1.0 / 3.0))? - 0.5)? * x)? + 1.0)?)?;
    x.lt(&x.affine(0.0, 1e-2)?)?.where_cond(&series, &(x + 1.0)?.log()?)
}

fn softplus(x: &Tensor) -> candle_core::Result<Tensor> {
    x.relu()? + ln_1p(&x.abs()?.neg()?.exp()?)?
}

/// What Stirling's series has beyond (x − ½) ln x − x + ln √2π.
fn stirling(x: &Tensor) -> candle_core::Result<Tensor> {
    let inverse = x.recip()?;
    let square = inverse.sqr()?;
    (&inverse * (((square * (-1.0 / 360.0))? + 1.0 / 12.0)?))?.contiguous()
}

/// ln Γ(x + θ) − ln Γ(θ), in a form that subtracts no large numbers; `counts`, `sizes`: (n_cells, n_genes).
fn gamma_difference(counts: &Tensor, sizes: &Tensor) -> candle_core::Result<Tensor> {
    let raised = (sizes + RAISED as f64)?;
    let sum = (counts + &raised)?;
    let log = ln_1p(&counts.div(&raised)?)?;
    let mut difference = (((&raised - 0.5)? * log)? + (counts * (sum.log()? - 1.0)?)?)?;
    difference = ((difference + stirling(&sum)?)? - stirling(&raised)?)?;
    for k in 0..RAISED {
        difference = (difference - ln_1p(&counts.div(&(sizes + k as f64)?)?)?)?;
    }
    Ok(difference)
}

/// As [`super::negative_log_likelihood`].
pub(super) fn composed_loss(outputs: &Outputs, batch: &Batch<'_>, factor: f32) -> Result<Tensor> {
    let (device, n_genes) = (outputs.logits.device(), batch.n_genes());
    let counts = batch.dense_counts(device)?;
    let shape = counts.shape();
    let libraries: Vec<f32> = batch.libraries().into_iter().map(|library| (factor * library).ln()).collect();
    let libraries = Tensor::from_vec(libraries, (batch.n_cells(), 1), device)?;
    let log_shares = candle_nn::ops::log_softmax(&outputs.logits, D::Minus1)?.narrow(1, 0, n_genes)?;
    let log_means = log_shares.broadcast_add(&libraries)?;
    let log_sizes = outputs.log_inverse_dispersion.broadcast_as(shape)?;
    let sizes = log_sizes.exp()?;
    let log_ratios = (log_means - &log_sizes)?;
    let logs = softplus(&log_ratios)?;
    let constant: Vec<f32> = (0..batch.n_cells())
        .map(|cell| batch.counts(cell).1.iter().map(|&x| crate::numbers::ln_gamma(f64::from(x) + 1.0)).sum::<f64>())
        .map(|sum| sum as f32)
        .collect();
    let constant = constant.iter().sum::<f32>() / (batch.n_cells() * n_genes) as f32;
    let law = (((&counts * (log_ratios - &logs)?)? - (&sizes * &logs)?)? + gamma_difference(&counts, &sizes)?)?;
    let Some(odds) = &outputs.dropout else {
        return Ok((law.mean_all()?.neg()? + f64::from(constant))?);
    };
    let of_zero = (softplus(&((sizes * logs)?.neg()? - odds)?)? - softplus(&odds.neg()?)?)?;
    let of_count = (law - softplus(odds)?)?;
    let is_count = counts.gt(&counts.zeros_like()?)?;
    Ok((is_count.where_cond(&of_count, &of_zero)?.mean_all()?.neg()? + f64::from(constant))?)
}
