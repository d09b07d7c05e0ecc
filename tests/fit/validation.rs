//! Early stopping by conditions kept from the fit.

use super::*;

#[test]
fn conditions_kept_from_the_fit_stop_it_and_are_never_learned_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let options = ["--steps", "60", "--average", "0.9", "--validation-conditions", "1", "--checkpoint-every", "7"];
    let said = ok(fit(path, "whole", &options));
    let judge = said.lines().find(|line| line.contains("judge")).unwrap_or_else(|| panic!("{said}"));
    assert!(judge.contains("drug A+drug C") || judge.contains("drug B+drug C"), "{judge}");
    assert!(said.contains("told them best"), "{said}");
    let read = |name: &str| std::fs::read_to_string(path.join("whole").join(name)).unwrap();
    let history = read("history.csv");
    assert!(history.lines().next().unwrap().contains("validation_edist_l2"), "{history}");
    let judged: Vec<&str> = history.lines().skip(1).filter(|line| !line.contains(",,")).collect();
    assert!((2..=21).contains(&judged.len()), "{history}");
    let known: serde_json::Value = serde_json::from_str(&read("conditions.json")).unwrap();
    let lists = |name: &str| known[name].to_string();
    let kept = if judge.contains("drug A+drug C") { "drug A" } else { "drug B" };
    assert!(lists("validation").contains(kept) && lists("held_out").contains("drug A"), "{known}");
    assert_eq!(known["validation"].as_array().unwrap().len(), 2, "one pair in two cell types: {known}");
    // Killed and gone on: the same weights, the same judgements.
    if fit_and_kill(path, "killed", &[&SMALL[..], &options].concat()) {
        ok(fit(path, "killed", &[&options[..], &["--resume"]].concat()));
    }
    same_files(&files(&path.join("whole")), &files(&path.join("killed")));
    // More conditions than there are is an error, and a screen without cells marked `val` too.
    refused(path, fit(path, "bad", &["--steps", "5", "--validation-conditions", "9"]), &["9 needed", "2 found"]);
    refused(path, fit(path, "bad", &["--steps", "5", "--validation-split"]), &["val", "--validation-conditions"]);
}
