//! Attention of one sequence, head by head, on numbers packed so that every loop runs over whole vectors.

use super::{exp, vectorized};
use crate::language::mask::Mask;

/// Numbers per vector: packed rows are a multiple of this long.
const LANES: usize = 8;

/// Room for one head, kept between sequences.
#[derive(Default)]
pub(super) struct Scratch {
    /// (n_queries × d), scaled.
    queries: Vec<f32>,
    /// (n_keys × d).
    keys: Vec<f32>,
    /// (d × n_keys).
    keys_across: Vec<f32>,
    values: Vec<f32>,
    values_across: Vec<f32>,
    /// (n_queries × n_keys): scores, then shares.
    shares: Vec<f32>,
    slopes: Vec<f32>,
    /// 1 where a query may look at a key: (n_queries × n_keys).
    shown: Vec<f32>,
    shown_for_prefix: Option<usize>,
    output: Vec<f32>,
    grad: Vec<f32>,
}

/// The sizes of one head, rounded up to whole vectors.
#[derive(Clone, Copy)]
struct Sizes {
    width: usize,
    d: usize,
    d_padded: usize,
    n_prefix: usize,
    n_tokens: usize,
    n_keys: usize,
    n_padded: usize,
}

impl Sizes {
    fn new(mask: &Mask, width: usize, n_heads: usize, prefix: &[f32]) -> Self {
        let (d, n_prefix) = (width / n_heads, prefix.len() / (2 * width));
        let n_keys = n_prefix + mask.n_tokens;
        let (d_padded, n_padded) = (d.next_multiple_of(LANES), n_keys.next_multiple_of(LANES));
        Self { width, d, d_padded, n_prefix, n_tokens: mask.n_tokens, n_keys, n_padded }
    }
}

impl Scratch {
    fn fit(&mut self, sizes: Sizes, mask: &Mask) {
        if self.shown_for_prefix == Some(sizes.n_prefix) {
            return;
        }
        let (n, d) = (sizes.n_padded, sizes.d_padded);
        for (room, size) in [
            (&mut self.queries, sizes.n_tokens * d),
            (&mut self.keys, n * d),
            (&mut self.keys_across, n * d),
            (&mut self.values, n * d),
            (&mut self.values_across, n * d),
            (&mut self.shares, sizes.n_tokens * n),
            (&mut self.slopes, sizes.n_tokens * n),
            (&mut self.shown, sizes.n_tokens * n),
            (&mut self.output, n.max(sizes.n_tokens) * d),
            (&mut self.grad, sizes.n_tokens * d),
        ] {
            room.clear();
            room.resize(size, 0.0);
        }
        for (query, row) in self.shown.chunks_exact_mut(n).enumerate() {
            row[..sizes.n_prefix].fill(1.0);
            let visible = mask.visible[query * sizes.n_tokens..(query + 1) * sizes.n_tokens].iter();
            let own = row[sizes.n_prefix..].iter_mut().zip(visible);
            own.for_each(|(shown, &visible)| *shown = f32::from(u8::from(visible)));
        }
        self.shown_for_prefix = Some(sizes.n_prefix);
    }

    /// Packs one head; the backward pass wants values across and keys along, the forward pass values along.
    #[inline(always)]
    fn pack(&mut self, qkv: &[f32], prefix: &[f32], sizes: Sizes, head: usize, is_backward: bool) {
        let Sizes { width, d, d_padded, n_prefix, n_keys, n_padded, .. } = sizes;
        let (scale, at) = (1.0 / (d as f32).sqrt(), head * d);
        copy(&mut self.queries, d_padded, qkv, [at, 3 * width], d);
        self.queries.iter_mut().for_each(|value| *value *= scale);
        let rows = n_prefix * d_padded;
        copy(&mut self.keys, d_padded, prefix, [at, 2 * width], d);
        copy(&mut self.keys[rows..], d_padded, qkv, [width + at, 3 * width], d);
        transpose(&mut self.keys_across, n_padded, &self.keys, d_padded, n_keys);
        copy(&mut self.values, d_padded, prefix, [width + at, 2 * width], d);
        copy(&mut self.values[rows..], d_padded, qkv, [2 * width + at, 3 * width], d);
        if is_backward {
            transpose(&mut self.values_across, n_padded, &self.values, d_padded, n_keys);
        }
    }

    /// The shares of all keys for each query; those of hidden keys are zero.
    #[inline(always)]
    fn share(&mut self, sizes: Sizes) {
        let Sizes { d_padded, n_tokens, n_padded, d, .. } = sizes;
        small_product(&mut self.shares, &self.queries, [d_padded, 1], &self.keys_across, [n_tokens, d, n_padded]);
        for (row, shown) in self.shares.chunks_exact_mut(n_padded).zip(self.shown.chunks_exact(n_padded)) {
            let mut lanes = [f32::NEG_INFINITY; LANES];
            for (scores, shown) in row.chunks_exact(LANES).zip(shown.chunks_exact(LANES)) {
                for lane in 0..LANES {
                    // Hidden keys are pushed below all others.
                    lanes[lane] = lanes[lane].max(scores[lane] + (shown[lane] - 1.0) * 1e30);
                }
            }
            let greatest = lanes.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter_mut().for_each(|score| *score -= greatest);
        }
        // One long loop: the rows may be too short to fill the vectors of a loop each.
        for (score, shown) in self.shares.iter_mut().zip(&self.shown) {
            *score = exp(*score) * shown;
        }
        for row in self.shares.chunks_exact_mut(n_padded) {
            let mut lanes = [0.0_f32; LANES];
            for shares in row.chunks_exact(LANES) {
                for lane in 0..LANES {
                    lanes[lane] += shares[lane];
                }
            }
            let scale = 1.0 / lanes.iter().sum::<f32>();
            row.iter_mut().for_each(|share| *share *= scale);
        }
    }
}

vectorized! {
    /// (n_tokens, 3 · width), and the prefix's keys and values (n_prefix, 2 · width) → (n_tokens, width).
    pub(super) fn attend(output: &mut [f32], qkv: &[f32], prefix: &[f32], mask: &Mask, n_heads: usize, scratch: &mut Scratch) {
        let width = qkv.len() / 3 / mask.n_tokens;
        let sizes = Sizes::new(mask, width, n_heads, prefix);
        let Sizes { d, d_padded, n_tokens, n_keys, n_padded, .. } = sizes;
        scratch.fit(sizes, mask);
        for head in 0..n_heads {
            scratch.pack(qkv, prefix, sizes, head, false);
            scratch.share(sizes);
            let Scratch { shares, values, output: attended, .. } = scratch;
            small_product(attended, shares, [n_padded, 1], values, [n_tokens, n_keys, d_padded]);
            for (output, attended) in output.chunks_exact_mut(width).zip(attended.chunks_exact(d_padded)) {
                output[head * d..(head + 1) * d].copy_from_slice(&attended[..d]);
            }
        }
    }
}

vectorized! {
    /// The gradients of queries, keys and values are written, those of the prefix added.
    pub(super) fn attend_backward(
        qkv_grad: &mut [f32],
        prefix_grad: &mut [f32],
        grad: &[f32],
        qkv: &[f32],
        prefix: &[f32],
        mask: &Mask,
        n_heads: usize,
        scratch: &mut Scratch,
    ) {
        let width = qkv.len() / 3 / mask.n_tokens;
        let sizes = Sizes::new(mask, width, n_heads, prefix);
        let Sizes { d, d_padded, n_prefix, n_tokens, n_keys, n_padded, .. } = sizes;
        let scale = 1.0 / (d as f32).sqrt();
        scratch.fit(sizes, mask);
        for head in 0..n_heads {
            scratch.pack(qkv, prefix, sizes, head, true);
            scratch.share(sizes);
            let Scratch { queries, keys, values_across, shares, slopes, output, grad: head_grad, .. } = scratch;
            let at = head * d;
            copy(head_grad, d_padded, grad, [at, width], d);
            small_product(slopes, head_grad, [d_padded, 1], values_across, [n_tokens, d, n_padded]);
            for (slopes, shares) in slopes.chunks_exact_mut(n_padded).zip(shares.chunks_exact(n_padded)) {
                let mut lanes = [0.0_f32; LANES];
                for (slopes, shares) in slopes.chunks_exact(LANES).zip(shares.chunks_exact(LANES)) {
                    for lane in 0..LANES {
                        lanes[lane] += slopes[lane] * shares[lane];
                    }
                }
                let mean = lanes.iter().sum::<f32>();
                for (slope, share) in slopes.iter_mut().zip(shares) {
                    *slope = share * (*slope - mean);
                }
            }
            small_product(output, slopes, [n_padded, 1], keys, [n_tokens, n_keys, d_padded]);
            for (row, packed) in qkv_grad.chunks_exact_mut(3 * width).zip(output.chunks_exact(d_padded)) {
                for (grad, packed) in row[at..at + d].iter_mut().zip(packed) {
                    *grad = scale * packed;
                }
            }
            // Keys, then values: the weights of the queries' rows and of the gradient's rows, read by columns.
            for (offset, weights, rows) in [(0, &*slopes, &*queries), (width, &*shares, &*head_grad)] {
                small_product(output, weights, [1, n_padded], rows, [n_keys, n_tokens, d_padded]);
                let (of_prefix, own) = output.split_at(n_prefix * d_padded);
                for (row, packed) in prefix_grad.chunks_exact_mut(2 * width).zip(of_prefix.chunks_exact(d_padded)) {
                    for (grad, packed) in row[offset + at..][..d].iter_mut().zip(packed) {
                        *grad += packed;
                    }
                }
                for (row, packed) in qkv_grad.chunks_exact_mut(3 * width).zip(own.chunks_exact(d_padded)) {
                    row[width + offset + at..][..d].copy_from_slice(&packed[..d]);
                }
            }
        }
    }
}

/// Copies `d` numbers of each row of `source`, rows `place[1]` long, from `place[0]` on, to rows of `length`.
#[inline(always)]
fn copy(rows: &mut [f32], length: usize, source: &[f32], place: [usize; 2], d: usize) {
    for (row, source) in rows.chunks_exact_mut(length).zip(source.chunks_exact(place[1])) {
        let source = &source[place[0]..place[0] + d];
        // Whole vectors of a known length need no call.
        let (vectors, rest) = (source.chunks_exact(LANES), source.len() / LANES * LANES);
        for (row, source) in row.chunks_exact_mut(LANES).zip(vectors) {
            row.copy_from_slice(source);
        }
        for (row, source) in row[rest..].iter_mut().zip(&source[rest..]) {
            *row = *source;
        }
    }
}

/// (n_rows, n_columns) → (n_columns, n_across), in squares of whole vectors; `rows` holds whole squares.
#[inline(always)]
fn transpose(across: &mut [f32], n_across: usize, rows: &[f32], n_columns: usize, n_rows: usize) {
    assert!(across.len() >= n_columns * n_across && rows.len() >= n_rows.next_multiple_of(LANES) * n_columns);
    for first in (0..n_rows).step_by(LANES) {
        for column in (0..n_columns).step_by(LANES) {
            let mut square = [[0.0_f32; LANES]; LANES];
            for (r, square) in square.iter_mut().enumerate() {
                square.copy_from_slice(&rows[(first + r) * n_columns + column..][..LANES]);
            }
            for c in 0..LANES {
                let line: [f32; LANES] = std::array::from_fn(|r| square[r][c]);
                across[(column + c) * n_across + first..][..LANES].copy_from_slice(&line);
            }
        }
    }
}

/// c = a b for [m, k, n] = `sizes`: c (m × n) and b (k × n) by rows, n a multiple of [`LANES`]; `strides` are the
/// distances between the rows and the columns of a (m × k).
#[inline(always)]
fn small_product(c: &mut [f32], a: &[f32], strides: [usize; 2], b: &[f32], sizes: [usize; 3]) {
    let [m, k, n] = sizes;
    assert!(m > 0 && k > 0 && n > 0 && n.is_multiple_of(LANES) && c.len() >= m * n && b.len() >= k * n);
    assert!(a.len() > (m - 1) * strides[0] + (k - 1) * strides[1]);
    let mut row = 0;
    while row < m {
        let rows = if m - row >= 4 { 4 } else { 1 };
        let mut column = 0;
        while column < n {
            let columns = if n - column >= 2 * LANES { 2 * LANES } else { LANES };
            let place = [row, column];
            // SAFETY: the tile lies within m rows and n columns, and the slices were checked to hold those.
            unsafe {
                match (rows, columns == LANES) {
                    (4, true) => tile::<4, LANES>(c, a, strides, b, sizes, place),
                    (4, false) => tile::<4, { 2 * LANES }>(c, a, strides, b, sizes, place),
                    (_, true) => tile::<1, LANES>(c, a, strides, b, sizes, place),
                    (_, false) => tile::<1, { 2 * LANES }>(c, a, strides, b, sizes, place),
                }
            }
            column += columns;
        }
        row += rows;
    }
}

/// ROWS × COLUMNS numbers of a product, in registers.
///
/// # Safety
/// As checked by [`small_product`].
#[inline(always)]
unsafe fn tile<const ROWS: usize, const COLUMNS: usize>(
    c: &mut [f32],
    a: &[f32],
    strides: [usize; 2],
    b: &[f32],
    sizes: [usize; 3],
    place: [usize; 2],
) {
    let ([_, k, n], [row, column]) = (sizes, place);
    let mut sums = [[0.0_f32; COLUMNS]; ROWS];
    for inner in 0..k {
        // SAFETY: see above.
        let b = unsafe { b.get_unchecked(inner * n + column..inner * n + column + COLUMNS) };
        for (r, sums) in sums.iter_mut().enumerate() {
            // SAFETY: see above.
            let factor = unsafe { *a.get_unchecked((row + r) * strides[0] + inner * strides[1]) };
            for lane in 0..COLUMNS {
                sums[lane] += factor * b[lane];
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        c[(row + r) * n + column..][..COLUMNS].copy_from_slice(sums);
    }
}
