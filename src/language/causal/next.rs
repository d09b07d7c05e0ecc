//! From logits to probabilities of the next token.

/// The `n` most probable tokens and their probabilities, softmax of the logits, best first; of equals the lower number first.
pub fn most_probable(logits: &[f32], n: usize) -> Vec<(u32, f64)> {
    let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = logits.iter().map(|logit| f64::from(logit - greatest).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    order.sort_by(|a, b| weights[*b as usize].total_cmp(&weights[*a as usize]).then(a.cmp(b)));
    order.into_iter().take(n).map(|id| (id, weights[id as usize] / total)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_shares_of_exponentials() {
        let found = most_probable(&[2.0_f32.ln() + 700.0, 700.0, 5.0_f32.ln() + 700.0, 700.0], 3);
        assert_eq!(found.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 0, 1]);
        found
            .iter()
            .zip([5.0 / 9.0, 2.0 / 9.0, 1.0 / 9.0])
            .for_each(|((_, p), q)| assert!((p - q).abs() < 1e-4, "{p} {q}"));
    }
}
