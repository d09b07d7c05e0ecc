//! What must change nothing: the order of cells, how the matrix lies on disk, the size of blocks.

use hdf5::File;
use hdf5::types::VarLenUnicode;
use ndarray::ArrayView2;
use scflow::cells::{Cells, Column, SparseMatrix};
use scflow::io::h5ad;
use scflow::prepared::Prepared;
use scflow::stages::preprocess::{PreprocessParams, preprocess_in_blocks};

use super::{params, screen};

/// A screen of several blocks: the cells of several screens.
fn large() -> Cells {
    let mut all = screen(1);
    for seed in 2..8 {
        let more = screen(seed);
        let n = all.obs.index.len();
        let rows = |x: &SparseMatrix, row: usize| {
            let (genes, values) = x.row(row);
            genes.iter().copied().zip(values.iter().copied()).collect::<Vec<_>>()
        };
        let together = (0..n).map(|row| rows(&all.x, row)).chain((0..more.n_cells()).map(|row| rows(&more.x, row)));
        all.x = SparseMatrix::from_rows(all.n_genes(), together.collect::<Vec<_>>());
        let names: Vec<String> = more.obs.index.iter().map(|name| format!("{name}-{seed}")).collect();
        let mut obs = all.obs.select(&(0..n).chain(0..more.n_cells()).collect::<Vec<_>>());
        obs.index.splice(n.., names);
        obs.set("depth", Column::Float(all.x.row_sums().iter().map(|sum| 2.0 * sum).collect()));
        all.obs = obs;
    }
    all
}

/// Prepares a file whose `X` is changed by `edit`, in blocks of about so many counts.
fn prepared(cells: &Cells, n_values: usize, edit: impl FnOnce(&File)) -> Prepared {
    let place = tempfile::tempdir().unwrap();
    let [input, output] = ["in.h5ad", "out.h5ad"].map(|name| place.path().join(name));
    h5ad::write(&input, cells).unwrap();
    let file = File::open_rw(&input).unwrap();
    edit(&file);
    file.close().unwrap();
    let params = PreprocessParams { input, output: output.clone(), n_top_genes: 25, min_cells: 1, ..params() };
    preprocess_in_blocks(&params, n_values, &|_| {}).unwrap();
    Prepared::new(h5ad::read(&output).unwrap()).unwrap()
}

/// The same content, but for what is recorded of the file.
fn assert_same(one: &Prepared, other: &Prepared, tolerance: f32) {
    let ((a, b), same) = ((&one.cells, &other.cells), |a: f32, b: f32| (a - b).abs() <= tolerance * (1.0 + a.abs()));
    assert_eq!((&a.layers, &a.x), (&b.layers, &b.x));
    assert_eq!(a.var.get("highly_variable"), b.var.get("highly_variable"));
    assert_eq!(a.obs, b.obs);
    for key in ["X_pca", "X_pca_cross_fitted"] {
        let pairs = a.obsm[key].iter().zip(&b.obsm[key]);
        assert!(pairs.clone().count() > 1000 && pairs.into_iter().all(|(&a, &b)| same(a, b)), "{key}");
    }
}

#[test]
fn the_size_of_blocks_changes_nothing() {
    let cells = large();
    let whole = prepared(&cells, usize::MAX, |_| {});
    for n_values in [1, 12_000] {
        assert_same(&whole, &prepared(&cells, n_values, |_| {}), 1e-5);
    }
}

#[test]
fn rows_columns_and_dense_matrices_give_the_same() {
    let cells = large();
    let rows = prepared(&cells, 9_000, |_| {});
    let dense = prepared(&cells, 9_000, |file| {
        let dense = cells.x.to_dense();
        file.unlink("X").unwrap();
        file.new_dataset_builder().with_data(ArrayView2::from(&dense)).chunk((100, 7)).deflate(3).create("X").unwrap();
    });
    assert_same(&rows, &dense, 0.0);
    // By way of a temporary file, as there are several blocks.
    let columns = prepared(&cells, 9_000, |file| {
        let columns = cells.x.transposed();
        let x = file.group("X").unwrap();
        for name in ["data", "indices", "indptr"] {
            x.unlink(name).unwrap();
        }
        x.new_dataset_builder().with_data(columns.values()).create("data").unwrap();
        let indices: Vec<i64> = columns.indices().iter().map(|&row| i64::from(row)).collect();
        x.new_dataset_builder().with_data(&indices).chunk(500).shuffle().deflate(1).create("indices").unwrap();
        let indptr: Vec<i64> = columns.indptr().iter().map(|&end| end as i64).collect();
        x.new_dataset_builder().with_data(&indptr).create("indptr").unwrap();
        x.delete_attr("encoding-type").unwrap();
        let encoding: VarLenUnicode = "csc_matrix".parse().unwrap();
        x.new_attr::<VarLenUnicode>().create("encoding-type").unwrap().write_scalar(&encoding).unwrap();
    });
    assert_same(&rows, &columns, 1e-5);
}

#[test]
fn another_order_of_the_cells_gives_the_same_cells_in_that_order() {
    let cells = large();
    let n = cells.n_cells();
    // 421 and the number of cells have no common divisor.
    let order: Vec<usize> = (0..n).map(|place| place * 421 % n).collect();
    let (one, other) = (prepared(&cells, 9_000, |_| {}), prepared(&cells.select_cells(&order), 9_000, |_| {}));
    let reordered = one.cells.select_cells(&order);
    assert_eq!(reordered.obs, other.cells.obs);
    assert_eq!((&reordered.x, &reordered.layers), (&other.cells.x, &other.cells.layers));
    assert_eq!(reordered.var.get("highly_variable"), other.cells.var.get("highly_variable"));
    for (a, b) in reordered.obsm["X_pca"].iter().zip(&other.cells.obsm["X_pca"]) {
        assert!((a - b).abs() <= 1e-4 * (1.0 + a.abs()), "{a} {b}");
    }
}
