//! Which token may look at which.

/// A square table: may token i (row) look at token j (column)?
#[derive(Debug, Clone, PartialEq)]
pub struct Mask {
    /// Number of tokens.
    pub n_tokens: usize,
    /// Row by row: (n_tokens × n_tokens).
    pub visible: Vec<bool>,
}

/// The order of the tokens of one sequence: by time, then by trajectory, then by space (He et al. 2024, Figure 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenOrder {
    /// Points in time.
    pub n_steps: usize,
    /// Flows that share the sequence.
    pub n_trajectories: usize,
    /// Tokens of one state.
    pub n_spatial: usize,
}

impl TokenOrder {
    /// Tokens of one point in time.
    pub fn per_step(&self) -> usize {
        self.n_trajectories * self.n_spatial
    }

    /// Tokens of the sequence.
    pub fn n_tokens(&self) -> usize {
        self.n_steps * self.per_step()
    }
}

impl Mask {
    /// Every token sees every other.
    pub fn none(n_tokens: usize) -> Self {
        Self { n_tokens, visible: vec![true; n_tokens * n_tokens] }
    }

    /// Every token sees itself and all before it.
    pub fn causal(n_tokens: usize) -> Self {
        let visible = (0..n_tokens * n_tokens).map(|place| place % n_tokens <= place / n_tokens).collect();
        Self { n_tokens, visible }
    }

    /// Causal by blocks: a token sees all tokens of earlier times, those of earlier trajectories at its own time, and all
    /// spatial tokens of its own state.
    pub fn by_blocks(order: TokenOrder) -> Self {
        Self::windowed(order, order.n_steps)
    }

    /// The same, where a token sees only the last `window` points in time, its own among them.
    pub fn windowed(order: TokenOrder, window: usize) -> Self {
        let n_tokens = order.n_tokens();
        let block = |token: usize| token / order.n_spatial;
        let time = |token: usize| token / order.per_step();
        let sees = |row: usize, column: usize| block(column) <= block(row) && time(row) < time(column) + window;
        let visible = (0..n_tokens * n_tokens).map(|place| sees(place / n_tokens, place % n_tokens)).collect();
        Self { n_tokens, visible }
    }

    /// The rows of the given tokens, each cut to the first `n_columns`.
    pub fn rows(&self, tokens: std::ops::Range<usize>, n_columns: usize) -> Vec<bool> {
        tokens
            .flat_map(|row| self.visible[row * self.n_tokens..row * self.n_tokens + n_columns].iter().copied())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spatial_tokens_of_one_state_see_each_other_and_no_later_state() {
        let mask = Mask::by_blocks(TokenOrder { n_steps: 2, n_trajectories: 2, n_spatial: 2 });
        let row = |token: usize| mask.rows(token..token + 1, 8);
        assert_eq!(row(0), [true, true, false, false, false, false, false, false]);
        assert_eq!(row(2), [true, true, true, true, false, false, false, false]);
        assert_eq!(row(5), [true, true, true, true, true, true, false, false]);
        let windowed = Mask::windowed(TokenOrder { n_steps: 3, n_trajectories: 2, n_spatial: 1 }, 2);
        assert_eq!(windowed.rows(5..6, 6), [false, false, true, true, true, true]);
        assert_eq!(windowed.rows(2..3, 6), [true, true, true, false, false, false]);
        assert_eq!(Mask::by_blocks(TokenOrder { n_steps: 5, n_trajectories: 1, n_spatial: 1 }), Mask::causal(5));
    }
}
