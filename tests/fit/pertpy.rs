//! Real and generated cells in one file for pertpy.

use std::collections::BTreeMap;

use ndarray::Axis;
use scflow::io::h5ad;

use super::{fit_additive_shift, ok, prepared, refused, scflow, texts};

#[test]
fn real_and_generated_cells_stand_side_by_side_on_the_components_that_evaluate_compares() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fit_additive_shift(folder);
    let truth = prepared().to_str().unwrap();
    let asked = ["predict", "model", "--holdout", "--cells", "9", "--seed", "3"];
    ok(scflow(folder, &[&asked[..], &["-o", "usual.h5ad"]].concat()));
    let emit = ["--emit-as", "pertpy", "--truth", truth];
    let said = ok(scflow(folder, &[&asked[..], &emit, &["-o", "both.h5ad"]].concat()));
    assert!(said.contains("pairwise(anndata.read_h5ad(\"both.h5ad\"), groupby=\"group\")"), "{said}");
    assert!(!said.contains("not measured"), "{said}");
    let read = |name: &str| h5ad::read(&folder.join(name)).unwrap();
    let (both, usual, screen) = (read("both.h5ad"), read("usual.h5ad"), h5ad::read(prepared()).unwrap());
    assert_eq!(both.obs.names(), ["perturbation", "origin", "status", "stratum", "group", "cell_type"]);
    let mut sizes = BTreeMap::<String, usize>::new();
    texts(&both, "group").into_iter().for_each(|group| *sizes.entry(group).or_default() += 1);
    assert_eq!(sizes.len(), 2 * 3, "{sizes:?}");
    let generated: usize = sizes.iter().filter(|(group, _)| group.ends_with(" | generated")).map(|(_, n)| n).sum();
    assert_eq!(generated, 2 * 9);
    for (group, (condition, origin)) in
        texts(&both, "group").iter().zip(texts(&both, "perturbation").iter().zip(texts(&both, "origin")))
    {
        assert!(group.starts_with(condition) && group.ends_with(&origin), "{group}");
    }

    let n_real = both.n_cells() - generated;
    let (measured, made): (Vec<usize>, Vec<usize>) = (0..both.n_cells()).partition(|&row| row < n_real);
    let (measured, made) = (both.select_cells(&measured), both.select_cells(&made));
    assert_eq!((&made.x, &made.layers["counts"]), (&usual.x, &usual.layers["counts"]));
    assert_eq!(made.obsm["X_pca"], usual.obsm["X_pca"]);
    let place = |name: &String| screen.obs.index.iter().position(|other| other == name).unwrap();
    let rows: Vec<usize> = measured.obs.index.iter().map(place).collect();
    let expected = screen.select_cells(&rows);
    assert_eq!((&measured.x, &measured.layers["counts"]), (&expected.x, &expected.layers["counts"]));
    assert_eq!(measured.obsm["X_pca"], screen.obsm["X_pca_cross_fitted"].select(Axis(0), &rows));
    assert_ne!(measured.obsm["X_pca"], expected.obsm["X_pca"], "controls are training cells");
    assert_eq!((&both.varm["PCs"], both.obsm.len()), (&screen.varm["PCs"], 1));

    // A file in which real cells stand is no prediction.
    let wrong = scflow(folder, &["evaluate", "both.h5ad", "--truth", truth, "-o", "bad"]);
    refused(folder, wrong, &["uns[\"scflow\"][\"preprocess\"]"]);
}

#[test]
fn a_combination_that_was_never_measured_stands_beside_the_controls() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fit_additive_shift(folder);
    let emit = ["--emit-as", "pertpy", "--truth", prepared().to_str().unwrap()];
    let asked = ["predict", "model", "--covariate", "cell_type=B cell", "--cells", "5"];
    let never = ["-p", "drug A + drug B + drug C", "-o", "never.h5ad"];
    let said = ok(scflow(folder, &[&asked[..], &emit, &never].concat()));
    assert!(said.contains("1 conditions were not measured, such as `drug A+drug B+drug C"), "{said}");
    let mut groups = texts(&h5ad::read(&folder.join("never.h5ad")).unwrap(), "group");
    groups.dedup();
    assert_eq!(groups, ["control | cell_type=B cell | real", "drug A+drug B+drug C | cell_type=B cell | generated"]);
    refused(
        folder,
        scflow(folder, &[&asked[..], &emit, &["-p", "control", "-o", "bad"]].concat()),
        &["one set of controls"],
    );
}
