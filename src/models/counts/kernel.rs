//! The likelihood of counts as one operation: softmax, law, and all slopes on the way. Logarithms of gamma functions are
//! taken only where there are counts.

use std::ops::Range;
use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::cells::Observed;
use crate::language::gradients::{add, gradient_of};
use crate::language::kernels::{contiguous, lock, map_each};
use crate::numbers::{digamma, dot, exp, ln_1p, ln_gamma, vectorized};

/// Cells per block.
const CELLS: usize = 8;
/// Gamma functions of larger counts are taken from their series.
const LARGE: f32 = 32.0;

/// The mean of −ln p over cells and genes.
pub(super) struct CountLoss {
    observed: Observed,
    factor: f32,
    /// By the logits, ln θ and the log odds of zeros; made with the value.
    gradients: Mutex<Option<[Vec<f32>; 3]>>,
}

/// θ of each gene, and its logarithm: (n_genes) each.
#[derive(Clone, Copy)]
struct Sizes<'a> {
    values: &'a [f32],
    logs: &'a [f32],
}

/// The numbers of a cell, and room for what is made of them: (n_genes) each, the shares as many as there are logits.
struct Scratch {
    counts: Vec<f32>,
    shares: Vec<f32>,
    losses: Vec<f32>,
    slopes: Vec<f32>,
    ones: Vec<f32>,
}

impl Scratch {
    fn new(n_genes: usize, n_logits: usize) -> Self {
        let zeros = || vec![0.0; n_genes];
        Self {
            counts: zeros(),
            shares: vec![0.0; n_logits],
            losses: zeros(),
            slopes: zeros(),
            ones: vec![1.0; n_logits],
        }
    }
}

/// ln(1 + eˣ).
#[inline(always)]
fn softplus(x: f32) -> f32 {
    x.max(0.0) + ln_1p(exp(-x.abs()))
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Everything of a cell but gamma functions. `logits` and `dropout` give way to the slopes of −ln p times `scale`; those by
/// ln θ are added to `size_slopes`, without it. Returns −ln p.
#[inline(always)]
fn cell<const IS_INFLATED: bool>(
    logits: &mut [f32],
    dropout: &mut [f32],
    sizes: Sizes<'_>,
    size_slopes: &mut [f32],
    scratch: &mut Scratch,
    library: f32,
    scale: f32,
) -> f32 {
    let n = sizes.values.len();
    let Scratch { counts, shares, losses, slopes, ones } = scratch;
    let (counts, losses, slopes) = (&counts[..n], &mut losses[..n], &mut slopes[..n]);
    let (sizes, log_sizes, size_slopes) = (&sizes.values[..n], &sizes.logs[..n], &mut size_slopes[..n]);
    let most = logits.iter().fold(f32::MIN, |most, value| most.max(*value));
    for (share, logit) in shares.iter_mut().zip(&*logits) {
        *share = exp(logit - most);
    }
    let sum = dot(shares, ones);
    let shift = library.ln() - most - sum.ln();
    shares.iter_mut().for_each(|share| *share /= sum);
    for gene in 0..n {
        let (count, size) = (counts[gene], sizes[gene]);
        let ratio = library * shares[gene] / size;
        let part = ratio / (1.0 + ratio);
        let log = ln_1p(ratio);
        let log_ratio = logits[gene] + shift - log_sizes[gene];
        let log_law = count * (log_ratio - log) - size * log;
        let slope = count - (count + size) * part;
        let size_slope = size * (part - log) - count * (1.0 - part);
        if IS_INFLATED {
            let odds = dropout[gene];
            let zero = -size * log - odds;
            let of_zero = softplus(-odds) - softplus(zero);
            let of_count = softplus(odds) - log_law;
            let weight = if count > 0.0 { 1.0 } else { sigmoid(zero) };
            losses[gene] = if count > 0.0 { of_count } else { of_zero };
            dropout[gene] = scale * (weight - sigmoid(-odds));
            slopes[gene] = -weight * slope;
            size_slopes[gene] -= weight * size_slope;
        } else {
            losses[gene] = -log_law;
            slopes[gene] = -slope;
            size_slopes[gene] -= size_slope;
        }
    }
    let total = dot(slopes, &ones[..n]);
    for (logit, share) in logits.iter_mut().zip(&*shares) {
        *logit = -scale * share * total;
    }
    for (logit, slope) in logits.iter_mut().zip(&*slopes) {
        *logit += scale * slope;
    }
    dot(losses, &ones[..n])
}

vectorized! {
    fn negative_binomial(
        logits: &mut [f32],
        sizes: Sizes<'_>,
        size_slopes: &mut [f32],
        scratch: &mut Scratch,
        library: f32,
        scale: f32,
    ) -> f32 {
        cell::<false>(logits, &mut [], sizes, size_slopes, scratch, library, scale)
    }
}

vectorized! {
    fn zero_inflated(
        logits: &mut [f32],
        dropout: &mut [f32],
        sizes: Sizes<'_>,
        size_slopes: &mut [f32],
        scratch: &mut Scratch,
        library: f32,
        scale: f32,
    ) -> f32 {
        cell::<true>(logits, dropout, sizes, size_slopes, scratch, library, scale)
    }
}

/// ln Γ(x + θ) − ln Γ(θ) − ln x! for a count x above zero, and its slope by θ.
fn gamma_terms(count: f32, size: f32) -> (f64, f64) {
    let (x, size) = (f64::from(count), f64::from(size));
    if count > LARGE {
        let value = ln_gamma(x + size) - ln_gamma(size) - ln_gamma(x + 1.0);
        return (value, digamma(x + size) - digamma(size));
    }
    let (mut product, mut slope, mut k) = (1.0, 0.0, 0.0);
    while k < x {
        product *= (size + k) / (k + 1.0);
        slope += 1.0 / (size + k);
        k += 1.0;
    }
    (product.ln(), slope)
}

/// What a block of cells adds: the sum of −ln p, and its slopes.
struct Block {
    sum: f64,
    logits: Vec<f32>,
    size_slopes: Vec<f32>,
    dropout: Vec<f32>,
}

impl CountLoss {
    pub(super) fn new(observed: Observed, factor: f32) -> Self {
        Self { observed, factor, gradients: Mutex::default() }
    }

    /// The value; the gradients are kept.
    fn compute(&self, logits: &[f32], log_sizes: &[f32], dropout: Option<&[f32]>) -> Result<f32> {
        let (n_cells, n_genes) = (self.observed.libraries.len(), self.observed.n_genes());
        let n_logits = logits.len() / n_cells.max(1);
        if n_logits * n_cells != logits.len()
            || !(n_genes..=n_genes + 1).contains(&n_logits)
            || log_sizes.len() != n_genes
            || dropout.is_some_and(|dropout| dropout.len() != n_cells * n_genes)
        {
            bail!("counts of {n_cells} cells and {n_genes} genes beside {} logits", logits.len());
        }
        let scale = 1.0 / (n_cells * n_genes) as f32;
        let sizes: Vec<f32> = log_sizes.iter().map(|log| log.exp()).collect();
        let blocks = map_each(n_cells.div_ceil(CELLS), |block| {
            let cells = block * CELLS..n_cells.min((block + 1) * CELLS);
            let dropout = dropout.map(|dropout| dropout[cells.start * n_genes..cells.end * n_genes].to_vec());
            let logits = logits[cells.start * n_logits..cells.end * n_logits].to_vec();
            self.block(cells, logits, Sizes { values: &sizes, logs: log_sizes }, dropout.unwrap_or_default(), scale)
        });
        let (mut sum, mut size_slopes) = (0.0, vec![0.0; n_genes]);
        let (mut logit_slopes, mut dropout_slopes) = (Vec::with_capacity(logits.len()), Vec::new());
        for block in blocks {
            sum += block.sum;
            logit_slopes.extend(block.logits);
            dropout_slopes.extend(block.dropout);
            size_slopes.iter_mut().zip(&block.size_slopes).for_each(|(total, slope)| *total += scale * slope);
        }
        *lock(&self.gradients) = Some([logit_slopes, size_slopes, dropout_slopes]);
        Ok((sum * f64::from(scale)) as f32)
    }

    fn block(
        &self,
        cells: Range<usize>,
        mut logits: Vec<f32>,
        sizes: Sizes<'_>,
        mut dropout: Vec<f32>,
        scale: f32,
    ) -> Block {
        let (n_genes, n_logits) = (sizes.values.len(), logits.len() / cells.len());
        let mut scratch = Scratch::new(n_genes, n_logits);
        let (mut sum, mut size_slopes) = (0.0, vec![0.0_f32; n_genes]);
        for (place, logits) in logits.chunks_exact_mut(n_logits).enumerate() {
            let library = self.factor * self.observed.libraries[cells.start + place];
            let (genes, counts) = self.observed.counts(cells.start + place);
            genes.iter().zip(counts).for_each(|(&gene, &count)| scratch.counts[gene as usize] = count);
            let (slopes, room) = (&mut size_slopes, &mut scratch);
            sum += f64::from(match dropout.is_empty() {
                true => negative_binomial(logits, sizes, slopes, room, library, scale),
                false => {
                    let dropout = &mut dropout[place * n_genes..(place + 1) * n_genes];
                    zero_inflated(logits, dropout, sizes, slopes, room, library, scale)
                }
            });
            for (&gene, &count) in genes.iter().zip(counts).filter(|(_, count)| **count > 0.0) {
                let gene = gene as usize;
                let (value, slope) = gamma_terms(count, sizes.values[gene]);
                sum -= value;
                size_slopes[gene] -= sizes.values[gene] * slope as f32;
            }
            genes.iter().for_each(|&gene| scratch.counts[gene as usize] = 0.0);
        }
        Block { sum, logits, size_slopes, dropout }
    }

    fn take(&self, grad: &Tensor) -> Result<[Vec<f32>; 3]> {
        let factor = grad.to_scalar::<f32>()?;
        let Some(mut gradients) = lock(&self.gradients).take() else {
            bail!("the likelihood of counts was differentiated twice")
        };
        if factor != 1.0 {
            gradients.iter_mut().for_each(|gradient| scale_all(gradient, factor));
        }
        Ok(gradients)
    }
}

vectorized! {
    fn scale_all(values: &mut [f32], factor: f32) {
        values.iter_mut().for_each(|value| *value *= factor);
    }
}

impl CustomOp2 for CountLoss {
    fn name(&self) -> &'static str {
        "count-loss"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let loss = self.compute(contiguous(s1, l1)?, contiguous(s2, l2)?, None)?;
        Ok((CpuStorage::F32(vec![loss]), Shape::from(())))
    }

    fn bwd(
        &self,
        logits: &Tensor,
        sizes: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [logit_slopes, size_slopes, _] = self.take(grad)?;
        Ok((
            Some(Tensor::from_vec(logit_slopes, logits.shape(), logits.device())?),
            gradient_of(sizes, |sum| add(sum, &size_slopes))?,
        ))
    }
}

impl CustomOp3 for CountLoss {
    fn name(&self) -> &'static str {
        "zero-inflated-count-loss"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let loss = self.compute(contiguous(s1, l1)?, contiguous(s2, l2)?, Some(contiguous(s3, l3)?))?;
        Ok((CpuStorage::F32(vec![loss]), Shape::from(())))
    }

    fn bwd(
        &self,
        logits: &Tensor,
        sizes: &Tensor,
        dropout: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [logit_slopes, size_slopes, dropout_slopes] = self.take(grad)?;
        Ok((
            Some(Tensor::from_vec(logit_slopes, logits.shape(), logits.device())?),
            gradient_of(sizes, |sum| add(sum, &size_slopes))?,
            Some(Tensor::from_vec(dropout_slopes, dropout.shape(), dropout.device())?),
        ))
    }
}
