//! Heaps of texts that the HDF5 library would never come back from.
//!
//! In a global heap, an object that takes no bytes at all leads the library (up to version 2.2) into a loop without an end
//! (`H5HG__cache_heap_deserialize`), and a heap that is longer than the file takes memory for all that it claims. Such heaps
//! are looked for before the library reads any text.

use std::path::Path;

use super::failure;
use crate::{Error, Result};

/// Larger files are not searched: that would take as long as reading them.
const MOST_BYTES: u64 = 1 << 26;
/// How a heap begins: its signature, version 1 and three bytes of zero.
const START: [u8; 8] = *b"GCOL\x01\0\0\0";
/// Bytes before the first object: the start and the size of the heap.
const HEAD: usize = 16;
/// Bytes before the data of an object: its number, its references, four of zero, and its size.
const OBJECT_HEAD: usize = 16;

/// Refuses a file with a heap that has no end.
///
/// # Errors
/// [`Error::InvalidFile`]; [`Error::Io`].
pub(super) fn check(path: &Path, n_bytes: u64) -> Result<()> {
    if n_bytes > MOST_BYTES {
        return Ok(());
    }
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    match is_endless(&bytes) {
        true => Err(failure::damaged(
            path,
            "/",
            "holds a heap of texts that is longer than the file or has an object of no bytes",
        )),
        false => Ok(()),
    }
}

fn is_endless(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&byte| byte == START[0]) {
        rest = &rest[at..];
        if rest.starts_with(&START) && is_endless_heap(rest) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// True if one of the objects of a heap takes no bytes, as the library reckons, or the heap is longer than the file.
fn is_endless_heap(bytes: &[u8]) -> bool {
    let number = |at: usize| {
        let mut number = [0; 8];
        bytes.get(at..at + 8).map(|bytes| {
            number.copy_from_slice(bytes);
            u64::from_le_bytes(number)
        })
    };
    let Some(size) = number(8).and_then(|size| usize::try_from(size).ok()) else { return false };
    // The library takes as much memory as the heap claims, before it looks for the end of the file.
    if size > bytes.len() {
        return true;
    }
    let mut at = HEAD;
    while at + OBJECT_HEAD <= size {
        let (Some(head), Some(object)) = (number(at), number(at + 8)) else { return false };
        // Free space has the number 0, and its size counts its head.
        let needed = match head & 0xffff {
            0 => object,
            _ => (OBJECT_HEAD as u64).wrapping_add(object.wrapping_add(7) & !7),
        };
        match usize::try_from(needed).ok().and_then(|needed| at.checked_add(needed)) {
            Some(next) if next == at => return true,
            Some(next) => at = next,
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heap(objects: &[(u16, u64)]) -> Vec<u8> {
        let mut bytes = b"before GCOL ".to_vec();
        bytes.extend(START);
        bytes.extend(4096_u64.to_le_bytes());
        for (number, size) in objects {
            bytes.extend(u64::from(*number).to_le_bytes());
            bytes.extend(size.to_le_bytes());
            bytes.resize(bytes.len() + (*size as usize % 4096).next_multiple_of(8), 1);
        }
        bytes.resize(5000, 0xff);
        bytes
    }

    #[test]
    fn only_a_heap_with_an_object_of_no_bytes_has_no_end() {
        assert!(!is_endless(&heap(&[(1, 5), (2, 8), (0, 4000)])));
        assert!(is_endless(&heap(&[(1, 5), (0, 0)])));
        assert!(is_endless(&heap(&[(1, u64::MAX - 15)])));
        assert!(!is_endless(&heap(&[(1, 0), (2, 0), (0, 4000)])));
        assert!(!is_endless(b"GCOL") && !is_endless(b"") && !is_endless(&START));
        assert!(is_endless(&heap(&[(1, 5), (0, 4000)])[..4000]));
    }
}
