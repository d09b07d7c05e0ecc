//! What is carried over is what selecting cells and genes in memory gives.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hdf5::types::{FixedAscii, VarLenUnicode};
use hdf5::{File, H5Type, Location};
use ndarray::{Array2, ArrayView};

use super::*;
use crate::cells::{Annotations, Cells, Column, SparseMatrix, Value};
use crate::io::h5ad;

const ROWS: [usize; 4] = [1, 2, 5, 8];
const COLUMNS: [usize; 3] = [0, 3, 4];

fn matrix(n_rows: usize, n_columns: usize) -> SparseMatrix {
    let value = |row: usize, column: usize| ((row * 7 + column * 3) % 5) as f32;
    let row =
        |row| (0..n_columns).map(|column| (column as u32, value(row, column))).filter(|pair| pair.1 > 0.0).collect();
    SparseMatrix::from_rows(n_columns, (0..n_rows).map(row))
}

fn cells() -> Cells {
    let names = |prefix: &str, n: usize| (0..n).map(|place| format!("{prefix}{place}")).collect::<Vec<_>>();
    let mut cells = Cells {
        x: matrix(9, 5),
        obs: Annotations::new(names("cell ", 9)),
        var: Annotations::new(names("gene ", 5)),
        ..Cells::default()
    };
    cells.obs.set("kind", Column::categorical(&["a", "b", "c", "a", "b", "c", "a", "b", "c"]));
    cells.obs.set("dose/µM", Column::Float((0..9).map(f64::from).collect()));
    cells.obs.set("count", Column::NullableInteger((0..9).map(|n| (n % 3 > 0).then_some(n)).collect()));
    cells.obs.set("text", Column::Text(names("t", 9)));
    cells.layers.insert("counts".into(), matrix(9, 5));
    cells.obsm.insert("X_pca".into(), Array2::from_shape_fn((9, 2), |(r, c)| (r * 2 + c) as f32));
    cells.varm.insert("PCs".into(), Array2::from_shape_fn((5, 3), |(r, c)| (r * 3 + c) as f32));
    cells.obsp.insert("distances".into(), matrix(9, 9));
    cells.varp.insert("pairs".into(), matrix(5, 5));
    let inner = BTreeMap::from([("kept".to_owned(), Value::Integer(1)), ("other".to_owned(), Value::Float(0.5))]);
    cells.uns.insert("map".into(), Value::Map(inner));
    cells
}

/// A file of these cells, changed afterwards.
fn file(edit: impl FnOnce(&File)) -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("in.h5ad");
    h5ad::write(&path, &cells()).unwrap();
    let file = File::open_rw(&path).unwrap();
    edit(&file);
    file.close().unwrap();
    let copy = place.path().join("copy.h5ad");
    std::fs::copy(&path, &copy).unwrap();
    (place, copy)
}

fn put<T: H5Type>(file: &File, name: &str, shape: &[usize], values: &[T]) {
    if file.link_exists(name) {
        file.unlink(name).unwrap();
    }
    let values = ArrayView::from_shape(shape, values).unwrap();
    file.new_dataset_builder().with_data(values).create(name).unwrap();
}

fn mark(place: &Location, name: &str, value: &str) {
    let _ = place.delete_attr(name);
    let value: VarLenUnicode = value.parse().unwrap();
    place.new_attr::<VarLenUnicode>().create(name).unwrap().write_scalar(&value).unwrap();
}

/// Carries everything over into an empty file; the notes.
fn carried(path: &Path, output: &Path, kept: &Kept, before: impl Fn(&Target)) -> Vec<String> {
    let source = Source::open(path).unwrap();
    target::create(output, |root| {
        root.root_encoding()?;
        before(root);
        carry(&source, root, kept)
    })
    .unwrap();
    source.into_notes()
}

fn some() -> Kept<'static> {
    Kept { rows: Some(&ROWS), columns: Some(&COLUMNS), except: &[] }
}

#[test]
fn kept_cells_and_genes_are_those_that_selecting_gives() {
    let columns = |file: &File| {
        // The same values in compressed columns of other types.
        let matrix = matrix(9, 5).to_dense();
        let (mut offsets, mut rows, mut values) = (vec![0_i64], Vec::new(), Vec::new());
        for column in matrix.columns() {
            for (row, &value) in column.iter().enumerate().filter(|(_, value)| **value != 0.0) {
                rows.push(row as u16);
                values.push(value as i16);
            }
            offsets.push(values.len() as i64);
        }
        mark(&file.group("layers/counts").unwrap(), "encoding-type", "csc_matrix");
        put(file, "layers/counts/indptr", &[6], &offsets);
        put(file, "layers/counts/indices", &[rows.len()], &rows);
        put(file, "layers/counts/data", &[values.len()], &values);
    };
    let none = |_: &File| ();
    let dense = |file: &File| put(file, "X", &[9, 5], matrix(9, 5).to_dense().as_slice().unwrap());
    for edit in [&none as &dyn Fn(&File), &columns, &dense] {
        let (place, path) = file(edit);
        let output = place.path().join("out.h5ad");
        let orders: [(&[usize], &[usize]); 3] = [(&ROWS, &COLUMNS), (&[8, 0, 3], &[4, 1, 0]), (&[], &[2])];
        for (rows, columns) in orders {
            let kept = Kept { rows: Some(rows), columns: Some(columns), except: &[] };
            let notes = carried(&path, &output, &kept, |_| ());
            assert_eq!(notes, [] as [String; 0]);
            let expected = cells().select_cells(rows).select_genes(columns);
            assert_eq!(format!("{:?}", h5ad::read(&output).unwrap()), format!("{expected:?}"));
        }
    }
    let (place, path) = file(columns);
    let output = place.path().join("out.h5ad");
    carried(&path, &output, &some(), |_| ());
    let file = File::open(&output).unwrap();
    assert!(file.dataset("layers/counts/data").unwrap().dtype().unwrap().is::<i16>());
    assert!(file.dataset("layers/counts/indices").unwrap().dtype().unwrap().is::<u16>());
}

#[derive(H5Type, Clone, Copy)]
#[repr(C)]
struct Record {
    name: FixedAscii<4>,
    score: f64,
}

#[test]
fn slots_that_the_reader_does_not_know_come_along_and_are_cut() {
    let (place, path) = file(|file| {
        put(file, "obsm/cube", &[9, 2, 2], &(0..36_i8).collect::<Vec<_>>());
        let record = |n: usize| Record { name: FixedAscii::from_ascii(&format!("r{n}")).unwrap(), score: n as f64 };
        put(file, "obsm/records", &[9], &(0..9).map(record).collect::<Vec<_>>());
        put(file, "obsm/flags", &[9, 1], &[true, false, true, false, true, false, true, false, true]);
        mark(&file.create_group("obsm/rags").unwrap(), "encoding-type", "awkward-array");
        file.create_group("raw").unwrap();
        mark(&file.group("raw").unwrap(), "encoding-type", "raw");
        put(file, "raw/X", &[9, 6], &(0..54_u16).collect::<Vec<_>>());
        file.create_group("raw/var").unwrap();
        mark(&file.group("raw/var").unwrap(), "_index", "gene");
        mark(&file.group("raw/var").unwrap(), "encoding-type", "dataframe");
        mark(&file.group("raw/var").unwrap(), "encoding-version", "0.2.0");
        file.group("raw/var").unwrap().new_attr::<f64>().shape(0).create("column-order").unwrap();
        put(file, "raw/var/gene", &[6], &["a", "b", "c", "d", "e", "f"].map(|n| n.parse::<VarLenUnicode>().unwrap()));
        put(file, "uns/matrix", &[2, 2], &[1.0_f64, 2.0, 3.0, 4.0]);
        put(file, "mine", &[2], &[1_u8, 2]);
        file.link_soft("/nowhere", "uns/dangling").unwrap();
        file.link_hard("/uns", "uns/map/again").unwrap();
    });
    let output = place.path().join("out.h5ad");
    let notes = carried(&path, &output, &some(), |_| ());
    let noted = |slot: &str| notes.iter().any(|note| note.starts_with(&format!("`{slot}")));
    assert!(noted("obsm/rags") && noted("uns/dangling") && noted("uns/map/again"), "{notes:#?}");
    let file = File::open(&output).unwrap();
    assert_eq!(file.dataset("obsm/cube").unwrap().read_raw::<i8>().unwrap()[..8], [4, 5, 6, 7, 8, 9, 10, 11]);
    let records = file.dataset("obsm/records").unwrap().read_raw::<Record>().unwrap();
    assert_eq!(records.iter().map(|record| record.score).collect::<Vec<_>>(), [1.0, 2.0, 5.0, 8.0]);
    assert_eq!(file.dataset("obsm/flags").unwrap().read_raw::<bool>().unwrap(), [false, true, false, true]);
    assert!(!file.link_exists("obsm/rags"));
    assert_eq!(file.dataset("raw/X").unwrap().shape(), [4, 6]);
    assert_eq!(file.dataset("raw/X").unwrap().read_raw::<u16>().unwrap()[6..12], [12, 13, 14, 15, 16, 17]);
    assert_eq!(file.dataset("raw/var/gene").unwrap().shape(), [6]);
    assert_eq!(file.dataset("uns/matrix").unwrap().read_raw::<f64>().unwrap(), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(file.dataset("mine").unwrap().read_raw::<u8>().unwrap(), [1, 2]);
}

#[test]
fn what_the_target_has_stays_and_mappings_are_merged() {
    let (place, path) = file(|file| put(file, "obs/large", &[9], &[u64::MAX; 9]));
    let file = File::open_rw(&path).unwrap();
    let obs = file.group("obs").unwrap();
    let mut order: Vec<VarLenUnicode> = obs.attr("column-order").unwrap().read_raw().unwrap();
    order.push("large".parse().unwrap());
    obs.delete_attr("column-order").unwrap();
    obs.new_attr::<VarLenUnicode>().shape(order.len()).create("column-order").unwrap().write_raw(&order).unwrap();
    drop(obs);
    file.close().unwrap();
    let moved = place.path().join("moved.h5ad");
    std::fs::copy(&path, &moved).unwrap();
    let output = place.path().join("out.h5ad");
    let mine = cells().select_cells(&ROWS).select_genes(&COLUMNS);
    let write = |root: &Target| {
        let inner = BTreeMap::from([("kept".to_owned(), Value::Integer(-1)), ("new".to_owned(), Value::Integer(2))]);
        let uns = BTreeMap::from([("map".to_owned(), Value::Map(inner))]);
        h5ad::write::mapping(root, "uns", &uns).unwrap();
        h5ad::write::table(root, "obs", &mine.obs).unwrap();
        h5ad::write::sparse(root, "X", &matrix(4, 3)).unwrap();
    };
    let notes = carried(&moved, &output, &Kept { except: &["obsm/X_pca"], ..some() }, write);
    assert_eq!(notes, [] as [String; 0]);
    let (read, notes) = h5ad::read_noting(&output).unwrap();
    assert_eq!(read.x, matrix(4, 3));
    assert!(read.obsm.is_empty() && read.varp.contains_key("pairs"));
    assert!(matches!(&notes[..], [note] if note.contains("obs/large")), "{notes:?} {:?}", read.obs.names());
    let map = &read.uns["map"];
    assert_eq!(map.get("kept"), Some(&Value::Integer(-1)));
    assert_eq!((map.get("new"), map.get("other")), (Some(&Value::Integer(2)), Some(&Value::Float(0.5))));
    let large = File::open(&output).unwrap().dataset("obs/large").unwrap();
    assert_eq!(large.read_raw::<u64>().unwrap(), [u64::MAX; 4]);
}

#[test]
fn compressed_chunks_whose_filter_is_not_at_hand_are_copied_but_not_cut() {
    let (place, path) = file(|file| {
        file.unlink("obsm/X_pca").unwrap();
        // Number 32015 is Zstandard, marked optional so that the library makes the data set without it.
        let list = hdf5::plist::DatasetCreate::build().chunk(vec![9, 2]).finish().unwrap();
        let status =
            hdf5::sync::sync(|| unsafe { hdf5_sys::h5p::H5Pset_filter(list.id(), 32015, 1, 0, std::ptr::null()) });
        assert!(status >= 0);
        let dataset =
            file.new_dataset_builder().set_dcpl(&list).empty::<f32>().shape((9, 2)).create("obsm/X_pca").unwrap();
        dataset.write_raw(&[1_f32; 18]).unwrap();
        mark(&dataset, "encoding-type", "array");
    });
    let output = place.path().join("out.h5ad");
    carried(&path, &output, &Kept::default(), |_| ());
    let copy = File::open(&output).unwrap().dataset("obsm/X_pca").unwrap();
    assert_eq!((copy.shape(), copy.filters().len()), (vec![9, 2], 1));
    let source = Source::open(&path).unwrap();
    let error = target::create(&output, |root| carry(&source, root, &some())).unwrap_err();
    assert!(error.is_mistake() && error.to_string().contains("Zstandard"), "{error}");
}

#[test]
fn what_contradicts_itself_is_refused() {
    let refused = |edit: &dyn Fn(&File), part: &str| {
        let (place, path) = file(edit);
        for kept in [Kept::default(), some()] {
            let source = Source::open(&path).unwrap();
            let output = place.path().join("out.h5ad");
            let error = target::create(&output, |root| carry(&source, root, &kept)).unwrap_err();
            assert!(error.is_mistake() && error.to_string().contains(part) && !output.exists(), "{error}");
        }
    };
    refused(&|file| put(file, "layers/other", &[5, 9], &[0_f32; 45]), "layers/other");
    refused(&|file| put(file, "obsm/short", &[8, 2], &[0_f32; 16]), "obsm/short");
    refused(&|file| put(file, "X/indptr", &[3], &[0_i32, 1, 2]), "`X`");
    refused(&|file| file.unlink("obsp/distances/data").unwrap(), "obsp/distances/data");
    let (_place, path) = file(|_| ());
    let source = Source::open(&path).unwrap();
    let error = target::create(&path.with_extension("out"), |root| {
        carry(&source, root, &Kept { rows: Some(&[9]), ..Kept::default() })
    });
    assert!(error.unwrap_err().to_string().contains("there are only 9"));
}
