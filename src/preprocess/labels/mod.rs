//! What was done to each cell, read from the columns that the user names; and names that must be unique.

mod rows;
mod schema;

use std::collections::BTreeMap;

use self::rows::{Bad, Row, Screen};
pub use self::schema::{Schema, SchemaColumns};
use crate::cells::{Annotations, Cells};
use crate::conditions::{Condition, Mixed, Perturbation, common_units};
use crate::{Error, Result};

/// Texts that other programs write where a value is missing; the last one may be a covariate's honest value.
const MISSING: [&str; 8] = ["", "nan", "NaN", "NAN", "NA", "N/A", "<NA>", "None"];

/// The columns of `obs` that say what was done to each cell, and how they are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelColumns {
    /// One column of labels, or one for each slot: then a value is one name, and an empty slot adds nothing.
    pub perturbation: Vec<String>,
    /// What the control is called there.
    pub control: String,
    /// A column that is true for control cells, whatever their labels.
    pub control_column: Option<String>,
    /// What stands between the components of a label; a label is one name if it is empty.
    pub separator: String,
    /// The columns of doses: none, one for the column of labels (doses of a combination joined like its components), or one for
    /// each slot.
    pub dose: Vec<String>,
    /// The unit of doses that have none: a column, or the unit itself.
    pub dose_unit: Option<String>,
    /// The column that says for how long cells were perturbed.
    pub time: Option<String>,
    /// The unit of times that have none: a column, or the unit itself.
    pub time_unit: Option<String>,
    /// Columns that are part of the condition.
    pub covariates: Vec<String>,
}

impl LabelColumns {
    /// One column of labels, with plus signs between components, and nothing else.
    pub fn plain(column: &str, control: &str, covariates: &[String]) -> Self {
        Self {
            perturbation: vec![column.to_owned()],
            control: control.to_owned(),
            control_column: None,
            separator: "+".into(),
            dose: Vec::new(),
            dose_unit: None,
            time: None,
            time_unit: None,
            covariates: covariates.to_vec(),
        }
    }
}

/// Says where units come from, as a name may be that of a column or of a unit: one sentence for doses, one for times.
pub fn units(cells: &Annotations, columns: &LabelColumns) -> Vec<String> {
    let said = |(what, unit): (&str, &Option<String>)| {
        let unit = unit.as_ref()?;
        Some(match rows::column_of_units(cells, unit) {
            Some(_) => format!("units of {what} are read from obs[\"{unit}\"]"),
            None => format!("{what} are in `{unit}`"),
        })
    };
    [("doses", &columns.dose_unit), ("times", &columns.time_unit)].into_iter().filter_map(said).collect()
}

/// Reads the condition of each cell. Doses of one component are in one unit: the one that most of its cells have.
///
/// # Errors
/// [`Error::MissingColumn`]; [`Error::BadValues`] for missing values, for labels that [`Perturbation::parse`] refuses, for
/// doses and times that are no numbers above zero, do not fit the components or do not go together ([`common_units`]);
/// [`Error::TooFew`] if no cell is a control.
pub fn conditions(cells: &Cells, columns: &LabelColumns) -> Result<Vec<Condition>> {
    let screen = Screen::read(&cells.obs, columns)?;
    screen.check_missing(columns)?;
    // A screen has many cells that read the same: distinct rows, each with its number of cells.
    let mut places = BTreeMap::<Row, usize>::new();
    let of_cell: Vec<usize> = (0..screen.n_cells())
        .map(|cell| {
            let next = places.len();
            *places.entry(screen.row(cell)).or_insert(next)
        })
        .collect();
    let mut n_cells = vec![0; places.len()];
    of_cell.iter().for_each(|&place| n_cells[place] += 1);
    let parsed: Vec<_> =
        places.into_iter().map(|(row, place)| (row.perturbation(columns), row, n_cells[place], place)).collect();
    // First, as a wrong name of the control makes the right one look like a forbidden component.
    if !parsed.iter().any(|(read, ..)| read.as_ref().is_ok_and(Perturbation::is_control)) {
        return Err(no_control(parsed.iter().map(|(_, row, n, _)| (row, *n)), columns));
    }
    let (mut good, mut bad) = (BTreeMap::<Perturbation, usize>::new(), Vec::new());
    for (read, _, n, _) in &parsed {
        match read {
            Ok(perturbation) => *good.entry(perturbation.clone()).or_default() += n,
            Err(reason) => bad.push((reason, *n)),
        }
    }
    if !bad.is_empty() {
        return Err(unreadable(&bad, of_cell.len(), columns));
    }
    let converted = common_units(&good).map_err(|mixed| mixed_doses(mixed, &good, columns))?;
    let mut shared = vec![Condition::default(); parsed.len()];
    for (read, _, _, place) in parsed {
        let perturbation = read.ok().and_then(|read| converted.get(&read).cloned()).unwrap_or_default();
        shared[place] = Condition::new(perturbation, BTreeMap::new());
    }
    let mut conditions: Vec<Condition> = of_cell.iter().map(|&place| shared[place].clone()).collect();
    for covariate in &columns.covariates {
        for (condition, value) in conditions.iter_mut().zip(present_texts(cells, covariate, &MISSING[..7])?) {
            condition.covariates.insert(covariate.clone(), value);
        }
    }
    Ok(conditions)
}

/// Values of one column that cannot be read, with their numbers of cells.
fn unreadable(bad: &[(&Bad, usize)], n_total: usize, columns: &LabelColumns) -> Error {
    let place = &bad[0].0.column;
    let here: Vec<&(&Bad, usize)> = bad.iter().filter(|(bad, _)| bad.column == *place).collect();
    let mut examples: Vec<String> = here.iter().map(|(bad, _)| bad.value.clone()).collect();
    examples.dedup();
    let is_label = columns.perturbation.contains(place);
    Error::BadValues {
        place: format!("obs[\"{place}\"]"),
        problem: if is_label { "no perturbation labels" } else { "no doses or times of their cells" }.into(),
        n_bad: here.iter().map(|(_, n)| n).sum(),
        n_total,
        examples,
        hint: here.last().map(|(bad, _)| bad.reason.clone()).unwrap_or_default(),
    }
}

fn mixed_doses(mixed: Mixed, counts: &BTreeMap<Perturbation, usize>, columns: &LabelColumns) -> Error {
    let place = columns.dose.first().or(columns.time.as_ref()).unwrap_or(&columns.perturbation[0]);
    Error::BadValues {
        place: format!("obs[\"{place}\"]"),
        problem: mixed.reason,
        n_bad: mixed.perturbations.iter().map(|perturbation| counts[perturbation]).sum(),
        n_total: counts.values().sum(),
        examples: mixed.perturbations.iter().take(3).map(ToString::to_string).collect(),
        hint: "give every cell of a component a dose in units that convert into one another (--dose-unit, --time-unit), or name \
               what was given without one otherwise"
            .into(),
    }
}

/// There is no control; labels that may be it are suggested.
fn no_control<'a>(rows: impl Iterator<Item = (&'a Row<'a>, usize)>, columns: &LabelColumns) -> Error {
    let (column, control) = (&columns.perturbation[0], columns.control.as_str());
    if let Some(column) = &columns.control_column {
        return Error::TooFew {
            what: format!("control cells, true in obs[\"{column}\"]"),
            needed: 1,
            got: 0,
            hint: "name another --control-column, or the control's label with --control".into(),
        };
    }
    let mut counts = BTreeMap::<&str, usize>::new();
    rows.filter_map(|(row, n)| Some((row.slots[0]?, n))).for_each(|(label, n)| *counts.entry(label).or_default() += n);
    let rank = |name: &str| strsim::jaro_winkler(name, control) + f64::from(u8::from(sounds_like_control(name)));
    let mut names: Vec<(&str, usize)> = counts.into_iter().collect();
    names.sort_by(|a, b| rank(b.0).total_cmp(&rank(a.0)).then(b.1.cmp(&a.1)));
    let near: Vec<String> = names.iter().take(3).map(|(name, n)| format!("`{name}` ({n} cells)")).collect();
    Error::TooFew {
        what: format!("control cells, labelled `{control}` in obs[\"{column}\"]"),
        needed: 1,
        got: 0,
        hint: format!("name the control with --control; labels that may be it: {}", near.join(", ")),
    }
}

/// Whether a label has a usual name of the control; it is only suggested, never taken.
fn sounds_like_control(label: &str) -> bool {
    let label = label.to_lowercase();
    let usual = ["ctrl", "control", "non-targeting", "nontargeting", "dmso", "vehicle", "pbs", "untreated", "unstim"];
    !label.contains('+') && usual.iter().any(|name| label.contains(name))
}

/// The texts of a column of `obs`, refused if one is absent or among `missing`.
fn present_texts(cells: &Cells, column: &str, missing: &[&str]) -> Result<Vec<String>> {
    let texts = cells.obs.texts("obs", column)?;
    let is_missing = |text: &str| missing.contains(&text);
    let missing: Vec<usize> = (0..texts.len()).filter(|&row| is_missing(texts[row].trim())).collect();
    if missing.is_empty() {
        return Ok(texts);
    }
    Err(Error::BadValues {
        place: format!("obs[\"{column}\"]"),
        problem: "missing".into(),
        n_bad: missing.len(),
        n_total: texts.len(),
        examples: missing
            .iter()
            .take(3)
            .map(|&row| format!("{} in cell {}", texts[row], cells.obs.index[row]))
            .collect(),
        hint: "fill the missing values or remove these cells first".into(),
    })
}

/// Fails if a name of a cell or a gene occurs twice.
///
/// # Errors
/// [`Error::BadValues`] with the number of rows whose name is not the first of its kind.
pub fn check_unique(names: &[String], place: &str, hint: &str) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    let doubled: Vec<&String> = names.iter().filter(|name| !seen.insert(name.as_str())).collect();
    if doubled.is_empty() {
        return Ok(());
    }
    let mut examples: Vec<String> = doubled.iter().map(|&name| name.clone()).collect();
    examples.sort();
    examples.dedup();
    Err(Error::BadValues {
        place: place.to_owned(),
        problem: "duplicated".into(),
        n_bad: doubled.len(),
        n_total: names.len(),
        examples,
        hint: hint.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::{Column, SparseMatrix};

    fn cells(labels: &[&str]) -> Cells {
        let mut obs = Annotations::new((0..labels.len()).map(|i| format!("c{i}")).collect());
        obs.set("drug", Column::categorical(labels));
        obs.set("type", Column::Text(labels.iter().map(|_| "T+".to_owned()).collect()));
        Cells { x: SparseMatrix::from_rows(1, vec![vec![(0, 1.0)]; labels.len()]), obs, ..Cells::default() }
    }

    fn read(labels: &[&str], control: &str) -> Result<Vec<Condition>> {
        conditions(&cells(labels), &LabelColumns::plain("drug", control, &["type".to_owned()]))
    }

    #[test]
    fn labels_become_conditions() {
        let conditions = read(&["B+A", "ctrl", "A+ctrl"], "ctrl").unwrap();
        let texts: Vec<String> = conditions.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["A+B | type=T+", "control | type=T+", "A | type=T+"]);
    }

    #[test]
    fn missing_values_are_refused_unless_they_name_the_control() {
        let message = read(&["A", "nan", "ctrl"], "ctrl").unwrap_err().to_string();
        assert!(message.contains("1 of 3 values are missing") && message.contains("cell c1"), "{message}");
        assert_eq!(read(&["A", "None"], "None").unwrap().len(), 2);
    }

    #[test]
    fn labels_that_cannot_be_read_are_counted() {
        let error = read(&["A", "Na+", "Na+", "ctrl"], "ctrl").unwrap_err();
        assert!(error.to_string().contains("2 of 4 values") && error.to_string().contains("`Na+`"), "{error}");
        assert!(error.hint().unwrap().contains("double quotes"), "{error:?}");
    }

    #[test]
    fn without_control_cells_the_nearest_labels_are_told() {
        let error = read(&["A", "Control"], "control").unwrap_err();
        assert!(error.hint().unwrap().contains("`Control` (1 cells)"), "{error:?}");
        let available = conditions(&cells(&["A"]), &LabelColumns::plain("dragon", "A", &[])).unwrap_err().to_string();
        assert!(available.contains("`drug`, `type`"), "{available}");
    }

    #[test]
    fn doubled_names_are_counted() {
        let names = ["a", "b", "a", "a"].map(str::to_owned);
        let message = check_unique(&names, "var_names", "").unwrap_err().to_string();
        assert!(message.contains("2 of 4 values are duplicated") && message.ends_with("example `a`"), "{message}");
        assert!(check_unique(&names[..2], "var_names", "").is_ok());
    }
}
