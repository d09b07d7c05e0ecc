//! Tables and arrays stored as compound data sets (anndata < 0.7): each field becomes a column or an array.

use std::ffi::CString;

use hdf5::types::TypeDescriptor;
use hdf5::{Dataset, Datatype};
use hdf5_sys::h5d::H5Dread;
use hdf5_sys::h5p::H5P_DEFAULT;
use hdf5_sys::h5s::H5S_ALL;
use hdf5_sys::h5t::{
    H5T_class_t, H5Tcreate, H5Tget_array_dims2, H5Tget_array_ndims, H5Tget_class, H5Tget_member_type, H5Tget_nmembers,
    H5Tget_super, H5Tinsert,
};

use super::rows::Rows;
use super::{Axis, Carrier};
use crate::Result;
use crate::io::h5ad::raw::{self, Elements};
use crate::io::h5ad::source::Source;
use crate::io::h5ad::table;
use crate::io::h5ad::target::{self, Target};

/// A list of records on disk.
struct Records<'a> {
    source: &'a Source,
    slot: &'a str,
    dataset: Dataset,
    n_rows: usize,
    names: Vec<String>,
}

impl<'a> Records<'a> {
    /// Opens a data set by its path; `None`, with a note, if it is no list of records.
    fn open(source: &'a Source, slot: &'a str) -> Result<Option<Self>> {
        let dataset = source.file.dataset(slot).map_err(source.hdf5(slot))?;
        let shape = dataset.get_shape().map_err(source.hdf5(slot))?;
        let names = match raw::descriptor(source, slot, &dataset)? {
            Some(TypeDescriptor::Compound(layout)) if shape.len() == 1 => {
                layout.fields.iter().map(|field| field.name.clone()).collect()
            }
            _ => {
                source.note(slot, "is a data set that is no list of plain records; left out");
                return Ok(None);
            }
        };
        let n_rows = raw::check_size(source, slot, &dataset)?;
        Ok(Some(Self { source, slot, dataset, n_rows, names }))
    }

    /// The type of a field, by its name.
    fn field(&self, name: &str) -> Result<Field> {
        let slot = format!("{}/{name}", self.slot);
        let records = self.dataset.dtype().map_err(self.source.hdf5(&slot))?;
        let bad = || self.source.damaged(&slot, "has a name that holds a NUL character");
        let c_name = CString::new(name).map_err(|_| bad())?;
        // Types that the library gives out are new, and are closed when they are dropped.
        let (datatype, width) = hdf5::sync::sync(|| unsafe {
            let n = H5Tget_nmembers(records.id()).max(0) as u32;
            let place = (0..n).find(|&place| member_name(records.id(), place) == name);
            let member: Datatype = hdf5::from_id(H5Tget_member_type(records.id(), place.unwrap_or(n)))?;
            if H5Tget_class(member.id()) != H5T_class_t::H5T_ARRAY {
                return Ok((member, None));
            }
            let mut dims = vec![0_u64; H5Tget_array_ndims(member.id()).clamp(0, 32) as usize];
            H5Tget_array_dims2(member.id(), dims.as_mut_ptr());
            let base: Datatype = hdf5::from_id(H5Tget_super(member.id()))?;
            Ok((base, Some(dims.iter().product::<u64>() as usize)))
        })
        .map_err(self.source.hdf5(&slot))?;
        Ok(Field { slot, c_name, datatype, width })
    }

    /// One field of every record, as bytes of its type.
    fn bytes(&self, field: &Field) -> Result<Vec<u8>> {
        let hdf5 = self.source.hdf5(&field.slot);
        let n_bytes = self
            .n_rows
            .checked_mul(field.row_bytes())
            .ok_or_else(|| self.source.damaged(&field.slot, "claims an impossible size"))?;
        let mut buffer = vec![0_u8; n_bytes];
        if n_bytes == 0 {
            return Ok(buffer);
        }
        // A record of this one field; the buffer holds as many as the data set has.
        hdf5::sync::sync(|| unsafe {
            let failed = || hdf5::Error::query().unwrap_or_else(|error| error);
            let record: Datatype = hdf5::from_id(H5Tcreate(H5T_class_t::H5T_COMPOUND, field.row_bytes()))?;
            let whole: Datatype = match field.width {
                Some(width) => {
                    let dims = [width as u64];
                    hdf5::from_id(hdf5_sys::h5t::H5Tarray_create2(field.datatype.id(), 1, dims.as_ptr()))?
                }
                None => field.datatype.clone(),
            };
            if H5Tinsert(record.id(), field.c_name.as_ptr(), 0, whole.id()) < 0 {
                return Err(failed());
            }
            let to = buffer.as_mut_ptr().cast();
            match H5Dread(self.dataset.id(), record.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, to) {
                0.. => Ok(()),
                _ => Err(failed()),
            }
        })
        .map_err(&hdf5)?;
        Ok(buffer)
    }

    /// The elements of a field in all records; `None`, with a note, if their kind has no counterpart here.
    fn elements(&self, field: &Field) -> Result<Option<Elements>> {
        let Ok(descriptor) = field.datatype.to_descriptor() else {
            self.source.note(&field.slot, "has an element type that is not understood; left out");
            return Ok(None);
        };
        let bytes = self.bytes(field)?;
        raw::decode(self.source, &field.slot, &descriptor, bytes.chunks_exact(field.datatype.size().max(1)))
    }
}

/// The name of a member of a compound type.
///
/// # Safety
/// `records` must be the identifier of an open compound type with so many members, and the library's lock be held.
unsafe fn member_name(records: i64, place: u32) -> String {
    let name = unsafe { hdf5_sys::h5t::H5Tget_member_name(records, place) };
    if name.is_null() {
        return String::new();
    }
    let text = unsafe { std::ffi::CStr::from_ptr(name) }.to_string_lossy().into_owned();
    unsafe { hdf5_sys::h5::H5free_memory(name.cast()) };
    text
}

/// One field: the type of its elements, and how many each record has of them if they are an array.
struct Field {
    slot: String,
    c_name: CString,
    datatype: Datatype,
    width: Option<usize>,
}

impl Field {
    fn row_bytes(&self) -> usize {
        self.width.unwrap_or(1) * self.datatype.size()
    }

    fn is_number(&self) -> bool {
        let class = hdf5::sync::sync(|| unsafe { H5Tget_class(self.datatype.id()) });
        matches!(class, H5T_class_t::H5T_INTEGER | H5T_class_t::H5T_FLOAT | H5T_class_t::H5T_ENUM)
    }
}

/// The rows that are kept, of so many bytes each.
fn kept(bytes: Vec<u8>, row_bytes: usize, axis: Axis) -> Vec<u8> {
    match axis.kept {
        None => bytes,
        Some(rows) => {
            rows.iter().flat_map(|&row| bytes[row * row_bytes..(row + 1) * row_bytes].iter().copied()).collect()
        }
    }
}

fn picked(texts: Vec<String>, axis: Axis) -> Vec<String> {
    match axis.kept {
        None => texts,
        Some(rows) => rows.iter().map(|&row| texts[row].clone()).collect(),
    }
}

/// Writes numbers of one field under their own type.
fn numbers(records: &Records, field: &Field, to: &Target, name: &str, shape: &[usize], axis: Axis) -> Result<()> {
    let bytes = kept(records.bytes(field)?, field.row_bytes(), axis);
    let mut rows = Rows::new(to, name, &field.slot, field.datatype.clone(), shape, false)?;
    rows.append(to, &bytes)?;
    rows.finish(to)?;
    let written = to.group.dataset(name).map_err(to.hdf5(&field.slot))?;
    to.encoding(&written, &field.slot, "array", "0.2.0")
}

/// Writes a table; the first field is the index. False, with a note, if it is no table.
pub(super) fn table(carrier: &Carrier, slot: &str, to: &Target, name: &str, axis: Axis) -> Result<bool> {
    let source = carrier.source;
    source.forget(slot);
    let Some(records) = Records::open(source, slot)? else { return Ok(false) };
    carrier.check_axis(slot, axis, records.n_rows)?;
    let (Some(index_name), to) = (records.names.first(), to.group(name, "dataframe", "0.2.0")?) else {
        return Err(source.damaged(slot, "is a table without an index"));
    };
    let n_rows = axis.kept.map_or(records.n_rows, <[usize]>::len);
    let field = records.field(index_name)?;
    let index = records.elements(&field)?.map(table::plain);
    let index = index.ok_or_else(|| source.damaged(&field.slot, "is the index of the table and cannot be read"))?;
    to.text_attribute("_index", index_name)?;
    to.texts(index_name, &picked(table::index_texts(source, &field.slot, &index)?, axis))?;
    let mut order = Vec::new();
    for name in &records.names[1..] {
        let field = records.field(name)?;
        if name.contains('/') || name.is_empty() || name == "." || order.contains(name) || name == index_name {
            source.note(&field.slot, "has a name that cannot be kept; left out");
        } else if column(carrier, &records, &field, name, &to, axis, n_rows)? {
            order.push(name.clone());
        }
    }
    let order = target::texts(&to.name_of("column-order"), &order)?;
    to.list_attribute("column-order", &order)?;
    Ok(true)
}

fn column(
    carrier: &Carrier,
    records: &Records,
    field: &Field,
    name: &str,
    to: &Target,
    axis: Axis,
    n_rows: usize,
) -> Result<bool> {
    let source = carrier.source;
    if field.width.is_some() {
        source.note(&field.slot, "has not one value per row; left out");
        return Ok(false);
    }
    if field.is_number() {
        if let Some((categories, place)) = categories(source, records, field, name)? {
            let column = to.group(name, "categorical", "0.2.0")?;
            column.attribute("ordered", &false)?;
            match categories {
                Elements::Texts(texts) => column.texts("categories", &texts)?,
                Elements::Floats(values) => column.array("categories", &values, &[values.len()])?,
                Elements::Integers(values) => column.array("categories", &values, &[values.len()])?,
                Elements::Booleans(values) => column.array("categories", &values, &[values.len()])?,
            }
            numbers(records, field, &column, "codes", &[n_rows], axis)?;
            source.forget(&place);
            return Ok(true);
        }
        numbers(records, field, to, name, &[n_rows], axis)?;
        return Ok(true);
    }
    match records.elements(field)? {
        Some(elements) => to.texts(name, &picked(elements.into_texts(), axis))?,
        None => return Ok(false),
    }
    Ok(true)
}

/// The categories of a column of codes, which lie in `uns`, or for genes of `raw` in `raw.cat`; with their place.
fn categories(source: &Source, records: &Records, field: &Field, name: &str) -> Result<Option<(Elements, String)>> {
    let folder = if records.slot.starts_with("raw") { "raw.cat" } else { "uns" };
    let place = format!("{folder}/{name}_categories");
    let Some(dataset) = source.file.dataset(&place).ok().filter(|dataset| dataset.ndim() <= 1) else {
        return Ok(None);
    };
    let (Some(categories), Some(Elements::Integers(codes))) =
        (raw::elements(source, &place, &dataset)?, records.elements(field)?)
    else {
        return Ok(None);
    };
    // A column of the other table may have the same name.
    let fits = codes.iter().all(|&code| code >= -1 && code < categories.len() as i64);
    Ok(fits.then_some((categories, place)))
}

/// Writes each field as an array of a mapping.
pub(super) fn arrays(carrier: &Carrier, slot: &str, to: &Target, axis: Axis) -> Result<()> {
    let source = carrier.source;
    source.forget(slot);
    let Some(records) = Records::open(source, slot)? else { return Ok(()) };
    carrier.check_axis(slot, axis, records.n_rows)?;
    let n_rows = axis.kept.map_or(records.n_rows, <[usize]>::len);
    for name in &records.names {
        let field = records.field(name)?;
        if to.group.link_exists(name) {
            continue;
        }
        if name.contains('/') || name.is_empty() || name == "." || !field.is_number() {
            source.note(&field.slot, "is not a named array of numbers; left out");
            continue;
        }
        if carrier.wants(to, name) {
            numbers(&records, &field, to, name, &[n_rows, field.width.unwrap_or(1)], axis)?;
            source.forget(&field.slot);
        }
    }
    Ok(())
}
