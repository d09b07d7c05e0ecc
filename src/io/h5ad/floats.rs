//! Numbers of any type on disk, as 32-bit floats.

use std::ops::Range;
use std::sync::Mutex;

use hdf5::Dataset;
use hdf5::types::{FloatSize, IntSize, TypeDescriptor};
use ndarray::s;

use super::chunks::Chunks;
use super::disk::lock;
use super::raw::{self, Elements};
use super::source::Source;
use crate::{Error, Result};

/// Numbers that pass through 64 bits at a time where the library reads them.
const PIECE: usize = 1 << 22;

/// A list or an array of numbers whose rows become 32-bit floats.
pub(super) struct Floats<'a> {
    source: &'a Source,
    slot: String,
    dataset: Dataset,
    shape: Vec<usize>,
    conversion: Conversion,
    chunks: Option<(Chunks, Convert)>,
    /// What the rows read so far lost.
    losses: Mutex<Losses>,
}

impl<'a> Floats<'a> {
    /// Opens a data set of one or two dimensions.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if it holds no numbers, or claims an impossible size.
    pub(super) fn open(source: &'a Source, dataset: &Dataset, slot: &str) -> Result<Self> {
        let shape = dataset.get_shape().map_err(source.hdf5(slot))?;
        let size = raw::check_size(source, slot, dataset)?;
        let (conversion, convert) = Conversion::of(source, dataset, slot)?;
        let chunks = if size == 0 { None } else { Chunks::of(source, slot, dataset)? };
        let chunks = chunks.and_then(|chunks| Some((chunks, convert?)));
        let losses = Mutex::default();
        Ok(Self { source, slot: slot.to_owned(), dataset: dataset.clone(), shape, conversion, chunks, losses })
    }

    /// Rows; elements of a list.
    pub(super) fn n_rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Numbers in a row.
    pub(super) fn width(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// Some rows, one after the other.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if they cannot be read.
    pub(super) fn rows(&self, range: Range<usize>) -> Result<Vec<f32>> {
        let (source, slot) = (self.source, &self.slot);
        if range.is_empty() || self.width() == 0 {
            return Ok(Vec::new());
        }
        if let Some((chunks, convert)) = &self.chunks {
            let (values, losses) = chunks.rows(range, convert).map_err(|reason| source.damaged(slot, reason))?;
            losses.into_iter().for_each(|lost| lock(&self.losses).add(lost));
            return Ok(values);
        }
        match self.conversion {
            Conversion::Booleans => {
                let all = booleans(source, &self.dataset, slot)?;
                Ok(all[range.start * self.width()..range.end * self.width()].to_vec())
            }
            Conversion::Exact => read(&self.dataset, self.shape.len(), range).map_err(source.hdf5(slot)),
            Conversion::Checked { is_whole } => {
                let mut values = Vec::with_capacity(range.len() * self.width());
                let mut losses = lock(&self.losses);
                let chunk = self.dataset.chunk().and_then(|chunk| chunk.first().copied()).unwrap_or(1).max(1);
                let at_a_time = (PIECE / self.width()).max(1).div_ceil(chunk) * chunk;
                let mut start = range.start;
                while start < range.end {
                    let end = (start + at_a_time).min(range.end);
                    let some: Vec<f64> =
                        read(&self.dataset, self.shape.len(), start..end).map_err(source.hdf5(slot))?;
                    values.extend(some.into_iter().map(|value| losses.narrow(value, is_whole)));
                    start = end;
                }
                Ok(values)
            }
        }
    }

    /// Fails if some of the values that were read have no 32-bit counterpart; a note if some were rounded.
    ///
    /// # Errors
    /// [`Error::BadValues`].
    pub(super) fn check(&self) -> Result<()> {
        let losses = std::mem::take(&mut *lock(&self.losses));
        if losses.n_lost > 0 {
            return Err(Error::BadValues {
                place: format!("{}: {}", self.source.path.display(), self.slot),
                problem: "too large for 32-bit floats".into(),
                n_bad: losses.n_lost,
                n_total: losses.n_seen,
                examples: losses.examples,
                hint: "rescale the matrix".into(),
            });
        }
        if losses.n_rounded > 0 {
            let text = format!("holds {} whole numbers above 2^24; rounded to 32-bit floats", losses.n_rounded);
            self.source.note(&self.slot, &text);
        }
        Ok(())
    }
}

/// Some rows as the library converts them.
fn read<T: hdf5::H5Type>(dataset: &Dataset, n_dims: usize, range: Range<usize>) -> hdf5::Result<Vec<T>> {
    if n_dims == 1 {
        return Ok(dataset.read_slice_1d(s![range])?.into_raw_vec_and_offset().0);
    }
    let values = dataset.read_slice_2d::<T, _>(s![range, ..])?;
    Ok(if values.is_standard_layout() { values.into_raw_vec_and_offset().0 } else { values.into_iter().collect() })
}

/// Turns the bytes of elements into 32-bit floats.
type Convert = fn(&[u8], &mut [f32]) -> Losses;

/// How the elements of a data set become 32-bit floats.
#[derive(Clone, Copy, PartialEq)]
enum Conversion {
    /// Every value has a 32-bit float: the library converts.
    Exact,
    /// True is 1.
    Booleans,
    /// By way of 64-bit floats, with a look at each value.
    Checked { is_whole: bool },
}

impl Conversion {
    fn of(source: &Source, dataset: &Dataset, slot: &str) -> Result<(Self, Option<Convert>)> {
        use TypeDescriptor as Type;
        let whole = Self::Checked { is_whole: true };
        Ok(match raw::descriptor(source, slot, dataset)? {
            Some(Type::Float(FloatSize::U4)) => {
                (Self::Exact, Some(|bytes, floats| exact(bytes, floats, f32::from_ne_bytes)))
            }
            Some(Type::Float(_)) => {
                let convert: Convert = |bytes, floats| checked(bytes, floats, false, f64::from_ne_bytes);
                (Self::Checked { is_whole: false }, Some(convert))
            }
            Some(Type::Integer(IntSize::U1)) => {
                (Self::Exact, Some(|bytes, floats| exact(bytes, floats, |b| f32::from(i8::from_ne_bytes(b)))))
            }
            Some(Type::Integer(IntSize::U2)) => {
                (Self::Exact, Some(|bytes, floats| exact(bytes, floats, |b| f32::from(i16::from_ne_bytes(b)))))
            }
            Some(Type::Unsigned(IntSize::U1)) => {
                (Self::Exact, Some(|bytes, floats| exact(bytes, floats, |b| f32::from(u8::from_ne_bytes(b)))))
            }
            Some(Type::Unsigned(IntSize::U2)) => {
                (Self::Exact, Some(|bytes, floats| exact(bytes, floats, |b| f32::from(u16::from_ne_bytes(b)))))
            }
            Some(Type::Integer(IntSize::U4)) => {
                (whole, Some(|bytes, floats| checked(bytes, floats, true, |b| f64::from(i32::from_ne_bytes(b)))))
            }
            Some(Type::Unsigned(IntSize::U4)) => {
                (whole, Some(|bytes, floats| checked(bytes, floats, true, |b| f64::from(u32::from_ne_bytes(b)))))
            }
            Some(Type::Integer(IntSize::U8)) => {
                (whole, Some(|bytes, floats| checked(bytes, floats, true, |b| i64::from_ne_bytes(b) as f64)))
            }
            Some(Type::Unsigned(IntSize::U8)) => {
                (whole, Some(|bytes, floats| checked(bytes, floats, true, |b| u64::from_ne_bytes(b) as f64)))
            }
            Some(Type::Boolean) => (Self::Booleans, None),
            _ => return Err(source.damaged(slot, "does not hold numbers")),
        })
    }
}

fn exact<const N: usize>(bytes: &[u8], floats: &mut [f32], of: impl Fn([u8; N]) -> f32) -> Losses {
    for (float, bytes) in floats.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *float = of(*bytes);
    }
    Losses::default()
}

fn checked<const N: usize>(bytes: &[u8], floats: &mut [f32], is_whole: bool, of: impl Fn([u8; N]) -> f64) -> Losses {
    let mut losses = Losses::default();
    for (float, bytes) in floats.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *float = losses.narrow(of(*bytes), is_whole);
    }
    losses
}

/// Booleans as 0 and 1.
fn booleans(source: &Source, dataset: &Dataset, slot: &str) -> Result<Vec<f32>> {
    match raw::elements(source, slot, dataset)? {
        Some(Elements::Booleans(values)) => Ok(values.into_iter().map(|value| f32::from(u8::from(value))).collect()),
        _ => Err(source.damaged(slot, "does not hold numbers")),
    }
}

/// What 64-bit floats suffer on their way to 32 bits.
#[derive(Default)]
struct Losses {
    n_seen: usize,
    n_rounded: usize,
    n_lost: usize,
    examples: Vec<String>,
}

impl Losses {
    /// The value as 32 bits, counted if it suffers.
    fn narrow(&mut self, value: f64, is_whole: bool) -> f32 {
        let narrow = value as f32;
        self.n_seen += 1;
        if narrow.is_infinite() && value.is_finite() {
            self.n_lost += 1;
            if self.examples.len() < 3 {
                self.examples.push(value.to_string());
            }
        } else if is_whole && f64::from(narrow) != value {
            self.n_rounded += 1;
        }
        narrow
    }

    fn add(&mut self, other: Self) {
        self.n_seen += other.n_seen;
        self.n_rounded += other.n_rounded;
        self.n_lost += other.n_lost;
        self.examples.extend(other.examples);
        self.examples.truncate(3);
    }
}
