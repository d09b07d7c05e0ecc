//! Compressed columns turned into rows by way of a temporary file, so that a matrix larger than the memory can be read by
//! rows.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;

use super::ahead::one_ahead;
use super::compressed::Compressed;
use super::matrix::UNIT;
use crate::cells::SparseMatrix;
use crate::{Error, Result};

/// Values of a bucket that wait in memory until they are written together.
const WAITING: usize = 1 << 13;

/// A value with its row within the bucket and its column.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Entry {
    row: u32,
    column: u32,
    value: f32,
}

/// Consecutive rows whose values lie together in the file, those of one row by rising column.
struct Bucket {
    rows: Range<usize>,
    /// The place of the first value, counted in values.
    start: usize,
    n_values: usize,
}

/// A matrix in buckets of rows.
pub(super) struct Transposed {
    n_columns: usize,
    buckets: Vec<Bucket>,
    file: File,
}

impl Transposed {
    /// Reads the matrix twice: to count the values of each row, and to bring each to its bucket of about `n_values` values.
    ///
    /// # Errors
    /// As [`Compressed::rows`]; [`Error::Io`] if the temporary file cannot be written.
    pub(super) fn new(columns: &Compressed, n_values: usize) -> Result<Self> {
        let n_columns = columns.n_major();
        let mut lengths = vec![0_usize; columns.n_minor];
        for range in pieces(&columns.indptr, n_values) {
            let stored = columns.indptr[range.start]..columns.indptr[range.end];
            columns.indices(stored)?.iter().for_each(|&row| lengths[row as usize] += 1);
        }
        let buckets = buckets(&lengths, n_values);
        let mut bucket_of = Vec::with_capacity(lengths.len());
        for (number, bucket) in buckets.iter().enumerate() {
            bucket_of.resize(bucket.rows.end, number as u32);
        }
        let io = |source| Error::Io { path: std::env::temp_dir(), source };
        let mut file = tempfile::tempfile().map_err(io)?;
        let mut waiting: Vec<Vec<Entry>> = vec![Vec::new(); buckets.len()];
        let mut n_written = vec![0; buckets.len()];
        let mut write = |number: usize, entries: &mut Vec<Entry>| {
            let place = (buckets[number].start + n_written[number]) * size_of::<Entry>();
            n_written[number] += entries.len();
            let done = file.seek(SeekFrom::Start(place as u64));
            let done = done.and_then(|_| file.write_all(bytemuck::cast_slice(entries))).map_err(io);
            entries.clear();
            done
        };
        for range in pieces(&columns.indptr, n_values) {
            let some = columns.rows(range.clone())?;
            for column in range.clone() {
                let (rows, values) = some.row(column - range.start);
                for (&row, &value) in rows.iter().zip(values) {
                    let number = bucket_of[row as usize] as usize;
                    let within = row - buckets[number].rows.start as u32;
                    waiting[number].push(Entry { row: within, column: column as u32, value });
                    if waiting[number].len() == WAITING {
                        write(number, &mut waiting[number])?;
                    }
                }
            }
        }
        for (number, entries) in waiting.iter_mut().enumerate() {
            write(number, entries)?;
        }
        Ok(Self { n_columns, buckets, file })
    }

    /// Calls `visit` with every bucket: the number of its first row, and its rows.
    ///
    /// # Errors
    /// Those of `visit`; [`Error::Io`].
    pub(super) fn blocks(&self, visit: &mut dyn FnMut(usize, SparseMatrix) -> Result<()>) -> Result<()> {
        one_ahead(self.buckets.iter(), |bucket| Ok((bucket.rows.start, self.read(bucket)?)), &mut |(start, rows)| {
            visit(start, rows)
        })
    }

    fn read(&self, Bucket { rows, start, n_values }: &Bucket) -> Result<SparseMatrix> {
        let io = |source| Error::Io { path: std::env::temp_dir(), source };
        let mut entries = vec![Entry { row: 0, column: 0, value: 0.0 }; *n_values];
        let mut file = &self.file;
        file.seek(SeekFrom::Start((start * size_of::<Entry>()) as u64)).map_err(io)?;
        file.read_exact(bytemuck::cast_slice_mut(&mut entries)).map_err(io)?;
        let mut indptr = vec![0; rows.len() + 1];
        entries.iter().for_each(|entry| indptr[entry.row as usize + 1] += 1);
        for row in 0..rows.len() {
            indptr[row + 1] += indptr[row];
        }
        let mut next = indptr.clone();
        let (mut indices, mut values) = (vec![0; *n_values], vec![0.0; *n_values]);
        for Entry { row, column, value } in entries {
            let at = next[row as usize];
            (indices[at], values[at]) = (column, value);
            next[row as usize] += 1;
        }
        SparseMatrix::new(self.n_columns, indptr, indices, values)
    }
}

/// Consecutive columns that hold about so many values.
fn pieces(indptr: &[usize], n_values: usize) -> impl Iterator<Item = Range<usize>> {
    let n_columns = indptr.len() - 1;
    let mut start = 0;
    std::iter::from_fn(move || {
        let from = start;
        let fitting = indptr[from + 1..].partition_point(|&end| end - indptr[from] <= n_values);
        start = (from + fitting.max(1)).min(n_columns);
        (from < n_columns).then_some(from..start)
    })
}

/// Consecutive rows, beginning at multiples of a unit, that hold about so many values.
fn buckets(lengths: &[usize], n_values: usize) -> Vec<Bucket> {
    let mut buckets = Vec::<Bucket>::new();
    for (unit, lengths) in lengths.chunks(UNIT).enumerate() {
        let (first, n_here) = (unit * UNIT, lengths.iter().sum::<usize>());
        match buckets.last_mut() {
            Some(last) if last.n_values + n_here <= n_values => {
                last.rows.end = first + lengths.len();
                last.n_values += n_here;
            }
            last => {
                let start = last.map_or(0, |last| last.start + last.n_values);
                buckets.push(Bucket { rows: first..first + lengths.len(), start, n_values: n_here });
            }
        }
    }
    buckets
}
