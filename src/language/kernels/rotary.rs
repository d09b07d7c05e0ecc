//! Queries and keys turned by their positions, and keys and values dealt out to the heads that share them.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{BLOCK, contiguous, device, for_each_block, is_fused, vectorized, with_values};

/// Heads of queries, fewer or as many heads of keys and values, and the numbers of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// Heads of queries.
    pub n_heads: usize,
    /// Heads of keys and of values; a divisor of the former.
    pub n_key_heads: usize,
    /// Numbers per head.
    pub head_width: usize,
}

impl Heads {
    /// Numbers of the queries, and of the keys and values once every head has its own.
    pub fn width(&self) -> usize {
        self.n_heads * self.head_width
    }

    /// Numbers of queries, keys and values side by side before they are dealt out.
    pub fn packed(&self) -> usize {
        (self.n_heads + 2 * self.n_key_heads) * self.head_width
    }
}

/// Cosines and sines of the angles of each position: (n_positions, n_turned / 2).
#[derive(Debug, Clone)]
pub struct Angles {
    /// Numbers of each head that are turned, from the first on, in pairs half of them apart.
    pub n_turned: usize,
    /// Cosines.
    pub cosines: Vec<f32>,
    /// Sines.
    pub sines: Vec<f32>,
}

/// How rows are turned.
#[derive(Debug, Clone)]
pub struct Turn {
    /// The heads.
    pub heads: Heads,
    /// The angles; none where positions are told in another way.
    pub angles: Option<Arc<Angles>>,
    /// The position of each row.
    pub positions: Arc<Vec<u32>>,
}

impl Turn {
    /// (x₁, x₂) → (x₁ cos − x₂ sin, x₂ cos + x₁ sin) for the pairs of queries and keys (Su et al. 2021, arXiv 2104.09864, in the
    /// order of GPT-NeoX); every head of queries gets a copy of the keys and values that it shares with others (Ainslie et al.
    /// 2023, arXiv 2305.13245).
    ///
    /// **Shapes** `qkv`: (n_rows, (n_heads + 2 · n_key_heads) · head_width) → (n_rows, 3 · n_heads · head_width), as attention
    /// takes it.
    pub fn of(&self, qkv: &Tensor) -> Result<Tensor> {
        let (n_rows, packed) = qkv.dims2()?;
        if packed != self.heads.packed() || n_rows != self.positions.len() {
            candle_core::bail!("{n_rows} rows of {packed} numbers for {:?}", self.heads);
        }
        if self.angles.is_none() && self.heads.n_heads == self.heads.n_key_heads {
            return Ok(qkv.clone());
        }
        match is_fused(qkv) {
            true => qkv.contiguous()?.apply_op1(self.clone()),
            false => device::turned(self, qkv),
        }
    }

    /// Cosines and sines of a position.
    fn at(&self, position: u32) -> (&[f32], &[f32]) {
        match &self.angles {
            None => (&[], &[]),
            Some(angles) => {
                let half = angles.n_turned / 2;
                let range = position as usize * half..(position as usize + 1) * half;
                (&angles.cosines[range.clone()], &angles.sines[range])
            }
        }
    }

    /// For the head of queries, or the head of keys or values, `to` numbers from the start of a row of the result: where it
    /// comes from in a row of the input, and whether it is turned.
    fn source(&self, head: usize) -> (usize, bool) {
        let Heads { n_heads, n_key_heads, .. } = self.heads;
        let (part, head) = (head / n_heads, head % n_heads);
        let shared = head * n_key_heads / n_heads;
        match part {
            0 => (head, true),
            1 => (n_heads + shared, true),
            _ => (n_heads + n_key_heads + shared, false),
        }
    }
}

vectorized! {
    /// One head turned.
    fn turn(output: &mut [f32], head: &[f32], cosines: &[f32], sines: &[f32]) {
        let half = cosines.len();
        let (first, second) = head[..2 * half].split_at(half);
        let (new_first, rest) = output.split_at_mut(half);
        let (new_second, rest) = rest.split_at_mut(half);
        for i in 0..half {
            new_first[i] = first[i] * cosines[i] - second[i] * sines[i];
            new_second[i] = second[i] * cosines[i] + first[i] * sines[i];
        }
        rest.copy_from_slice(&head[2 * half..]);
    }
}

vectorized! {
    /// Adds the gradient of one head, turned back.
    fn turn_back(output: &mut [f32], grad: &[f32], cosines: &[f32], sines: &[f32]) {
        let half = cosines.len();
        let (first, second) = grad[..2 * half].split_at(half);
        let (first_grad, rest) = output.split_at_mut(half);
        let (second_grad, rest) = rest.split_at_mut(half);
        for i in 0..half {
            first_grad[i] += first[i] * cosines[i] + second[i] * sines[i];
            second_grad[i] += second[i] * cosines[i] - first[i] * sines[i];
        }
        for (sum, value) in rest.iter_mut().zip(&grad[2 * half..]) {
            *sum += value;
        }
    }
}

impl CustomOp1 for Turn {
    fn name(&self) -> &'static str {
        "turn"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (qkv, d) = (contiguous(qkv, layout)?, self.heads.head_width);
        let (n_in, n_out, n_rows) = (self.heads.packed(), 3 * self.heads.width(), layout.dims()[0]);
        let mut output = vec![0.0; n_rows * n_out];
        for_each_block(&mut output, BLOCK * n_out, |block, output| {
            for (row, output) in output.chunks_exact_mut(n_out).enumerate() {
                let row = block * BLOCK + row;
                let (cosines, sines) = self.at(self.positions[row]);
                for (head, output) in output.chunks_exact_mut(d).enumerate() {
                    let (from, is_turned) = self.source(head);
                    let head = &qkv[row * n_in + from * d..][..d];
                    match is_turned {
                        true => turn(output, head, cosines, sines),
                        false => output.copy_from_slice(head),
                    }
                }
            }
        });
        Ok((CpuStorage::F32(output), (n_rows, n_out).into()))
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (n_in, n_out, d) = (self.heads.packed(), 3 * self.heads.width(), self.heads.head_width);
        let output = with_values([&grad.contiguous()?], |[grad]| {
            let mut output = vec![0.0; grad.len() / n_out * n_in];
            for_each_block(&mut output, BLOCK * n_in, |block, output| {
                for (row, output) in output.chunks_exact_mut(n_in).enumerate() {
                    let row = block * BLOCK + row;
                    let (cosines, sines) = self.at(self.positions[row]);
                    for (head, grad) in grad[row * n_out..][..n_out].chunks_exact(d).enumerate() {
                        let (from, is_turned) = self.source(head);
                        let (cosines, sines) = if is_turned { (cosines, sines) } else { (&[][..], &[][..]) };
                        turn_back(&mut output[from * d..][..d], grad, cosines, sines);
                    }
                }
            });
            Ok(output)
        })?;
        Ok(Some(Tensor::from_vec(output, qkv.shape(), qkv.device())?))
    }
}
