//! Tables with one row per cell or per gene.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use crate::{Error, Result};

/// One column of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Free text.
    Text(Vec<String>),
    /// Text from a fixed set; the code −1 is a missing value.
    Categorical {
        /// The position of each row's value in `categories`, or −1.
        codes: Vec<i32>,
        /// The values that may occur.
        categories: Vec<String>,
        /// True where the order of the categories has a meaning.
        ordered: bool,
    },
    /// Numbers; NaN is a missing value.
    Float(Vec<f64>),
    /// Whole numbers.
    Integer(Vec<i64>),
    /// Claims.
    Boolean(Vec<bool>),
    /// Whole numbers, some of them missing.
    NullableInteger(Vec<Option<i64>>),
    /// Claims, some of them missing.
    NullableBoolean(Vec<Option<bool>>),
}

impl Column {
    /// Builds a categorical column whose categories are the distinct texts in bytewise order.
    pub fn categorical<T: AsRef<str>>(texts: &[T]) -> Self {
        let (codes, categories) = encode(texts);
        Self::Categorical { codes, categories, ordered: false }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(values) => values.len(),
            Self::Categorical { codes, .. } => codes.len(),
            Self::Float(values) => values.len(),
            Self::Integer(values) => values.len(),
            Self::Boolean(values) => values.len(),
            Self::NullableInteger(values) => values.len(),
            Self::NullableBoolean(values) => values.len(),
        }
    }

    /// True where there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps the given rows, in the given order.
    pub fn select(&self, rows: &[usize]) -> Self {
        fn pick<T: Clone>(values: &[T], rows: &[usize]) -> Vec<T> {
            rows.iter().map(|&row| values[row].clone()).collect()
        }
        match self {
            Self::Text(values) => Self::Text(pick(values, rows)),
            Self::Categorical { codes, categories, ordered } => {
                Self::Categorical { codes: pick(codes, rows), categories: categories.clone(), ordered: *ordered }
            }
            Self::Float(values) => Self::Float(pick(values, rows)),
            Self::Integer(values) => Self::Integer(pick(values, rows)),
            Self::Boolean(values) => Self::Boolean(pick(values, rows)),
            Self::NullableInteger(values) => Self::NullableInteger(pick(values, rows)),
            Self::NullableBoolean(values) => Self::NullableBoolean(pick(values, rows)),
        }
    }

    /// The rows as text; a missing value is `None`.
    pub fn texts(&self) -> Vec<Option<String>> {
        (0..self.len()).map(|row| self.text(row).map(Cow::into_owned)).collect()
    }

    /// Whether another column has the same texts, of whatever kind they are.
    pub fn reads_as(&self, other: &Self) -> bool {
        self.len() == other.len() && (0..self.len()).all(|row| self.text(row) == other.text(row))
    }

    /// One row as text.
    fn text(&self, row: usize) -> Option<Cow<'_, str>> {
        fn written<T: ToString>(value: T) -> Cow<'static, str> {
            Cow::Owned(value.to_string())
        }
        match self {
            Self::Text(values) => Some(Cow::Borrowed(&values[row])),
            Self::Categorical { codes, categories, .. } => {
                usize::try_from(codes[row]).ok().map(|code| Cow::Borrowed(categories[code].as_str()))
            }
            Self::Float(values) => (!values[row].is_nan()).then(|| written(values[row])),
            Self::Integer(values) => Some(written(values[row])),
            Self::Boolean(values) => Some(written(values[row])),
            Self::NullableInteger(values) => values[row].map(written),
            Self::NullableBoolean(values) => values[row].map(written),
        }
    }
}

/// The distinct texts in bytewise order, and the position of each text among them.
fn encode<T: AsRef<str>>(texts: &[T]) -> (Vec<i32>, Vec<String>) {
    let distinct: BTreeSet<&str> = texts.iter().map(AsRef::as_ref).collect();
    let places: HashMap<&str, i32> = distinct.iter().zip(0..).map(|(&text, place)| (text, place)).collect();
    let codes = texts.iter().map(|text| places[text.as_ref()]).collect();
    (codes, distinct.into_iter().map(str::to_owned).collect())
}

/// A table: an index of names and named columns in a fixed order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Annotations {
    /// The name of each row: barcodes or gene names.
    pub index: Vec<String>,
    /// The columns, in the order of the file.
    pub columns: Vec<(String, Column)>,
}

impl Annotations {
    /// A table without columns.
    pub fn new(index: Vec<String>) -> Self {
        Self { index, columns: Vec::new() }
    }

    /// The names of the columns.
    pub fn names(&self) -> Vec<String> {
        self.columns.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The column, if there is one of this name.
    pub fn get(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(column, _)| column == name).map(|(_, column)| column)
    }

    /// The column of this name; `table` (`obs` or `var`) goes into the error.
    ///
    /// # Errors
    /// [`Error::MissingColumn`] with the columns that exist.
    pub fn column(&self, table: &str, name: &str) -> Result<&Column> {
        self.get(name).ok_or_else(|| Error::MissingColumn {
            table: table.to_owned(),
            column: name.to_owned(),
            available: self.names(),
        })
    }

    /// The column of this name as text in every row.
    ///
    /// # Errors
    /// [`Error::MissingColumn`]; [`Error::BadValues`] if a row has no value.
    pub fn texts(&self, table: &str, name: &str) -> Result<Vec<String>> {
        let texts = self.column(table, name)?.texts();
        let missing: Vec<usize> = (0..texts.len()).filter(|&row| texts[row].is_none()).collect();
        if !missing.is_empty() {
            return Err(Error::BadValues {
                place: format!("{table}[\"{name}\"]"),
                problem: "missing".into(),
                n_bad: missing.len(),
                n_total: texts.len(),
                examples: missing.iter().take(3).map(|&row| self.index[row].clone()).collect(),
                hint: "fill the missing values or remove these rows first".into(),
            });
        }
        Ok(texts.into_iter().flatten().collect())
    }

    /// The column of this name as the position of each row's text in a list of texts.
    ///
    /// # Errors
    /// As [`Self::texts`].
    pub fn coded(&self, table: &str, name: &str) -> Result<(Vec<i32>, Vec<String>)> {
        match self.column(table, name)? {
            Column::Categorical { codes, categories, .. } if !codes.contains(&-1) => {
                Ok((codes.clone(), categories.clone()))
            }
            _ => Ok(encode(&self.texts(table, name)?)),
        }
    }

    /// The column of this name as numbers in every row; a missing value is NaN.
    ///
    /// # Errors
    /// [`Error::MissingColumn`]; [`Error::InvalidParameter`] if the column is not numeric.
    pub fn floats(&self, table: &str, name: &str) -> Result<Vec<f64>> {
        match self.column(table, name)? {
            Column::Float(values) => Ok(values.clone()),
            Column::Integer(values) => Ok(values.iter().map(|&value| value as f64).collect()),
            Column::NullableInteger(values) => {
                Ok(values.iter().map(|value| value.map_or(f64::NAN, |value| value as f64)).collect())
            }
            _ => Err(Error::InvalidParameter {
                name: format!("{table} column"),
                value: name.to_owned(),
                reason: "the column is not numeric".into(),
            }),
        }
    }

    /// Adds a column, or replaces the one of this name.
    pub fn set(&mut self, name: &str, column: Column) {
        match self.columns.iter_mut().find(|(existing, _)| existing == name) {
            Some(slot) => slot.1 = column,
            None => self.columns.push((name.to_owned(), column)),
        }
    }

    /// Keeps the given rows, in the given order.
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            index: rows.iter().map(|&row| self.index[row].clone()).collect(),
            columns: self.columns.iter().map(|(name, column)| (name.clone(), column.select(rows))).collect(),
        }
    }
}
