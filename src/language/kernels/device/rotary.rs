//! Queries and keys turned by their positions, and keys and values dealt out.

use candle_core::{D, Result, Tensor};

use super::super::rotary::{Heads, Turn};
use crate::language::by_hand::{by_hand, gradient_of_input};

/// As [`Turn::of`].
pub(in super::super) fn turned(turn: &Turn, qkv: &Tensor) -> Result<Tensor> {
    let turn = turn.clone();
    by_hand([qkv], forward(&turn, &qkv.detach())?, move |[qkv], grad| {
        Ok([gradient_of_input(qkv, || backward(&turn, grad))?])
    })
}

/// Heads turned by the angles of their rows, or back: (n_rows, n, head_width) → the same.
fn rotate(turn: &Turn, heads: &Tensor, back: bool) -> Result<Tensor> {
    let Some(angles) = &turn.angles else { return Ok(heads.clone()) };
    let (half, n_rest) = (angles.n_turned / 2, turn.heads.head_width - angles.n_turned);
    let positions = Tensor::new(turn.positions.as_slice(), heads.device())?;
    let table = |values: &[f32]| {
        let table = Tensor::from_slice(values, (values.len() / half, half), heads.device())?;
        table.index_select(&positions, 0)?.unsqueeze(1)
    };
    let (cosines, sines) = (table(&angles.cosines)?, table(&angles.sines)?);
    let sines = if back { sines.neg()? } else { sines };
    let (first, second) = (heads.narrow(2, 0, half)?, heads.narrow(2, half, half)?);
    let mut parts = vec![
        (first.broadcast_mul(&cosines)? - second.broadcast_mul(&sines)?)?,
        (second.broadcast_mul(&cosines)? + first.broadcast_mul(&sines)?)?,
    ];
    if n_rest > 0 {
        parts.push(heads.narrow(2, 2 * half, n_rest)?);
    }
    Tensor::cat(&parts, D::Minus1)
}

fn forward(turn: &Turn, qkv: &Tensor) -> Result<Tensor> {
    let Heads { n_heads, n_key_heads, head_width } = turn.heads;
    let n_rows = qkv.dim(0)?;
    let all = qkv.reshape((n_rows, n_heads + 2 * n_key_heads, head_width))?;
    let turned = rotate(turn, &all.narrow(1, 0, n_heads + n_key_heads)?, false)?;
    let deal = |part: Tensor| {
        let shape = (n_rows, n_key_heads, n_heads / n_key_heads, head_width);
        part.unsqueeze(2)?.broadcast_as(shape)?.reshape((n_rows, n_heads, head_width))
    };
    let queries = turned.narrow(1, 0, n_heads)?;
    let keys = deal(turned.narrow(1, n_heads, n_key_heads)?)?;
    let values = deal(all.narrow(1, n_heads + n_key_heads, n_key_heads)?)?;
    Tensor::cat(&[&queries, &keys, &values], 1)?.reshape((n_rows, 3 * n_heads * head_width))
}

/// The gradient of what was turned and dealt out.
fn backward(turn: &Turn, grad: &Tensor) -> Result<Tensor> {
    let Heads { n_heads, n_key_heads, head_width } = turn.heads;
    let n_rows = grad.dim(0)?;
    let all = grad.reshape((n_rows, 3 * n_heads, head_width))?;
    let collect = |part: usize| {
        let part = all.narrow(1, part * n_heads, n_heads)?;
        match n_heads == n_key_heads {
            true => Ok(part),
            false => part.reshape((n_rows, n_key_heads, n_heads / n_key_heads, head_width))?.sum(2),
        }
    };
    let turned = rotate(turn, &Tensor::cat(&[&all.narrow(1, 0, n_heads)?, &collect(1)?], 1)?, true)?;
    Tensor::cat(&[&turned, &collect(2)?], 1)?.reshape((n_rows, turn.heads.packed()))
}
