//! Files written block by block, and files of which only parts are read.

use hdf5::types::VarLenUnicode;
use hdf5::{File, Location};

use super::encodings::{edited, put};
use super::*;

/// Cells of every kind of column, without numbers for pairs of them.
fn every_kind_apart() -> Cells {
    Cells { obsp: BTreeMap::new(), ..every_kind() }
}

/// Many cells of every kind of column, so that arrays have several chunks.
fn many(n_cells: usize) -> Cells {
    let rows: Vec<usize> = (0..n_cells).map(|row| row % 4).collect();
    let mut cells = every_kind_apart().select_cells(&rows);
    cells.obs.index = (0..n_cells).map(|row| format!("cell {row}")).collect();
    cells.x.values_mut().iter_mut().enumerate().for_each(|(at, value)| *value = (at % 1000) as f32);
    cells
}

/// The cells in blocks of so many, without what the outline holds.
fn blocks(cells: &Cells, size: usize) -> Vec<Cells> {
    let rows: Vec<usize> = (0..cells.n_cells()).collect();
    let without_genes = |block: Cells| {
        let (varm, varp, uns) = Default::default();
        Cells { var: Annotations::default(), varm, varp, uns, ..block }
    };
    rows.chunks(size).map(|rows| without_genes(cells.select_cells(rows))).collect()
}

fn write_blocks(path: &Path, outline: &Cells, n_cells: usize, blocks: Vec<Cells>) -> scflow::Result<()> {
    h5ad::write_blocks(path, outline, n_cells, blocks.into_iter().map(Ok))
}

#[test]
fn cells_written_in_blocks_are_those_written_at_once() {
    let place = place();
    let cells = many(150_000);
    let mut contents = Vec::new();
    for (number, size) in [7_001, 150_000, 7_001].into_iter().enumerate() {
        let path = place.path().join(format!("{number}.h5ad"));
        write_blocks(&path, &cells.select_cells(&[]), cells.n_cells(), blocks(&cells, size)).unwrap();
        let (read, notes) = h5ad::read_noting(&path).unwrap();
        assert_same(&cells, &read);
        assert_eq!(notes, [] as [String; 0]);
        contents.push(std::fs::read(&path).unwrap());
    }
    assert!(contents[0] == contents[2]);
    let whole = place.path().join("whole.h5ad");
    h5ad::write(&whole, &cells).unwrap();
    let whole = std::fs::metadata(&whole).unwrap().len() as usize;
    assert!(contents[0].len() < whole * 11 / 10, "{} bytes in blocks, {whole} at once", contents[0].len());
}

#[test]
fn a_file_of_no_blocks_holds_no_cells() {
    let place = place();
    let path = place.path().join("empty.h5ad");
    let outline = every_kind_apart().select_cells(&[]);
    write_blocks(&path, &outline, 0, Vec::new()).unwrap();
    assert_same(&outline, &h5ad::read(&path).unwrap());
}

#[test]
fn blocks_unlike_the_outline_are_refused_and_leave_no_file() {
    let place = place();
    let path = place.path().join("refused.h5ad");
    let cells = many(100);
    let refused = |n_cells, spoil: &dyn Fn(&mut Cells), part: &str| {
        let mut blocks = blocks(&cells, 40);
        spoil(&mut blocks[1]);
        let error = write_blocks(&path, &cells.select_cells(&[]), n_cells, blocks).unwrap_err().to_string();
        assert!(error.contains(part) && !path.exists(), "{error}");
    };
    let pairs = every_kind().select_cells(&[]);
    let error = write_blocks(&path, &pairs, 0, Vec::new()).unwrap_err().to_string();
    assert!(error.contains("pairs of cells") && !path.exists(), "{error}");
    refused(99, &|_| (), "expected 99, got 100");
    refused(101, &|_| (), "expected 101, got 100");
    refused(100, &|block| drop(block.obs.columns.pop()), "columns of obs");
    refused(100, &|block| drop(block.layers.pop_first()), "layers");
    refused(100, &|block| block.x = SparseMatrix::from_rows(2, vec![Vec::new(); 40]), "(40, 3), got (40, 2)");
    refused(100, &|block| block.obs.set("categorical", Column::categorical(&["X"; 40])), "obs/categorical");
    refused(100, &|block| block.obs.set("float", Column::Integer(vec![1; 40])), "kind of a column");
    refused(100, &|block| block.obs.index[3] = "a\0b".into(), "NUL");
    let failed = [Err(Error::backend("making cells", "fails"))];
    let error = h5ad::write_blocks(&path, &cells.select_cells(&[]), 100, failed).unwrap_err().to_string();
    assert!(error.contains("making cells") && !path.exists(), "{error}");
}

#[test]
fn a_disk_that_fills_up_between_blocks_is_an_error_that_leaves_nothing_behind() {
    let Some(disk) = SmallDisk::mount() else {
        return eprintln!("skipped: this test may not mount a small disk");
    };
    let mut cells = many(60_000);
    let noise = |row: usize, column: usize| ((row * 25_000 + column) as f32 * 0.618_034).fract().sqrt();
    cells.obsm.insert("X_pca".into(), ndarray::Array2::from_shape_fn((60_000, 2), |(r, c)| noise(r, c)));
    let path = disk.0.path().join("cells.h5ad");
    for _ in 0..3 {
        let all = blocks(&cells, 1000);
        let write = |beside: &Path| write_blocks(beside, &cells.select_cells(&[]), cells.n_cells(), all);
        let error = atomic::file(&path, write).unwrap_err();
        assert!(error.is_mistake() && error.hint().unwrap().contains("full"), "{error:?}");
        assert_eq!(disk.files(), 0);
    }
}

/// All cells of the layer `counts`, and every third, read as parts.
fn parts(path: &Path) -> (SparseMatrix, SparseMatrix) {
    let (file, outline) = h5ad::Partial::open(path, &["X_pca"]).unwrap();
    let n = outline.obs.index.len();
    let rows = |step: usize| file.layer_rows("counts", &(0..n).step_by(step).collect::<Vec<_>>()).unwrap();
    (rows(1), rows(3))
}

#[test]
fn parts_of_a_file_are_what_the_whole_holds() {
    let place = place();
    let path = place.path().join("cells.h5ad");
    let mut cells = many(1000);
    cells.obsm.insert("X_umap".into(), ndarray::Array2::zeros((1000, 2)));
    h5ad::write(&path, &cells).unwrap();
    let (file, outline) = h5ad::Partial::open(&path, &["X_pca"]).unwrap();
    let (layers, varp) = Default::default();
    let mut expected = Cells { x: SparseMatrix::default(), layers, varp, ..cells.clone() };
    expected.obsm.remove("X_umap");
    assert_same(&expected, &outline);
    for rows in [vec![], vec![0], vec![999], vec![3, 4, 500, 998], (0..1000).collect()] {
        assert_eq!(file.layer_rows("counts", &rows).unwrap(), cells.layers["counts"].select_rows(&rows), "{rows:?}");
    }
    let absent = file.layer_rows("spliced", &[0]).unwrap_err();
    assert!(matches!(absent, Error::MissingKey { key, .. } if key == "layers[\"spliced\"]"));
}

#[test]
fn parts_of_matrices_in_other_encodings_are_read_too() {
    let counts = &every_kind().layers["counts"];
    let dense = |file: &File| put(file, "layers/counts", &[4, 3], counts.to_dense().as_slice().unwrap());
    let columns = |file: &File| {
        let group = file.group("layers/counts").unwrap();
        put_attribute(&group, "encoding-type", "csc_matrix");
        put(file, "layers/counts/indptr", &[4], &[0_i32, 2, 4, 6]);
        put(file, "layers/counts/indices", &[6], &[0_i32, 3, 2, 3, 0, 3]);
        put(file, "layers/counts/data", &[6], &[2_f32, 8.0, -6.0, 10.0, 5.0, 12.0]);
    };
    let wide = |file: &File| {
        let values: Vec<f64> = counts.values().iter().map(|&value| value.into()).collect();
        put(file, "layers/counts/data", &[6], &values);
    };
    for edit in [&dense as &dyn Fn(&File), &columns, &wide] {
        let (_place, path) = edited(edit);
        assert_eq!(parts(&path), (counts.clone(), counts.select_rows(&[0, 3])));
    }
}

fn put_attribute(place: &Location, name: &str, value: &str) {
    place.delete_attr(name).unwrap();
    let value: VarLenUnicode = value.parse().unwrap();
    place.new_attr::<VarLenUnicode>().create(name).unwrap().write_scalar(&value).unwrap();
}

#[test]
fn parts_of_broken_matrices_are_refused() {
    let refused = |edit: &dyn Fn(&File), part: &str| {
        let (_place, path) = edited(edit);
        let (file, _) = h5ad::Partial::open(&path, &[]).unwrap();
        let error = file.layer_rows("counts", &[0, 3]).unwrap_err();
        assert!(error.is_mistake() && error.to_string().contains(part), "{error}");
    };
    let offsets = |values: [i32; 5]| move |file: &File| put(file, "layers/counts/indptr", &[5], &values);
    refused(&offsets([0, 2, 2, 3, 7]), "offsets that do not fit");
    refused(&offsets([0, 9, 2, 3, 6]), "offsets that do not fit");
    refused(&offsets([1, 2, 2, 3, 6]), "offsets that do not fit");
    refused(&|file| put(file, "layers/counts/data", &[5], &[1_f32; 5]), "offsets that do not fit");
    refused(&|file| put(file, "layers/counts/indices", &[6], &[0_i32, 2, 1, 0, 1, 3]), "layers/counts/indices");
    refused(&|file| put(file, "layers/counts/indices", &[6], &[0_i32, 2, 1, 0, 0, 2]), "column 0 twice");
}
