//! Prediction and truth for another program.

use std::collections::BTreeSet;

use scflow::io::h5ad;

use super::{fit, ok, prepared, refused, scflow, texts};

#[test]
fn both_files_have_the_same_genes_controls_and_perturbations_and_the_cells_of_the_usual_prediction() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    ok(fit(folder, "model", &["--steps", "2"]));
    let truth = prepared().to_str().unwrap();
    let asked = ["predict", "model", "--holdout", "--cells", "12", "--seed", "3", "--device", "cpu"];
    ok(scflow(folder, &[&asked[..], &["-o", "usual.h5ad"]].concat()));
    let emit = ["--emit-as", "cell-eval", "--truth", truth];
    let said = ok(scflow(folder, &[&asked[..], &emit, &["-o", "emitted"]].concat()));
    assert!(
        said.contains("cell-eval run -ap emitted/prediction.h5ad -ar emitted/truth.h5ad --celltype-col celltype"),
        "{said}"
    );
    let read = |name: &str| h5ad::read(&folder.join(name)).unwrap();
    let (prediction, real, usual) = (read("emitted/prediction.h5ad"), read("emitted/truth.h5ad"), read("usual.h5ad"));
    assert_eq!(prediction.var.index, real.var.index);
    let groups = |cells| -> BTreeSet<(String, String)> {
        texts(cells, "target_gene").into_iter().zip(texts(cells, "celltype")).collect()
    };
    assert_eq!(groups(&prediction), groups(&real));
    assert_eq!(groups(&real).len(), 2 * 2);
    let n_controls = texts(&real, "target_gene").iter().filter(|label| *label == "non-targeting").count();
    let controls: Vec<usize> = (0..n_controls).collect();
    assert_eq!(prediction.x.select_rows(&controls), real.x.select_rows(&controls));
    let generated: Vec<usize> = (n_controls..prediction.n_cells()).collect();
    assert_eq!((prediction.x.select_rows(&generated), generated.len()), (usual.x.clone(), 2 * 12));
    assert!(texts(&real, "target_gene")[n_controls..].iter().all(|label| label == "drug A+drug B"));

    let bad = |more: &[&str]| scflow(folder, &[&["predict", "model", "-o", "bad", "--device", "cpu"], more].concat());
    refused(folder, bad(&["--holdout", "--emit-as", "cell-eval"]), &["--truth"]);
    refused(folder, bad(&["--holdout", "--truth", truth]), &["--emit-as"]);
    refused(folder, bad(&[&["-p", "control"][..], &emit].concat()), &["one set of controls"]);
}
