//! Tables and arrays stored as compound data sets, and categories kept in `uns` (anndata < 0.7).

use std::collections::BTreeMap;

use hdf5::types::{CompoundType, TypeDescriptor};
use ndarray::Array2;

use super::raw::{self, Elements};
use super::source::Source;
use super::table;
use crate::Result;
use crate::cells::{Annotations, Column, Value};

/// The records of a compound data set, in the memory layout of their description.
struct Records {
    layout: CompoundType,
    n_rows: usize,
    bytes: Vec<u8>,
}

impl Records {
    /// Reads a data set of the root; `None`, with a note, if it is no list of records or its records hold pointers.
    fn read(source: &Source, name: &str) -> Result<Option<Self>> {
        let dataset = source.file.dataset(name).map_err(source.hdf5(name))?;
        let rank = dataset.get_shape().map_err(source.hdf5(name))?.len();
        let layout = match raw::descriptor(source, name, &dataset)?.map(|descriptor| descriptor.to_c_repr()) {
            Some(TypeDescriptor::Compound(layout))
                if rank == 1 && !layout.fields.iter().any(|f| holds_pointers(&f.ty)) =>
            {
                layout
            }
            _ => {
                source.note(name, "is a data set that is no list of plain records; left out");
                return Ok(None);
            }
        };
        let n_rows = raw::check_size(source, name, &dataset)?;
        let descriptor = TypeDescriptor::Compound(layout.clone());
        let bytes = raw::bytes(source, name, &dataset, &descriptor, n_rows)?;
        Ok(Some(Self { layout, n_rows, bytes }))
    }

    /// One field of every record, as bytes.
    fn field(&self, position: usize) -> impl Iterator<Item = &[u8]> {
        let field = &self.layout.fields[position];
        let range = field.offset..field.offset + field.ty.size();
        self.bytes.chunks_exact(self.layout.size.max(1)).map(move |record| &record[range.clone()])
    }
}

fn holds_pointers(descriptor: &TypeDescriptor) -> bool {
    match descriptor {
        TypeDescriptor::VarLenArray(_) | TypeDescriptor::VarLenAscii | TypeDescriptor::VarLenUnicode => true,
        TypeDescriptor::FixedArray(inner, _) => holds_pointers(inner),
        TypeDescriptor::Compound(inner) => inner.fields.iter().any(|field| holds_pointers(&field.ty)),
        _ => false,
    }
}

/// Reads `obs` or `var`; the first field is the index.
pub(super) fn table(source: &Source, name: &str) -> Result<Annotations> {
    let Some(records) = Records::read(source, name)? else {
        return Err(source.damaged(name, "is not a table"));
    };
    let mut annotations = Annotations::default();
    for position in 0..records.layout.fields.len() {
        let field = &records.layout.fields[position];
        let slot = format!("{name}/{}", field.name);
        let values = raw::decode(source, &slot, &field.ty, records.field(position))?.map(table::plain);
        match values {
            Some(values) if position == 0 => annotations.index = table::index_texts(source, &slot, &values)?,
            None if position == 0 => return Err(source.damaged(&slot, "is the index of the table and cannot be read")),
            Some(values) if annotations.get(&field.name).is_none() => annotations.set(&field.name, values),
            Some(_) => return Err(source.damaged(&slot, "occurs twice")),
            None => {}
        }
    }
    Ok(annotations)
}

/// Reads `obsm` or `varm`: one array per field.
pub(super) fn arrays(source: &Source, name: &str) -> Result<BTreeMap<String, Array2<f32>>> {
    let mut arrays = BTreeMap::new();
    let Some(records) = Records::read(source, name)? else {
        return Ok(arrays);
    };
    for position in 0..records.layout.fields.len() {
        let field = &records.layout.fields[position];
        let slot = format!("{name}/{}", field.name);
        let (inner, n_columns) = match &field.ty {
            TypeDescriptor::FixedArray(inner, n_columns) => (inner.as_ref(), *n_columns),
            other => (other, 1),
        };
        let parts = records.field(position).flat_map(|bytes| bytes.chunks_exact(inner.size().max(1)));
        let values: Vec<f32> = match raw::decode(source, &slot, inner, parts)? {
            Some(Elements::Floats(values)) => values.into_iter().map(|value| value as f32).collect(),
            Some(Elements::Integers(values)) => values.into_iter().map(|value| value as f32).collect(),
            Some(_) => {
                source.note(&slot, "does not hold numbers; left out");
                continue;
            }
            None => continue,
        };
        let array = Array2::from_shape_vec((records.n_rows, n_columns), values)
            .map_err(|error| source.damaged(&slot, format!("cannot be read ({error})")))?;
        arrays.insert(field.name.clone(), array);
    }
    Ok(arrays)
}

/// Joins the codes in a table with `uns["NAME_categories"]`, which is then taken out of `uns`.
pub(super) fn join_categories(
    source: &Source,
    tables: [(&str, &mut Annotations); 2],
    uns: &mut BTreeMap<String, Value>,
) -> Result<()> {
    let mut used = Vec::new();
    for (table, annotations) in tables {
        for (name, column) in &mut annotations.columns {
            let key = format!("{name}_categories");
            let categories = match uns.get(&key) {
                Some(Value::Texts(categories)) => Elements::Texts(categories.clone()),
                Some(Value::Text(category)) => Elements::Texts(vec![category.clone()]),
                Some(Value::Floats(categories)) => Elements::Floats(categories.clone()),
                Some(Value::Integers(categories)) => Elements::Integers(categories.clone()),
                Some(Value::Booleans(categories)) => Elements::Booleans(categories.clone()),
                _ => continue,
            };
            if let Column::Integer(codes) = column {
                let codes = Elements::Integers(codes.clone());
                *column = table::categorical(source, &format!("{table}/{name}"), codes, categories, false)?;
                used.push(key);
            }
        }
    }
    used.iter().for_each(|key| {
        uns.remove(key);
    });
    Ok(())
}
