//! The history of a fit as a table: one row per step.

use std::collections::BTreeMap;
use std::path::Path;

use super::table::{self, Series, Table};
use crate::Result;

/// The columns that come first.
const FIRST: [&str; 2] = ["step", "loss"];

/// Writes column → values. Shorter columns end in empty fields; without a history only a header is written.
///
/// # Errors
/// Those of [`table::write`].
pub fn write(path: &Path, history: &BTreeMap<String, Vec<f64>>) -> Result<()> {
    table::write(path, columns(history))
}

/// Reads column → values; an empty field is NaN.
///
/// # Errors
/// Those of [`Table::read`] and [`Table::numbers`].
pub fn read(path: &Path, hint: &'static str) -> Result<BTreeMap<String, Vec<f64>>> {
    let table = Table::read(path, hint)?;
    let values = |name: &str| -> Result<Vec<f64>> {
        Ok(table.numbers(name)?.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect())
    };
    table.columns().iter().map(|(name, _)| Ok((name.clone(), values(name)?))).collect()
}

fn columns(history: &BTreeMap<String, Vec<f64>>) -> Vec<(String, Series)> {
    if history.is_empty() {
        return FIRST.map(|name| (name.to_owned(), Series::Numbers(Vec::new()))).into();
    }
    let n_rows = history.values().map(Vec::len).max().unwrap_or(0);
    let rank = |name: &str| FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len());
    let mut columns: Vec<(&String, &Vec<f64>)> = history.iter().collect();
    columns.sort_by_key(|(name, _)| rank(name));
    let is_count = |value: &f64| *value >= 0.0 && value.fract() == 0.0;
    let series = |(name, values): (&String, &Vec<f64>)| match name.as_str() {
        "step" if values.len() == n_rows && values.iter().all(is_count) => {
            Series::Counts(values.iter().map(|&value| value as u64).collect())
        }
        _ => Series::Numbers((0..n_rows).map(|row| values.get(row).copied()).collect()),
    };
    columns.into_iter().map(|column| (column.0.clone(), series(column))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_with_a_short_column_becomes_a_table_with_empty_fields_and_comes_back() {
        let history = BTreeMap::from([
            ("validation".to_owned(), vec![3.0]),
            ("loss".to_owned(), vec![2.0, 1.0]),
            ("step".to_owned(), vec![1.0, 2.0]),
        ]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.csv");
        write(&path, &history).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "step,loss,validation\n1,2.0,3.0\n2,1.0,\n");
        let found = read(&path, "").unwrap();
        assert_eq!((&found["step"], &found["loss"]), (&history["step"], &history["loss"]));
        assert!(found["validation"][0] == 3.0 && found["validation"][1].is_nan());
        write(&path, &BTreeMap::new()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "step,loss\n");
        assert!(read(&path, "").unwrap().values().all(Vec::is_empty));
    }
}
