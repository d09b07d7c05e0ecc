//! A split in comma-separated values.

use std::path::Path;

use super::table::{self, Series, Table};
use crate::preprocess::split_table::SplitTable;
use crate::{Error, Result};

const HINT: &str = "a split is comma-separated: `obs_name,split`, or `perturbation` with covariate columns and `split`";

/// Reads every field as text; an empty field is `None`.
///
/// # Errors
/// [`Error::InvalidFile`] if the file is absent, is no table, or has no rows.
pub fn read(path: &Path) -> Result<SplitTable> {
    if !path.is_file() {
        return Err(Error::InvalidFile { path: path.to_owned(), reason: "no such file".into(), hint: HINT.into() });
    }
    let table = Table::read(path, HINT)?;
    if table.n_rows() == 0 {
        return Err(table.invalid("the table has no rows".into()));
    }
    let columns = table.columns().iter().map(|(name, _)| name.trim().to_owned()).collect();
    let row = |row: usize| table.columns().iter().map(|(_, texts)| texts[row].clone()).collect();
    Ok(SplitTable { columns, rows: (0..table.n_rows()).map(row).collect() })
}

/// Writes a split as [`read`] reads it.
///
/// # Errors
/// Those of [`table::write`].
pub fn write(path: &Path, split: &SplitTable) -> Result<()> {
    let texts = |at: usize| split.rows.iter().map(|row| row[at].clone().unwrap_or_default()).collect();
    let columns = split.columns.iter().enumerate().map(|(at, name)| (name.clone(), Series::Texts(texts(at))));
    table::write(path, columns.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SplitTable> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path())
    }

    #[test]
    fn every_field_is_text() {
        let table = parse("obs_name, split\n007,train\n\"a,b\",\n").unwrap();
        assert_eq!(table.columns, ["obs_name", "split"]);
        let row = |fields: [Option<&str>; 2]| fields.map(|field| field.map(str::to_owned)).to_vec();
        assert_eq!(table.rows, [row([Some("007"), Some("train")]), row([Some("a,b"), None])]);
    }

    #[test]
    fn what_was_written_is_read_back() {
        let table = parse("perturbation,cell type,split\n\"\"\"x+y\"\"+a\",\"T, naive\",test\nctrl,B,train\n").unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        write(file.path(), &table).unwrap();
        assert_eq!(read(file.path()).unwrap(), table);
    }

    #[test]
    fn files_that_are_no_table_are_refused() {
        for text in ["", "obs_name,split\n", "obs_name,split\na,train,extra\n"] {
            assert!(matches!(parse(text), Err(Error::InvalidFile { .. })), "{text:?}");
        }
        assert!(read(Path::new("absent.csv")).unwrap_err().to_string().contains("no such file"));
    }
}
