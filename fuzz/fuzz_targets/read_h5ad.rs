//! Bytes as a file: each is read in every way or refused as a mistake of the user, in little time and memory.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use scflow::Error;
use scflow::io::{h5ad, tenx};

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let (path, output) = (folder.path().join("in.h5ad"), folder.path().join("out.h5ad"));
    std::fs::write(&path, bytes).expect("there is room for a file");
    let read = told(h5ad::read_noting(&path));
    if let Some((file, cells)) = told(h5ad::Partial::open(&path, &["X_pca"])) {
        let rows: Vec<usize> = (0..cells.obs.index.len()).step_by(2).collect();
        told(file.layer_rows("counts", &rows));
    }
    if told(h5ad::rewrite(&path, &output)).is_some()
        && let Some((cells, _)) = read
    {
        let again = h5ad::read(&output).expect("what was rewritten is read where it was read before");
        assert_eq!(format!("{:?}", cells.x), format!("{:?}", again.x));
    }
    ten_x(&path);
});

/// The same bytes as a file of 10x Genomics.
fn ten_x(path: &Path) {
    let Some(Some(mut counts)) = told(tenx::Tenx::open(path, None)) else { return };
    let chosen: Vec<usize> = (0..counts.features.len()).collect();
    told(counts.blocks(&chosen, |mut blocks| blocks.try_for_each(|block| block.map(drop))));
}

/// What was read; an error must be one that the user can put right.
fn told<T>(read: scflow::Result<T>) -> Option<T> {
    read.inspect_err(|error: &Error| assert!(error.is_mistake(), "{error:?}")).ok()
}
