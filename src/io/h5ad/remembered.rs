//! Blocks of counts that stay in memory after they were read, so that a matrix that is gone through several times is not
//! unpacked each time.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;

use rayon::prelude::*;

use super::disk::lock;
use crate::Result;
use crate::cells::SparseMatrix;

/// Values that a thread packs or unpacks before it takes others.
const AT_A_TIME: usize = 1 << 16;
/// A block of which more values than one in so many are no small counts is not remembered.
const LEAST_SMALL: usize = 8;

/// Blocks of rows, as small as counts are: two bytes for a column and one for a count below 256, beside a list of all other
/// values. A value comes back to the bit.
pub(super) struct Remembered(Mutex<Room>);

struct Room {
    n_bytes_left: usize,
    blocks: BTreeMap<(usize, usize), Counts>,
}

/// A block of counts.
struct Counts {
    n_columns: usize,
    indptr: Vec<usize>,
    indices: Vec<u16>,
    values: Vec<u8>,
    /// Values that are no whole numbers below 256, by their place.
    others: Vec<(usize, f32)>,
}

impl Remembered {
    /// Nothing yet, and so many bytes at most.
    pub(super) fn new(n_bytes: usize) -> Self {
        Self(Mutex::new(Room { n_bytes_left: n_bytes, blocks: BTreeMap::new() }))
    }

    /// The block of these rows, which `read` reads if it is not known yet.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) fn rows(
        &self,
        range: Range<usize>,
        read: impl FnOnce(Range<usize>) -> Result<SparseMatrix>,
    ) -> Result<SparseMatrix> {
        let key = (range.start, range.end);
        if let Some(counts) = lock(&self.0).blocks.get(&key) {
            return counts.unpacked();
        }
        let block = read(range)?;
        let mut room = lock(&self.0);
        let n_bytes = Counts::n_bytes(&block);
        if n_bytes <= room.n_bytes_left
            && let Some(counts) = Counts::packed(&block)
        {
            room.n_bytes_left -= n_bytes;
            room.blocks.insert(key, counts);
        }
        Ok(block)
    }
}

impl Counts {
    /// What the block takes, but for values that are no small counts.
    fn n_bytes(block: &SparseMatrix) -> usize {
        size_of_val(block.indptr()) + block.n_stored() * (size_of::<u16>() + size_of::<u8>())
    }

    /// `None` if too few values are small counts, or if there are too many columns.
    fn packed(block: &SparseMatrix) -> Option<Self> {
        if block.n_columns() > 1 << u16::BITS {
            return None;
        }
        let pack = |(number, values): (usize, &[f32])| {
            let small: Vec<u8> = values.iter().map(|&value| value as u8).collect();
            let n_unlike = values.iter().zip(&small).filter(|&(&value, &small)| is_unlike(value, small)).count();
            if n_unlike > values.len() / LEAST_SMALL {
                return None;
            }
            let mut others = Vec::with_capacity(n_unlike);
            if n_unlike > 0 {
                let all =
                    values.iter().zip(&small).enumerate().filter(|&(_, (&value, &small))| is_unlike(value, small));
                others.extend(all.map(|(at, (&value, _))| (number * AT_A_TIME + at, value)));
            }
            Some((small, others))
        };
        let parts: Vec<_> = block.values().par_chunks(AT_A_TIME).enumerate().map(pack).collect::<Option<_>>()?;
        let mut indices = vec![0_u16; block.n_stored()];
        let narrow = |(to, from): (&mut [u16], &[u32])| {
            to.iter_mut().zip(from).for_each(|(to, &column)| *to = column as u16);
        };
        indices.par_chunks_mut(AT_A_TIME).zip(block.indices().par_chunks(AT_A_TIME)).for_each(narrow);
        let (small, others): (Vec<Vec<u8>>, Vec<Vec<_>>) = parts.into_iter().unzip();
        Some(Self {
            n_columns: block.n_columns(),
            indptr: block.indptr().to_vec(),
            indices,
            values: small.concat(),
            others: others.concat(),
        })
    }

    fn unpacked(&self) -> Result<SparseMatrix> {
        let mut indices = vec![0_u32; self.indices.len()];
        let mut values = vec![0.0_f32; self.values.len()];
        let widen = |(to, columns): (&mut [u32], &[u16])| {
            to.iter_mut().zip(columns).for_each(|(index, &column)| *index = u32::from(column));
        };
        indices.par_chunks_mut(AT_A_TIME).zip(self.indices.par_chunks(AT_A_TIME)).for_each(widen);
        let widen = |(to, counts): (&mut [f32], &[u8])| {
            to.iter_mut().zip(counts).for_each(|(value, &count)| *value = f32::from(count));
        };
        values.par_chunks_mut(AT_A_TIME).zip(self.values.par_chunks(AT_A_TIME)).for_each(widen);
        self.others.iter().for_each(|&(at, value)| values[at] = value);
        SparseMatrix::new(self.n_columns, self.indptr.clone(), indices, values)
    }
}

/// Whether a value would not come back to the bit.
fn is_unlike(value: f32, small: u8) -> bool {
    f32::from(small).to_bits() != value.to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn block(value: impl Fn(usize) -> f32, n_columns: usize) -> SparseMatrix {
        let rows = (0..300).map(|row| (0..20).map(|i| ((i * 31 + row) as u32, value(row * 20 + i))).collect());
        SparseMatrix::from_rows(n_columns, rows.collect::<Vec<_>>())
    }

    fn again(remembered: &Remembered, block: &SparseMatrix) -> Result<SparseMatrix> {
        assert_eq!(&remembered.rows(7..307, |_| Ok(block.clone())).unwrap(), block);
        remembered.rows(7..307, |_| Err(Error::backend("a test", "read again")))
    }

    #[test]
    fn blocks_come_back_to_the_bit_without_being_read_again() {
        let odd = [255.0, 256.0, 1e9, 0.5, -1.0, -0.0, f32::INFINITY];
        let counts = block(|i| if i % 11 == 0 { odd[i / 11 % odd.len()] } else { (1 + i % 200) as f32 }, 1000);
        assert_eq!(again(&Remembered::new(1 << 20), &counts).unwrap(), counts);
        let nan = block(|i| if i == 60 { f32::NAN } else { 1.0 }, 1000);
        let remembered = Remembered::new(1 << 20);
        remembered.rows(0..300, |_| Ok(nan.clone())).unwrap();
        let found = remembered.rows(0..300, |_| Err(Error::backend("a test", "read again"))).unwrap();
        assert!(found.values()[60].is_nan() && found.indices() == nan.indices());
    }

    #[test]
    fn what_is_too_much_or_no_counts_is_read_again() {
        let counts = block(|i| (1 + i % 5) as f32, 1000);
        assert!(again(&Remembered::new(Counts::n_bytes(&counts) - 1), &counts).is_err());
        assert!(again(&Remembered::new(1 << 20), &block(|i| 0.5 + i as f32, 1000)).is_err());
        assert!(again(&Remembered::new(1 << 20), &block(|_| 1.0, (1 << 16) + 1)).is_err());
        assert!(again(&Remembered::new(1 << 20), &block(|_| 1.0, 1 << 16)).is_ok());
    }
}
