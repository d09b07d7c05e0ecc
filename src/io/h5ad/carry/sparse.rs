//! Sparse matrices of any types of numbers.

use std::ops::Range;

use hdf5::{Dataset, Group};

use super::rows::{self, Plain, Rows};
use super::{Axes, Carrier};
use crate::Result;
use crate::io::h5ad::source::Source;
use crate::io::h5ad::target::Target;
use crate::io::h5ad::{attributes, raw};

/// Values read at a time.
const BLOCK: usize = 1 << 22;

/// Carries over a matrix, cut along both axes; false, with a note, if its numbers are of no plain type.
pub(super) fn carry(carrier: &Carrier, group: &Group, to: &Target, name: &str, slot: &str, axes: Axes) -> Result<bool> {
    let source = carrier.source;
    let mut encoding = attributes::encoding(source, slot, group)?;
    let is_old = encoding.is_empty();
    if is_old {
        encoding = attributes::text(source, slot, group, "h5sparse_format")?.unwrap_or_default() + "_matrix";
    }
    let stored = attributes::shape(source, slot, group, if is_old { "h5sparse_shape" } else { "shape" })?;
    let (n_rows, n_columns) = stored.ok_or_else(|| source.damaged(slot, "does not say what shape it has"))?;
    if !matches!(encoding.as_str(), "csr_matrix" | "csc_matrix") {
        source.note(slot, &format!("has the encoding `{encoding}`, which is not understood; left out"));
        return Ok(false);
    }
    carrier.check_axis(slot, axes[0], n_rows)?;
    carrier.check_axis(slot, axes[1], n_columns)?;
    let is_csr = encoding == "csr_matrix";
    let (major, minor, n_major, n_minor) = match is_csr {
        true => (axes[0].kept, axes[1].kept, n_rows, n_columns),
        false => (axes[1].kept, axes[0].kept, n_columns, n_rows),
    };
    let matrix = Stored::open(source, group, slot, n_major)?;
    if major.is_none() && minor.is_none() && !is_old {
        carrier.check_sound(group, slot, 0)?;
        carrier.copy(group, to, name, slot)?;
        return Ok(true);
    }
    let to = to.group(name, &encoding, "0.1.0")?;
    let length = |kept: Option<&[usize]>, all: usize| kept.map_or(all, <[usize]>::len) as i64;
    to.list_attribute("shape", &[length(axes[0].kept, n_rows), length(axes[1].kept, n_columns)])?;
    if major.is_none() && minor.is_none() {
        for part in ["data", "indices", "indptr"] {
            let place = format!("{slot}/{part}");
            let dataset = group.dataset(part).map_err(source.hdf5(&place))?;
            carrier.copy(&dataset, &to, part, &place)?;
        }
        return Ok(true);
    }
    matrix.cut(&to, major, minor, n_minor)?;
    Ok(true)
}

/// A matrix on disk.
struct Stored<'a> {
    source: &'a Source,
    slot: &'a str,
    data: Dataset,
    indices: Dataset,
    offsets: Dataset,
    n_major: usize,
    n_stored: usize,
}

impl<'a> Stored<'a> {
    fn open(source: &'a Source, group: &Group, slot: &'a str, n_major: usize) -> Result<Self> {
        let part = |name: &str| {
            let place = format!("{slot}/{name}");
            let dataset = group.dataset(name).map_err(|_| source.damaged(&place, "is missing or is not a data set"))?;
            match dataset.get_shape().map_err(source.hdf5(&place))?[..] {
                [length] if Plain::of(source, &place, &dataset)? == Plain::Number => Ok((dataset, length)),
                _ => Err(source.damaged(&place, "is not a list of numbers")),
            }
        };
        let ((data, n_stored), (indices, n_indices), (offsets, n_offsets)) =
            (part("data")?, part("indices")?, part("indptr")?);
        if n_stored != n_indices || n_major.checked_add(1) != Some(n_offsets) {
            let reason = format!(
                "has {n_stored} values, {n_indices} indices and {n_offsets} offsets, but needs as many values as indices \
                 and {n_major} + 1 offsets"
            );
            return Err(source.damaged(slot, reason));
        }
        Ok(Self { source, slot, data, indices, offsets, n_major, n_stored })
    }

    fn offsets(&self) -> Result<Vec<usize>> {
        let place = format!("{}/indptr", self.slot);
        raw::check_size(self.source, &place, &self.offsets)?;
        let offsets: Vec<i64> = self.offsets.read_raw().map_err(self.source.hdf5(&place))?;
        let offsets: Vec<usize> =
            offsets.into_iter().map(|offset| usize::try_from(offset).unwrap_or(usize::MAX)).collect();
        let is_sound = offsets.first() == Some(&0)
            && offsets.last() == Some(&self.n_stored)
            && offsets.is_sorted()
            && offsets.len() == self.n_major + 1;
        if is_sound {
            Ok(offsets)
        } else {
            Err(self.source.damaged(self.slot, "has offsets that do not fit its values"))
        }
    }

    /// Writes what is kept.
    fn cut(&self, to: &Target, major: Option<&[usize]>, minor: Option<&[usize]>, n_minor: usize) -> Result<()> {
        let source = self.source;
        let [data_slot, indices_slot] = ["data", "indices"].map(|part| format!("{}/{part}", self.slot));
        raw::check_size(source, &data_slot, &self.data)?;
        raw::check_size(source, &indices_slot, &self.indices)?;
        let offsets = self.offsets()?;
        let all: Vec<usize>;
        let major = match major {
            Some(major) => major,
            None => {
                all = (0..self.n_major).collect();
                &all
            }
        };
        let places = minor.map(|minor| Places::new(minor, n_minor));
        let mut values = Rows::list(source, to, "data", &data_slot, &self.data)?;
        let mut indices = Rows::list(source, to, "indices", &indices_slot, &self.indices)?;
        let width = values.row_bytes();
        let mut ends = vec![0_i64];
        let mut n_written = 0;
        let mut rest = major;
        while let Some(&first) = rest.first() {
            // Rows that rise and whose surroundings fit into memory are read at once.
            let start = offsets[first];
            let fits = |at: usize| rest[at] > rest[at - 1] && offsets[rest[at] + 1] - start <= BLOCK;
            let n = (1..rest.len()).find(|&at| !fits(at)).unwrap_or(rest.len());
            let (block, later) = rest.split_at(n);
            let range = start..offsets[block[n - 1] + 1];
            let read_indices = self.read_indices(range.clone(), n_minor)?;
            let read_values = rows::read(&self.data, range.clone()).map_err(source.hdf5(&data_slot))?;
            let (mut kept_indices, mut kept_values) = (Vec::new(), Vec::new());
            for &row in block {
                let range = offsets[row] - start..offsets[row + 1] - start;
                match &places {
                    None => {
                        kept_indices.extend_from_slice(&read_indices[range.clone()]);
                        kept_values.extend_from_slice(&read_values[range.start * width..range.end * width]);
                        n_written += range.len();
                    }
                    Some(places) => {
                        for (index, at) in places.of(&read_indices, range) {
                            kept_indices.push(index);
                            kept_values.extend_from_slice(&read_values[at * width..(at + 1) * width]);
                            n_written += 1;
                        }
                    }
                }
                ends.push(n_written as i64);
            }
            values.append(to, &kept_values)?;
            indices.append_integers(to, &kept_indices)?;
            rest = later;
        }
        values.finish(to)?;
        indices.finish(to)?;
        let mut offsets = Rows::list(source, to, "indptr", &format!("{}/indptr", self.slot), &self.offsets)?;
        offsets.append_integers(to, &ends)?;
        offsets.finish(to)
    }

    fn read_indices(&self, range: Range<usize>, n_minor: usize) -> Result<Vec<i64>> {
        let slot = format!("{}/indices", self.slot);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let indices = self.indices.read_slice_1d::<i64, _>(range).map_err(self.source.hdf5(&slot))?;
        let indices = indices.into_raw_vec_and_offset().0;
        match indices.iter().find(|&&index| index < 0 || index >= n_minor as i64) {
            Some(index) => {
                Err(self.source.damaged(&slot, format!("holds the index {index}, outside 0 to {n_minor} - 1")))
            }
            None => Ok(indices),
        }
    }
}

/// Where kept places go.
struct Places {
    new: Vec<i64>,
    rises: bool,
}

impl Places {
    fn new(kept: &[usize], length: usize) -> Self {
        let mut new = vec![-1; length];
        kept.iter().enumerate().for_each(|(place, &old)| new[old] = place as i64);
        Self { new, rises: kept.is_sorted() }
    }

    /// The new index of each kept value of a row, with its place among the values read.
    fn of(&self, indices: &[i64], range: Range<usize>) -> Vec<(i64, usize)> {
        let new = range.map(|at| (self.new[indices[at] as usize], at)).filter(|(index, _)| *index >= 0);
        let mut new: Vec<(i64, usize)> = new.collect();
        if !self.rises {
            new.sort_by_key(|(index, _)| *index);
        }
        new
    }
}
