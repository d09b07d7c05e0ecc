//! Every kernel against the same thing composed of the tensor library's own operations, forward and backward.

use std::sync::Arc;

use candle_core::{D, Device, Result, Tensor, Var};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::attention::{Arrangement, attention, composed};
use super::{bias, gelu, layer_norm, values};
use crate::language::mask::{Mask, TokenOrder};

fn variable(shape: &[usize], seed: u64) -> Var {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| StandardNormal.sample(&mut rng)).collect();
    Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
}

/// Both results, and the gradients of a weighted sum of each with respect to every variable, must agree.
#[track_caller]
fn same(fused: Result<Tensor>, composed: Result<Tensor>, variables: &[&Var]) {
    let (fused, composed) = (fused.unwrap(), composed.unwrap());
    close(&fused, &composed);
    let weights = variable(fused.dims(), 99);
    let weights = weights.as_tensor().detach();
    let grads = |output: &Tensor| output.mul(&weights).unwrap().sum_all().unwrap().backward().unwrap();
    let (a, b) = (grads(&fused), grads(&composed));
    for variable in variables {
        close(a.get(variable).unwrap(), b.get(variable).unwrap());
    }
}

#[track_caller]
fn close(a: &Tensor, b: &Tensor) {
    assert_eq!(a.dims(), b.dims());
    let (a, b) = (values(a).unwrap(), values(b).unwrap());
    let size = b.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    assert!(size > 0.0);
    a.iter().zip(&b).for_each(|(a, b)| assert!((a - b).abs() < 2e-5 * size, "{a} {b}"));
}

#[test]
fn bias_kernels_agree() {
    let (x, b, residual) = (variable(&[150, 19], 1), variable(&[19], 2), variable(&[150, 19], 3));
    same(bias::add_bias(&x, &b), x.broadcast_add(&b), &[&x, &b]);
    let composed = (x.broadcast_add(&b).unwrap() + residual.as_tensor()).unwrap();
    same(bias::add_bias_and_residual(&x, &b, &residual), Ok(composed), &[&x, &b, &residual]);
    let vectors = variable(&[3, 19], 4);
    let of_group = Arc::new(vec![2, 0, 2]);
    let index = Tensor::new(of_group.as_slice(), &Device::Cpu).unwrap();
    let chosen = vectors.index_select(&index, 0).unwrap().unsqueeze(1).unwrap();
    let composed = x.reshape((3, 50, 19)).unwrap().broadcast_add(&chosen).unwrap().reshape((150, 19));
    same(bias::add_by_group(&x, &vectors, &of_group), composed, &[&x, &vectors]);
}

#[test]
fn gelu_and_layer_norm_agree() {
    let (x, b, gain) = (variable(&[130, 37], 1), variable(&[37], 2), variable(&[37], 3));
    same(gelu::bias_gelu(&x, &b), x.broadcast_add(&b).unwrap().gelu(), &[&x, &b]);
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1).unwrap()).unwrap();
    let deviation = (centred.sqr().unwrap().mean_keepdim(D::Minus1).unwrap() + 1e-5).unwrap().sqrt().unwrap();
    let normal = centred.broadcast_div(&deviation).unwrap();
    let composed = normal.broadcast_mul(&gain).unwrap().broadcast_add(&b);
    same(layer_norm::layer_norm(&x, &gain, &b), composed, &[&x, &gain, &b]);
}

#[test]
fn attention_agrees_with_and_without_prefixes() {
    let order = TokenOrder { n_steps: 3, n_trajectories: 2, n_spatial: 2 };
    let (n_sequences, width) = (40, 24);
    let arrangement = Arrangement {
        n_heads: 3,
        mask: Arc::new(Mask::by_blocks(order)),
        prefix_of_sequence: Arc::new((0..n_sequences).map(|sequence| (sequence % 3) as u32).collect()),
        prefix_lengths: Arc::new(vec![4, 2, 3]),
    };
    let qkv = variable(&[n_sequences * order.n_tokens(), 3 * width], 1);
    same(attention(&qkv, None, &arrangement), composed(&qkv, None, &arrangement), &[&qkv]);
    let prefix = variable(&[3, 4, 2 * width], 2);
    let fused = attention(&qkv, Some(&prefix), &arrangement);
    same(fused, composed(&qkv, Some(&prefix), &arrangement), &[&qkv, &prefix]);
}
