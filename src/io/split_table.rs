//! A split in comma-separated values.

use std::path::Path;

use polars::prelude::{CsvReadOptions, SerReader};

use crate::preprocess::split_table::SplitTable;
use crate::{Error, Result};

/// Reads every field as text; an empty field is `None`.
///
/// # Errors
/// [`Error::InvalidFile`] if the file is absent, is no table, or has no rows.
pub fn read(path: &Path) -> Result<SplitTable> {
    let invalid = |reason: String| Error::InvalidFile {
        path: path.to_owned(),
        reason,
        hint: "a split is comma-separated: `obs_name,split`, or `perturbation` with covariate columns and `split`"
            .into(),
    };
    if !path.is_file() {
        return Err(invalid("no such file".into()));
    }
    let frame = CsvReadOptions::default()
        .with_has_header(true)
        .with_infer_schema_length(Some(0))
        .try_into_reader_with_file_path(Some(path.to_owned()))
        .and_then(SerReader::finish)
        .map_err(|error| invalid(error.to_string()))?;
    if frame.height() == 0 {
        return Err(invalid("the table has no rows".into()));
    }
    let columns: Vec<String> = frame.get_column_names().iter().map(|name| name.trim().to_owned()).collect();
    let mut rows = vec![Vec::with_capacity(columns.len()); frame.height()];
    for column in frame.columns() {
        let texts = column.str().map_err(|error| invalid(error.to_string()))?;
        for (row, text) in rows.iter_mut().zip(texts.iter()) {
            row.push(text.filter(|text| !text.is_empty()).map(str::to_owned));
        }
    }
    Ok(SplitTable { columns, rows })
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
