//! The page: from a folder of scores as `evaluate` writes it, through the program.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use scflow::metrics::map;
use scflow::metrics::predicted::Predicted;
use scflow::stages::evaluate::write_folder;
use scflow::stages::report::{ReportParams, report};
use serde_json::json;

use crate::evaluation;

/// Writes the scores of fresh cells of the synthetic screen, with a history of some steps.
fn scores_folder(folder: &Path) -> PathBuf {
    let truth = evaluation::truth();
    let predicted = Predicted::new(evaluation::prediction(60, 30, 2), &truth).unwrap();
    let evaluation = scflow::metrics::evaluation::evaluate(&truth, &predicted, evaluation::CHOICES).unwrap();
    let map = map::draw(&truth, &predicted, &evaluation, 0).unwrap();
    let steps: Vec<f64> = (1..=200).map(f64::from).collect();
    let history = [
        ("step".to_owned(), steps.clone()),
        ("loss".to_owned(), steps.iter().map(|step| 50.0 / step + (step * 0.7).sin().abs()).collect()),
        ("validation".to_owned(), steps.iter().step_by(4).map(|step| 60.0 / step + 1.0).collect()),
        ("learning_rate".to_owned(), steps.iter().map(|step| 2e-3 * (1.0 - step / 201.0)).collect()),
    ];
    let provenance = json!({ "version": "0.1.0", "truth_sha256": "ab".repeat(32), "parameters": { "seed": 0 } });
    let path = folder.join("scores");
    write_folder(&path, &evaluation.scores, &evaluation.changes, &map, &history.into(), &provenance).unwrap();
    path
}

fn page(scores: &Path, output: &Path) -> String {
    let params = ReportParams { scores: scores.into(), output: output.into(), force: true, ..ReportParams::default() };
    report(&params).unwrap();
    std::fs::read_to_string(output).unwrap()
}

fn program(arguments: &[&str]) -> assert_cmd::assert::Assert {
    Command::new(env!("CARGO_BIN_EXE_scflow")).arg("report").args(arguments).assert()
}

/// Fails unless every element that is opened is closed in the right order.
pub fn assert_balanced(html: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let end = rest.find('>').expect("a tag ends");
        let (tag, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        let is_void = ["!", "meta", "input", "wbr"].iter().any(|start| tag.starts_with(start));
        if is_void || tag.ends_with('/') {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "near {}", &after[..after.len().min(200)]);
            continue;
        }
        let name = tag.split_whitespace().next().unwrap();
        open.push(name);
        if name == "style" || name == "script" {
            rest = &rest[rest.find(&format!("</{name}>")).unwrap()..];
        }
    }
    assert_eq!(open, Vec::<&str>::new());
}

#[test]
fn the_page_is_whole_needs_no_network_and_has_the_same_bytes_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let scores = scores_folder(folder.path());
    let html = page(&scores, &folder.path().join("report.html"));
    assert_balanced(&html);
    for part in [
        "Prediction of A+B",
        "2 conditions",
        "the additive estimate",
        "split_half",
        "edist_l2",
        "learning_rate",
        "metrics more",
        "overlap_at_N",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(html.contains("On 2 conditions that were not in training, the model is nearer"));
    assert_eq!(html.matches("class=\"dots generated\"").count(), 1 + 2, "the overlay and a panel per condition");
    for outside in ["http:", "https:", "src=", "href=\"h", "url(", "@import"] {
        let inside = html.replace("xmlns=\"http://www.w3.org/2000/svg\"", "").replace("url(#", "");
        assert!(!inside.contains(outside), "{outside}");
    }
    assert!(html == page(&scores, &folder.path().join("again.html")), "the bytes differ");
}

#[test]
fn names_in_the_files_never_become_markup() {
    let folder = tempfile::tempdir().unwrap();
    let scores = scores_folder(folder.path());
    for name in ["scores.json", "umap.csv", "changes.csv", "provenance.json", "history.csv"] {
        let path = scores.join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.replace("A+B", "<script>alert(1)</script>").replace("type 0", "<img src=x onerror=alert(1)>");
        let text =
            text.replace("\"seed\"", "\"<script>\"").replace("learning_rate", "<script>$x$").replace("unseen", "<i>");
        std::fs::write(path, text).unwrap();
    }
    let html = page(&scores, &folder.path().join("report.html"));
    assert_balanced(&html);
    assert_eq!((html.matches("<script").count(), html.matches("<img").count(), html.matches("<i>").count()), (1, 0, 0));
    assert!(
        html.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && html.contains("&lt;img src=x onerror=alert(1)&gt;")
    );
    let output = folder.path().join("titled.html");
    let (scores, output) = (scores.to_str().unwrap(), output.to_str().unwrap());
    program(&[scores, "-o", output, "--title", "<script>"]).success().stdout(format!("{output}\n"));
    assert!(std::fs::read_to_string(output).unwrap().contains("<h1>&lt;script&gt;</h1>"));
}

#[test]
fn pictures_are_files_of_their_own_with_the_same_bytes_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let scores = scores_folder(folder.path());
    let figures = |name: &str| {
        let (output, figures) = (folder.path().join(format!("{name}.html")), folder.path().join(name));
        let arguments =
            [scores.to_str().unwrap(), "-o", output.to_str().unwrap(), "--figures", figures.to_str().unwrap()];
        program(&arguments).success();
        program(&arguments).code(2);
        figures
    };
    let (first, second) = (figures("first"), figures("second"));
    for name in ["cells", "leiden", "changes", "training"] {
        let svg = std::fs::read_to_string(first.join(format!("{name}.svg"))).unwrap();
        assert!(svg.starts_with("<svg") && !svg.contains("var(--") && !svg.contains("NaN"), "{name}");
        // Two conditions of at most 200 genes; the map has every cell.
        let n_dots = svg.matches("<circle").count();
        match name {
            "changes" => assert!(n_dots > 50 && n_dots <= 400, "{n_dots}"),
            "training" => assert_eq!(svg.matches("validation").count(), 1),
            _ => assert!(n_dots > 100, "{name}: {n_dots}"),
        }
        let png = std::fs::read(first.join(format!("{name}.png"))).unwrap();
        assert!(png.starts_with(b"\x89PNG") && png.len() > 5000, "{name}");
        for ending in ["svg", "png"] {
            let file = format!("{name}.{ending}");
            let same = std::fs::read(first.join(&file)).unwrap() == std::fs::read(second.join(&file)).unwrap();
            assert!(same, "{file}");
        }
    }
}

#[test]
fn what_is_not_a_folder_of_scores_is_refused_with_status_two() {
    let folder = tempfile::tempdir().unwrap();
    let scores = scores_folder(folder.path());
    let (path, output) = (scores.to_str().unwrap(), folder.path().join("report.html"));
    let output = output.to_str().unwrap();
    let refused = |part: &str| {
        let said = String::from_utf8(program(&[path, "-o", output]).code(2).get_output().stderr.clone()).unwrap();
        assert!(said.contains(part), "{said}");
        assert!(!Path::new(output).exists());
    };
    let nowhere = folder.path().join("nowhere");
    program(&[nowhere.to_str().unwrap(), "-o", output]).code(2);
    let with = |name: &str, change: &dyn Fn(&str) -> Option<String>, part: &str| {
        let file = scores.join(name);
        let text = std::fs::read_to_string(&file).unwrap();
        match change(&text) {
            Some(changed) => std::fs::write(&file, changed).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        refused(part);
        std::fs::write(&file, text).unwrap();
    };
    with("umap.csv", &|_| None, "`umap.csv` is missing");
    with("scores.json", &|text| Some(text[..100].into()), "scores.json");
    with("scores.json", &|text| Some(text.replace("\"metrics\"", "\"metric\"")), "settings.metrics");
    with("umap.csv", &|text| Some(text.replace("generated", "invented")), "found `invented`");
    with("summary.csv", &|text| Some(text.replace("n_conditions", "n")), "column `n_conditions` is missing");
    with(
        "scores.csv",
        &|text| Some(text.lines().take(3).collect::<Vec<_>>().join("\n")),
        "2 rows, but scores.json has 10",
    );
    program(&[path, "-o", output]).success();
    program(&[path, "-o", output]).code(2);
    program(&[path, "-o", output, "--force"]).success();
}
