//! The split as a table that the user wrote.

use std::collections::{BTreeMap, BTreeSet};

use super::labels::check_unique;
use super::split::{Split, covered};
use crate::conditions::status::Measured;
use crate::conditions::{Condition, Perturbation};
use crate::error::refuse;
use crate::{Error, Result};

/// The column that says how far the conditions of a row are from training. It follows from `split`, and is not read.
pub const STRATUM: &str = "stratum";

/// A split as the user wrote it: named columns, each row as long as the header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SplitTable {
    /// `obs_name` or `perturbation` and covariates, `split`, and perhaps `stratum`.
    pub columns: Vec<String>,
    /// The fields; `None` where a field is empty.
    pub rows: Vec<Vec<Option<String>>>,
}

impl SplitTable {
    /// The table that holds out some of the conditions of a screen, one row for each condition with its stratum.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if a covariate is called like another column of the table.
    pub fn holding_out(conditions: &[Condition], held_out: &BTreeSet<Condition>, control: &str) -> Result<Self> {
        let all: BTreeSet<&Condition> = conditions.iter().collect();
        let measured: Measured = all.iter().copied().filter(|condition| !held_out.contains(*condition)).collect();
        let covariates: Vec<String> = all.first().map_or_else(Vec::new, |one| one.covariates.keys().cloned().collect());
        let own = ["perturbation", "obs_name", "split", STRATUM];
        if let Some(taken) = covariates.iter().find(|name| own.contains(&name.as_str())) {
            return refuse("covariate", taken, "a split table has a column of this name; rename the column of obs");
        }
        let row = |condition: &Condition| {
            let label = match condition.perturbation.is_control() {
                true => control.to_owned(),
                false => condition.perturbation.to_string(),
            };
            let split = if held_out.contains(condition) { Split::Test } else { Split::Train };
            let told = [split.as_str().to_owned(), measured.status(condition).stratum()];
            let fields = [label].into_iter().chain(condition.covariates.values().cloned()).chain(told);
            fields.map(Some).collect()
        };
        let last = vec!["split".to_owned(), STRATUM.to_owned()];
        Ok(Self {
            columns: [vec!["perturbation".to_owned()], covariates, last].concat(),
            rows: all.into_iter().map(row).collect(),
        })
    }

    /// What each row names: a perturbation, and the covariates whose columns the table has.
    ///
    /// # Errors
    /// [`Error::MissingColumn`] without a column `perturbation`; [`Error::BadValues`] for empty fields; those of
    /// [`Perturbation::parse`].
    pub fn patterns(&self, control: &str) -> Result<Vec<Condition>> {
        let mut patterns = vec![Condition::default(); self.rows.len()];
        for (pattern, label) in patterns.iter_mut().zip(texts(self, self.position("perturbation")?)?) {
            pattern.perturbation = Perturbation::parse(&label, control)?;
        }
        let own = ["perturbation", "split", STRATUM];
        for (at, name) in self.columns.iter().enumerate().filter(|(_, name)| !own.contains(&name.as_str())) {
            for (pattern, value) in patterns.iter_mut().zip(texts(self, at)?) {
                pattern.covariates.insert(name.clone(), value);
            }
        }
        Ok(patterns)
    }

    fn position(&self, column: &str) -> Result<usize> {
        self.columns.iter().position(|name| name == column).ok_or_else(|| Error::MissingColumn {
            table: "the split table".into(),
            column: column.to_owned(),
            available: self.columns.clone(),
        })
    }
}

/// Reads the split from a table with one row per cell (`obs_name,split`) or per condition (`perturbation,…,split`).
///
/// # Errors
/// [`Error::MissingColumn`]; [`Error::BadValues`] for values of `split` that mean nothing, for names twice in the table,
/// and for cells without a row; [`Error::UnknownName`] or [`Error::BadValues`] for rows that fit no cell;
/// [`Error::InvalidParameter`] if control cells are held out.
pub fn by_table(table: &SplitTable, names: &[String], conditions: &[Condition], control: &str) -> Result<Vec<Split>> {
    let rows = parse_splits(&texts(table, table.position("split")?)?)?;
    let splits = if let Ok(at) = table.position("obs_name") {
        by_names(&texts(table, at)?, &rows, names)?
    } else {
        by_conditions(&table.patterns(control)?, &rows, names, conditions)?
    };
    let n_controls = (0..splits.len())
        .filter(|&row| splits[row] != Split::Train && conditions[row].perturbation.is_control())
        .count();
    if n_controls > 0 {
        return Err(Error::InvalidParameter {
            name: "split".into(),
            value: format!("{n_controls} control cells are not `train`"),
            reason: "the control cannot be held out: every prediction starts from it; mark control cells `train`"
                .into(),
        });
    }
    Ok(splits)
}

/// Reads one field, or tells what to write instead.
fn parse(text: &str) -> std::result::Result<Split, String> {
    match text.trim() {
        "train" => Ok(Split::Train),
        "val" => Ok(Split::Validation),
        "test" => Ok(Split::Test),
        "validation" | "valid" => Err("write `val` for cells by which settings are chosen".into()),
        "ood" => Err("write `test` for held-out cells".into()),
        _ => Err("write `train`, `val` or `test`".into()),
    }
}

fn texts(table: &SplitTable, at: usize) -> Result<Vec<String>> {
    let texts: Vec<String> = table.rows.iter().filter_map(|row| row[at].clone()).collect();
    if texts.len() == table.rows.len() {
        return Ok(texts);
    }
    let empty = (0..table.rows.len()).filter(|&row| table.rows[row][at].is_none());
    Err(bad(
        &format!("split table, column `{}`", table.columns[at]),
        "empty",
        empty.map(|row| format!("row {}", row + 1)).collect(),
        table.rows.len(),
        "fill every field",
    ))
}

fn parse_splits(texts: &[String]) -> Result<Vec<Split>> {
    let parsed: Vec<_> = texts.iter().map(|text| parse(text)).collect();
    if let Some(reason) = parsed.iter().find_map(|split| split.as_ref().err()) {
        let refused = texts.iter().zip(&parsed).filter(|(_, split)| split.is_err()).map(|(text, _)| text.clone());
        let hint = format!("{reason}; the values are `train`, `val` and `test`");
        return Err(bad("split table, column `split`", "no part of a split", refused.collect(), texts.len(), &hint));
    }
    Ok(parsed.into_iter().flatten().collect())
}

fn by_names(listed: &[String], rows: &[Split], names: &[String]) -> Result<Vec<Split>> {
    let place = "split table, column `obs_name`";
    check_unique(listed, place, "list every cell once")?;
    let of: BTreeMap<&str, Split> = listed.iter().map(String::as_str).zip(rows.iter().copied()).collect();
    let known: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let unknown: Vec<String> = listed.iter().filter(|name| !known.contains(name.as_str())).cloned().collect();
    if !unknown.is_empty() {
        return Err(bad(place, "names of no cell in the data", unknown, listed.len(), "remove these rows"));
    }
    complete(names.iter().map(|name| of.get(name.as_str()).copied()).collect(), names)
}

fn by_conditions(
    patterns: &[Condition],
    rows: &[Split],
    names: &[String],
    conditions: &[Condition],
) -> Result<Vec<Split>> {
    let mut splits = vec![None; conditions.len()];
    for (pattern, &split) in patterns.iter().zip(rows) {
        for row in covered(conditions, pattern, &pattern.to_string())? {
            if splits[row].is_some() {
                return Err(Error::InvalidParameter {
                    name: "split table".into(),
                    value: pattern.to_string(),
                    reason: "two rows of the table cover the same cells".into(),
                });
            }
            splits[row] = Some(split);
        }
    }
    complete(splits, names)
}

fn complete(splits: Vec<Option<Split>>, names: &[String]) -> Result<Vec<Split>> {
    let missing: Vec<String> =
        splits.iter().zip(names).filter(|(split, _)| split.is_none()).map(|(_, name)| name.clone()).collect();
    if missing.is_empty() {
        return Ok(splits.into_iter().flatten().collect());
    }
    let hint = "give every cell, or every condition with the control, a row; those to train on are `train`";
    Err(bad("obs", "in no row of the split table", missing, names.len(), hint))
}

fn bad(place: &str, problem: &str, examples: Vec<String>, n_total: usize, hint: &str) -> Error {
    Error::BadValues {
        place: place.to_owned(),
        problem: problem.to_owned(),
        n_bad: examples.len(),
        n_total,
        examples,
        hint: hint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The split of six cells: `.` is train, `v` is val, `x` is test.
    fn table(text: &str) -> Result<String> {
        let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned));
        let columns = lines.next().unwrap().collect();
        let field = |text: String| (!text.is_empty()).then_some(text);
        let table = SplitTable { columns, rows: lines.map(|line| line.map(field).collect()).collect() };
        let names: Vec<String> = (0..6).map(|row| format!("c{row}")).collect();
        let texts = ["ctrl | t=1", "ctrl | t=2+", "A | t=1", "A | t=2+", "A+B | t=1", "A+B | t=2+"];
        let conditions = texts.map(|text| Condition::parse(text, "ctrl").unwrap());
        let letter = |split| match split {
            Split::Train => '.',
            Split::Validation => 'v',
            Split::Test => 'x',
        };
        Ok(by_table(&table, &names, &conditions, "ctrl")?.into_iter().map(letter).collect())
    }

    #[test]
    fn a_table_of_cells_is_complete_and_free_of_strangers() {
        let all = "obs_name,split\nc0,train\nc1,train\nc2,train\nc3,val\nc4,test\n";
        assert_eq!(table(&format!("{all}c5,test")).unwrap(), "...vxx");
        let message = table(all).unwrap_err().to_string();
        assert!(message.contains("1 of 6 values are in no row of the split table; for example `c5`"), "{message}");
        let message = table(&format!("{all}c5,test\nx,test")).unwrap_err().to_string();
        assert!(message.contains("names of no cell") && message.contains("`x`"), "{message}");
        assert!(table(&format!("{all}c5,test\nc5,test")).unwrap_err().to_string().contains("duplicated"));
        assert!(table(&format!("{all}c5,")).unwrap_err().to_string().contains("empty"));
        assert!(table(&all.replace("c1,train", "c1,test")).is_err());
        let message = table(&format!("{}c5,test", all.replace("c1,train", "c1,val"))).unwrap_err().to_string();
        assert!(message.contains("1 control cells"), "{message}");
    }

    #[test]
    fn a_table_of_conditions_may_name_covariates() {
        let all = "perturbation,t,split\nctrl,1,train\nctrl,2+,train\nA,1,train\nA,2+,val\nB+A,1,train\n";
        assert_eq!(table(&format!("{all}A+B,2+,test")).unwrap(), "...v.x");
        let with_strata = format!("{all}A+B,2+,test").replace('\n', ",told\n").replace("split,told", "split,stratum");
        assert_eq!(table(&format!("{with_strata},told")).unwrap(), "...v.x");
        assert!(table(all).unwrap_err().to_string().contains("`c5`"));
        assert!(table(&format!("{all}A+B,1,test")).unwrap_err().to_string().contains("two rows"));
        assert!(table(&format!("{all}A+C,2+,test")).unwrap_err().to_string().contains("`A+B`"));
        assert!(table("condition,split\nA,test").unwrap_err().to_string().contains("`perturbation` is missing"));
    }

    #[test]
    fn other_words_for_parts_say_what_to_write() {
        for (word, advice) in [("validation", "write `val`"), ("ood", "write `test`"), ("Train", "write `train`")] {
            let error = table(&format!("obs_name,split\nc0,{word}")).unwrap_err();
            assert!(error.hint().unwrap().contains(advice), "{error:?}");
        }
    }
}
