//! Tables as comma-separated values: columns go out, fields come back.

use std::path::{Path, PathBuf};

use polars::prelude::{Column, CsvReadOptions, CsvWriter, DataFrame, PolarsError, SerReader, SerWriter};

use crate::{Error, Result};

/// One named column of a table that is written.
pub enum Series {
    /// Texts.
    Texts(Vec<String>),
    /// Numbers; `None` and NaN become an empty field.
    Numbers(Vec<Option<f64>>),
    /// Whole numbers.
    Counts(Vec<u64>),
}

/// Writes columns of equal length.
///
/// # Errors
/// [`Error::Backend`] if the lengths differ; [`Error::Io`].
pub fn write(path: &Path, columns: Vec<(String, Series)>) -> Result<()> {
    let failed = |source: PolarsError| Error::backend(format!("writing `{}`", path.display()), source);
    let n_rows = columns.first().map_or(0, |(_, series)| match series {
        Series::Texts(values) => values.len(),
        Series::Numbers(values) => values.len(),
        Series::Counts(values) => values.len(),
    });
    let columns = columns
        .into_iter()
        .map(|(name, series)| match series {
            Series::Texts(values) => Column::new(name.into(), values),
            Series::Numbers(values) => {
                let finite: Vec<Option<f64>> = values.into_iter().map(|v| v.filter(|v| v.is_finite())).collect();
                Column::new(name.into(), finite)
            }
            Series::Counts(values) => Column::new(name.into(), values),
        })
        .collect();
    let mut frame = DataFrame::new(n_rows, columns).map_err(failed)?;
    let file = std::fs::File::create(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    CsvWriter::new(file).finish(&mut frame).map_err(failed)
}

/// A table that was read: every field is a text, and an empty field is none.
pub struct Table {
    path: PathBuf,
    hint: &'static str,
    n_rows: usize,
    columns: Vec<(String, Vec<Option<String>>)>,
}

impl Table {
    /// Reads a table with a header; `hint` tells whoever has a wrong one how to go on.
    ///
    /// # Errors
    /// [`Error::Io`] if the file is absent; [`Error::InvalidFile`] if it is no table.
    pub fn read(path: &Path, hint: &'static str) -> Result<Self> {
        let failed = |error: PolarsError| invalid(path, hint, error.to_string());
        let file = std::fs::File::open(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        // Without a look at the values every column is text; what should be a number is read as one by name.
        let options = CsvReadOptions::default().with_infer_schema_length(Some(0));
        let frame = options.into_reader_with_file_handle(file).finish().map_err(failed)?;
        let mut columns = Vec::new();
        for column in frame.columns() {
            let texts = column.str().map_err(failed)?.iter();
            let texts = texts.map(|text| text.filter(|text| !text.is_empty()).map(str::to_owned)).collect();
            columns.push((column.name().to_string(), texts));
        }
        Ok(Self { path: path.to_owned(), hint, n_rows: frame.height(), columns })
    }

    /// The number of rows below the header.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// The columns with their names, in order.
    pub fn columns(&self) -> &[(String, Vec<Option<String>>)] {
        &self.columns
    }

    fn column(&self, name: &str) -> Result<&[Option<String>]> {
        let column = self.columns.iter().find(|(other, _)| other == name);
        column.map(|(_, values)| values.as_slice()).ok_or_else(|| Error::MissingColumn {
            table: self.path.display().to_string(),
            column: name.into(),
            available: self.columns.iter().map(|(name, _)| name.clone()).collect(),
        })
    }

    /// The texts of a column; an empty field is an empty text.
    ///
    /// # Errors
    /// [`Error::MissingColumn`].
    pub fn texts(&self, name: &str) -> Result<Vec<String>> {
        Ok(self.column(name)?.iter().map(|text| text.clone().unwrap_or_default()).collect())
    }

    /// The numbers of a column.
    ///
    /// # Errors
    /// [`Error::MissingColumn`]; [`Error::InvalidFile`] with the line of a field that is no finite number.
    pub fn numbers(&self, name: &str) -> Result<Vec<Option<f64>>> {
        let number = |(row, text): (usize, &Option<String>)| {
            let Some(text) = text else { return Ok(None) };
            let value = text.trim().parse::<f64>().ok().filter(|value| value.is_finite());
            value.map(Some).ok_or_else(|| self.wrong(name, row, text, "a finite number"))
        };
        self.column(name)?.iter().enumerate().map(number).collect()
    }

    /// The numbers of a column without empty fields.
    ///
    /// # Errors
    /// Those of [`Self::numbers`]; [`Error::InvalidFile`] with the line of an empty field.
    pub fn all_numbers(&self, name: &str) -> Result<Vec<f64>> {
        let values = self.numbers(name)?.into_iter().enumerate();
        values.map(|(row, value)| value.ok_or_else(|| self.wrong(name, row, "", "a finite number"))).collect()
    }

    /// What is wrong with the table.
    pub fn invalid(&self, reason: String) -> Error {
        invalid(&self.path, self.hint, reason)
    }

    /// What is wrong with one field of it.
    pub fn wrong(&self, column: &str, row: usize, found: &str, expected: &str) -> Error {
        // Line 1 is the header.
        self.invalid(format!("line {}, column `{column}`: expected {expected}, found `{found}`", row + 2))
    }
}

fn invalid(path: &Path, hint: &str, reason: String) -> Error {
    Error::InvalidFile { path: path.to_owned(), reason, hint: hint.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<Table> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::fs::write(&path, text).unwrap();
        Table::read(&path, "write it again")
    }

    #[test]
    fn empty_fields_quotes_and_headers_alone_are_read() {
        let table = table("step,loss,note\n1.0,,\"a, b\"\n2.0,0.5,\n").unwrap();
        assert_eq!(table.numbers("loss").unwrap(), [None, Some(0.5)]);
        assert_eq!(table.texts("note").unwrap(), ["a, b", ""]);
        let empty = self::table("step,loss\n").unwrap();
        assert_eq!((empty.n_rows(), empty.columns().len()), (0, 2));
    }

    #[test]
    fn a_wrong_value_is_named_with_its_line_and_column() {
        let table = table("umap_1\n1.0\nfar\n").unwrap();
        let error = table.all_numbers("umap_1").unwrap_err().to_string();
        assert!(error.contains("line 3, column `umap_1`: expected a finite number, found `far`"), "{error}");
        assert!(matches!(table.numbers("leiden"), Err(Error::MissingColumn { .. })));
    }

    #[test]
    fn what_is_written_is_read_back_and_what_is_no_number_becomes_an_empty_field() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        let numbers = vec![Some(0.1 + 0.2), Some(f64::NAN), None];
        let columns = vec![
            ("name".to_owned(), Series::Texts(vec!["a".into(), "b, \"c\"".into(), String::new()])),
            ("value".to_owned(), Series::Numbers(numbers)),
            ("n".to_owned(), Series::Counts(vec![1, 2, 3])),
        ];
        write(&path, columns).unwrap();
        let table = Table::read(&path, "").unwrap();
        assert_eq!(table.texts("name").unwrap(), ["a", "b, \"c\"", ""]);
        assert_eq!(table.numbers("value").unwrap(), [Some(0.1 + 0.2), None, None]);
        assert_eq!(table.all_numbers("n").unwrap(), [1.0, 2.0, 3.0]);
        assert!(
            write(&path, vec![("a".into(), Series::Counts(vec![1])), ("b".into(), Series::Counts(vec![]))]).is_err()
        );
    }
}
