//! A split in comma-separated values.

use std::path::Path;

use super::table::Table;
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
    fn files_that_are_no_table_are_refused() {
        for text in ["", "obs_name,split\n", "obs_name,split\na,train,extra\n"] {
            assert!(matches!(parse(text), Err(Error::InvalidFile { .. })), "{text:?}");
        }
        assert!(read(Path::new("absent.csv")).unwrap_err().to_string().contains("no such file"));
    }
}
