//! Elements of any type, read from a data set or an attribute, whatever its encoding on disk.

use std::io::{Read, Seek, SeekFrom};

use hdf5::types::{FloatSize, IntSize, TypeDescriptor, VarLenAscii, VarLenUnicode};
use hdf5::{Container, Datatype};
use hdf5_sys::h5a::H5Aread;
use hdf5_sys::h5d::{H5D_layout_t, H5Dget_create_plist, H5Dget_offset, H5Dget_storage_size, H5Dread};
use hdf5_sys::h5i::H5I_type_t;
use hdf5_sys::h5p::{H5P_DEFAULT, H5Pclose, H5Pget_chunk, H5Pget_filter2, H5Pget_layout, H5Pget_nfilters};
use hdf5_sys::h5s::H5S_ALL;
use hdf5_sys::h5t::{H5T_class_t, H5Tget_class};
use hdf5_sys::h5z::H5Zfilter_avail;

use super::source::Source;
use crate::{Error, Result};

/// Below this size, what a file claims to hold is believed.
const BELIEVED_BYTES: u64 = 1 << 24;
/// Below this number of chunks, what a file claims to hold is believed.
const BELIEVED_CHUNKS: u64 = 1 << 16;
/// A chunk on disk takes at least this many bytes, in the index of the chunks alone.
const LEAST_CHUNK_BYTES: u64 = 8;
/// No compressor in use makes data smaller by more than this (deflate's limit is 1032).
const MOST_COMPRESSION: u64 = 2048;

/// The elements of an array in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::io) enum Elements {
    Texts(Vec<String>),
    Floats(Vec<f64>),
    Integers(Vec<i64>),
    Booleans(Vec<bool>),
}

impl Elements {
    pub(in crate::io) fn len(&self) -> usize {
        match self {
            Self::Texts(values) => values.len(),
            Self::Floats(values) => values.len(),
            Self::Integers(values) => values.len(),
            Self::Booleans(values) => values.len(),
        }
    }

    /// The elements as text; a fraction or exponent marks a floating-point number, as in Python.
    pub(in crate::io) fn into_texts(self) -> Vec<String> {
        match self {
            Self::Texts(values) => values,
            Self::Floats(values) => values.iter().map(|value| format!("{value:?}")).collect(),
            Self::Integers(values) => values.iter().map(i64::to_string).collect(),
            Self::Booleans(values) => values.iter().map(bool::to_string).collect(),
        }
    }
}

/// The type of the elements, as the library describes it; `None` for types without a counterpart here.
pub(in crate::io) fn descriptor(source: &Source, slot: &str, container: &Container) -> Result<Option<TypeDescriptor>> {
    let dtype = container.dtype().map_err(source.hdf5(slot))?;
    // Half and long floats have no descriptor but are converted by the library.
    let class = hdf5::sync::sync(|| unsafe { H5Tget_class(dtype.id()) });
    if class == H5T_class_t::H5T_FLOAT && !matches!(dtype.size(), 4 | 8) {
        return Ok(Some(TypeDescriptor::Float(if dtype.size() < 4 { FloatSize::U4 } else { FloatSize::U8 })));
    }
    Ok(dtype.to_descriptor().ok())
}

/// Reads all elements; `None`, with a note, if their type has no counterpart here.
///
/// # Errors
/// [`Error::InvalidFile`] if the data cannot be read or hold text that is not UTF-8.
pub(in crate::io) fn elements(source: &Source, slot: &str, container: &Container) -> Result<Option<Elements>> {
    let Some(descriptor) = descriptor(source, slot, container)? else {
        source.note(slot, "has an element type that is not understood; left out");
        return Ok(None);
    };
    if container.space().map_err(source.hdf5(slot))?.is_null() {
        source.note(slot, "holds no value at all; left out");
        return Ok(None);
    }
    let size = check_size(source, slot, container)?;
    if matches!(descriptor, TypeDescriptor::VarLenAscii | TypeDescriptor::VarLenUnicode) {
        check_lengths(source, slot, container, size)?;
        let texts: Vec<Vec<u8>> = if size == 0 {
            Vec::new()
        } else if descriptor == TypeDescriptor::VarLenAscii {
            let texts = container.read_raw::<VarLenAscii>().map_err(source.hdf5(slot))?;
            texts.iter().map(|text| text.as_bytes().to_vec()).collect()
        } else {
            let texts = container.read_raw::<VarLenUnicode>().map_err(source.hdf5(slot))?;
            texts.iter().map(|text| text.as_bytes().to_vec()).collect()
        };
        return utf8(source, slot, texts).map(|texts| Some(Elements::Texts(texts)));
    }
    let bytes = bytes(source, slot, container, &descriptor, size)?;
    decode(source, slot, &descriptor, bytes.chunks_exact(descriptor.size().max(1)))
}

/// Makes sure that no text of a data set claims to be longer than its file: the library takes the memory before it looks.
/// Only what lies in one piece is looked at.
pub(in crate::io) fn check_lengths(source: &Source, slot: &str, container: &Container, size: usize) -> Result<()> {
    // A length, the address of a heap and a number in it.
    const REFERENCE: usize = 16;
    let id = container.id();
    // The handle is alive for the calls; data that lie in no piece have no offset.
    let (offset, n_bytes) = match container.id_type() {
        H5I_type_t::H5I_DATASET => hdf5::sync::sync(|| unsafe { (H5Dget_offset(id), H5Dget_storage_size(id)) }),
        _ => return Ok(()),
    };
    if offset >= source.n_bytes || Some(n_bytes) != (size as u64).checked_mul(REFERENCE as u64) {
        return Ok(());
    }
    let mut references = Vec::new();
    let read = std::fs::File::open(&source.path).and_then(|mut file| {
        file.seek(SeekFrom::Start(offset))?;
        file.take(n_bytes).read_to_end(&mut references)
    });
    read.map_err(|error| Error::Io { path: source.path.clone(), source: error })?;
    let lengths =
        references.chunks_exact(REFERENCE).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    match lengths.max().filter(|&longest| u64::from(longest) > source.n_bytes) {
        Some(longest) => Err(source.damaged(slot, format!("claims a text of {longest} bytes, more than the file has"))),
        None => Ok(()),
    }
}

/// Reads all elements in the memory layout of `descriptor`, which must hold no pointers.
pub(in crate::io) fn bytes(
    source: &Source,
    slot: &str,
    container: &Container,
    descriptor: &TypeDescriptor,
    size: usize,
) -> Result<Vec<u8>> {
    if size == 0 {
        return Ok(Vec::new());
    }
    let memory = Datatype::from_descriptor(descriptor).map_err(source.hdf5(slot))?;
    let n_bytes = size.checked_mul(memory.size()).ok_or_else(|| source.damaged(slot, "claims an impossible size"))?;
    let mut buffer = vec![0_u8; n_bytes];
    let (id, memory_id, pointer) = (container.id(), memory.id(), buffer.as_mut_ptr().cast());
    // The buffer holds `size` elements of the memory type, and the handles are alive for the call.
    hdf5::sync::sync(|| {
        let status = unsafe {
            if container.id_type() == H5I_type_t::H5I_ATTR {
                H5Aread(id, memory_id, pointer)
            } else {
                H5Dread(id, memory_id, H5S_ALL, H5S_ALL, H5P_DEFAULT, pointer)
            }
        };
        // The library's error stack holds the reason until its next call.
        if status < 0 { Err(hdf5::Error::query().unwrap_or_else(|error| error)) } else { Ok(()) }
    })
    .map_err(source.hdf5(slot))?;
    Ok(buffer)
}

/// Turns the bytes of each element into values; `None`, with a note, if the type has no counterpart here.
pub(in crate::io) fn decode<'a>(
    source: &Source,
    slot: &str,
    descriptor: &TypeDescriptor,
    elements: impl Iterator<Item = &'a [u8]>,
) -> Result<Option<Elements>> {
    fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&bytes[..N]);
        array
    }
    use TypeDescriptor as Type;
    Ok(Some(match descriptor {
        Type::Float(FloatSize::U4) => Elements::Floats(elements.map(|b| f32::from_ne_bytes(fixed(b)).into()).collect()),
        Type::Float(FloatSize::U8) => Elements::Floats(elements.map(|b| f64::from_ne_bytes(fixed(b))).collect()),
        Type::Integer(IntSize::U1) => {
            Elements::Integers(elements.map(|b| i8::from_ne_bytes(fixed(b)).into()).collect())
        }
        Type::Integer(IntSize::U2) => {
            Elements::Integers(elements.map(|b| i16::from_ne_bytes(fixed(b)).into()).collect())
        }
        Type::Integer(IntSize::U4) => {
            Elements::Integers(elements.map(|b| i32::from_ne_bytes(fixed(b)).into()).collect())
        }
        Type::Integer(IntSize::U8) => Elements::Integers(elements.map(|b| i64::from_ne_bytes(fixed(b))).collect()),
        Type::Unsigned(IntSize::U1) => Elements::Integers(elements.map(|b| b[0].into()).collect()),
        Type::Unsigned(IntSize::U2) => {
            Elements::Integers(elements.map(|b| u16::from_ne_bytes(fixed(b)).into()).collect())
        }
        Type::Unsigned(IntSize::U4) => {
            Elements::Integers(elements.map(|b| u32::from_ne_bytes(fixed(b)).into()).collect())
        }
        Type::Unsigned(IntSize::U8) => {
            let values: Option<Vec<i64>> = elements.map(|b| i64::try_from(u64::from_ne_bytes(fixed(b))).ok()).collect();
            let Some(values) = values else {
                source.note(slot, "holds whole numbers above 2^63; left out");
                return Ok(None);
            };
            Elements::Integers(values)
        }
        Type::Boolean => {
            let bytes: Vec<u8> = elements.map(|b| b[0]).collect();
            if bytes.iter().any(|&byte| byte > 1) {
                return Err(source.damaged(slot, "holds booleans that are neither true nor false"));
            }
            Elements::Booleans(bytes.into_iter().map(|byte| byte == 1).collect())
        }
        Type::FixedAscii(_) | Type::FixedUnicode(_) => {
            let stripped = elements.map(|b| {
                let end = b.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
                b[..end].to_vec()
            });
            Elements::Texts(utf8(source, slot, stripped.collect())?)
        }
        _ => {
            source.note(slot, &format!("has elements of type {descriptor}, which is not understood; left out"));
            return Ok(None);
        }
    }))
}

/// Makes text of bytes.
fn utf8(source: &Source, slot: &str, texts: Vec<Vec<u8>>) -> Result<Vec<String>> {
    let n_total = texts.len();
    let mut bad = Vec::new();
    let mut decoded = Vec::with_capacity(n_total);
    for (position, bytes) in texts.into_iter().enumerate() {
        match String::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => decoded.push(text),
            Ok(text) => bad.push(format!("element {position}: {text:?}")),
            Err(error) => bad.push(format!("element {position}: {:?}", String::from_utf8_lossy(error.as_bytes()))),
        }
    }
    if bad.is_empty() {
        return Ok(decoded);
    }
    Err(Error::BadValues {
        place: format!("{}: {slot}", source.path.display()),
        problem: "not UTF-8 text, or hold a NUL character".into(),
        n_bad: bad.len(),
        n_total,
        examples: bad.into_iter().take(3).collect(),
        hint: "write these texts again as UTF-8".into(),
    })
}

/// The number of elements, once it is plausible for a file of this size and all filters are at hand.
///
/// # Errors
/// [`Error::InvalidFile`].
pub(in crate::io) fn check_size(source: &Source, slot: &str, container: &Container) -> Result<usize> {
    let shape = container.get_shape().map_err(source.hdf5(slot))?;
    let width = container.dtype().map_err(source.hdf5(slot))?.size() as u64;
    let n_bytes = shape.iter().try_fold(width, |n, &length| n.checked_mul(length as u64));
    let most = source.n_bytes.saturating_mul(MOST_COMPRESSION).max(BELIEVED_BYTES);
    match n_bytes {
        Some(n_bytes) if n_bytes <= most => {}
        _ => {
            return Err(source.damaged(
                slot,
                format!("claims the shape {shape:?}, too large for a file of {} bytes", source.n_bytes),
            ));
        }
    }
    if container.id_type() == H5I_type_t::H5I_DATASET {
        check_storage(source, slot, container, &shape)?;
    }
    Ok(shape.iter().product())
}

/// Makes sure that a data set has no more chunks than its file can hold, and that every filter can be undone.
fn check_storage(source: &Source, slot: &str, container: &Container, shape: &[usize]) -> Result<()> {
    let id = container.id();
    let mut chunk = vec![0_u64; shape.len()];
    // The property list is closed before the lock is given back; sizes and names are cut to their buffers.
    let missing = hdf5::sync::sync(|| unsafe {
        let list = H5Dget_create_plist(id);
        if list < 0 {
            return None;
        }
        if H5Pget_layout(list) == H5D_layout_t::H5D_CHUNKED {
            H5Pget_chunk(list, chunk.len() as _, chunk.as_mut_ptr());
        }
        let missing = missing_filter(list);
        H5Pclose(list);
        missing
    });
    let n_chunks = shape
        .iter()
        .zip(&chunk)
        .filter(|(_, chunk)| **chunk > 0)
        .try_fold(1_u64, |n, (&length, &chunk)| n.checked_mul((length as u64).div_ceil(chunk)));
    let most = (source.n_bytes / LEAST_CHUNK_BYTES).max(BELIEVED_CHUNKS);
    if n_chunks.is_none_or(|n_chunks| n_chunks > most) {
        let reason = format!(
            "claims the shape {shape:?} in chunks of {chunk:?}, too many for a file of {} bytes",
            source.n_bytes
        );
        return Err(source.damaged(slot, reason));
    }
    let Some((filter, name)) = missing else {
        return Ok(());
    };
    let name = match filter {
        4 => "SZIP".to_owned(),
        32001 => "Blosc".to_owned(),
        32004 => "LZ4".to_owned(),
        32008 => "Bitshuffle".to_owned(),
        32015 => "Zstandard".to_owned(),
        32026 => "Blosc2".to_owned(),
        _ => name,
    };
    Err(Error::InvalidFile {
        path: source.path.clone(),
        reason: format!("`{slot}` is compressed with the HDF5 filter {name} (number {filter}), which is not at hand"),
        hint: "read the file in Python and save it with `write_h5ad(…, compression=\"gzip\")`".into(),
    })
}

/// A filter in a list of properties that is not at hand: its number and name.
///
/// # Safety
/// `list` must be the identifier of an open list for creating data sets, and the library's lock be held.
unsafe fn missing_filter(list: i64) -> Option<(i32, String)> {
    let n_filters = unsafe { H5Pget_nfilters(list) }.max(0);
    (0..n_filters as u32).find_map(|position| {
        let (mut flags, mut n_values, mut configuration) = (0, 0, 0);
        let mut name = [0_u8; 64];
        // No values are asked for, and the name is cut to its buffer.
        let (filter, is_available) = unsafe {
            let filter = H5Pget_filter2(
                list,
                position,
                &mut flags,
                &mut n_values,
                std::ptr::null_mut(),
                name.len(),
                name.as_mut_ptr().cast(),
                &mut configuration,
            );
            (filter, H5Zfilter_avail(filter))
        };
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
        (filter >= 0 && is_available <= 0).then(|| (filter, String::from_utf8_lossy(&name[..end]).into_owned()))
    })
}
