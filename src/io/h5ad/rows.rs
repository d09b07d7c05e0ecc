//! Matrices in compressed sparse rows, written block by block.

use hdf5::H5Type;

use super::packed::{Layout, Packed};
use super::target::Target;
use crate::Result;
use crate::cells::SparseMatrix;

/// Matrices that are being filled; several have their values in the same places.
pub(super) struct Rows {
    values: Vec<Packed>,
    indices: Packed,
    offsets: Packed,
    is_wide: bool,
    n_stored: u64,
}

impl Rows {
    /// Makes a matrix of the given shape in each place, with so many values or any number of them. The positions have 64
    /// bits if `is_wide`; scipy wants both arrays of the same width.
    pub(super) fn new(
        places: &[(&Target, &str)],
        (n_rows, n_columns): (usize, usize),
        n_stored: Option<usize>,
        is_wide: bool,
    ) -> Result<Self> {
        let mut groups = Vec::new();
        for (parent, name) in places {
            let group = parent.group(name, "csr_matrix", "0.1.0")?;
            group.list_attribute("shape", &[n_rows as i64, n_columns as i64])?;
            groups.push(group);
        }
        // The values of a row repeat: counts are small, and so are the logarithms of small counts over the same total.
        let layout = Layout { n_rows: n_stored, width: None, shuffles: false, encoding: None };
        let values: Vec<Packed> =
            groups.iter().map(|group| Packed::new::<f32>(&[(group, "data")], &layout)).collect::<Result<_>>()?;
        let layout = Layout { shuffles: true, ..layout };
        let of_offsets = Layout { n_rows: Some(n_rows + 1), ..layout };
        fn part<T: H5Type>(groups: &[Target], name: &str, layout: &Layout) -> Result<Packed> {
            Packed::new::<T>(&groups.iter().map(|group| (group, name)).collect::<Vec<_>>(), layout)
        }
        let (indices, offsets) = match is_wide {
            true => (part::<i64>(&groups, "indices", &layout)?, part::<i64>(&groups, "indptr", &of_offsets)?),
            false => (part::<i32>(&groups, "indices", &layout)?, part::<i32>(&groups, "indptr", &of_offsets)?),
        };
        let mut rows = Self { values, indices, offsets, is_wide, n_stored: 0 };
        if let [(first, _), ..] = places {
            rows.append_offsets(first, &[0])?;
        }
        Ok(rows)
    }

    /// Puts rows at the end of each matrix; all have their values in the places of the first.
    pub(super) fn append(&mut self, target: &Target, matrices: &[&SparseMatrix]) -> Result<()> {
        for (values, matrix) in self.values.iter_mut().zip(matrices) {
            values.append(target, matrix.values())?;
        }
        let Some(first) = matrices.first() else { return Ok(()) };
        match self.is_wide {
            true => {
                let wide: Vec<i64> = first.indices().iter().map(|&index| i64::from(index)).collect();
                self.indices.append(target, &wide)?;
            }
            false => self.indices.append(target, first.indices())?,
        }
        let ends: Vec<u64> = first.indptr().iter().skip(1).map(|&end| self.n_stored + end as u64).collect();
        self.n_stored += first.n_stored() as u64;
        self.append_offsets(target, &ends)
    }

    fn append_offsets(&mut self, target: &Target, ends: &[u64]) -> Result<()> {
        match self.is_wide {
            true => self.offsets.append(target, ends),
            false => self.offsets.append(target, &ends.iter().map(|&end| end as u32).collect::<Vec<_>>()),
        }
    }

    /// Writes what is left.
    pub(super) fn finish(self, target: &Target) -> Result<()> {
        self.values.into_iter().try_for_each(|values| values.finish(target))?;
        self.indices.finish(target)?;
        self.offsets.finish(target)
    }
}

/// Whether a matrix of this shape might hold too many values for positions of 32 bits.
pub(super) fn may_be_wide((n_rows, n_columns): (usize, usize)) -> bool {
    let most = n_rows.checked_mul(n_columns).and_then(|most| i32::try_from(most).ok());
    most.is_none() || i32::try_from(n_columns).is_err()
}
