//! Files by other writers and versions, where they are at hand.

use super::*;
use crate::data::folder;

/// File, cells, genes, stored values, columns of obs, a categorical column with its number of categories, notes.
type Contents = (&'static str, usize, usize, usize, usize, &'static str, usize, usize);

const FILES: [Contents; 7] = [
    ("norman19_k562_combo.h5ad", 3375, 500, 50462, 9, "perturbation", 34, 1),
    ("kang18_ifnb_celltypes_scgen.h5ad", 1975, 6998, 643449, 4, "cell_type", 7, 0),
    ("compat/anndata_v0.5.0_adata.h5ad", 700, 765, 535433, 8, "bulk_labels", 10, 6),
    ("compat/anndata_v0.7.0_adata.h5ad", 30, 20, 228, 5, "cat_ordered", 22, 6),
    ("compat/anndata_v0.7.8_adata.h5ad", 30, 20, 239, 5, "obs_cat", 21, 6),
    ("compat/scanpy_10x_pbmc68k_reduced.h5ad", 700, 765, 535433, 8, "louvain", 11, 6),
    ("compat/scgen2018_valid_legacy_anndata0.6.h5ad", 1975, 6998, 643449, 5, "condition", 2, 2),
];

#[test]
fn files_of_every_age_are_read_and_written_again() {
    let Some(folder) = folder() else { return };
    let place = place();
    for (file, n_cells, n_genes, n_stored, n_columns, column, n_categories, n_notes) in FILES {
        let (cells, notes) = h5ad::read_noting(&folder.join(file)).unwrap();
        assert_eq!((cells.n_cells(), cells.n_genes(), cells.x.n_stored()), (n_cells, n_genes, n_stored), "{file}");
        assert_eq!(cells.obs.columns.len(), n_columns, "{file}: {:?}", cells.obs.names());
        let Some(Column::Categorical { codes, categories, .. }) = cells.obs.get(column) else {
            panic!("{file}: {column} is not categorical");
        };
        assert_eq!((codes.len(), categories.len()), (n_cells, n_categories), "{file}");
        assert_eq!(notes.len(), n_notes, "{file}: {notes:#?}");
        let path = place.path().join("again.h5ad");
        h5ad::write(&path, &cells).unwrap();
        let (again, notes) = h5ad::read_noting(&path).unwrap();
        assert_same(&cells, &again);
        assert_eq!(notes, [] as [String; 0], "{file}");
    }
}

#[test]
fn two_readings_of_one_screen_agree() {
    let Some(folder) = folder() else { return };
    // The same cells, saved in 2018 with compound tables and saved anew with today's encodings.
    let old = h5ad::read(&folder.join("compat/scgen2018_valid_legacy_anndata0.6.h5ad")).unwrap();
    let new = h5ad::read(&folder.join("kang18_ifnb_celltypes_scgen.h5ad")).unwrap();
    assert_eq!(old.obs.index.len(), new.obs.index.len());
    assert_eq!(old.var.index, new.var.index);
    assert_eq!(old.x, new.layers["source_X"]);
    assert_eq!(old.obs.texts("obs", "cell_type").unwrap(), new.obs.texts("obs", "cell_type").unwrap());
}

#[test]
fn a_file_without_x_and_a_file_of_10x_say_what_they_are() {
    let Some(folder) = folder() else { return };
    let error = h5ad::read(&folder.join("compat/anndata_v0.11.4_adata.h5ad")).unwrap_err();
    assert!(matches!(&error, Error::MissingKey { key, .. } if key == "X"), "{error:?}");
    let error = h5ad::read(&folder.join("compat/scanpy_10x_3.0.0_filtered_feature_bc_matrix.h5")).unwrap_err();
    assert!(error.to_string().contains("10x") && error.hint().unwrap().contains("scflow import"), "{error:?}");
}
