//! What other writers and older versions of anndata put into a file, made here with the HDF5 library.

use hdf5::types::{FixedAscii, FixedUnicode, VarLenAscii, VarLenUnicode};
use hdf5::{File, H5Type, Location};
use ndarray::{Array2, ArrayView};

use super::*;

/// A written file, changed afterwards.
pub(super) fn edited(edit: impl FnOnce(&File)) -> (tempfile::TempDir, PathBuf) {
    let place = place();
    let path = place.path().join("edited.h5ad");
    h5ad::write(&path, &every_kind()).unwrap();
    let file = File::open_rw(&path).unwrap();
    edit(&file);
    close(file, &path);
    (place, path)
}

/// Closes a file that was changed. A program that another test has just started holds on to its lock; a copy has none.
pub(super) fn close(file: File, path: &Path) {
    file.close().unwrap();
    let copy = path.with_extension("copy");
    std::fs::copy(path, &copy).unwrap();
    std::fs::rename(copy, path).unwrap();
}

fn read(edit: impl FnOnce(&File)) -> (Cells, Vec<String>) {
    let (_place, path) = edited(edit);
    h5ad::read_noting(&path).unwrap()
}

/// Puts a data set in the place of what is there.
pub(super) fn put<T: H5Type>(file: &File, name: &str, shape: &[usize], values: &[T]) {
    if file.link_exists(name) {
        file.unlink(name).unwrap();
    }
    let values = ArrayView::from_shape(shape, values).unwrap();
    file.new_dataset_builder().with_data(values).create(name).unwrap();
}

pub(super) fn put_attribute(place: &Location, name: &str, value: &str) {
    if place.attr_names().unwrap().iter().any(|found| found == name) {
        place.delete_attr(name).unwrap();
    }
    place
        .new_attr::<VarLenUnicode>()
        .create(name)
        .unwrap()
        .write_scalar(&value.parse::<VarLenUnicode>().unwrap())
        .unwrap();
}

fn put_list(place: &Location, name: &str, values: &[&str]) {
    place.delete_attr(name).unwrap();
    let values: Vec<VarLenUnicode> = values.iter().map(|value| value.parse().unwrap()).collect();
    place.new_attr::<VarLenUnicode>().shape(values.len()).create(name).unwrap().write_raw(&values).unwrap();
}

/// A group with an encoding in `obs`, filled by `fill`, and listed as the only column.
fn put_column(file: &File, name: &str, encoding: &str) {
    put_list(&file.group("obs").unwrap(), "column-order", &[name]);
    let group = file.group("obs").unwrap().create_group(name).unwrap();
    put_attribute(&group, "encoding-type", encoding);
    put_attribute(&group, "encoding-version", "0.1.0");
}

fn dense() -> Array2<f32> {
    every_kind().x.to_dense()
}

#[test]
fn compressed_columns_become_rows() {
    let (cells, notes) = read(|file| {
        put_attribute(&file.group("X").unwrap(), "encoding-type", "csc_matrix");
        put(file, "X/data", &[6], &[4.0_f32, 1.0, 5.0, -3.0, 6.0, 2.5]);
        // The rows of a column need not be sorted.
        put(file, "X/indices", &[6], &[3_i64, 0, 3, 2, 3, 0]);
        put(file, "X/indptr", &[4], &[0_i64, 2, 4, 6]);
    });
    assert_eq!(cells.x, every_kind().x);
    assert!(notes.is_empty(), "{notes:?}");
}

#[test]
fn sparse_matrices_of_2018_are_read() {
    let (cells, _) = read(|file| {
        let x = file.group("X").unwrap();
        ["encoding-type", "encoding-version", "shape"].iter().for_each(|name| x.delete_attr(name).unwrap());
        put_attribute(&x, "h5sparse_format", "csr");
        x.new_attr::<i64>().shape(2).create("h5sparse_shape").unwrap().write_raw(&[4_i64, 3]).unwrap();
    });
    assert_eq!(cells.x, every_kind().x);
}

#[test]
fn unsorted_indices_of_any_integer_type_are_sorted() {
    fn check<T: H5Type + TryFrom<u8>>()
    where
        T::Error: std::fmt::Debug,
    {
        let numbers = |numbers: &[u8]| numbers.iter().map(|&n| T::try_from(n).unwrap()).collect::<Vec<T>>();
        let (cells, _) = read(|file| {
            put(file, "X/data", &[6], &[2.5_f32, 1.0, -3.0, 5.0, 6.0, 4.0]);
            put(file, "X/indices", &[6], &numbers(&[2, 0, 1, 1, 2, 0]));
            put(file, "X/indptr", &[5], &numbers(&[0, 2, 2, 3, 6]));
        });
        assert_eq!(cells.x, every_kind().x);
    }
    check::<i32>();
    check::<i64>();
    check::<u32>();
    check::<u64>();
    check::<u16>();
}

#[test]
fn values_of_any_numeric_type_become_32_bit_floats() {
    fn check<T: H5Type + Copy>(values: [T; 6], expected: [f32; 6]) {
        let (cells, notes) = read(|file| {
            put(file, "X/data", &[6], &values);
            let dense: Vec<T> = (0..12).map(|at| values[at % 6]).collect();
            file.unlink("layers/counts").unwrap();
            put(file, "layers/dense", &[4, 3], &dense);
            let values = ArrayView::from_shape((4, 3), &dense[..]).unwrap();
            file.new_dataset_builder().chunk((3, 2)).deflate(1).with_data(values).create("layers/chunked").unwrap();
            put(file, "obsm/X_pca", &[4, 3], &dense);
        });
        assert_eq!(cells.x.values(), expected);
        let expected = Array2::from_shape_fn((4, 3), |(row, column)| expected[(row * 3 + column) % 6]);
        assert_eq!(cells.layers["dense"].to_dense(), expected);
        assert_eq!(cells.layers["chunked"].to_dense(), expected);
        assert_eq!(cells.obsm["X_pca"], expected);
        assert!(notes.is_empty(), "{notes:?}");
    }
    let whole = [1.0, 0.0, 3.0, 127.0, 5.0, 6.0];
    check::<f64>([0.1, 0.0, -3.0, 1e30, 5.0, 6.0], [0.1, 0.0, -3.0, 1e30, 5.0, 6.0]);
    check::<i8>([1, 0, 3, 127, 5, 6], whole);
    check::<i16>([1, 0, 3, 127, 5, 6], whole);
    check::<i32>([1, 0, 3, 127, 5, 6], whole);
    check::<i64>([1, 0, 3, 127, 5, 6], whole);
    check::<u8>([1, 0, 3, 127, 5, 6], whole);
    check::<u16>([1, 0, 3, 127, 5, 6], whole);
    check::<u32>([1, 0, 3, 127, 5, 6], whole);
    check::<u64>([1, 0, 3, 127, 5, 6], whole);
    check::<bool>([true, false, true, true, false, true], [1.0, 0.0, 1.0, 1.0, 0.0, 1.0]);
}

#[test]
fn whole_numbers_that_32_bits_round_are_noted_and_floats_beyond_them_refused() {
    let (cells, notes) = read(|file| put(file, "X/data", &[6], &[16_777_217_i64, 2, 3, 4, 5, 16_777_219]));
    assert_eq!(cells.x.values()[1], 2.0);
    assert!(matches!(&notes[..], [note] if note.contains("X/data") && note.contains("2 whole numbers")), "{notes:?}");
    let (_place, path) = edited(|file| put(file, "X/data", &[6], &[1e300, 2.0, f64::INFINITY, f64::NAN, 5.0, -1e39]));
    let error = h5ad::read(&path).unwrap_err().to_string();
    assert!(error.contains("X/data") && error.contains("2 of 6"), "{error}");
}

#[test]
fn a_dense_x_is_read_without_its_zeros() {
    let (cells, _) = read(|file| put(file, "X", &[4, 3], dense().as_slice().unwrap()));
    assert_eq!(cells.x, every_kind().x);
}

#[test]
fn a_dense_x_of_one_gene_may_have_lost_a_dimension() {
    let place = place();
    let path = place.path().join("one.h5ad");
    let cells = Cells {
        x: SparseMatrix::from_rows(1, [vec![(0, 1.0)], vec![], vec![(0, 3.0)]]),
        obs: Annotations::new(texts(&["a", "b", "c"])),
        var: Annotations::new(texts(&["g"])),
        ..Cells::default()
    };
    h5ad::write(&path, &cells).unwrap();
    let file = File::open_rw(&path).unwrap();
    put(&file, "X", &[3], &[1.0_f32, 0.0, 3.0]);
    close(file, &path);
    assert_same(&cells, &h5ad::read(&path).unwrap());
}

#[test]
fn categories_beside_the_columns_are_joined() {
    let (cells, notes) = read(|file| {
        let obs = file.group("obs").unwrap();
        put_list(&obs, "column-order", &["old"]);
        put(file, "obs/old", &[4], &[1_i8, -1, 0, 1]);
        let dataset = file.dataset("obs/old").unwrap();
        obs.create_group("__categories").unwrap();
        put(
            file,
            "obs/__categories/old",
            &[2],
            &[FixedAscii::<3>::from_ascii("lo").unwrap(), FixedAscii::from_ascii("hi").unwrap()],
        );
        file.dataset("obs/__categories/old")
            .unwrap()
            .new_attr::<bool>()
            .create("ordered")
            .unwrap()
            .write_scalar(&true)
            .unwrap();
        // anndata 0.7 stored an object reference; its presence is what counts.
        let reference = file.reference::<hdf5::ObjectReference1>("obs/__categories/old").unwrap();
        dataset.new_attr::<hdf5::ObjectReference1>().create("categories").unwrap().write_scalar(&reference).unwrap();
    });
    let expected = Column::Categorical { codes: vec![1, -1, 0, 1], categories: texts(&["lo", "hi"]), ordered: true };
    assert_eq!(cells.obs.columns, [("old".to_owned(), expected)]);
    assert_eq!(notes.len(), 10, "the unlisted columns are noted: {notes:?}");
}

#[test]
fn nullable_columns_keep_their_missing_values() {
    let column = |encoding: &str, fill: &dyn Fn(&File), mask: [bool; 4]| {
        let (cells, notes) = read(|file| {
            put_column(file, "c", encoding);
            fill(file);
            put(file, "obs/c/mask", &[4], &mask);
        });
        (cells.obs.get("c").unwrap().clone(), notes.iter().any(|note| note.starts_with("`obs/c`")))
    };
    let (none, some) = ([false; 4], [false, true, false, false]);
    let integers = |file: &File| put(file, "obs/c/values", &[4], &[1_i32, 1, 3, 4]);
    let all = [1, 1, 3, 4].map(Some).to_vec();
    assert_eq!(column("nullable-integer", &integers, none), (Column::NullableInteger(all), false));
    let known = vec![Some(1), None, Some(3), Some(4)];
    assert_eq!(column("nullable-integer", &integers, some), (Column::NullableInteger(known), false));
    let booleans = |file: &File| put(file, "obs/c/values", &[4], &[true, true, false, true]);
    let all = [true, true, false, true].map(Some).to_vec();
    assert_eq!(column("nullable-boolean", &booleans, none), (Column::NullableBoolean(all), false));
    let known = vec![Some(true), None, Some(false), Some(true)];
    assert_eq!(column("nullable-boolean", &booleans, some), (Column::NullableBoolean(known), false));
    let strings = |file: &File| {
        let values: Vec<VarLenUnicode> = ["b", "", "a", "b"].iter().map(|text| text.parse().unwrap()).collect();
        put(file, "obs/c/values", &[4], &values);
    };
    assert_eq!(column("nullable-string-array", &strings, none), (Column::Text(texts(&["b", "", "a", "b"])), false));
    let expected = Column::Categorical { codes: vec![1, -1, 0, 1], categories: texts(&["a", "b"]), ordered: false };
    assert_eq!(column("nullable-string-array", &strings, some), (expected, true));
}

#[test]
fn an_index_may_be_a_nullable_array_under_another_name() {
    let (cells, notes) = read(|file| {
        put_column(file, "barcode", "nullable-string-array");
        let obs = file.group("obs").unwrap();
        put_attribute(&obs, "_index", "barcode");
        obs.delete_attr("column-order").unwrap();
        for name in obs.member_names().unwrap() {
            if name != "barcode" && name != "float" {
                obs.unlink(&name).unwrap();
            }
        }
        let names: Vec<VarLenAscii> =
            ["a", "b", "c", "d"].iter().map(|n| VarLenAscii::from_ascii(n).unwrap()).collect();
        put(file, "obs/barcode/values", &[4], &names);
        put(file, "obs/barcode/mask", &[4], &[false; 4]);
    });
    assert_eq!(cells.obs.index, ["a", "b", "c", "d"]);
    assert_eq!(cells.obs.names(), ["float"]);
    assert!(matches!(&notes[..], [note] if note.contains("obs/barcode")), "{notes:?}");
}

#[test]
fn texts_of_fixed_length_are_read() {
    let (cells, _) = read(|file| {
        put_list(&file.group("obs").unwrap(), "column-order", &["text"]);
        put(file, "obs/text", &[4], &["a", "", "bcd", "e"].map(|text| FixedAscii::<3>::from_ascii(text).unwrap()));
        put(file, "var/_index", &[3], &["α", "g", ""].map(|text| text.parse::<FixedUnicode<7>>().unwrap()));
    });
    assert_eq!(cells.obs.get("text"), Some(&Column::Text(texts(&["a", "", "bcd", "e"]))));
    assert_eq!(cells.var.index, ["α", "g", ""]);
}

#[test]
fn categories_that_are_numbers_become_text_as_in_python() {
    let (cells, notes) = read(|file| put(file, "obs/ordered/categories", &[3], &[0.5_f64, 1.0, 10.0]));
    let expected =
        Column::Categorical { codes: vec![1, -1, 0, 0], categories: texts(&["0.5", "1.0", "10.0"]), ordered: true };
    assert_eq!(cells.obs.get("ordered"), Some(&expected));
    assert!(matches!(&notes[..], [note] if note.contains("obs/ordered")), "{notes:?}");
}

#[derive(H5Type, Clone, Copy)]
#[repr(C)]
struct OldObs {
    index: FixedAscii<4>,
    n_counts: f32,
    kind: i8,
    n_genes: i64,
    is_control: bool,
}

#[derive(H5Type, Clone, Copy)]
#[repr(C)]
struct OldObsm {
    pca: [f64; 2],
    score: f32,
}

/// Puts tables and arrays of 2018 into a file.
pub(super) fn compound_tables(file: &File) {
    let row = |n: i8| OldObs {
        index: FixedAscii::from_ascii(&format!("c{n}")).unwrap(),
        n_counts: f32::from(n) + 0.5,
        kind: n % 2 - 1,
        n_genes: i64::from(n) * 100,
        is_control: n == 2,
    };
    put(file, "obs", &[4], &[row(0), row(1), row(2), row(3)]);
    file.unlink("obsm").unwrap();
    let row = |n: u8| OldObsm { pca: [n.into(), f64::from(n) / 2.0], score: n.into() };
    put(file, "obsm", &[4], &[row(0), row(1), row(2), row(3)]);
    put(file, "uns/kind_categories", &[1], &[FixedAscii::<8>::from_ascii("treated").unwrap()]);
}

#[test]
fn compound_tables_of_2018_are_read() {
    let (cells, notes) = read(compound_tables);
    assert_eq!(cells.obs.index, ["c0", "c1", "c2", "c3"]);
    let kind = Column::Categorical { codes: vec![-1, 0, -1, 0], categories: texts(&["treated"]), ordered: false };
    assert_eq!(
        cells.obs.columns,
        [
            ("n_counts".to_owned(), Column::Float(vec![0.5, 1.5, 2.5, 3.5])),
            ("kind".to_owned(), kind),
            ("n_genes".to_owned(), Column::Integer(vec![0, 100, 200, 300])),
            ("is_control".to_owned(), Column::Boolean(vec![false, false, true, false])),
        ]
    );
    assert_eq!(cells.obsm["pca"], array![[0.0, 0.0], [1.0, 0.5], [2.0, 1.0], [3.0, 1.5]]);
    assert_eq!(cells.obsm["score"], array![[0.0], [1.0], [2.0], [3.0]]);
    assert!(!cells.uns.contains_key("kind_categories"));
    assert!(notes.is_empty(), "{notes:?}");
}

#[test]
fn every_slot_that_is_not_understood_is_noted_and_the_rest_is_read() {
    let (cells, notes) = read(|file| {
        put(file, "obs/integer", &[4], &[u64::MAX, 1, 2, 3]);
        put(file, "obs/float", &[4, 2], &[0.0_f64; 8]);
        put_attribute(&file.group("obs/categorical").unwrap(), "encoding-type", "awkward-array");
        put(file, "obs/forgotten", &[4], &[1_i32; 4]);
        put(file, "obsm/cube", &[4, 1, 2], &[0.0_f32; 8]);
        file.create_group("obsp/odd").unwrap();
        file.create_group("raw").unwrap();
        file.create_group("mine").unwrap();
        put(file, "uns/matrix", &[2, 2], &[0.0_f64; 4]);
        put_attribute(&file.create_group("uns/table").unwrap(), "encoding-type", "dataframe");
        file.link_soft("/nowhere", "uns/dangling").unwrap();
        file.link_hard("/uns", "uns/map/again").unwrap();
        put_attribute(&file.create_group("layers/odd").unwrap(), "encoding-type", "odd");
        // An empty data space, as h5py.Empty writes it.
        file.new_dataset::<f64>().shape(hdf5::Extents::Null).create("uns/nothing").unwrap();
    });
    let slots = [
        "obs/integer",
        "obs/float",
        "obs/categorical",
        "obs/forgotten",
        "obsm/cube",
        "obsp/odd",
        "raw",
        "mine",
        "uns/matrix",
        "uns/table",
        "uns/dangling",
        "uns/nothing",
        "layers/odd",
    ];
    for slot in slots {
        let n = notes.iter().filter(|note| note.starts_with(&format!("`{slot}`"))).count();
        assert_eq!(n, 1, "{slot}: {notes:#?}");
    }
    assert!(notes.iter().any(|note| note.contains("deep")), "a group inside itself ends somewhere: {notes:#?}");
    let nullable = ["nullable integer", "nullable boolean", "nothing missing"];
    assert_eq!(cells.obs.names(), [&["text", "boolean", "ordered"], &nullable[..], &["genotype A/B"]].concat());
    assert_eq!(cells.x, every_kind().x);
    assert_eq!(cells.uns["integer"], Value::Integer(-7));
}
