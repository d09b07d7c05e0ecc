//! What a fit reads of a screen, and what it must never learn from.

use scflow::cells::Column;
use scflow::prepared::{COUNTS, EMBEDDING, Prepared};

use super::*;

#[test]
fn held_out_cells_change_nothing_in_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut cells = h5ad::read(prepared()).unwrap();
    let held: Vec<usize> = (0..cells.n_cells()).filter(|&row| texts(&cells, "split")[row] != "train").collect();
    assert!(held.len() > 20);
    for &row in &held {
        cells.obsm.values_mut().for_each(|coordinates| coordinates.row_mut(row).fill(7.0));
        cells.layers.get_mut("counts").unwrap().row_values_mut(row).fill(1000.0);
        cells.x.row_values_mut(row).fill(9.0);
    }
    let locked = tempfile::NamedTempFile::new().unwrap();
    h5ad::write(locked.path(), &cells).unwrap();
    std::fs::copy(locked.path(), path.join("changed.h5ad")).unwrap();
    ok(fit(path, "model", &["--steps", "6"]));
    let changed = ["fit", "changed.h5ad", "-o", "other", "--steps", "6"];
    ok(scflow(path, &[&changed[..], &SMALL[..]].concat()));
    let (mut a, mut b) = (files(&path.join("model")), files(&path.join("other")));
    // Only the digest of the input differs.
    assert_ne!(a.remove("config.json"), b.remove("config.json"));
    same_files(&a, &b);
}

#[test]
fn held_out_conditions_are_refused_as_training_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut cells = h5ad::read(prepared()).unwrap();
    cells.obs.set("split", Column::categorical(&vec!["train"; cells.n_cells()]));
    let locked = tempfile::NamedTempFile::new().unwrap();
    h5ad::write(locked.path(), &cells).unwrap();
    std::fs::copy(locked.path(), path.join("leaky.h5ad")).unwrap();
    let said = scflow(path, &["fit", "leaky.h5ad", "-o", "bad", "--steps", "5"]);
    refused(path, said, &["although the cell's condition was held out", "prepare the screen again"]);
}

#[test]
fn a_screen_read_in_parts_is_the_one_read_whole() {
    let whole = Prepared::new(h5ad::read(prepared()).unwrap()).unwrap();
    let (file, cells) = h5ad::Partial::open(prepared(), &["X_pca", EMBEDDING]).unwrap();
    let parts = Prepared::without_genes(cells).unwrap();
    assert_eq!((&parts.conditions, &parts.is_training), (&whole.conditions, &whole.is_training));
    assert_eq!((parts.embedding(), &parts.settings), (whole.embedding(), &whole.settings));
    assert_eq!(parts.library_sizes().unwrap(), whole.library_sizes().unwrap());
    assert_eq!(parts.pca().unwrap(), whole.pca().unwrap());
    assert_eq!((&parts.cells.obs, &parts.cells.var), (&whole.cells.obs, &whole.cells.var));
    assert!(parts.counts().is_err());
    let rows = whole.training_rows();
    assert_eq!(file.layer_rows(COUNTS, &rows).unwrap(), whole.counts().unwrap().select_rows(&rows));
}

#[test]
fn a_screen_without_counts_is_refused_before_training() {
    let folder = tempfile::tempdir().unwrap();
    let mut cells = h5ad::read(prepared()).unwrap();
    cells.layers.clear();
    h5ad::write(&folder.path().join("screen.h5ad"), &cells).unwrap();
    let said = scflow(folder.path(), &["fit", "screen.h5ad", "-o", "bad", "--steps", "100000000"]);
    refused(folder.path(), said, &["layers[\"counts\"]", "scflow preprocess"]);
}
