//! Prediction and reference for PerturBench.

use std::collections::BTreeSet;

use scflow::cells::Column;
use scflow::io::h5ad;

use super::{fit_additive_shift, ok, prepared, refused, scflow, texts};

#[test]
fn both_files_have_the_same_genes_controls_and_conditions_in_categories() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fit_additive_shift(folder);
    let truth = prepared().to_str().unwrap();
    let asked = ["predict", "model", "--holdout", "--cells", "9", "--seed", "3"];
    ok(scflow(folder, &[&asked[..], &["-o", "usual.h5ad"]].concat()));
    let emit = ["--emit-as", "perturbench", "--truth", truth];
    let said = ok(scflow(folder, &[&asked[..], &emit, &["-o", "emitted"]].concat()));
    let call = "Evaluation({\"scflow\": anndata.read_h5ad(\"emitted/prediction.h5ad\")}, \
                anndata.read_h5ad(\"emitted/reference.h5ad\"), pert_col=\"condition\", ctrl=\"control\", cov_cols=[\"cell_type\"])";
    assert!(said.contains(call) && !said.contains("aggregate"), "{said}");
    let read = |name: &str| h5ad::read(&folder.join(name)).unwrap();
    let (prediction, reference) = (read("emitted/prediction.h5ad"), read("emitted/reference.h5ad"));
    let (usual, screen) = (read("usual.h5ad"), h5ad::read(prepared()).unwrap());
    assert_eq!(prediction.var.index, reference.var.index);
    for cells in [&prediction, &reference] {
        assert_eq!(cells.obs.names(), ["condition", "cell_type"]);
        assert!(cells.obs.columns.iter().all(|(_, column)| matches!(column, Column::Categorical { .. })));
        assert!(cells.uns.contains_key("log1p") && cells.layers.contains_key("counts"));
    }
    let groups = |cells| -> BTreeSet<(String, String)> {
        texts(cells, "condition").into_iter().zip(texts(cells, "cell_type")).collect()
    };
    assert_eq!(groups(&prediction), groups(&reference));
    assert_eq!(groups(&reference).len(), 2 * 2);
    let n_controls = texts(&reference, "condition").iter().filter(|label| *label == "control").count();
    assert!(texts(&reference, "condition")[n_controls..].iter().all(|label| label == "drug A+drug B"));
    let (controls, generated): (Vec<usize>, Vec<usize>) = (0..prediction.n_cells()).partition(|&row| row < n_controls);
    assert_eq!(prediction.select_cells(&controls).x, reference.select_cells(&controls).x);
    let made = prediction.select_cells(&generated);
    assert_eq!((&made.x, &made.layers["counts"]), (&usual.x, &usual.layers["counts"]));
    let place = |name: &String| screen.obs.index.iter().position(|other| other == name).unwrap();
    let measured = screen.select_cells(&reference.obs.index.iter().map(place).collect::<Vec<_>>());
    assert_eq!((&reference.x, &reference.layers["counts"]), (&measured.x, &measured.layers["counts"]));

    let bad = |more: &[&str]| scflow(folder, &[&["predict", "model", "-o", "bad"], more].concat());
    refused(folder, bad(&["--holdout", "--emit-as", "perturbench"]), &["--truth"]);
    refused(folder, bad(&[&["-p", "control"][..], &emit].concat()), &["one set of controls"]);
    let never = ["-p", "drug A + drug B + drug C"];
    refused(
        folder,
        bad(&[&never[..], &emit].concat()),
        &["real cells of `drug A+drug B+drug C", "perturbench compares"],
    );
}
