//! Public files for tests, which the project does not contain; `data/README.md` says where they come from.

use std::path::{Path, PathBuf};

/// The folder of public files, where there is one; `SCFLOW_DATA` names another one than that beside the project.
pub fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("SCFLOW_DATA").map_or(beside, PathBuf::from);
    if !folder.is_dir() {
        eprintln!("skipped: the folder of public files `{}` is absent (SCFLOW_DATA names another)", folder.display());
    }
    folder.is_dir().then_some(folder)
}

/// A public file, where it is at hand.
pub fn file(name: &str) -> Option<PathBuf> {
    let path = folder()?.join(name);
    if !path.is_file() {
        eprintln!("skipped: `{}` is absent", path.display());
    }
    path.is_file().then_some(path)
}
