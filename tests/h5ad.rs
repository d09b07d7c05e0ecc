//! AnnData files: what is written is read again; old and foreign encodings; broken files; disks that fail.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ndarray::array;
use scflow::Error;
use scflow::cells::{Annotations, Cells, Column, SparseMatrix, Value};
use scflow::io::{atomic, h5ad};

mod broken;
mod encodings;
mod mutated;
mod parts;
mod real;

/// A folder that is gone when the test ends.
fn place() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Four cells and three genes with every kind of column, array and value.
fn every_kind() -> Cells {
    let x = SparseMatrix::from_rows(
        3,
        [vec![(0, 1.0), (2, 2.5)], vec![], vec![(1, -3.0)], vec![(0, 4.0), (1, 5.0), (2, 6.0)]],
    );
    let mut counts = x.clone();
    counts.values_mut().iter_mut().for_each(|value| *value *= 2.0);
    let mut obs = Annotations::new(texts(&["AAAC-1", "Zelle ß", "", "AAAC-1"]));
    obs.set("text", Column::Text(texts(&["a", "", "β", "d d"])));
    obs.set("float", Column::Float(vec![0.5, f64::NAN, f64::INFINITY, -1e300]));
    obs.set("integer", Column::Integer(vec![i64::MIN, -1, 0, i64::MAX]));
    obs.set("boolean", Column::Boolean(vec![true, false, false, true]));
    let categories = texts(&["low", "high", "unused"]);
    obs.set("ordered", Column::Categorical { codes: vec![1, -1, 0, 0], categories, ordered: true });
    obs.set("categorical", Column::categorical(&["T", "B", "T", "B"]));
    obs.set("nullable integer", Column::NullableInteger(vec![Some(i64::MAX), None, Some(0), Some(-1)]));
    obs.set("nullable boolean", Column::NullableBoolean(vec![None, Some(true), Some(false), None]));
    obs.set("nothing missing", Column::NullableInteger(vec![Some(1), Some(2), Some(3), Some(4)]));
    obs.set("genotype A/B", Column::Integer(vec![1, 2, 3, 4]));
    let mut cells = Cells { x, obs, var: Annotations::new(texts(&["g1", "g2", "g3"])), ..Cells::default() };
    cells.var.set("highly_variable", Column::Boolean(vec![true, false, true]));
    cells.layers.insert("counts".into(), counts);
    cells.obsm.insert("X_pca".into(), array![[1.0, 2.0], [3.0, 4.0], [f32::NAN, 6.0], [7.0, 8.0]]);
    cells.varm.insert("PCs".into(), array![[1.5], [2.5], [3.5]]);
    cells.obsp.insert(
        "distances".into(),
        SparseMatrix::from_rows(4, [vec![(1, 0.5)], vec![(0, 0.5), (3, 2.0)], vec![], vec![]]),
    );
    cells.varp.insert("pairs".into(), SparseMatrix::from_rows(3, [vec![], vec![(2, -1.0)], vec![(1, -1.0)]]));
    let inner = BTreeMap::from([
        ("texts".to_owned(), Value::Texts(texts(&["x", "y"]))),
        ("no texts".to_owned(), Value::Texts(Vec::new())),
        ("floats".to_owned(), Value::Floats(vec![0.25, 0.5])),
        ("integers".to_owned(), Value::Integers(vec![1, -2])),
        ("booleans".to_owned(), Value::Booleans(vec![true, false])),
        ("empty".to_owned(), Value::Map(BTreeMap::new())),
    ]);
    cells.uns = BTreeMap::from([
        ("text".to_owned(), Value::Text("line\n\"quoted\" ß".into())),
        ("float".to_owned(), Value::Float(1e-300)),
        ("integer".to_owned(), Value::Integer(-7)),
        ("boolean".to_owned(), Value::Boolean(true)),
        ("map".to_owned(), Value::Map(inner)),
    ]);
    cells
}

/// Equality in which NaN equals NaN.
fn assert_same(left: &Cells, right: &Cells) {
    let show = |cells: &Cells| format!("{cells:?}");
    assert_eq!(show(left), show(right));
}

/// Writes cells and reads them again.
fn round_trip(cells: &Cells) -> (Cells, Vec<String>) {
    let place = place();
    let path = place.path().join("cells.h5ad");
    h5ad::write(&path, cells).unwrap();
    h5ad::read_noting(&path).unwrap()
}

#[test]
fn every_kind_of_column_array_and_value_comes_back() {
    let cells = every_kind();
    let (read, notes) = round_trip(&cells);
    assert_same(&cells, &read);
    assert_eq!(notes, [] as [String; 0]);
}

#[test]
fn cells_without_genes_and_genes_without_cells_come_back() {
    let names = texts(&["a", "b"]);
    let no_genes = Cells {
        x: SparseMatrix::from_rows(0, [vec![], vec![]]),
        obs: Annotations::new(names.clone()),
        obsm: BTreeMap::from([("X_none".to_owned(), ndarray::Array2::zeros((2, 0)))]),
        ..Cells::default()
    };
    assert_same(&no_genes, &round_trip(&no_genes).0);
    let mut no_cells = Cells { x: SparseMatrix::from_rows(2, []), var: Annotations::new(names), ..Cells::default() };
    no_cells.obs.set("kind", Column::categorical::<&str>(&[]));
    no_cells.obs.set("flag", Column::Boolean(Vec::new()));
    assert_same(&no_cells, &round_trip(&no_cells).0);
}

#[test]
fn large_arrays_are_compressed_in_chunks_and_come_back() {
    let n_cells = 700;
    let rows =
        (0..n_cells).map(|row| (0..200_u32).filter(|c| (row + c) % 2 == 0).map(|c| (c, (row + c) as f32)).collect());
    let mut cells = Cells {
        x: SparseMatrix::from_rows(200, rows),
        obs: Annotations::new((0..n_cells).map(|row| format!("cell{row}")).collect()),
        var: Annotations::new((0..200).map(|column| format!("gene{column}")).collect()),
        ..Cells::default()
    };
    let labels: Vec<String> = (0..n_cells).map(|row| format!("label {}", row % 300)).collect();
    cells.obs.set("label", Column::categorical(&labels));
    cells
        .obsm
        .insert("X".into(), ndarray::Array2::from_shape_fn((n_cells as usize, 150), |(r, c)| (r * 150 + c) as f32));
    assert_same(&cells, &round_trip(&cells).0);
    let place = place();
    let path = place.path().join("large.h5ad");
    h5ad::write(&path, &cells).unwrap();
    let bytes = std::fs::metadata(&path).unwrap().len();
    let plain = (cells.x.n_stored() * 8 + 700 * 150 * 4) as u64;
    assert!(bytes < plain / 2, "{bytes} bytes on disk for {plain} in memory");
}

#[test]
fn the_same_cells_give_the_same_bytes_at_another_time() {
    let place = place();
    let (first, second) = (place.path().join("1.h5ad"), place.path().join("2.h5ad"));
    h5ad::write(&first, &every_kind()).unwrap();
    // HDF5 stores times in whole seconds.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    h5ad::write(&second, &every_kind()).unwrap();
    assert!(std::fs::read(first).unwrap() == std::fs::read(second).unwrap());
}

#[test]
fn a_column_may_be_called_like_the_index() {
    let mut cells = every_kind();
    cells.obs.set("_index", Column::Integer(vec![1, 2, 3, 4]));
    assert_same(&cells, &round_trip(&cells).0);
}

/// The error of writing cells that were spoilt; nothing must be written.
fn refused(spoil: impl FnOnce(&mut Cells)) -> Error {
    let mut cells = every_kind();
    spoil(&mut cells);
    let place = place();
    let path = place.path().join("refused.h5ad");
    let error = h5ad::write(&path, &cells).unwrap_err();
    assert!(!path.exists() && error.is_mistake(), "{error:?}");
    error
}

#[test]
fn what_a_file_cannot_hold_is_refused_by_name() {
    let says = |error: Error, words: &[&str]| {
        let text = error.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    says(refused(|cells| drop(cells.uns.insert("a/b".into(), Value::Integer(1)))), &["uns", "a/b"]);
    says(refused(|cells| drop(cells.layers.insert("a/b".into(), cells.x.clone()))), &["layers", "a/b"]);
    says(refused(|cells| cells.obs.set("a//b", Column::Integer(vec![0; 4]))), &["obs", "a//b"]);
    says(refused(|cells| cells.obs.set("genotype A", Column::Integer(vec![0; 4]))), &["obs", "genotype A"]);
    says(refused(|cells| cells.obs.set("short", Column::Integer(vec![0; 3]))), &["obs/short", "4 rows", "3 rows"]);
    says(refused(|cells| cells.obs.index[1] = "a\0b".into()), &["obs/_index", "NUL", "1 of 4"]);
    says(refused(|cells| drop(cells.uns.insert("x".into(), Value::Text("\0".into())))), &["uns/x", "NUL"]);
    says(refused(|cells| drop(cells.obs.index.pop())), &["X", "3 × 3", "4 × 3"]);
    says(refused(|cells| drop(cells.varm.insert("PCs".into(), array![[1.0]]))), &["varm/PCs", "3 rows", "1 rows"]);
    let categorical =
        |codes, categories: &[&str]| Column::Categorical { codes, categories: texts(categories), ordered: false };
    says(
        refused(|cells| cells.obs.set("bad", categorical(vec![0, 1, 2, 0], &["a", "b"]))),
        &["obs/bad", "1 of 4", "`2`"],
    );
    says(refused(|cells| cells.obs.set("bad", categorical(vec![0; 4], &["a", "a"]))), &["obs/bad", "twice", "`a`"]);
}

/// Runs a command of the system; false where it is absent or may not be used.
fn runs(command: &[&str]) -> bool {
    let output = std::process::Command::new(command[0]).args(&command[1..]).output();
    output.is_ok_and(|output| output.status.success())
}

/// A small disk in memory, for tests that may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let place = place();
        let path = place.path().to_str().unwrap().to_owned();
        runs(&["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", &path]).then_some(Self(place))
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.0.path()).unwrap().count()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        runs(&["umount", self.0.path().to_str().unwrap()]);
    }
}

#[test]
fn a_full_disk_is_an_error_that_leaves_nothing_behind() {
    let Some(disk) = SmallDisk::mount() else {
        return eprintln!("skipped: this test may not mount a small disk");
    };
    let mut cells = every_kind();
    // 400 kB that hardly compress.
    let noise = |row: usize, column: usize| ((row * 25_000 + column) as f32 * 0.618_034).fract().sqrt();
    cells.obsm.insert("noise".into(), ndarray::Array2::from_shape_fn((4, 25_000), |(r, c)| noise(r, c)));
    let path = disk.0.path().join("new/cells.h5ad");
    for _ in 0..3 {
        let error = atomic::file(&path, |beside| h5ad::write(beside, &cells)).unwrap_err();
        assert!(matches!(&error, Error::Io { path: named, .. } if *named == path), "{error:?}");
        assert!(error.is_mistake() && error.hint().unwrap().contains("full"), "{error:?}");
        assert_eq!(disk.files(), 0);
    }
    // With more room, as a program that another test has just started may still hold a file that is gone.
    assert!(runs(&["mount", "-o", "remount,size=1m", disk.0.path().to_str().unwrap()]));
    atomic::file(&path, |beside| h5ad::write(beside, &every_kind())).unwrap();
    assert_same(&every_kind(), &h5ad::read(&path).unwrap());
}

#[test]
fn a_read_only_disk_is_an_error_before_any_work() {
    let Some(disk) = SmallDisk::mount() else {
        return eprintln!("skipped: this test may not mount a small disk");
    };
    if !runs(&["mount", "-o", "remount,ro", disk.0.path().to_str().unwrap()]) {
        return eprintln!("skipped: this test may not make a disk read-only");
    }
    let path = disk.0.path().join("new/cells.h5ad");
    for error in [
        atomic::check(&path, false).unwrap_err(),
        atomic::file(&path, |_| panic!("nothing can be written here")).unwrap_err(),
        h5ad::write(&disk.0.path().join("cells.h5ad"), &every_kind()).unwrap_err(),
    ] {
        assert!(error.is_mistake() && error.hint().unwrap().contains("read-only"), "{error:?}");
    }
    assert_eq!(disk.files(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_that_is_always_full_is_an_error() {
    let error = h5ad::write(Path::new("/dev/full"), &every_kind()).unwrap_err();
    assert!(error.is_mistake() && error.hint().unwrap().contains("full"), "{error:?}");
}
