//! Paths packed into sequences.

use candle_core::{Device, Tensor};
use ndarray::ArrayView3;

use crate::Result;
use crate::language::mask::TokenOrder;

/// States of all paths of a minibatch: (n_sequences, n_steps + 1, n_trajectories, n_dims).
pub(super) struct Trajectories {
    values: Vec<f32>,
    pub(super) n_sequences: usize,
    pub(super) n_steps: usize,
    pub(super) n_trajectories: usize,
    pub(super) n_dims: usize,
}

impl Trajectories {
    /// Packs paths (n_steps + 1, n_cells, n_dims) with n_cells = n_sequences · n_trajectories.
    pub(super) fn pack(points: ArrayView3<f32>, order: TokenOrder) -> Self {
        let (n_points, n_cells, n_dims) = points.dim();
        let (n_sequences, n_trajectories) = (n_cells / order.n_trajectories, order.n_trajectories);
        let mut values = Vec::with_capacity(points.len());
        for sequence in 0..n_sequences {
            for point in 0..n_points {
                for trajectory in 0..n_trajectories {
                    let state = points.slice(ndarray::s![point, sequence * n_trajectories + trajectory, ..]);
                    match state.to_slice() {
                        Some(state) => values.extend_from_slice(state),
                        None => values.extend(state),
                    }
                }
            }
        }
        Self { values, n_sequences, n_steps: n_points - 1, n_trajectories, n_dims }
    }

    /// Number of states that something is to be predicted from.
    pub(super) fn n_states(&self) -> usize {
        self.n_sequences * self.n_steps * self.n_trajectories
    }

    /// (sequence, step, trajectory) of a state, in the order of the network's rows.
    pub(super) fn place(&self, state: usize) -> (usize, usize, usize) {
        let (rest, trajectory) = (state / self.n_trajectories, state % self.n_trajectories);
        (rest / self.n_steps, rest % self.n_steps, trajectory)
    }

    /// One state: (n_dims).
    pub(super) fn state(&self, sequence: usize, point: usize, trajectory: usize) -> &[f32] {
        let number = (sequence * (self.n_steps + 1) + point) * self.n_trajectories + trajectory;
        &self.values[number * self.n_dims..(number + 1) * self.n_dims]
    }

    fn range(&self, first: usize) -> Result<Tensor> {
        let row = self.n_trajectories * self.n_dims;
        let mut values = Vec::with_capacity(self.n_states() * self.n_dims);
        for sequence in self.values.chunks_exact((self.n_steps + 1) * row) {
            values.extend_from_slice(&sequence[first * row..(first + self.n_steps) * row]);
        }
        Ok(Tensor::from_vec(values, (self.n_states(), self.n_dims), &Device::Cpu)?)
    }

    /// The states at t_0 … t_{N−1}: (n_states, n_dims).
    pub(super) fn present(&self) -> Result<Tensor> {
        self.range(0)
    }

    /// The states at t_1 … t_N: (n_states, n_dims).
    pub(super) fn next(&self) -> Result<Tensor> {
        self.range(1)
    }
}
