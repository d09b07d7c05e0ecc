//! SHA-256 of files and folders, in hexadecimal.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// Bytes that are read at a time.
const PIECE: usize = 1 << 18;

/// The digest of a file's bytes.
///
/// # Errors
/// [`Error::Io`].
pub fn sha256(path: &Path) -> Result<String> {
    Ok(sha256_unless(path, &AtomicBool::new(false))?.unwrap_or_default())
}

/// The same, or nothing where it is given up for being told to `stop`.
///
/// # Errors
/// [`Error::Io`].
pub fn sha256_unless(path: &Path, stop: &AtomicBool) -> Result<Option<String>> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let mut hasher = Sha256::new();
    let mut file = File::open(path).map_err(io)?;
    let mut piece = vec![0; PIECE];
    while !stop.load(Ordering::Relaxed) {
        match file.read(&mut piece) {
            Ok(0) => return Ok(Some(hexadecimal(hasher))),
            Ok(n) => hasher.update(&piece[..n]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(io(error)),
        }
    }
    Ok(None)
}

/// The digest of bytes.
pub fn of_bytes(bytes: &[u8]) -> String {
    hexadecimal(Sha256::new_with_prefix(bytes))
}

/// The digest of a file, or of a folder: that of the names of its files, each with its own digest, in order.
///
/// # Errors
/// [`Error::Io`].
pub fn any(path: &Path) -> Result<String> {
    if !path.is_dir() {
        return sha256(path);
    }
    let mut files = Vec::new();
    collect(path, &mut files)?;
    files.sort();
    let mut hasher = Sha256::new();
    for file in files {
        let name = file.strip_prefix(path).unwrap_or(&file).to_string_lossy().into_owned();
        hasher.update(format!("{name}\0{}\n", sha256(&file)?));
    }
    Ok(hexadecimal(hasher))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let io = |source| Error::Io { path: folder.to_owned(), source };
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

fn hexadecimal(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_known_digest_and_a_folder_changes_with_names_and_contents() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "abc").unwrap();
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; // FIPS 180-2, B.1
        assert_eq!((sha256(&path).unwrap().as_str(), any(&path).unwrap().as_str()), (known, known));
        assert_eq!(of_bytes(b"abc"), known);
        assert_eq!(sha256_unless(&path, &AtomicBool::new(true)).unwrap(), None);
        let first = any(folder.path()).unwrap();
        assert_eq!(first, any(folder.path()).unwrap());
        std::fs::rename(&path, folder.path().join("b")).unwrap();
        let renamed = any(folder.path()).unwrap();
        std::fs::write(folder.path().join("b"), "abd").unwrap();
        assert!(first != renamed && renamed != any(folder.path()).unwrap());
    }
}
