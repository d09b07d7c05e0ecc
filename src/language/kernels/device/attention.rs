//! Attention over short sequences with shared prefixes.

use candle_core::{D, Result, Tensor};

use super::super::attention::Arrangement;
use crate::language::by_hand::{by_hand, gradient_of_input};

/// Queries, keys and values of every sequence: (n_sequences, n_heads, n, head), where n counts the prefix for the latter two.
struct Parts {
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
}

/// The sizes of an attention.
#[derive(Clone, Copy)]
struct Sizes {
    n_sequences: usize,
    n_tokens: usize,
    n_prefix: usize,
    n_heads: usize,
    head: usize,
}

impl Sizes {
    fn of(qkv: &Tensor, prefix: Option<&Tensor>, arrangement: &Arrangement) -> Result<Self> {
        let (n_rows, packed) = qkv.dims2()?;
        let (n_tokens, n_heads) = (arrangement.mask.n_tokens, arrangement.n_heads);
        let n_prefix = prefix.map_or(Ok(0), |prefix| prefix.dim(1))?;
        Ok(Self { n_sequences: n_rows / n_tokens, n_tokens, n_prefix, n_heads, head: packed / 3 / n_heads })
    }
}

/// As [`super::super::attention::attention`].
pub(in super::super) fn attention(qkv: &Tensor, prefix: Option<&Tensor>, arrangement: &Arrangement) -> Result<Tensor> {
    let sizes = Sizes::of(qkv, prefix, arrangement)?;
    let chosen = match prefix {
        Some(_) => Some(Tensor::new(arrangement.prefix_of_sequence.as_slice(), qkv.device())?),
        None => None,
    };
    let detached = prefix.map(Tensor::detach);
    let parts = parts(&qkv.detach(), detached.as_ref().zip(chosen.as_ref()), sizes)?;
    let scores = (parts.queries.matmul(&parts.keys.t()?)? * scale(sizes))?;
    let shares = candle_nn::ops::softmax_last_dim(&scores.broadcast_add(&hidden(arrangement, sizes, qkv)?)?)?;
    let output = shares.matmul(&parts.values)?.transpose(1, 2)?.reshape((qkv.dim(0)?, sizes.n_heads * sizes.head))?;
    match (prefix, chosen) {
        (Some(prefix), Some(chosen)) => by_hand([qkv, prefix], output, move |[qkv, prefix], grad| {
            let (own, shared) = backward(qkv, Some((prefix, &chosen)), &shares, sizes, grad)?;
            let of_prefix = || match shared {
                Some(rows) => prefix.zeros_like()?.index_add(&chosen, &rows, 0),
                None => prefix.zeros_like(),
            };
            Ok([gradient_of_input(qkv, || Ok(own))?, gradient_of_input(prefix, of_prefix)?])
        }),
        _ => by_hand([qkv], output, move |[qkv], grad| {
            let (own, _) = backward(qkv, None, &shares, sizes, grad)?;
            Ok([gradient_of_input(qkv, || Ok(own))?])
        }),
    }
}

fn scale(sizes: Sizes) -> f64 {
    1.0 / (sizes.head as f64).sqrt()
}

fn parts(qkv: &Tensor, prefix: Option<(&Tensor, &Tensor)>, sizes: Sizes) -> Result<Parts> {
    let Sizes { n_sequences, n_tokens, n_prefix, n_heads, head } = sizes;
    let own = qkv.reshape((n_sequences, n_tokens, 3, n_heads, head))?.permute((2, 0, 3, 1, 4))?;
    let (queries, keys, values) = (own.get(0)?.contiguous()?, own.get(1)?, own.get(2)?);
    let Some((prefix, chosen)) = prefix else {
        return Ok(Parts { queries, keys: keys.contiguous()?, values: values.contiguous()? });
    };
    let shared = prefix.index_select(chosen, 0)?.reshape((n_sequences, n_prefix, 2, n_heads, head))?;
    let shared = shared.permute((2, 0, 3, 1, 4))?;
    let keys = Tensor::cat(&[&shared.get(0)?, &keys], 2)?.contiguous()?;
    let values = Tensor::cat(&[&shared.get(1)?, &values], 2)?.contiguous()?;
    Ok(Parts { queries, keys, values })
}

/// What is added to scores: zero where a token may look, −∞ elsewhere; (n_sequences, 1, n_tokens, n_prefix + n_tokens).
fn hidden(arrangement: &Arrangement, sizes: Sizes, like: &Tensor) -> Result<Tensor> {
    let Sizes { n_sequences, n_tokens, n_prefix, .. } = sizes;
    let added = |visible: bool| if visible { 0.0_f32 } else { f32::NEG_INFINITY };
    let own: Vec<f32> = arrangement.mask.rows(0..n_tokens, n_tokens).into_iter().map(added).collect();
    let mut hidden = Vec::with_capacity(n_sequences * n_tokens * (n_prefix + n_tokens));
    for sequence in 0..n_sequences {
        let length = match n_prefix {
            0 => 0,
            _ => arrangement.prefix_lengths[arrangement.prefix_of_sequence[sequence] as usize],
        };
        for row in own.chunks_exact(n_tokens) {
            hidden.extend((0..n_prefix).map(|place| added(place < length)));
            hidden.extend_from_slice(row);
        }
    }
    Tensor::from_vec(hidden, (n_sequences, 1, n_tokens, n_prefix + n_tokens), like.device())
}

/// The gradient of `qkv`, and that of the prefix of every sequence: (n_sequences, n_prefix, 2 · width).
fn backward(
    qkv: &Tensor,
    prefix: Option<(&Tensor, &Tensor)>,
    shares: &Tensor,
    sizes: Sizes,
    grad: &Tensor,
) -> Result<(Tensor, Option<Tensor>)> {
    let Sizes { n_sequences, n_tokens, n_prefix, n_heads, head } = sizes;
    let detached = prefix.map(|(prefix, chosen)| (prefix.detach(), chosen));
    let prefix = detached.as_ref().map(|(prefix, chosen)| (prefix, *chosen));
    let Parts { queries, keys, values } = parts(&qkv.detach(), prefix, sizes)?;
    let grad = grad.reshape((n_sequences, n_tokens, n_heads, head))?.transpose(1, 2)?.contiguous()?;
    let of_shares = grad.matmul(&values.t()?)?;
    let mean = (&of_shares * shares)?.sum_keepdim(D::Minus1)?;
    let of_scores = ((of_shares.broadcast_sub(&mean)? * shares)? * scale(sizes))?;
    let of_queries = of_scores.matmul(&keys)?;
    let of_keys = of_scores.t()?.matmul(&queries)?;
    let of_values = shares.t()?.matmul(&grad)?;
    // Side by side, as rows of tokens.
    let rows = |parts: &[Tensor], n: usize| {
        let parts = parts.iter().map(|part| part.transpose(1, 2)).collect::<Result<Vec<_>>>()?;
        Tensor::stack(&parts, 2)?.reshape((n_sequences, n, parts.len() * n_heads * head))
    };
    let own = |part: &Tensor| part.narrow(2, n_prefix, n_tokens);
    let of_qkv = rows(&[of_queries, own(&of_keys)?, own(&of_values)?], n_tokens)?.reshape(qkv.shape())?;
    let shared = match n_prefix {
        0 => None,
        _ => Some(rows(&[of_keys.narrow(2, 0, n_prefix)?, of_values.narrow(2, 0, n_prefix)?], n_prefix)?),
    };
    Ok((of_qkv, shared))
}
