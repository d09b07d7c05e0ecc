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
    refused(path, said, &["control_cells", "is missing"]);
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
fn a_closed_form_goes_the_same_way_as_a_model_that_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let input = prepared().to_str().unwrap();
    let names = ["control-mean", "perturbed-mean", "additive", "linear", "additive-shift", "interaction-shift"];
    for name in names {
        let mut outputs = Vec::new();
        for round in ["a", "b"] {
            let (model, cells) = (format!("{name}-{round}"), format!("{name}-{round}.h5ad"));
            ok(scflow(path, &["fit", input, "-o", &model, "--method", name]));
            ok(scflow(path, &["predict", &model, "--holdout", "--cells", "60", "-o", &cells]));
            outputs.push((files(&path.join(&model)), std::fs::read(path.join(&cells)).unwrap()));
        }
        assert!(outputs[0] == outputs[1], "{name}");
        let is_shift = name.ends_with("-shift");
        assert_eq!(outputs[0].0.contains_key("control_cells.safetensors"), is_shift, "{name}");
        assert!(!outputs[0].0.contains_key("weights.safetensors") && outputs[0].0.contains_key("estimate.json"));
        let scores = format!("{name}-scores");
        ok(scflow(path, &["evaluate", &format!("{name}-a.h5ad"), "--truth", input, "-o", &scores, "--allow-missing"]));
        let text = std::fs::read_to_string(path.join(&scores).join("summary.csv")).unwrap();
        let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let header = lines.next().unwrap();
        let place = |column: &str| header.iter().position(|name| *name == column).unwrap();
        let own = lines.find(|line| line[0] == "model").unwrap();
        let ratio: f64 = own[place("std_ratio")].parse().unwrap();
        // A mean that stands for every cell is seen to have collapsed; control cells spread like the real ones.
        assert!(if is_shift { (0.7..1.4).contains(&ratio) } else { ratio == 0.0 }, "{name}: {ratio}");
        ok(scflow(path, &["report", &scores, "-o", &format!("{name}.html")]));
    }
    let refused_by = |more: &[&str], parts: &[&str]| {
        let said = scflow(path, &[&["fit", input, "-o", "bad", "--method", "additive-shift"], more].concat());
        refused(path, said, &[parts, &["`additive-shift`"]].concat());
    };
    for flag in [["--steps", "5"], ["--budget", "3s"], ["--width", "8"], ["--checkpoint-every", "5"]] {
        refused_by(&flag, &[&flag[0][2..], "closed form"]);
    }
    refused_by(&["--resume"], &["resume", "closed form"]);
    refused_by(&["--source", "control"], &["source", "no flow"]);
    refused_by(&["--heads", "2"], &["heads"]);
    let said = scflow(path, &["predict", "linear-a", "--holdout", "-o", "bad.h5ad", "--temperature", "0.5"]);
    refused(path, said, &["temperature", "`linear`"]);
    // A folder says what it is: the file of another method is not taken for its own.
    let config = path.join("additive-a/config.json");
    let text = std::fs::read_to_string(&config).unwrap().replace("\"additive\"", "\"linear\"");
    std::fs::write(&config, text).unwrap();
    refused(path, scflow(path, &["predict", "additive-a", "--holdout", "-o", "bad.h5ad"]), &["`linear`", "fit"]);
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
