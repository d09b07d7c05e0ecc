//! All methods, through the program.

use super::*;

#[test]
fn every_method_goes_from_fit_to_cells_and_a_seed_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let input = prepared().to_str().unwrap();
    for (number, choices) in [
        "--method cfm",
        "--method cfm-ot --source control",
        "--method cfm-sb --sigma 0.3 --centre interaction",
        "--method calmflow --source control --coupling exact",
        "--coupling entropic",
        "--coordinates scaled --evidence --window 2 --history-noise 0.05 --condition-dropout 0.2",
    ]
    .iter()
    .enumerate()
    {
        let choices: Vec<&str> = choices.split(' ').collect();
        let name = choices.iter().find(|choice| choice.starts_with("cfm")).unwrap_or(&"calmflow");
        let mut outputs = Vec::new();
        for round in ["a", "b"] {
            let (model, cells) = (format!("{number}{round}"), format!("{number}{round}.h5ad"));
            ok(scflow(path, &[&["fit", input, "-o", &model, "--steps", "6", "--width", "16"], &choices[..]].concat()));
            ok(scflow(path, &["predict", &model, "--holdout", "--cells", "40", "-o", &cells]));
            outputs.push((files(&path.join(&model)), std::fs::read(path.join(&cells)).unwrap()));
        }
        assert!(outputs[0] == outputs[1], "{choices:?}");
        let config = String::from_utf8(outputs[0].0["config.json"].clone()).unwrap();
        assert!(config.contains(&format!("\"method\":\"{name}\"")), "{config}");
        assert_eq!(outputs[0].0.contains_key("control_cells.safetensors"), choices.contains(&"control"));
    }
    // A model that starts from control cells is nothing without them.
    std::fs::remove_file(path.join("1a/control_cells.safetensors")).unwrap();
    let said = scflow(path, &["predict", "1a", "--holdout", "-o", "bad.h5ad"]);
    refused(path, said, &["control_cells", "--source control"]);
    let predict =
        |model: &str, more: &[&str]| scflow(path, &[&["predict", model, "--holdout", "-o", "bad.h5ad"], more].concat());
    refused(path, predict("1b", &["--temperature", "0.5"]), &["temperature", "--source control"]);
    refused(path, predict("4a", &["--guidance", "1.5"]), &["guidance", "--condition-dropout"]);
    ok(scflow(path, &["predict", "5a", "--holdout", "--cells", "20", "--guidance", "1.5", "-o", "guided.h5ad"]));
    refused(path, predict("4a", &["--anchor", "1.5"]), &["anchor", "between 0 and 1"]);
    refused(path, predict("4a", &["--solver", "heun:4"]), &["solver", "`calmflow`", "--method cfm"]);
    ok(scflow(path, &["predict", "0a", "--holdout", "--cells", "20", "--solver", "heun:4", "-o", "heun.h5ad"]));
}

#[test]
fn choices_that_a_method_does_not_have_are_refused_with_both_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let fit = |choices: &str| {
        let choices: Vec<&str> = choices.split(' ').collect();
        scflow(path, &[&["fit", prepared().to_str().unwrap(), "-o", "bad", "--steps", "3"], &choices[..]].concat())
    };
    refused(path, fit("--method cfm --decoder mixture"), &["decoder", "`cfm`", "--method calmflow"]);
    refused(path, fit("--method cfm --evidence"), &["evidence", "`cfm`"]);
    refused(path, fit("--condition-dropout 1"), &["condition-dropout", "below one"]);
    refused(path, fit("--method cfm-sb --heads 2"), &["heads", "`cfm-sb`"]);
    refused(path, fit("--method cfm --coupling exact"), &["coupling", "`exact`", "`cfm`", "--method cfm-ot"]);
    refused(path, fit("--method cfm-sb --sigma 0"), &["sigma", "cfm-ot"]);
    refused(path, fit("--coupling entropic --sigma 0"), &["entropic", "--sigma"]);
    refused(path, fit("--method cfn"), &["cfn", "cfm-ot"]);
}
