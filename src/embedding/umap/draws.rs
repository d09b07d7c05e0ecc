//! Random points to be driven away from: cheap numbers that depend on nothing but a seed and a key.

/// Steps of the generator, the golden ratio in 64 bits.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A sequence of random numbers (splitmix64; Steele, Lea & Flood 2014).
pub(super) struct Draws {
    state: u64,
}

impl Draws {
    /// The sequence of a key; different keys and seeds have unrelated sequences.
    pub fn new(seed: u64, key: u64) -> Self {
        Self { state: mixed(mixed(seed.wrapping_add(STEP)) ^ key) }
    }

    /// The position of any of `n` points but that of `itself`.
    #[inline(always)]
    pub fn other(&mut self, itself: usize, n: usize) -> usize {
        let other = self.below(n - 1);
        other + usize::from(other >= itself)
    }

    /// A number below `n`, which is at most 2³², each as likely as any other to within n/2³².
    #[inline(always)]
    pub fn below(&mut self, n: usize) -> usize {
        self.state = self.state.wrapping_add(STEP);
        let high = mixed(self.state) >> 32;
        ((high * n as u64) >> 32) as usize
    }
}

#[inline(always)]
fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_even_and_those_of_their_key() {
        let counts = |key: u64| {
            let (mut draws, mut counts) = (Draws::new(3, key), [0_i32; 7]);
            (0..70_000).for_each(|_| counts[draws.below(7)] += 1);
            counts
        };
        // The standard error is 93.
        assert!(counts(1).iter().all(|count| (count - 10_000).abs() < 400), "{:?}", counts(1));
        assert_eq!(counts(1), counts(1));
        assert_ne!(counts(1), counts(2));
        let mut draws = Draws::new(0, 0);
        let others: Vec<usize> = (0..100).map(|_| draws.other(1, 3)).collect();
        assert!(others.contains(&0) && others.contains(&2) && !others.contains(&1));
        // Keys that follow each other, as epochs and points do, have unrelated first draws.
        let mut firsts = [0_i32; 7];
        (0..70_000).for_each(|key| firsts[Draws::new(0, key).below(7)] += 1);
        assert!(firsts.iter().all(|count| (count - 10_000).abs() < 400), "{firsts:?}");
    }
}
