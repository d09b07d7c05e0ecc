//! Attention of a few new tokens over a past that grows, for sixteen sequences side by side: every loop runs over the
//! sequences, so that no sum goes across a vector.

use super::{exp, vectorized};

/// Sequences side by side.
pub(crate) const LANES: usize = 16;

/// The prefix of some of the sequences.
pub(crate) struct SharedPrefix<'a> {
    /// Keys and values side by side: (n_tokens, 2 · width).
    pub(crate) rows: &'a [f32],
    /// 1 for the sequences that have it, 0 for the others.
    pub(crate) has: [f32; LANES],
}

/// What the new tokens of sixteen sequences look at.
pub(crate) struct Group<'a> {
    /// Queries, keys and values of the new tokens: (n_new, 3 · width, [`LANES`]).
    pub(crate) new: &'a [f32],
    /// Keys and values, also of the new tokens: (n_all, 2 · width, [`LANES`]).
    pub(crate) past: &'a [f32],
    pub(crate) prefixes: &'a [SharedPrefix<'a>],
    /// (n_new × n_all).
    pub(crate) visible: &'a [bool],
    pub(crate) width: usize,
    pub(crate) n_heads: usize,
}

#[inline(always)]
fn lanes(values: &[f32], number: usize) -> &[f32; LANES] {
    let values = &values[number * LANES..(number + 1) * LANES];
    values.try_into().unwrap_or(&[0.0; LANES])
}

/// Far below every score.
const HIDDEN: f32 = -1e30;

vectorized! {
    /// → (n_new, width, [`LANES`]).
    pub(crate) fn attend_past(output: &mut [f32], group: &Group<'_>, scores: &mut Vec<[f32; LANES]>) {
        let (width, d) = (group.width, group.width / group.n_heads);
        let scale = 1.0 / (d as f32).sqrt();
        let n_all = group.past.len() / (2 * width * LANES);
        let n_prefix = group.prefixes.iter().map(|prefix| prefix.rows.len() / (2 * width)).max().unwrap_or(0);
        scores.resize(n_prefix + n_all, [0.0; LANES]);
        for (query, output) in output.chunks_exact_mut(width * LANES).enumerate() {
            let queries = &group.new[query * 3 * width * LANES..][..width * LANES];
            let visible = &group.visible[query * n_all..(query + 1) * n_all];
            for head in 0..group.n_heads {
                let at = head * d;
                let queries = &queries[at * LANES..(at + d) * LANES];
                let (of_prefix, own) = scores.split_at_mut(n_prefix);
                of_prefix.fill([HIDDEN; LANES]);
                for prefix in group.prefixes {
                    for (scores, row) in of_prefix.iter_mut().zip(prefix.rows.chunks_exact(2 * width)) {
                        let mut sums = [0.0_f32; LANES];
                        for (i, key) in row[at..at + d].iter().enumerate() {
                            let query = lanes(queries, i);
                            for lane in 0..LANES {
                                sums[lane] += key * query[lane];
                            }
                        }
                        for lane in 0..LANES {
                            scores[lane] = if prefix.has[lane] > 0.0 { scale * sums[lane] } else { scores[lane] };
                        }
                    }
                }
                for ((key, scores), &visible) in own.iter_mut().enumerate().zip(visible) {
                    if !visible {
                        *scores = [HIDDEN; LANES];
                        continue;
                    }
                    let keys = &group.past[(key * 2 * width + at) * LANES..][..d * LANES];
                    let mut sums = [0.0_f32; LANES];
                    for i in 0..d {
                        let (query, key) = (lanes(queries, i), lanes(keys, i));
                        for lane in 0..LANES {
                            sums[lane] += key[lane] * query[lane];
                        }
                    }
                    *scores = sums.map(|sum| scale * sum);
                }
                let mut greatest = [HIDDEN; LANES];
                for scores in scores.iter() {
                    for lane in 0..LANES {
                        greatest[lane] = greatest[lane].max(scores[lane]);
                    }
                }
                let mut sums = [0.0_f32; LANES];
                for scores in scores.iter_mut() {
                    for lane in 0..LANES {
                        let share = exp(scores[lane] - greatest[lane]);
                        scores[lane] = if scores[lane] > HIDDEN { share } else { 0.0 };
                        sums[lane] += scores[lane];
                    }
                }
                let scales = sums.map(|sum| 1.0 / sum);
                let (of_prefix, own) = scores.split_at(n_prefix);
                for i in 0..d {
                    let mut sums = [0.0_f32; LANES];
                    for prefix in group.prefixes {
                        for (shares, row) in of_prefix.iter().zip(prefix.rows.chunks_exact(2 * width)) {
                            let value = row[width + at + i];
                            for lane in 0..LANES {
                                sums[lane] += shares[lane] * prefix.has[lane] * value;
                            }
                        }
                    }
                    for (key, shares) in own.iter().enumerate() {
                        let values = lanes(group.past, (2 * key + 1) * width + at + i);
                        for lane in 0..LANES {
                            sums[lane] += shares[lane] * values[lane];
                        }
                    }
                    for lane in 0..LANES {
                        output[(at + i) * LANES + lane] = sums[lane] * scales[lane];
                    }
                }
            }
        }
    }
}

vectorized! {
    /// Rows of up to sixteen sequences → (n_columns, [`LANES`]); absent sequences are zero. The rows of a sequence follow
    /// those of the one before after `stride` numbers.
    pub(crate) fn side_by_side(across: &mut [f32], rows: &[f32], stride: usize, n_columns: usize) {
        let n_sequences = rows.len().div_ceil(stride).min(LANES);
        for (column, across) in across.chunks_exact_mut(8 * LANES).enumerate() {
            for lane in 0..LANES {
                let start = lane * stride + 8 * column;
                let row: [f32; 8] = match lane < n_sequences {
                    true => std::array::from_fn(|i| rows[start + i]),
                    false => [0.0; 8],
                };
                for i in 0..8 {
                    across[i * LANES + lane] = row[i];
                }
            }
        }
        for column in n_columns / 8 * 8..n_columns {
            for lane in 0..LANES {
                let place = lane * stride + column;
                across[column * LANES + lane] = if lane < n_sequences { rows[place] } else { 0.0 };
            }
        }
    }
}

vectorized! {
    /// The way back: (n_columns, [`LANES`]) → rows of up to sixteen sequences.
    pub(crate) fn one_by_one(rows: &mut [f32], across: &[f32], stride: usize, n_columns: usize) {
        for (lane, rows) in rows.chunks_mut(stride).take(LANES).enumerate() {
            for (column, value) in rows[..n_columns].iter_mut().enumerate() {
                *value = across[column * LANES + lane];
            }
        }
    }
}
