//! Components that no training cell had: descriptions, prompts that hold them, predictions from them, and what is refused.

use super::*;

/// Eight components and their pairs in two cell types, two of them wholly held out: `prepared.h5ad`, `drugs.csv`.
pub(super) fn screen() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &str| ok(scflow(folder.path(), &arguments.split(' ').collect::<Vec<_>>()));
    run(
        "simulate -o raw.h5ad --cells 1800 --genes 200 --singles 8 --pathways 3 --pairs 10 --cell-types 2 --seed 3 -q --descriptions drugs.csv",
    );
    let columns = "--perturbation-column perturbation --control control --covariate cell_type";
    run(&format!("split raw.h5ad -o split.csv --scheme unseen-single --fraction 0.25 --seed 1 {columns}"));
    run(&format!(
        "preprocess raw.h5ad -o prepared.h5ad --split split.csv --n-top-genes 120 --n-components 8 {columns} -q"
    ));
    folder
}

fn fit(folder: &Path, output: &str, more: &[&str]) -> (i32, String) {
    scflow(folder, &[&["fit", "prepared.h5ad", "-o", output], more].concat())
}

/// The components that training does not have, and those that it has.
pub(super) fn components(folder: &Path) -> [Vec<String>; 2] {
    let cells = h5ad::read(&folder.join("prepared.h5ad")).unwrap();
    let (labels, splits) = (texts(&cells, "perturbation"), texts(&cells, "split"));
    let of = |split: &str| -> std::collections::BTreeSet<String> {
        let rows = (0..labels.len()).filter(|&row| splits[row] == split && labels[row] != "control");
        rows.flat_map(|row| labels[row].split('+').map(str::to_owned).collect::<Vec<_>>()).collect()
    };
    let (trained, tested) = (of("train"), of("test"));
    [tested.difference(&trained).cloned().collect(), trained.into_iter().collect()]
}

#[test]
fn a_component_that_was_never_seen_is_predicted_from_its_description_or_refused() {
    let folder = screen();
    let path = folder.path();
    let [unseen, seen] = components(path);
    assert_eq!((unseen.len(), seen.len()), (2, 6));
    let described = ["--method", "additive-shift", "--descriptions", "drugs.csv"];
    let said = ok(fit(path, "model", &described));
    assert!(said.contains("2 of 8 descriptions are of components that no training cell has"), "{said}");
    assert!(said.contains("descriptions: 6 components left out in turn"), "{said}");
    ok(fit(path, "again", &described));
    same_files(&files(&path.join("model")), &files(&path.join("again")));
    let predict = |model: &str, more: &[&str]| {
        scflow(path, &[&["predict", model, "-o", "bad.h5ad", "--cells", "30"], more].concat())
    };
    refused(path, predict("model", &["--holdout"]), &["no training cell had it", "--allow-unseen"]);
    refused(path, predict("model", &["-p", "drug Q"]), &["`drug Q` is unknown to the model", "nearest names: `drug "]);
    refused(path, predict("model", &["-p", "drug Q", "--allow-unseen"]), &["has no description", "--descriptions"]);
    ok(scflow(path, &["predict", "model", "-o", "held.h5ad", "--holdout", "--allow-unseen", "--cells", "30", "-q"]));
    let cells = h5ad::read(&path.join("held.h5ad")).unwrap();
    let (labels, statuses, strata) = (texts(&cells, "perturbation"), texts(&cells, "status"), texts(&cells, "stratum"));
    for row in 0..labels.len() {
        let expected = match labels[row].split_once('+') {
            None => ("unseen", "unseen_single"),
            Some((a, b)) => match [a, b].iter().filter(|name| unseen.iter().any(|other| other == *name)).count() {
                1 => ("1_of_2_seen", "combo_seen1"),
                _ => ("unseen", "combo_seen0"),
            },
        };
        assert_eq!((statuses[row].as_str(), strata[row].as_str()), expected, "{}", labels[row]);
    }
    ok(scflow(
        path,
        &["evaluate", "held.h5ad", "--truth", "prepared.h5ad", "-o", "scores", "--min-cells", "10", "--allow-missing"],
    ));
    let intervals = std::fs::read_to_string(path.join("scores/intervals.csv")).unwrap();
    assert!(intervals.contains("unseen_single,model,edist_l2") && intervals.contains("combo_seen1,model,edist_l2"));

    // A further description says as much as the same one in the table.
    ok(fit(path, "means", &["--method", "additive", "--descriptions", "drugs.csv"]));
    std::fs::write(path.join("more.csv"), format!("name,text,note\ndrug Q,{},x\n", text_of(path, &unseen[0]))).unwrap();
    let asked = ["--allow-unseen", "--cells", "3", "-q"];
    let more = ["-o", "q.h5ad", "-p", "drug Q", "--descriptions", "more.csv"];
    ok(scflow(path, &[&["predict", "means"], &more[..], &asked].concat()));
    ok(scflow(path, &[&["predict", "means", "-o", "u.h5ad", "-p", &unseen[0]], &asked[..]].concat()));
    let mean = |name: &str| h5ad::read(&path.join(name)).unwrap().obsm["X_pca"].mean_axis(ndarray::Axis(0)).unwrap();
    let gap = (mean("q.h5ad") - mean("u.h5ad")).mapv(f32::abs).sum();
    assert!(gap < 1e-3, "{gap}");
    std::fs::write(path.join("other.csv"), format!("name,text\n{},something else\n", seen[0])).unwrap();
    let said = predict("model", &["-p", &seen[0], "--descriptions", "other.csv"]);
    refused(path, said, &["by another text", &seen[0]]);

    ok(fit(path, "bare", &["--method", "additive"]));
    refused(path, predict("bare", &["-p", &unseen[0]]), &["is unknown to the model"]);
    refused(path, predict("bare", &["-p", &unseen[0], "--allow-unseen"]), &["fit it with --descriptions"]);
    ok(fit(path, "cpa", &["--method", "cpa", "--steps", "2", "--width", "8"]));
    refused(
        path,
        predict("cpa", &["-p", &unseen[0], "--allow-unseen"]),
        &["`cpa` knows each component by a place of its own"],
    );
    refused(path, fit(path, "bad", &["--method", "cpa", "--descriptions", "drugs.csv"]), &["reads no descriptions"]);
}

fn text_of(folder: &Path, component: &str) -> String {
    let table = std::fs::read_to_string(folder.join("drugs.csv")).unwrap();
    let line = table.lines().find(|line| line.starts_with(&format!("{component},"))).unwrap();
    line.split_once(',').unwrap().1.to_owned()
}

#[test]
fn a_flow_reads_descriptions_and_paraphrases_and_gives_the_same_model_with_the_same_seed() {
    let folder = screen();
    let path = folder.path();
    let [unseen, _] = components(path);
    let options = [
        &[
            "--steps",
            "6",
            "--descriptions",
            "drugs.csv",
            "--prompt-use",
            "both",
            "--prompt",
            "{perturbation} on {cell_type}",
        ],
        &["--prompt", "A {cell_type} cell with {perturbation}. {descriptions}."][..],
        &SMALL,
    ]
    .concat();
    ok(fit(path, "model", &options));
    ok(fit(path, "again", &options));
    same_files(&files(&path.join("model")), &files(&path.join("again")));
    let predict = |output: &str| {
        let asked = format!("{} | cell_type=T cell", unseen[0]);
        ok(scflow(path, &["predict", "model", "-o", output, "-p", &asked, "--allow-unseen", "--cells", "20", "-q"]));
        h5ad::read(&path.join(output)).unwrap()
    };
    let cells = predict("one.h5ad");
    let provenance = cells.uns["scflow"].get("predict").unwrap().as_text().unwrap();
    let provenance: serde_json::Value = serde_json::from_str(provenance).unwrap();
    // The first prompt has no place for descriptions, so that they follow names.
    let expected = format!("{} ({}) on T cell", unseen[0], text_of(path, &unseen[0]));
    assert_eq!(provenance["told"][0]["prompt"], expected);
    assert!(provenance["told"][0]["tokens"].as_array().unwrap().len() > 5);
    assert_eq!(predict("two.h5ad").x, cells.x);

    let bad = |name: &str, table: &str, more: &[&str], parts: &[&str]| {
        std::fs::write(path.join(name), table).unwrap();
        refused(path, fit(path, "bad", &[&["--descriptions", name], more].concat()), parts);
    };
    bad("a.csv", "drug,text\ndrug A,x\n", &[], &["column `name` is missing"]);
    bad("b.csv", "name,text\ndrug A,x\ndrug A,y\n", &[], &["duplicated", "`drug A`"]);
    bad("c.csv", "name,text\ndrug A,\n", &[], &["empty", "drug A in row 1"]);
    bad(
        "d.csv",
        "name,text\ndrug Q,x\n",
        &[],
        &["6 of 6 values are without a row in `d.csv`", "--descriptions-partial"],
    );
    bad("e.csv", "name,text\ndrug Q,x\n", &["--descriptions-partial"], &["have a description: 4 needed, 0 found"]);
    let prompt = ["--prompt", "{perturbation} {descriptions}"];
    refused(path, fit(path, "bad", &prompt), &["`{descriptions}` needs a table"]);
    refused(path, fit(path, "bad", &["--prompt", "{perturbation}", "--prompt", "{perturbation}"]), &["given twice"]);
    refused(path, fit(path, "bad", &["--prompt", "{perturbation} {dose}"]), &["`{dose}` is unknown", "{cell_type}"]);
}
