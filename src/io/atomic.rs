//! Outputs that appear whole or not at all: written beside the target, then renamed.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::temporary;
use crate::{Error, Result};

/// What a folder of results may hold; a folder with anything else in it is not replaced.
const RESULTS: [&str; 13] =
    ["json", "jsonl", "csv", "tsv", "txt", "toml", "html", "svg", "png", "safetensors", "log", "md", "pdf"];

/// Fails if the output exists and may not be replaced, or if nothing can be written there; to be called before any work
/// is done. Leaves nothing behind.
///
/// # Errors
/// [`Error::OutputExists`]; [`Error::Io`] if the place cannot be written; [`Error::InvalidParameter`] if the output is a
/// device, or a folder that holds more than results.
pub fn check(path: &Path, force: bool) -> Result<()> {
    if fs::symlink_metadata(path).is_ok() && !force {
        return Err(Error::OutputExists { path: path.to_owned() });
    }
    check_replaceable(path)?;
    // The file is gone again at once; a full or read-only disk shows itself now and not after hours of work.
    let folder = existing_ancestor(path)?;
    let probe = builder(&temporary::prefix(path)).tempfile_in(&folder);
    probe.map(|_| ()).map_err(|source| Error::Io { path: path.to_owned(), source })
}

/// Lets `write` make a file beside `path`, then renames it to `path`; on failure nothing is left behind.
///
/// What earlier writes to the same output left because their process was killed is removed first. Missing folders above
/// `path` are made, and taken away again on failure. A symbolic link stays, and the file that it
/// leads to is replaced.
///
/// # Errors
/// Those of `write`, and [`Error::Io`].
pub fn file(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if target.is_dir() {
        return Err(io(ErrorKind::IsADirectory.into()));
    }
    check_replaceable(&target)?;
    let parents = Parents::make(&target)?;
    temporary::remove_stale(&parent(&target), &target);
    let beside = builder(&temporary::prefix(&target))
        // Made like any other file, so that the user's umask holds.
        .make_in(parent(&target), |name| fs::File::options().read(true).write(true).create_new(true).open(name))
        .map_err(io)?;
    write(beside.path()).map_err(|error| renamed(error, beside.path(), path))?;
    // Some disks find out late that they are full; and after the rename, the content must be there.
    let written = fs::File::open(beside.path()).and_then(|file| file.sync_all());
    written.map_err(io)?;
    beside.persist(&target).map_err(|error| io(error.error))?;
    parents.keep();
    Ok(())
}

/// Writes bytes to `path` in one go.
///
/// # Errors
/// [`Error::Io`].
pub fn bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    file(path, |beside| fs::write(beside, bytes).map_err(|source| Error::Io { path: path.to_owned(), source }))
}

/// Lets `write` fill a folder beside `path`, then puts it in the place of `path`; on failure nothing is left behind, and
/// a folder that was there before stays.
///
/// # Errors
/// Those of `write`, [`Error::Io`], and [`Error::InvalidParameter`] if the folder at `path` holds more than results.
pub fn folder(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    if path.is_file() {
        return Err(io(ErrorKind::NotADirectory.into()));
    }
    check_replaceable(path)?;
    let parents = Parents::make(path)?;
    temporary::remove_stale(&parent(path), path);
    let beside = builder(&temporary::prefix(path)).tempdir_in(parent(path)).map_err(io)?;
    let (new, old) = (beside.path().join("new"), beside.path().join(temporary::FORMER));
    fs::create_dir(&new).map_err(io)?;
    write(&new).map_err(|error| renamed(error, &new, path))?;
    if fs::symlink_metadata(path).is_ok() {
        fs::rename(path, &old).map_err(io)?;
    }
    if let Err(source) = fs::rename(&new, path) {
        if fs::symlink_metadata(&old).is_ok() && fs::rename(&old, path).is_err() {
            // The former results could not be put back: keep them where they are.
            let kept = beside.keep().join(temporary::FORMER);
            return Err(Error::backend(
                format!("replacing `{}` (kept as `{}`)", path.display(), kept.display()),
                source,
            ));
        }
        return Err(io(source));
    }
    parents.keep();
    Ok(())
}

/// Makes unfinished outputs whose names begin like this.
fn builder(prefix: &str) -> tempfile::Builder<'_, '_> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).suffix(temporary::END);
    builder
}

/// Fails if the output exists and is something that must not be thrown away: a device, or a folder with other things.
fn check_replaceable(path: &Path) -> Result<()> {
    let Ok(metadata) = fs::metadata(path) else {
        return Ok(());
    };
    let refuse = |reason: String| {
        Err(Error::InvalidParameter { name: "output".into(), value: path.display().to_string(), reason })
    };
    if metadata.is_file() {
        return Ok(());
    }
    if !metadata.is_dir() {
        return refuse("this is neither a file nor a folder and is not replaced; choose another output".into());
    }
    let here = std::env::current_dir().unwrap_or_default();
    if fs::canonicalize(path).is_ok_and(|path| here.starts_with(path)) {
        return refuse("this folder holds the one you work in and is not replaced; choose another output".into());
    }
    match stranger(path, 3) {
        Some(stranger) => refuse(format!(
            "the folder holds `{}`, which is no result of this program, and is not replaced; choose another output, or \
             remove the folder yourself",
            stranger.display()
        )),
        None => Ok(()),
    }
}

/// Something in a folder that cannot come from this program.
fn stranger(folder: &Path, depth: usize) -> Option<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Some(folder.to_owned());
    };
    for entry in entries {
        let Ok(entry) = entry else {
            return Some(folder.to_owned());
        };
        let path = entry.path();
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        let is_result = match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 && !is_hidden => match stranger(&path, depth - 1) {
                None => true,
                found => return found,
            },
            Ok(kind) if kind.is_file() && !is_hidden => {
                path.extension().is_some_and(|extension| RESULTS.iter().any(|known| extension == *known))
            }
            _ => false,
        };
        if !is_result {
            return Some(path);
        }
    }
    None
}

/// Says the name that the user gave where an error speaks of the temporary one.
fn renamed(error: Error, temporary: &Path, path: &Path) -> Error {
    let rename = |found: PathBuf| match found.strip_prefix(temporary) {
        Ok(rest) if rest.as_os_str().is_empty() => path.to_owned(),
        Ok(rest) => path.join(rest),
        Err(_) => found,
    };
    match error {
        Error::Io { path, source } => Error::Io { path: rename(path), source },
        Error::InvalidFile { path, reason, hint } => Error::InvalidFile { path: rename(path), reason, hint },
        Error::Backend { what, source } => {
            let what = what.replace(&temporary.display().to_string(), &path.display().to_string());
            Error::Backend { what, source }
        }
        other => other,
    }
}

/// The nearest folder above a path that exists.
fn existing_ancestor(path: &Path) -> Result<PathBuf> {
    let mut folder = parent(path);
    while fs::symlink_metadata(&folder).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        folder = parent(&folder);
    }
    let found = fs::metadata(&folder).and_then(|metadata| match metadata.is_dir() {
        true => Ok(folder),
        false => Err(ErrorKind::NotADirectory.into()),
    });
    found.map_err(|source| Error::Io { path: path.to_owned(), source })
}

/// The folders made above an output; taken away again unless kept.
struct Parents {
    /// Outermost first.
    made: Vec<PathBuf>,
}

impl Parents {
    fn make(path: &Path) -> Result<Self> {
        let existing = existing_ancestor(path)?;
        let mut missing: Vec<PathBuf> = Vec::new();
        let mut folder = parent(path);
        while folder != existing {
            missing.push(folder.clone());
            folder = parent(&folder);
        }
        let mut parents = Self { made: Vec::new() };
        for folder in missing.into_iter().rev() {
            match fs::create_dir(&folder) {
                Ok(()) => parents.made.push(folder),
                // Somebody else was faster.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(source) => return Err(Error::Io { path: path.to_owned(), source }),
            }
        }
        Ok(parents)
    }

    fn keep(mut self) {
        self.made.clear();
    }
}

impl Drop for Parents {
    fn drop(&mut self) {
        // Only empty folders go; if another program has put something there, it stays.
        self.made.iter().rev().for_each(|folder| {
            let _ = fs::remove_dir(folder);
        });
    }
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> Error {
        Error::InvalidParameter { name: "n".into(), value: "v".into(), reason: "r".into() }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_failed_write_leaves_neither_the_file_nor_its_folders() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a/b/c.txt");
        file(&path, |beside| {
            fs::write(beside, "half").unwrap();
            Err(failure())
        })
        .unwrap_err();
        assert!(names(place.path()).is_empty());
        bytes(&path, b"whole").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(names(path.parent().unwrap()), ["c.txt"]);
    }

    #[test]
    fn a_failed_write_keeps_what_was_there_before() {
        let place = tempfile::tempdir().unwrap();
        let (file_path, folder_path) = (place.path().join("file.txt"), place.path().join("folder"));
        bytes(&file_path, b"old").unwrap();
        folder(&folder_path, |folder| bytes(&folder.join("old.csv"), b"old")).unwrap();
        file(&file_path, |_| Err(failure())).unwrap_err();
        folder(&folder_path, |folder| {
            bytes(&folder.join("new.csv"), b"new")?;
            Err(failure())
        })
        .unwrap_err();
        assert_eq!(fs::read(&file_path).unwrap(), b"old");
        assert_eq!(names(&folder_path), ["old.csv"]);
        assert_eq!(names(place.path()), ["file.txt", "folder"]);
    }

    #[test]
    fn a_folder_of_results_is_replaced_and_another_is_not() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("out");
        folder(&path, |folder| bytes(&folder.join("scores.csv"), b"1")).unwrap();
        check(&path, true).unwrap();
        folder(&path, |folder| bytes(&folder.join("scores.json"), b"2")).unwrap();
        assert_eq!(names(&path), ["scores.json"]);
        fs::write(path.join("screen.h5ad"), b"precious").unwrap();
        assert!(check(&path, true).unwrap_err().to_string().contains("screen.h5ad"));
        folder(&path, |_| Ok(())).unwrap_err();
        assert_eq!(names(&path), ["scores.json", "screen.h5ad"]);
    }

    #[test]
    fn a_check_leaves_nothing_and_names_what_is_wrong() {
        let place = tempfile::tempdir().unwrap();
        check(&place.path().join("new/deep/file.h5ad"), false).unwrap();
        assert!(names(place.path()).is_empty());
        let path = place.path().join("file.txt");
        bytes(&path, b"x").unwrap();
        assert!(matches!(check(&path, false).unwrap_err(), Error::OutputExists { .. }));
        check(&path, true).unwrap();
        let below = check(&path.join("inside.txt"), false).unwrap_err();
        assert!(below.is_mistake() && below.to_string().contains("inside.txt"), "{below}");
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_never_replaced() {
        assert!(matches!(check(Path::new("/dev/null"), true).unwrap_err(), Error::InvalidParameter { .. }));
        bytes(Path::new("/dev/null"), b"x").unwrap_err();
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_stays_and_its_target_is_replaced() {
        let place = tempfile::tempdir().unwrap();
        let (target, link) = (place.path().join("target.txt"), place.path().join("link.txt"));
        bytes(&target, b"old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        bytes(&link, b"new").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().file_type().is_symlink());
    }
}
