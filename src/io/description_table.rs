//! Descriptions of components in comma-separated values: `name,text`.

use std::path::Path;

use super::table::Table;
use crate::Result;
use crate::conditions::descriptions::Descriptions;

const HINT: &str = "descriptions are comma-separated with the columns `name` and `text`, a row for each component";

/// Reads the columns `name` and `text`; others are left alone.
///
/// # Errors
/// [`crate::Error::Io`] if the file is absent; [`crate::Error::InvalidFile`] if it is no table;
/// [`crate::Error::MissingColumn`]; those of [`Descriptions::new`].
pub fn read(path: &Path) -> Result<Descriptions> {
    let table = Table::read(path, HINT)?;
    Descriptions::new(table.texts("name")?.into_iter().zip(table.texts("text")?))
}

/// Writes descriptions as [`read`] reads them.
///
/// # Errors
/// Those of [`super::table::write`].
pub fn write(path: &Path, descriptions: &Descriptions) -> Result<()> {
    let (names, texts) = descriptions.iter().map(|(name, text)| (name.clone(), text.clone())).unzip();
    let columns = [("name", names), ("text", texts)];
    super::table::write(path, columns.map(|(name, values)| (name.into(), super::table::Series::Texts(values))).into())
}
