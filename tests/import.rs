//! `scflow import`: 10x Genomics' folders as they are and as they should not be; AnnData files of old.

use std::io::Write;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin_cmd;
use flate2::Compression;
use flate2::write::GzEncoder;
use predicates::str::contains;
use scflow::cells::{Cells, Column, SparseMatrix};
use scflow::io::h5ad;
use tempfile::TempDir;

const MATRIX: &str =
    "%%MatrixMarket matrix coordinate integer general\n%metadata\n3 4 5\n1 1 7\n3 1 2\n2 2 1\n3 4 5\n1 4 9\n";
const BARCODES: &str = "AAA-1\nCCC-1\nGGG-1\nTTT-1\n";
const FEATURES: &str = "ENSG1\tACTB\tGene Expression\nENSG2\tCD3 β\tGene Expression\nAB1\tCD3\tAntibody Capture\n";

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> (TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("counts");
    std::fs::create_dir(&path).unwrap();
    files.iter().for_each(|(name, bytes)| std::fs::write(path.join(name), bytes).unwrap());
    (place, path)
}

fn import(input: &Path, output: &Path, flags: &[&str]) -> Command {
    let mut command = cargo_bin_cmd!("scflow");
    command.arg("import").arg(input).arg("-o").arg(output).args(flags);
    command
}

fn imported(files: &[(&str, &[u8])], flags: &[&str]) -> Cells {
    let (place, path) = folder(files);
    let output = place.path().join("out.h5ad");
    import(&path, &output, flags).assert().success();
    h5ad::read(&output).unwrap()
}

/// What is said of files that are refused; no output is left.
fn refused(files: &[(&str, &[u8])], flags: &[&str], words: &[&str]) {
    let (place, path) = folder(files);
    let output = place.path().join("out.h5ad");
    let mut assert = import(&path, &output, flags).assert().code(2);
    for word in words {
        assert = assert.stderr(contains(*word));
    }
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1, "an output was left");
}

#[test]
fn a_folder_becomes_cells_whatever_its_files_are_called_and_however_they_are_sorted() {
    let plain = imported(
        &[
            ("matrix.mtx", MATRIX.as_bytes()),
            ("barcodes.tsv", BARCODES.as_bytes()),
            ("features.tsv", FEATURES.as_bytes()),
        ],
        &[],
    );
    let x = SparseMatrix::from_rows(2, [vec![(0, 7.0)], vec![(1, 1.0)], vec![], vec![(0, 9.0)]]);
    assert_eq!(plain.x, x);
    assert_eq!(plain.obs.index, ["AAA-1", "CCC-1", "GGG-1", "TTT-1"]);
    assert_eq!(plain.var.index, ["ACTB", "CD3 β"]);
    assert_eq!(plain.var.get("gene_ids"), Some(&Column::Text(vec!["ENSG1".into(), "ENSG2".into()])));
    let unsorted = MATRIX.replace("1 1 7\n3 1 2\n2 2 1\n", "2 2 1\n3 1 2\n1 1 7\n");
    let (matrix, barcodes, features) = (gzip(&unsorted), gzip(BARCODES), gzip(FEATURES));
    let files: [(&str, &[u8]); 3] =
        [("s1_matrix.mtx.gz", &matrix), ("s1_barcodes.tsv.gz", &barcodes), ("s1_features.tsv.gz", &features)];
    let zipped = imported(&files, &[]);
    assert_eq!(format!("{zipped:?}"), format!("{plain:?}"));
    let all = imported(&files, &["--feature-type", "all", "--names", "ids"]);
    assert_eq!(all.var.index, ["ENSG1", "ENSG2", "AB1"]);
    assert_eq!(all.x.row(3), (&[0_u32, 2][..], &[9_f32, 5.0][..]));
    let old = "ENSG1\tACTB\nENSG2\tCD3\nENSG3\tCD3\n";
    let old: [(&str, &[u8]); 3] =
        [("matrix.mtx", MATRIX.as_bytes()), ("barcodes.tsv", BARCODES.as_bytes()), ("genes.tsv", old.as_bytes())];
    assert_eq!(imported(&old, &["--unique"]).var.index, ["ACTB", "CD3", "CD3-1"]);
    refused(&old, &[], &["1 of 3", "`CD3`", "--names ids", "--unique"]);
    refused(&old, &["--feature-type", "Gene Expression"], &["--feature-type", "does not tell"]);
}

#[test]
fn broken_folders_are_refused_with_what_and_where() {
    let with = |matrix: &[u8], barcodes: &str, features: &str, words: &[&str]| {
        let files: [(&str, &[u8]); 3] =
            [("matrix.mtx", matrix), ("barcodes.tsv", barcodes.as_bytes()), ("features.tsv", features.as_bytes())];
        refused(&files, &[], words);
    };
    let changed = |from: &str, to: &str| MATRIX.replace(from, to).into_bytes();
    with(&changed("3 4 5\n", "3 4 6\n"), BARCODES, FEATURES, &["matrix.mtx", "after 5 entries", "says 6"]);
    with(&changed("3 4 5\n", "3 4 4\n"), BARCODES, FEATURES, &["more entries than the 4"]);
    with(&changed("2 2 1\n", "4 2 1\n"), BARCODES, FEATURES, &["line 6", "`4 2 1` lies outside"]);
    with(&changed("2 2 1\n", "2 2 many\n"), BARCODES, FEATURES, &["line 6", "`2 2 many`"]);
    with(&changed("3 1 2\n", "1 1 2\n"), BARCODES, FEATURES, &["twice", "`AAA-1`"]);
    with(b"", BARCODES, FEATURES, &["no header"]);
    with(MATRIX.as_bytes(), "AAA-1\nCCC-1\n", FEATURES, &["barcodes.tsv", "2 lines", "4 columns"]);
    with(MATRIX.as_bytes(), "A\nB\nA\nC\n", FEATURES, &["barcodes", "1 of 4", "`A`"]);
    with(MATRIX.as_bytes(), BARCODES, "ENSG1\tACTB\n", &["features.tsv", "1 lines", "3 rows"]);
    with(MATRIX.as_bytes(), BARCODES, "a\tb\tc\nd\te\nf\tg\th\n", &["features.tsv", "line 2", "3 fields"]);
    with(MATRIX.as_bytes(), BARCODES, "a\tb\tGuide\nd\te\tGuide\nf\tg\tGuide\n", &["Gene Expression", "Guide (3)"]);
    let zipped = gzip(&MATRIX.repeat(50));
    with(&zipped[..zipped.len() / 2], BARCODES, FEATURES, &["gzip data end too early"]);
    refused(&[("matrix.mtx", MATRIX.as_bytes())], &[], &["barcodes.tsv", "missing", ".gz"]);
    refused(&[("notes.txt", b"none")], &[], &["holds no matrix"]);
    refused(&[("a.mtx", b""), ("b.mtx", b"")], &[], &["2 matrices", "`a.mtx`"]);
}

#[test]
fn what_is_neither_is_refused_and_flags_that_do_not_fit_too() {
    let place = tempfile::tempdir().unwrap();
    let (input, output) = (place.path().join("cells.h5ad"), place.path().join("out.h5ad"));
    import(&input, &output, &[]).assert().code(2).stderr(contains("check the path"));
    std::fs::write(&input, "cell,gene\n").unwrap();
    import(&input, &output, &[]).assert().code(2).stderr(contains("not an HDF5 file"));
    let cells = Cells {
        x: SparseMatrix::from_rows(1, [vec![(0, 1.0)]]),
        obs: scflow::cells::Annotations::new(vec!["c".into()]),
        var: scflow::cells::Annotations::new(vec!["g".into()]),
        ..Cells::default()
    };
    h5ad::write(&input, &cells).unwrap();
    import(&input, &output, &["--unique"]).assert().code(2).stderr(contains("--unique"));
    assert!(!output.exists());
    import(&input, &output, &[]).assert().success().stderr(contains("next: scflow inspect"));
    assert_eq!(format!("{:?}", h5ad::read(&output).unwrap()), format!("{cells:?}"));
    import(&input, &output, &[]).assert().code(2).stderr(contains("--force"));
    import(&input, &input, &["--force"]).assert().code(2).stderr(contains("input itself"));
}
