//! What stands between the two maps of a perceptron, with or without a gate. Nothing is kept for the backward pass.

use candle_core::{CpuStorage, CustomOp1, D, Layout, Result, Shape, Tensor};
use serde::{Deserialize, Serialize};

use super::{contiguous, device, exp, for_each_block, is_fused, vectorized, with_values};

/// Rows per block.
const ROWS: usize = 16;

/// A function of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// u Φ(u), Φ the normal distribution function (Hendrycks & Gimpel 2016, arXiv 1606.08415).
    Gelu,
    /// Its approximation u/2 (1 + tanh(√(2/π) (u + 0.044715 u³))).
    GeluTanh,
    /// u / (1 + exp(−u)).
    Silu,
    /// max(u, 0).
    Relu,
}

impl Activation {
    /// f(u), number by number; with a gate f(first half) · second half of each row.
    ///
    /// **Shapes** `x`: (n_rows, n_columns) → the same, or (n_rows, n_columns / 2) with a gate.
    pub fn of(self, x: &Tensor, is_gated: bool) -> Result<Tensor> {
        if is_fused(x) {
            return x.contiguous()?.apply_op1(Activate { activation: self, is_gated });
        }
        if !is_gated {
            return self.composed(x);
        }
        let n = x.dim(D::Minus1)? / 2;
        self.composed(&x.narrow(D::Minus1, 0, n)?.contiguous()?)? * x.narrow(D::Minus1, n, n)?
    }

    fn composed(self, u: &Tensor) -> Result<Tensor> {
        match self {
            Self::Gelu => device::gelu(u),
            Self::GeluTanh => u.gelu(),
            Self::Silu => u.silu(),
            Self::Relu => u.relu(),
        }
    }
}

/// Φ(u) and the density φ(u); the tail by Abramowitz & Stegun 1964, 7.1.26, to 1e-7.
#[inline(always)]
fn normal(u: f32) -> (f32, f32) {
    let size = u.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * size);
    let mut sum = 1.061_405_4_f32;
    for coefficient in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        sum = sum * t + coefficient;
    }
    let bell = exp(-size * size);
    let tail = 0.5 * sum * t * bell;
    (if u < 0.0 { tail } else { 1.0 - tail }, 0.398_942_3 * bell)
}

/// f(u) and f'(u).
type Pair = (f32, f32);

#[inline(always)]
fn gelu(u: f32) -> Pair {
    let (below, density) = normal(u);
    (u * below, below + u * density)
}

#[inline(always)]
fn gelu_tanh(u: f32) -> Pair {
    const SLOPE: f32 = 0.797_884_6;
    const CUBIC: f32 = 0.044_715;
    let gate = 1.0 / (1.0 + exp(-2.0 * SLOPE * (u + CUBIC * u * u * u)));
    (u * gate, gate + u * gate * (1.0 - gate) * (2.0 * SLOPE * (1.0 + 3.0 * CUBIC * u * u)))
}

#[inline(always)]
fn silu(u: f32) -> Pair {
    let gate = 1.0 / (1.0 + exp(-u));
    (u * gate, gate + u * gate * (1.0 - gate))
}

#[inline(always)]
fn relu(u: f32) -> Pair {
    if u > 0.0 { (u, 1.0) } else { (0.0, 0.0) }
}

/// Loops over rows for one function.
macro_rules! loops {
    ($forward:ident, $backward:ident, $function:ident) => {
        vectorized! {
            fn $forward(output: &mut [f32], x: &[f32], n: usize, is_gated: bool) {
                if !is_gated {
                    for (output, u) in output.iter_mut().zip(x) {
                        *output = $function(*u).0;
                    }
                    return;
                }
                for (output, row) in output.chunks_exact_mut(n).zip(x.chunks_exact(2 * n)) {
                    let (gates, values) = row.split_at(n);
                    for ((output, u), value) in output.iter_mut().zip(gates).zip(values) {
                        *output = $function(*u).0 * value;
                    }
                }
            }
        }

        vectorized! {
            fn $backward(output: &mut [f32], x: &[f32], grad: &[f32], n: usize, is_gated: bool) {
                if !is_gated {
                    for ((output, u), grad) in output.iter_mut().zip(x).zip(grad) {
                        *output = grad * $function(*u).1;
                    }
                    return;
                }
                let rows = x.chunks_exact(2 * n).zip(grad.chunks_exact(n));
                for (output, (row, grad)) in output.chunks_exact_mut(2 * n).zip(rows) {
                    let (gates, values) = row.split_at(n);
                    let (gate_grads, value_grads) = output.split_at_mut(n);
                    for i in 0..n {
                        let (f, slope) = $function(gates[i]);
                        gate_grads[i] = grad[i] * values[i] * slope;
                        value_grads[i] = grad[i] * f;
                    }
                }
            }
        }
    };
}

loops!(gelu_forward, gelu_backward, gelu);
loops!(gelu_tanh_forward, gelu_tanh_backward, gelu_tanh);
loops!(silu_forward, silu_backward, silu);
loops!(relu_forward, relu_backward, relu);

struct Activate {
    activation: Activation,
    is_gated: bool,
}

impl Activate {
    /// Columns of x and of the result.
    fn columns(&self, x: &Shape) -> Result<(usize, usize)> {
        let n = x.dim(D::Minus1)?;
        if self.is_gated && !n.is_multiple_of(2) {
            candle_core::bail!("a gate and its values in {n} columns");
        }
        Ok((n, if self.is_gated { n / 2 } else { n }))
    }
}

impl CustomOp1 for Activate {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n_in, n_out) = self.columns(lx.shape())?;
        let x = contiguous(x, lx)?;
        let forward = match self.activation {
            Activation::Gelu => gelu_forward,
            Activation::GeluTanh => gelu_tanh_forward,
            Activation::Silu => silu_forward,
            Activation::Relu => relu_forward,
        };
        let mut output = vec![0.0; x.len() / n_in * n_out];
        for_each_block(&mut output, ROWS * n_out, |block, output| {
            let x = &x[block * ROWS * n_in..][..output.len() / n_out * n_in];
            forward(output, x, n_out, self.is_gated);
        });
        let mut dims = lx.dims().to_vec();
        dims.iter_mut().next_back().into_iter().for_each(|last| *last = n_out);
        Ok((CpuStorage::F32(output), dims.into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (n_in, n_out) = self.columns(x.shape())?;
        let backward = match self.activation {
            Activation::Gelu => gelu_backward,
            Activation::GeluTanh => gelu_tanh_backward,
            Activation::Silu => silu_backward,
            Activation::Relu => relu_backward,
        };
        let output = with_values([x, &grad.contiguous()?], |[x, grad]| {
            let mut output = vec![0.0; x.len()];
            for_each_block(&mut output, ROWS * n_in, |block, output| {
                let n_rows = output.len() / n_in;
                let (x, grad) = (&x[block * ROWS * n_in..], &grad[block * ROWS * n_out..]);
                backward(output, &x[..n_rows * n_in], &grad[..n_rows * n_out], n_out, self.is_gated);
            });
            Ok(output)
        })?;
        Ok(Some(Tensor::from_vec(output, x.shape(), x.device())?))
    }
}
