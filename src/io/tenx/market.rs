//! Matrix Market files in coordinates: `row column value` on each line, both counted from 1.
//!
//! <https://math.nist.gov/MatrixMarket/formats.html> (November 2026).

use std::path::Path;

use super::lines::Lines;
use super::{AGAIN, invalid};
use crate::{Error, Result};

/// A file whose header was read.
pub(super) struct Market<'a> {
    path: &'a Path,
    lines: Lines,
    pub(super) n_rows: usize,
    pub(super) n_columns: usize,
    n_entries: usize,
    n_read: usize,
}

impl<'a> Market<'a> {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if it has no header, or one of another kind of matrix.
    pub(super) fn open(path: &'a Path) -> Result<Self> {
        let hint = "a matrix must be written as `%%MatrixMarket matrix coordinate integer general` (or `real`)";
        let mut lines = Lines::open(path)?;
        let header = lines.next(path)?.map(|line| String::from_utf8_lossy(line).to_lowercase()).unwrap_or_default();
        let words: Vec<&str> = header.split_whitespace().collect();
        match words[..] {
            ["%%matrixmarket", "matrix", "coordinate", "integer" | "real" | "double", "general"] => {}
            ["%%matrixmarket", ..] => {
                return Err(invalid(
                    path,
                    format!("the matrix is of a kind that is not read: `{}`", header.trim()),
                    hint,
                ));
            }
            _ => return Err(invalid(path, "the first line is no header of a Matrix Market file", hint)),
        }
        let sizes = loop {
            let Some(line) = lines.next(path)? else {
                return Err(invalid(path, "the file ends before the line with the sizes of the matrix", AGAIN));
            };
            if line.first() != Some(&b'%') && !line.trim_ascii().is_empty() {
                break String::from_utf8_lossy(line).into_owned();
            }
        };
        let numbers: Vec<Option<usize>> = sizes.split_whitespace().map(|word| word.parse().ok()).collect();
        let [Some(n_rows), Some(n_columns), Some(n_entries)] = numbers[..] else {
            let reason = format!("line {}: expected rows, columns and entries, found `{}`", lines.number, sizes.trim());
            return Err(invalid(path, reason, hint));
        };
        Ok(Self { path, lines, n_rows, n_columns, n_entries, n_read: 0 })
    }

    /// The next entry: row and column, counted from 0, and value.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if a line is no entry, lies outside the matrix, or if there are fewer or more than the header
    /// says.
    pub(super) fn next(&mut self) -> Result<Option<(usize, usize, f32)>> {
        loop {
            let Some(line) = self.lines.next(self.path)? else {
                if self.n_read == self.n_entries {
                    return Ok(None);
                }
                let reason = format!("the file ends after {} entries; its header says {}", self.n_read, self.n_entries);
                return Err(invalid(self.path, reason, AGAIN));
            };
            if line.trim_ascii().is_empty() {
                continue;
            }
            let entry = entry(line);
            let is_inside = |&(row, column, _): &(usize, usize, f32)| {
                (1..=self.n_rows).contains(&row) && (1..=self.n_columns).contains(&column)
            };
            if let Some((row, column, value)) = entry.filter(is_inside) {
                self.n_read += 1;
                if self.n_read > self.n_entries {
                    let reason = format!("there are more entries than the {} that the header says", self.n_entries);
                    return Err(invalid(self.path, reason, AGAIN));
                }
                return Ok(Some((row - 1, column - 1, value)));
            }
            let text = String::from_utf8_lossy(line).trim().chars().take(60).collect::<String>();
            return Err(self.wrong(entry.is_some(), &text));
        }
    }

    fn wrong(&self, is_entry: bool, line: &str) -> Error {
        let (n_rows, n_columns) = (self.n_rows, self.n_columns);
        let reason = match is_entry {
            true => {
                format!("`{line}` lies outside the matrix of {n_rows} rows and {n_columns} columns, counted from 1")
            }
            false => format!("expected row, column and a finite number, found `{line}`"),
        };
        invalid(self.path, format!("line {}: {reason}", self.lines.number), AGAIN)
    }
}

/// Row, column and value of a line.
fn entry(line: &[u8]) -> Option<(usize, usize, f32)> {
    let mut words = line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    let (row, column, value) = (whole(words.next()?)?, whole(words.next()?)?, words.next()?);
    let value = match whole(value) {
        Some(value) => value as f32,
        None => std::str::from_utf8(value).ok()?.parse::<f32>().ok().filter(|value| value.is_finite())?,
    };
    words.next().is_none().then_some((row, column, value))
}

/// A whole number without a sign.
fn whole(word: &[u8]) -> Option<usize> {
    if word.is_empty() || word.len() > 18 {
        return None;
    }
    word.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + usize::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(usize, usize, f32)>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("matrix.mtx");
        std::fs::write(&path, text).unwrap();
        let mut market = Market::open(&path)?;
        let mut entries = Vec::new();
        while let Some(entry) = market.next()? {
            entries.push(entry);
        }
        Ok(entries)
    }

    #[test]
    fn entries_are_read_with_any_spaces_and_ends_of_lines() {
        let text = "%%MatrixMarket matrix coordinate real general\r\n%a note\r\n\n3 2 3\r\n1 1 4\r\n3\t2  .5\n2 2 1e3";
        assert_eq!(read(text).unwrap(), [(0, 0, 4.0), (2, 1, 0.5), (1, 1, 1000.0)]);
        assert_eq!(read("%%MatrixMarket matrix coordinate integer general\n0 0 0\n").unwrap(), []);
    }

    #[test]
    fn a_broken_file_says_where() {
        let refused = |text: &str, part: &str| {
            let error = read(text).unwrap_err();
            assert!(error.is_mistake() && error.to_string().contains(part), "{error}");
        };
        let with = |rest: &str| format!("%%MatrixMarket matrix coordinate integer general\n{rest}");
        refused("", "no header");
        refused("1 1 1\n", "no header");
        refused("%%MatrixMarket matrix array real general\n", "array");
        refused("%%MatrixMarket matrix coordinate integer symmetric\n", "symmetric");
        refused(&with("%\n"), "before the line with the sizes");
        refused(&with("3 x 1\n"), "line 2");
        refused(&with("3 2 2\n1 1 1\n"), "after 1 entries; its header says 2");
        refused(&with("3 2 1\n1 1 1\n2 1 1\n"), "more entries than the 1");
        refused(&with("3 2 1\n4 1 1\n"), "line 3: `4 1 1` lies outside");
        refused(&with("3 2 1\n0 1 1\n"), "lies outside");
        refused(&with("3 2 1\n1 -1 1\n"), "found `1 -1 1`");
        refused(&with("3 2 1\n1 1 NaN\n"), "finite number");
        refused(&with("3 2 1\n1 1 one\n"), "found `1 1 one`");
        refused(&with("3 2 1\n1 1\n"), "found `1 1`");
        refused(&with("3 2 1\n1 1 1 1\n"), "found `1 1 1 1`");
    }
}
