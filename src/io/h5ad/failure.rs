//! What the HDF5 library says when something fails, turned into facts.

use std::path::Path;

use crate::Error;

/// The whole chain of messages, outermost first.
fn frames(error: &hdf5::Error) -> Vec<String> {
    match error.stack() {
        Some(stack) => stack.iter().map(|frame| frame.desc().to_owned()).collect(),
        None => vec![error.to_string()],
    }
}

/// The system's error number, which the library writes into its messages as `errno = 28`.
fn system_error(frames: &[String]) -> Option<std::io::Error> {
    frames.iter().rev().find_map(|frame| {
        let digits = frame.split("errno = ").nth(1)?;
        let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok().filter(|&number| number != 0).map(std::io::Error::from_raw_os_error)
    })
}

/// An error met while reading the part `slot` of a file: the system's own if there is one, else a damaged file.
pub(super) fn reading(path: &Path, slot: &str, error: &hdf5::Error) -> Error {
    let frames = frames(error);
    if let Some(source) = system_error(&frames) {
        return Error::Io { path: path.to_owned(), source };
    }
    let reason = frames.last().cloned().unwrap_or_default();
    if let Some(frame) = frames.iter().find(|frame| frame.contains("truncated file")) {
        return truncated(path, frame);
    }
    damaged(path, slot, &format!("cannot be read ({reason})"))
}

/// An error met while making the part `slot` of a file, in memory.
pub(super) fn writing(path: &Path, slot: &str, error: &hdf5::Error) -> Error {
    Error::backend(format!("writing `{slot}` of `{}`", path.display()), frames(error).join("; "))
}

/// A file with a part that contradicts itself or cannot be read.
pub(super) fn damaged(path: &Path, slot: &str, reason: &str) -> Error {
    Error::InvalidFile {
        path: path.to_owned(),
        reason: format!("`{slot}` {reason}"),
        hint: "the file is damaged or was written by a faulty program; make or download it again".into(),
    }
}

/// A file that ends too early; the library's message holds the two sizes.
fn truncated(path: &Path, frame: &str) -> Error {
    let number = |key: &str| -> Option<u64> {
        let digits = frame.split(key).nth(1)?;
        digits.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
    };
    let sizes = match (number(" eof = ").or_else(|| number("eof = ")), number("stored_eof = ")) {
        (Some(found), Some(needed)) => format!(": {found} of {needed} bytes are there"),
        _ => String::new(),
    };
    Error::InvalidFile {
        path: path.to_owned(),
        reason: format!("the HDF5 file is truncated{sizes}"),
        hint: "copy or download the file again, or let the program that writes it finish".into(),
    }
}
