//! An scGPT from a pretrained folder, through the program.

use scflow::cells::Column;

use super::*;

/// A copy of one of the golden folders, as `folder/name`.
fn copy(folder: &Path, name: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/scgpt").join(name);
    std::fs::create_dir(folder.join(name)).unwrap();
    for (file, bytes) in files(&golden) {
        std::fs::write(folder.join(name).join(file), bytes).unwrap();
    }
}

fn arguments<'a>(input: &'a str, output: &'a str, name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let fixed = [
        "fit",
        input,
        "-o",
        output,
        "--method",
        "scgpt",
        "--pretrained",
        name,
        "--seed",
        "3",
        "--genes-per-step",
        "50",
    ];
    [&fixed[..], more].concat()
}

fn fit_from(folder: &Path, output: &str, name: &str, more: &[&str]) -> (i32, String) {
    scflow(folder, &arguments(prepared().to_str().unwrap(), output, name, more))
}

fn losses(model: &Path) -> Vec<f64> {
    let table = std::fs::read_to_string(model.join("history.csv")).unwrap();
    table.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect()
}

/// A screen whose genes have other names; their symbols are in a column of `var`.
fn with_symbols(path: &Path, symbol: impl Fn(usize, &str) -> String) {
    let mut cells = h5ad::read(prepared()).unwrap();
    let symbols: Vec<String> = cells.var.index.iter().enumerate().map(|(gene, name)| symbol(gene, name)).collect();
    cells.var.set("symbol", Column::Text(symbols));
    cells.var.index.iter_mut().enumerate().for_each(|(gene, name)| *name = format!("ENSG{gene:011}"));
    let locked = tempfile::NamedTempFile::new().unwrap();
    h5ad::write(locked.path(), &cells).unwrap();
    std::fs::copy(locked.path(), path).unwrap();
}

#[test]
fn a_fit_starts_from_a_folder_and_its_model_needs_it_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for name in ["pretrained", "perturbation"] {
        copy(path, name);
        let said = ok(fit_from(path, &format!("from-{name}"), name, &["--steps", "200", "--learning-rate", "5e-3"]));
        assert!(said.contains("120 of 120 genes are known"), "{said}");
        let new = if name == "pretrained" { "new: pert_encoder, decoder" } else { "new: nothing" };
        assert!(said.contains("encoder, value_encoder, transformer_encoder") && said.contains(new), "{said}");
        let model = path.join(format!("from-{name}"));
        let losses = losses(&model);
        let mean = |some: &[f64]| some.iter().sum::<f64>() / some.len() as f64;
        // A new decoder starts at the genes' means; that of the folder was never fitted to anything.
        let share = if name == "pretrained" { 1.0 } else { 0.8 };
        assert!(mean(&losses[120..]) < share * mean(&losses[..20]), "{name}: {losses:?}");
        let config = std::fs::read_to_string(model.join("config.json")).unwrap();
        for file in ["args.json", "vocab.json", "best_model.pt"] {
            let digest = scflow::io::digest::sha256(&path.join(name).join(file)).unwrap();
            assert!(config.contains(&format!("\"{file}\":\"{digest}\"")), "{file} {digest}: {config}");
        }
        std::fs::remove_dir_all(path.join(name)).unwrap();
        let cells = format!("{name}.h5ad");
        ok(scflow(path, &["predict", model.to_str().unwrap(), "--holdout", "--cells", "40", "-o", &cells]));
        let made = h5ad::read(&path.join(cells)).unwrap();
        assert!(made.layers["counts"].values().iter().all(|count| *count > 0.0 && count.fract() == 0.0));
        assert!(made.obsm["X_pca"].iter().all(|value| value.is_finite()));
    }
}

#[test]
fn a_killed_fit_goes_on_to_the_same_bytes_if_the_pretrained_folder_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    copy(path, "perturbation");
    let options = ["--steps", "300", "--checkpoint-every", "5"];
    ok(fit_from(path, "whole", "perturbation", &options));
    let input = prepared().to_str().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_scflow"));
    command.current_dir(path).args(arguments(input, "killed", "perturbation", &options)).arg("-q");
    let mut child = command.spawn().unwrap();
    wait_for(&mut child, || path.join("killed.checkpoint.safetensors").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!path.join("killed").exists(), "the fit was too fast to be killed");
    // The place of the folder does not count, its contents do.
    std::fs::rename(path.join("perturbation"), path.join("moved")).unwrap();
    let arguments = path.join("moved/args.json");
    let text = std::fs::read_to_string(&arguments).unwrap();
    std::fs::write(&arguments, text.clone() + "\n").unwrap();
    let more = [&options[..], &["--resume"]].concat();
    let (status, said) = fit_from(path, "killed", "moved", &more);
    assert!(status == 2 && said.contains("other options"), "{said}");
    std::fs::write(&arguments, text).unwrap();
    assert!(ok(fit_from(path, "killed", "moved", &more)).contains("going on from step"));
    same_files(&files(&path.join("whole")), &files(&path.join("killed")));
}

#[test]
fn genes_go_by_their_symbols_and_unknown_ones_start_new_only_if_that_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    copy(path, "pretrained");
    with_symbols(&path.join("symbols.h5ad"), |_, name| name.to_owned());
    let fit = |input: &str, output: &str, more: &[&str]| {
        scflow(path, &arguments(input, output, "pretrained", &[&["--steps", "6"], more].concat()))
    };
    let said = fit("symbols.h5ad", "bad", &[]);
    refused(path, said, &["120 of 120", "unknown to the vocabulary", "`ENSG000", "--gene-symbols"]);
    refused(path, fit("symbols.h5ad", "bad", &["--gene-symbols", "names"]), &["`names` is missing", "`symbol`"]);
    ok(fit("symbols.h5ad", "by-symbols", &["--gene-symbols", "symbol"]));
    ok(fit_from(path, "by-names", "pretrained", &["--steps", "6"]));
    let weights = |model: &str| std::fs::read(path.join(model).join("weights.safetensors")).unwrap();
    assert!(weights("by-symbols") == weights("by-names"));

    let loadings = h5ad::read(prepared()).unwrap().varm["PCs"].clone();
    let is_in_use = |gene: usize| loadings.row(gene).iter().any(|loading| *loading != 0.0);
    let strange: Vec<usize> = (0..loadings.nrows()).filter(|&gene| is_in_use(gene)).step_by(30).collect();
    assert_eq!(strange.len(), 4);
    with_symbols(&path.join("strange.h5ad"), |gene, name| match strange.contains(&gene) {
        true => format!("strange {gene}"),
        false => name.to_owned(),
    });
    let by = ["--gene-symbols", "symbol"];
    let said = fit("strange.h5ad", "bad", &by);
    refused(path, said, &["4 of 120", "`strange ", "--allow-unknown-genes"]);
    let said = ok(fit("strange.h5ad", "model", &[&by[..], &["--allow-unknown-genes"]].concat()));
    assert!(said.contains("116 of 120 genes are known; 4 start new, such as `strange "), "{said}");
    let kept = std::fs::read_to_string(path.join("model/pretrained.json")).unwrap();
    assert!(strange.iter().all(|gene| kept.contains(&format!("\"strange {gene}\""))), "{kept}");
}

#[test]
fn what_cannot_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    copy(path, "pretrained");
    let bad = |name: &str, more: &[&str]| fit_from(path, "bad", name, &[&["--steps", "3"], more].concat());
    refused(path, bad("nowhere", &[]), &["nowhere", "no such folder", "args.json"]);
    refused(path, bad("pretrained", &["--width", "32"]), &["width = `32`", "pretrained weights decide it"]);
    refused(path, bad("pretrained", &["--heads", "2"]), &["heads = `2`", "pretrained weights decide it"]);
    let input = prepared().to_str().unwrap();
    let other = |more: &[&str]| scflow(path, &[&["fit", input, "-o", "bad", "--steps", "3"], more].concat());
    refused(path, other(&["--pretrained", "pretrained"]), &["pretrained", "`calmflow`", "--method scgpt"]);
    refused(path, other(&["--method", "cpa", "--gene-symbols", "x"]), &["gene-symbols", "`cpa`", "--method scgpt"]);
    refused(path, other(&["--method", "scgpt", "--allow-unknown-genes"]), &["allow-unknown-genes", "--pretrained"]);
    std::fs::remove_file(path.join("pretrained/vocab.json")).unwrap();
    refused(path, bad("pretrained", &[]), &["`vocab.json` is missing", "best_model.pt"]);
}
