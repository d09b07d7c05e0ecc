//! Every kernel against the same thing composed of the tensor library's own operations, forward and backward.

use std::sync::Arc;

use candle_core::{D, Device, Result, Tensor, Var};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::activation::Activation;
use super::attention::{Arrangement, attention};
use super::root_mean_square::root_mean_square_norm;
use super::rotary::{Angles, Heads, Turn};
use super::{alone, bias, gelu, layer_norm, linear, perceptron, values};
use crate::language::device::composed;
use crate::language::gradients::Gradients;
use crate::language::mask::{Mask, TokenOrder};

fn variable(shape: &[usize], seed: u64) -> Var {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| StandardNormal.sample(&mut rng)).collect();
    Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
}

/// Both results, and the gradients of a weighted sum of each with respect to every variable, must agree.
#[track_caller]
fn same(ours: Result<Tensor>, primitives: Result<Tensor>, variables: &[&Var]) {
    let (ours, primitives) = (ours.unwrap(), primitives.unwrap());
    close(&ours, &primitives);
    let weights = variable(ours.dims(), 99);
    let weights = weights.as_tensor().detach();
    let sum = |output: &Tensor| output.mul(&weights).unwrap().sum_all().unwrap();
    let (a, b) = (Gradients::of(&sum(&ours)).unwrap(), sum(&primitives).backward().unwrap());
    for variable in variables {
        near(a.get(variable).unwrap(), &values(b.get(variable).unwrap()).unwrap());
    }
}

#[track_caller]
fn close(a: &Tensor, b: &Tensor) {
    assert_eq!(a.dims(), b.dims());
    near(&values(a).unwrap(), &values(b).unwrap());
}

#[track_caller]
fn near(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    let size = b.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    assert!(size > 0.0);
    a.iter().zip(b).for_each(|(a, b)| assert!((a - b).abs() < 2e-5 * size, "{a} {b}"));
}

fn layer_norm_of_primitives(x: &Tensor, gain: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + 1e-5)?.sqrt()?;
    centred.broadcast_div(&deviation)?.broadcast_mul(gain)?.broadcast_add(bias)
}

/// Once with forks, once without, and once as on other devices.
#[track_caller]
fn same_every_way(ours: impl Fn() -> Result<Tensor>, primitives: impl Fn() -> Result<Tensor>, variables: &[&Var]) {
    same(ours(), primitives(), variables);
    alone(|| same(ours(), primitives(), variables));
    composed(|| same(ours(), primitives(), variables));
}

#[test]
fn bias_gelu_and_layer_norm_agree() {
    let (x, b, gain) = (variable(&[150, 37], 1), variable(&[37], 2), variable(&[37], 3));
    same_every_way(|| bias::add_bias(&x, &b), || x.broadcast_add(&b), &[&x, &b]);
    let long = variable(&[500, 37], 4);
    same_every_way(|| gelu::gelu(&long), || long.gelu(), &[&long]);
    same_every_way(
        || layer_norm::layer_norm(&x, &gain, &b, layer_norm::EPSILON),
        || layer_norm_of_primitives(&x, &gain, &b),
        &[&x, &gain, &b],
    );
}

#[test]
fn affine_maps_agree() {
    let (x, w, b) = (variable(&[150, 19], 1), variable(&[19, 23], 2), variable(&[23], 3));
    let residual = variable(&[150, 23], 4);
    same_every_way(|| linear::linear(&x, &w, &b), || x.matmul(&w)?.broadcast_add(&b), &[&x, &w, &b]);
    same_every_way(
        || linear::linear_with_residual(&x, &w, &b, &residual),
        || x.matmul(&w)?.broadcast_add(&b)? + residual.as_tensor(),
        &[&x, &w, &b, &residual],
    );
    // Where nothing of the input is trainable, the gradient of the weights must not be lost.
    let fixed = x.as_tensor().detach();
    let fixed_residual = residual.as_tensor().detach();
    same_every_way(
        || linear::linear_with_residual(&fixed, &w, &b, &fixed_residual),
        || fixed.matmul(&w)?.broadcast_add(&b)? + &fixed_residual,
        &[&w, &b],
    );
}

#[test]
fn the_perceptron_agrees_with_and_without_groups() {
    let (width, inner) = (19, 41);
    let x = variable(&[150, width], 1);
    let [gain, shift, down_bias] = [2, 3, 4].map(|seed| variable(&[width], seed));
    let (up, up_bias, down) = (variable(&[width, inner], 5), variable(&[inner], 6), variable(&[inner, width], 7));
    let tensors = perceptron::Tensors {
        gain: gain.as_tensor().clone(),
        shift: shift.as_tensor().clone(),
        up: up.as_tensor().clone(),
        up_bias: up_bias.as_tensor().clone(),
        down: down.as_tensor().clone(),
        down_bias: down_bias.as_tensor().clone(),
    };
    let vectors = variable(&[3, width], 8);
    let of_group = Arc::new(vec![2, 0, 2]);
    let by_primitives = |shifted: Tensor| {
        let hidden = shifted.matmul(&up)?.broadcast_add(&up_bias)?.gelu()?;
        hidden.matmul(&down)?.broadcast_add(&down_bias)? + x.as_tensor()
    };
    let all = [&x, &gain, &shift, &up, &up_bias, &down, &down_bias];
    let normal = || layer_norm_of_primitives(&x, &gain, &shift);
    same_every_way(|| perceptron::perceptron(&x, None, &tensors), || by_primitives(normal()?), &all);
    let shifted = || {
        let chosen = vectors.index_select(&Tensor::new(of_group.as_slice(), &Device::Cpu)?, 0)?.unsqueeze(1)?;
        by_primitives(normal()?.reshape((3, 50, width))?.broadcast_add(&chosen)?.reshape((150, width))?)
    };
    let all = [&x, &vectors, &gain, &shift, &up, &up_bias, &down, &down_bias];
    same_every_way(|| perceptron::perceptron(&x, Some((&vectors, &of_group)), &tensors), shifted, &all);
    // Trainable tensors over rows that are not: the gradients must not be lost.
    let fixed = x.as_tensor().detach();
    let loss = perceptron::perceptron(&fixed, None, &tensors).unwrap().sum_all().unwrap();
    assert!(Gradients::of(&loss).unwrap().get(&up).is_some());
    // The gradients of the tensors go to buffers, so a plain backward pass must fail and not forget them.
    let loss = perceptron::perceptron(&x, None, &tensors).unwrap().sum_all().unwrap();
    assert!(loss.backward().unwrap_err().to_string().contains("Gradients::of"));
}

fn attention_of_primitives(qkv: &Tensor, prefix: Option<&Tensor>, arrangement: &Arrangement) -> Result<Tensor> {
    let (n_rows, packed) = qkv.dims2()?;
    let (n_tokens, n_heads, width) = (arrangement.mask.n_tokens, arrangement.n_heads, packed / 3);
    let (n_sequences, head) = (n_rows / n_tokens, width / n_heads);
    let parts = qkv.reshape((n_sequences, n_tokens, 3, n_heads, head))?.permute((2, 0, 3, 1, 4))?;
    let [queries, mut keys, mut values] = [parts.get(0)?, parts.get(1)?, parts.get(2)?];
    let mut n_prefix = 0;
    if let Some(prefix) = prefix {
        let chosen = Tensor::new(arrangement.prefix_of_sequence.as_slice(), qkv.device())?;
        n_prefix = prefix.dim(1)?;
        let chosen = prefix.index_select(&chosen, 0)?.reshape((n_sequences, n_prefix, 2, n_heads, head))?;
        let chosen = chosen.permute((2, 0, 3, 1, 4))?;
        keys = Tensor::cat(&[&chosen.get(0)?, &keys], 2)?;
        values = Tensor::cat(&[&chosen.get(1)?, &values], 2)?;
    }
    let mut hidden = Vec::with_capacity(n_sequences * n_tokens * (n_prefix + n_tokens));
    for sequence in 0..n_sequences {
        let length = match prefix {
            Some(_) => arrangement.prefix_lengths[arrangement.prefix_of_sequence[sequence] as usize],
            None => 0,
        };
        for token in 0..n_tokens {
            hidden.extend((0..n_prefix).map(|place| if place < length { 0.0_f32 } else { f32::NEG_INFINITY }));
            let row = arrangement.mask.rows(token..token + 1, n_tokens);
            hidden.extend(row.into_iter().map(|visible| if visible { 0.0 } else { f32::NEG_INFINITY }));
        }
    }
    let hidden = Tensor::from_vec(hidden, (n_sequences, 1, n_tokens, n_prefix + n_tokens), qkv.device())?;
    let scores = (queries.contiguous()?.matmul(&keys.transpose(2, 3)?.contiguous()?)? / (head as f64).sqrt())?;
    let shares = candle_nn::ops::softmax(&scores.broadcast_add(&hidden)?, 3)?;
    shares.matmul(&values.contiguous()?)?.transpose(1, 2)?.reshape((n_rows, width))
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
    same_every_way(
        || attention(&qkv, None, &arrangement),
        || attention_of_primitives(&qkv, None, &arrangement),
        &[&qkv],
    );
    let prefix = variable(&[3, 4, 2 * width], 2);
    same_every_way(
        || attention(&qkv, Some(&prefix), &arrangement),
        || attention_of_primitives(&qkv, Some(&prefix), &arrangement),
        &[&qkv, &prefix],
    );
    // Heads that do not fill whole vectors.
    let narrow = Arrangement { n_heads: 4, ..arrangement };
    same_every_way(
        || attention(&qkv, Some(&prefix), &narrow),
        || attention_of_primitives(&qkv, Some(&prefix), &narrow),
        &[&qkv, &prefix],
    );
}

#[test]
fn the_root_mean_square_norm_and_activations_agree_with_and_without_a_gate() {
    let (x, gain) = (variable(&[150, 38], 1), variable(&[38], 2));
    let by_primitives = || {
        let size = (x.sqr()?.mean_keepdim(D::Minus1)? + 1e-6)?.sqrt()?;
        x.broadcast_div(&size)?.broadcast_mul(&gain)
    };
    same_every_way(|| root_mean_square_norm(&x, &gain, 1e-6), by_primitives, &[&x, &gain]);
    for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Silu, Activation::Relu] {
        let plain = |u: &Tensor| match activation {
            // The library's own backward pass of this one is of the approximation by tanh.
            Activation::Gelu => (u * ((u * std::f64::consts::FRAC_1_SQRT_2)?.erf()? + 1.0)?)? * 0.5,
            Activation::GeluTanh => u.gelu(),
            Activation::Silu => u.silu(),
            Activation::Relu => u.relu(),
        };
        same_every_way(|| activation.of(&x, false), || plain(&x), &[&x]);
        let gated = || plain(&x.narrow(1, 0, 19)?.contiguous()?)? * x.narrow(1, 19, 19)?;
        same_every_way(|| activation.of(&x, true), gated, &[&x]);
    }
}

fn turn_of_primitives(turn: &Turn, qkv: &Tensor) -> Result<Tensor> {
    let Heads { n_heads, n_key_heads, head_width } = turn.heads;
    let n_rows = qkv.dim(0)?;
    let all = qkv.reshape((n_rows, n_heads + 2 * n_key_heads, head_width))?;
    let turned = all.narrow(1, 0, n_heads + n_key_heads)?;
    let turned = match &turn.angles {
        None => turned,
        Some(angles) => {
            let half = angles.n_turned / 2;
            let positions = Tensor::new(turn.positions.as_slice(), qkv.device())?;
            let table = |values: &[f32]| {
                let table = Tensor::from_slice(values, (values.len() / half, half), qkv.device())?;
                table.index_select(&positions, 0)?.unsqueeze(1)
            };
            let (cosines, sines) = (table(&angles.cosines)?, table(&angles.sines)?);
            let (first, second) = (turned.narrow(2, 0, half)?, turned.narrow(2, half, half)?);
            let new_first = (first.broadcast_mul(&cosines)? - second.broadcast_mul(&sines)?)?;
            let new_second = (second.broadcast_mul(&cosines)? + first.broadcast_mul(&sines)?)?;
            let mut parts = vec![new_first, new_second];
            if 2 * half < head_width {
                parts.push(turned.narrow(2, 2 * half, head_width - 2 * half)?);
            }
            Tensor::cat(&parts, D::Minus1)?
        }
    };
    let deal = |part: Tensor| {
        let shape = (n_rows, n_key_heads, n_heads / n_key_heads, head_width);
        part.unsqueeze(2)?.broadcast_as(shape)?.reshape((n_rows, n_heads, head_width))
    };
    let queries = turned.narrow(1, 0, n_heads)?;
    let keys = deal(turned.narrow(1, n_heads, n_key_heads)?)?;
    let values = deal(all.narrow(1, n_heads + n_key_heads, n_key_heads)?)?;
    Tensor::cat(&[&queries, &keys, &values], 1)?.reshape((n_rows, 3 * n_heads * head_width))
}

#[test]
fn queries_and_keys_are_turned_and_dealt_out_alike() {
    for (n_heads, n_key_heads, n_turned) in [(4, 4, 6), (4, 2, 2), (3, 1, 6), (6, 2, 0)] {
        let heads = Heads { n_heads, n_key_heads, head_width: 6 };
        let angle = |i: usize| (i as f32 * 0.37).sin();
        let n = 20 * n_turned / 2;
        let angles = (n_turned > 0).then(|| Angles {
            n_turned,
            cosines: (0..n).map(|i| angle(i).cos()).collect(),
            sines: (0..n).map(|i| angle(i).sin()).collect(),
        });
        let positions = Arc::new((0..150).map(|row| row * 7 % 20).collect());
        let turn = Turn { heads, angles: angles.map(Arc::new), positions };
        let qkv = variable(&[150, heads.packed()], 1);
        same_every_way(|| turn.of(&qkv), || turn_of_primitives(&turn, &qkv), &[&qkv]);
    }
}
