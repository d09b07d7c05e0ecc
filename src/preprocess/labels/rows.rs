//! What the columns say of one cell.

use std::collections::BTreeMap;

use super::{LabelColumns, MISSING};
use crate::cells::{Annotations, Column};
use crate::conditions::{Component, Perturbation, Quantity};
use crate::{Error, Result};

/// The columns of a screen as texts; nothing where a value is missing.
pub(super) struct Screen<'a> {
    names: &'a [String],
    slots: Vec<Vec<Option<String>>>,
    doses: Vec<Vec<Option<String>>>,
    dose_unit: Unit,
    time: Option<Vec<Option<String>>>,
    time_unit: Unit,
    is_control: Option<Vec<bool>>,
}

/// Where a unit is taken from.
enum Unit {
    Absent,
    Same(String),
    Column(Vec<Option<String>>),
}

/// What the columns say of one cell. Cells that read the same share a condition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row<'a> {
    pub(super) slots: Vec<Option<&'a str>>,
    doses: Vec<Option<&'a str>>,
    dose_unit: Option<&'a str>,
    time: Option<&'a str>,
    time_unit: Option<&'a str>,
    is_control: Option<bool>,
}

/// A value that cannot be read.
#[derive(Debug, Clone)]
pub(super) struct Bad {
    pub(super) column: String,
    pub(super) value: String,
    pub(super) reason: String,
}

impl<'a> Screen<'a> {
    /// Takes the columns.
    ///
    /// # Errors
    /// [`Error::MissingColumn`]; [`Error::BadValues`] for a column of controls that holds other values than true and false.
    pub(super) fn read(obs: &'a Annotations, columns: &LabelColumns) -> Result<Self> {
        let texts = |column: &String| Ok(present(obs.column("obs", column)?, &columns.control));
        let unit = |unit: &Option<String>| match unit {
            None => Unit::Absent,
            Some(name) => match column_of_units(obs, name) {
                Some(column) => Unit::Column(present(column, "")),
                None => Unit::Same(name.clone()),
            },
        };
        Ok(Self {
            names: &obs.index,
            slots: columns.perturbation.iter().map(texts).collect::<Result<_>>()?,
            doses: columns.dose.iter().map(texts).collect::<Result<_>>()?,
            dose_unit: unit(&columns.dose_unit),
            time: columns.time.as_ref().map(texts).transpose()?,
            time_unit: unit(&columns.time_unit),
            is_control: columns.control_column.as_ref().map(|column| claims(obs, column)).transpose()?,
        })
    }

    pub(super) fn n_cells(&self) -> usize {
        self.names.len()
    }

    /// What the columns say of a cell.
    pub(super) fn row(&self, cell: usize) -> Row<'_> {
        let is_control = self.is_control.as_ref().map(|is_control| is_control[cell]);
        match is_control {
            // Control cells of one kind read the same, whatever else stands beside them.
            Some(true) => Row {
                slots: self.slots.iter().map(|column| column[cell].as_deref()).collect(),
                doses: Vec::new(),
                dose_unit: None,
                time: None,
                time_unit: None,
                is_control,
            },
            _ => Row {
                slots: self.slots.iter().map(|column| column[cell].as_deref()).collect(),
                doses: self.doses.iter().map(|column| column[cell].as_deref()).collect(),
                dose_unit: text_of(&self.dose_unit, cell),
                time: self.time.as_ref().and_then(|time| time[cell].as_deref()),
                time_unit: text_of(&self.time_unit, cell),
                is_control,
            },
        }
    }

    /// Fails for cells of which no column says what was done to them.
    ///
    /// # Errors
    /// [`Error::BadValues`].
    pub(super) fn check_missing(&self, columns: &LabelColumns) -> Result<()> {
        let is_control = |cell: usize| self.is_control.as_ref().is_some_and(|is_control| is_control[cell]);
        let is_missing = |cell: &usize| !is_control(*cell) && self.slots.iter().all(|column| column[*cell].is_none());
        let missing: Vec<usize> = (0..self.n_cells()).filter(is_missing).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let place: Vec<String> = columns.perturbation.iter().map(|column| format!("obs[\"{column}\"]")).collect();
        Err(Error::BadValues {
            place: place.join(" and "),
            problem: "missing".into(),
            n_bad: missing.len(),
            n_total: self.n_cells(),
            examples: missing.iter().take(3).map(|&cell| format!("nothing in cell {}", self.names[cell])).collect(),
            hint: "fill the missing values or remove these cells first".into(),
        })
    }
}

fn text_of(unit: &Unit, cell: usize) -> Option<&str> {
    match unit {
        Unit::Absent => None,
        Unit::Same(unit) => Some(unit),
        Unit::Column(units) => units[cell].as_deref(),
    }
}

impl Row<'_> {
    /// The perturbation that the columns name.
    pub(super) fn perturbation(&self, columns: &LabelColumns) -> std::result::Result<Perturbation, Bad> {
        if self.is_control == Some(true) {
            return Ok(Perturbation::control());
        }
        let column = &columns.perturbation[0];
        let label = self.slots.iter().flatten().copied().collect::<Vec<_>>().join(" + ");
        let bad = |column: &String, reason: String| Bad { column: column.clone(), value: label.clone(), reason };
        let mut parts = self.parts(columns).map_err(|reason| bad(column, reason))?;
        let is_control = parts.iter().all(Option::is_none);
        if let (true, Some(control_column)) = (is_control && !label.is_empty(), &columns.control_column) {
            let reason = format!("it is the control's label, but obs[\"{control_column}\"] says that the cell is none");
            return Err(bad(column, reason));
        }
        if is_control {
            return Ok(Perturbation::control());
        }
        self.give_doses(&mut parts, columns)?;
        let mut parts: Vec<Component> = parts.into_iter().flatten().collect();
        if let (Some(text), Some(column)) = (self.time, &columns.time) {
            let time = Quantity::read(text).map(|time| time.or_in(self.time_unit.unwrap_or("")));
            let wrong = |reason: String| Bad { column: column.clone(), value: text.to_owned(), reason };
            let time = time.map_err(wrong)?;
            if !time.is_time() {
                let reason =
                    format!("`{time}` is no time; times are in min, h or d, named by --time-unit if not in the column");
                return Err(wrong(reason));
            }
            for part in &mut parts {
                if part.time.replace(time.clone()).is_some() {
                    return Err(bad(column, "the label has a time of its own".into()));
                }
            }
        }
        Perturbation::of_parts(parts).map_err(|reason| bad(column, reason))
    }

    /// The components in the order of the label or of the slots, nothing where the control stands.
    fn parts(&self, columns: &LabelColumns) -> std::result::Result<Vec<Option<Component>>, String> {
        if let ([_], [label]) = (&columns.perturbation[..], &self.slots[..]) {
            return Perturbation::read_parts(label.unwrap_or(""), &columns.separator, &columns.control);
        }
        let slot = |slot: &Option<&str>| match slot {
            None => Ok(None),
            Some(name) => Perturbation::read_parts(name, "", &columns.control).map(|mut parts| parts.swap_remove(0)),
        };
        self.slots.iter().map(slot).collect()
    }

    fn give_doses(&self, parts: &mut [Option<Component>], columns: &LabelColumns) -> std::result::Result<(), Bad> {
        let n_parts = parts.iter().flatten().count();
        if columns.dose.is_empty() || n_parts == 0 {
            return Ok(());
        }
        let Some(column) = columns.dose.first() else { return Ok(()) };
        let whole = self.doses.iter().flatten().copied().collect::<Vec<_>>().join(" + ");
        let bad = |reason: String| Bad { column: column.clone(), value: whole.clone(), reason };
        let pieces = |text: &'_ str| -> Vec<String> {
            match columns.separator.is_empty() {
                true => vec![text.trim().to_owned()],
                false => text.split(columns.separator.as_str()).map(|piece| piece.trim().to_owned()).collect(),
            }
        };
        let doses: Vec<Option<String>> = match &self.doses[..] {
            [None] => return Ok(()),
            [Some(text)] => pieces(text).into_iter().map(Some).collect(),
            slots => slots.iter().map(|dose| dose.map(str::to_owned)).collect(),
        };
        // As many as there are parts, with the control or without it.
        let places: Vec<usize> = match doses.len() {
            n if n == parts.len() => (0..n).collect(),
            n if n == n_parts => (0..parts.len()).filter(|&place| parts[place].is_some()).collect(),
            n => {
                let sign = if columns.separator.is_empty() { "+" } else { &columns.separator };
                return Err(bad(format!(
                    "{n_parts} components have {n} doses: write one for each, joined by `{sign}` like the components, or give \
                     one --dose-column for each --perturbation-column"
                )));
            }
        };
        let units: Vec<String> = self.dose_unit.map(pieces).unwrap_or_default();
        for (number, (place, dose)) in places.into_iter().zip(doses).enumerate() {
            let Some(part) = &mut parts[place] else { continue };
            let Some(dose) = dose.filter(|dose| !MISSING.contains(&dose.as_str())) else { continue };
            let unit = if units.len() > 1 { units.get(number) } else { units.first() };
            let quantity = Quantity::read(&dose).map_err(bad)?.or_in(unit.map_or("", String::as_str));
            if quantity.is_time() {
                return Err(bad(format!("`{quantity}` is a time; give it as --time-column")));
            }
            if part.dose.replace(quantity).is_some() {
                return Err(bad(format!("the label `{part}` has a dose of its own")));
            }
        }
        Ok(())
    }
}

/// The column that a unit is named by; nothing if it is the text of a unit itself, as a column of numbers may be called so.
pub(super) fn column_of_units<'a>(obs: &'a Annotations, name: &str) -> Option<&'a Column> {
    obs.get(name).filter(|_| !Quantity::knows_unit(name))
}

/// The values of a column; nothing for what other programs write where a value is missing, unless it names the control.
/// Numbers of single precision have the few digits that they were written with.
fn present(column: &Column, control: &str) -> Vec<Option<String>> {
    let control = control.trim();
    let is_missing = |text: &String| text.trim() != control && MISSING.contains(&text.trim());
    let texts = match column {
        Column::Float(values) => values.iter().map(|&value| (!value.is_nan()).then(|| number(value))).collect(),
        other => other.texts(),
    };
    texts.into_iter().map(|text| text.filter(|text| !is_missing(text))).collect()
}

/// A number in the fewest digits, those of single precision where it is one.
fn number(value: f64) -> String {
    let single = value as f32;
    if f64::from(single) == value { single.to_string() } else { value.to_string() }
}

/// A column of true and false.
fn claims(obs: &Annotations, column: &str) -> Result<Vec<bool>> {
    let texts = obs.texts("obs", column)?;
    let claim = |text: &String| match text.trim().to_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    };
    let claims: Vec<Option<bool>> = texts.iter().map(claim).collect();
    let bad: BTreeMap<&String, usize> =
        texts.iter().zip(&claims).filter(|(_, claim)| claim.is_none()).fold(BTreeMap::new(), |mut bad, (text, _)| {
            *bad.entry(text).or_default() += 1;
            bad
        });
    if bad.is_empty() {
        return Ok(claims.into_iter().flatten().collect());
    }
    Err(Error::BadValues {
        place: format!("obs[\"{column}\"]"),
        problem: "neither true nor false".into(),
        n_bad: bad.values().sum(),
        n_total: texts.len(),
        examples: bad.keys().take(3).map(|text| (*text).clone()).collect(),
        hint: "--control-column is true for control cells and false for all others".into(),
    })
}
