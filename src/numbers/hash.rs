//! Bytes → a number, for seeds that belong to a thing of their own.

/// The hash FNV-1a of 64 bits; another seed gives other hashes.
pub fn fnv(seed: u64, bytes: impl IntoIterator<Item = u8>) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    bytes.into_iter().fold(seed ^ 0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_the_published_ones() {
        assert_eq!(fnv(0, *b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv(0, *b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv(0, *b"foobar"), 0x8594_4171_f739_67e8);
        assert_ne!(fnv(1, *b"a"), fnv(0, *b"a"));
    }
}
