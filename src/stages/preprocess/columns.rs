//! The columns of a screen that tell conditions.

use super::PreprocessParams;
use crate::cells::Annotations;
use crate::conditions::Perturbation;
use crate::error::refuse;
use crate::preprocess::labels::{LabelColumns, Schema, SchemaColumns};
use crate::{Error, Result};

/// The columns of `obs` that a prepared screen owns.
const OWN_COLUMNS: [&str; 8] = [
    "perturbation",
    "is_control",
    "n_perts",
    "split",
    "library_size",
    "total_counts",
    "n_genes_by_counts",
    "pct_counts_mt",
];

impl PreprocessParams {
    /// Fails if what is said of columns cannot be true of any screen.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`].
    pub(super) fn check_labels(&self) -> Result<()> {
        let labels = self.labels();
        let (n_slots, n_doses) = (labels.perturbation.len(), labels.dose.len());
        if n_doses > 0 && n_doses != n_slots {
            let reason =
                format!("there are {n_slots} columns of perturbations: give as many of doses, in the same order");
            return refuse("dose_column", labels.dose.join(", "), &reason);
        }
        if labels.dose_unit.is_some() && n_doses == 0 {
            return refuse(
                "dose_unit",
                self.dose_unit.as_deref().unwrap_or(""),
                "there is no dose_column whose unit it could be",
            );
        }
        if labels.time_unit.is_some() && labels.time.is_none() {
            return refuse(
                "time_unit",
                self.time_unit.as_deref().unwrap_or(""),
                "there is no time_column whose unit it could be",
            );
        }
        let own = labels.perturbation.iter().chain(&labels.dose).chain(&labels.time).collect::<Vec<_>>();
        if let Some(twice) = (0..own.len()).find(|&place| own[..place].contains(&own[place])) {
            return refuse("perturbation_column", own[twice], "the column is named twice");
        }
        for (position, covariate) in labels.covariates.iter().enumerate() {
            if labels.covariates[..position].contains(covariate) {
                return refuse("covariate", covariate, "the covariate is named twice");
            }
            if labels.dose.contains(covariate) {
                return refuse("covariate", covariate, "this is a column of doses, which are part of the perturbation");
            }
            if labels.perturbation.contains(covariate) {
                return refuse("covariate", covariate, "this is the perturbation column");
            }
            if OWN_COLUMNS.contains(&covariate.as_str()) {
                return refuse("covariate", covariate, "preprocess writes a column of this name; rename yours first");
            }
        }
        Ok(())
    }

    /// What stands in the columns of conditions: what is given, then the schema, then what is usual. A name that is given as
    /// nothing means that there is no such column.
    pub fn labels(&self) -> LabelColumns {
        let schema = self.schema.map(Schema::columns);
        let names = |given: &[String], of: &dyn Fn(&SchemaColumns) -> &'static [&'static str]| -> Vec<String> {
            match given {
                [] => schema
                    .as_ref()
                    .map_or(Vec::new(), |schema| of(schema).iter().map(|&name| name.to_owned()).collect()),
                given => given.iter().filter(|name| !name.is_empty()).cloned().collect(),
            }
        };
        let text = |given: &Option<String>, of: &dyn Fn(&SchemaColumns) -> Option<&'static str>| -> Option<String> {
            match given {
                Some(given) => Some(given.clone()).filter(|given| !given.is_empty()),
                None => schema.as_ref().and_then(of).map(str::to_owned),
            }
        };
        let mut perturbation = names(&self.perturbation_column.0, &|schema| schema.perturbation);
        if perturbation.is_empty() {
            perturbation.push("perturbation".into());
        }
        let control = match self.control.is_empty() {
            true => schema.as_ref().map_or(Perturbation::CONTROL, |schema| schema.control).to_owned(),
            false => self.control.clone(),
        };
        let dose = names(&self.dose_column.0, &|schema| schema.dose);
        LabelColumns {
            perturbation,
            control,
            control_column: text(&self.control_column, &|schema| schema.control_column),
            separator: match (&self.separator, &schema) {
                (Some(separator), _) => separator.clone(),
                (None, Some(schema)) => schema.separator.to_owned(),
                (None, None) => "+".into(),
            },
            // A schema's unit is that of its doses.
            dose_unit: text(&self.dose_unit, &|schema| schema.dose_unit.filter(|_| !dose.is_empty())),
            dose,
            time: self.time_column.clone().filter(|name| !name.is_empty()),
            time_unit: self.time_unit.clone().filter(|name| !name.is_empty()),
            covariates: names(&self.covariates, &|schema| schema.covariates),
        }
    }

    /// Fails if the schema names a column that the screen does not have.
    ///
    /// # Errors
    /// [`Error::MissingColumn`] with the columns that exist, and the flag that names another.
    pub(super) fn check_columns(&self, obs: &Annotations) -> Result<()> {
        let Some(schema) = self.schema else { return Ok(()) };
        let labels = self.labels();
        let wanted = [
            ("--perturbation-column", &labels.perturbation, self.perturbation_column.0.is_empty()),
            ("--control-column", &labels.control_column.into_iter().collect(), self.control_column.is_none()),
            ("--dose-column", &labels.dose, self.dose_column.0.is_empty()),
            ("--covariate", &labels.covariates, self.covariates.is_empty()),
        ];
        for (flag, columns, is_of_schema) in wanted {
            if let Some(missing) = columns.iter().find(|column| is_of_schema && obs.get(column).is_none()) {
                let none = match flag {
                    "--perturbation-column" => String::new(),
                    flag => format!(", or say {flag} \"\" if there is none"),
                };
                return Err(Error::MissingColumn {
                    table: format!("obs, where --schema {} has it; name another with {flag}{none}", schema.name()),
                    column: missing.clone(),
                    available: obs.names(),
                });
            }
        }
        Ok(())
    }

    /// Fails if a covariate has the name of a column that is written beside `perturbation`.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`].
    pub(super) fn check_written<'a>(&self, mut written: impl Iterator<Item = &'a String>) -> Result<()> {
        let covariates = self.labels().covariates;
        match written.find(|name| covariates.contains(name)) {
            Some(name) => refuse("covariate", name, "preprocess writes a column of this name; rename yours first"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(section: &str) -> LabelColumns {
        toml::from_str::<PreprocessParams>(section).unwrap().labels()
    }

    #[test]
    fn a_file_of_settings_names_columns_as_flags_do() {
        assert_eq!(labels(""), LabelColumns::plain("perturbation", "control", &[]));
        let cpa = labels("schema = \"cpa\"\ncontrol = \"DMSO\"\ndose_unit = \"uM\"");
        assert_eq!(
            (cpa.perturbation, cpa.control, cpa.dose),
            (vec!["condition".into()], "DMSO".into(), vec!["dose_val".into()])
        );
        assert_eq!((cpa.dose_unit.as_deref(), cpa.covariates), (Some("uM"), vec!["cell_type".to_owned()]));
        let slots = labels("perturbation_column = [\"a\", \"b\"]\ndose_column = [\"c\", \"d\"]\nseparator = \"_\"");
        assert_eq!(
            (slots.perturbation, slots.dose, slots.separator),
            (vec!["a".into(), "b".into()], vec!["c".into(), "d".into()], "_".into())
        );
        let none = labels("schema = \"scperturb\"\ndose_column = [\"\"]\ncovariates = [\"\"]");
        assert!(none.dose.is_empty() && none.dose_unit.is_none() && none.covariates.is_empty());
        assert!(toml::from_str::<PreprocessParams>("schema = \"geers\"").is_err());
    }
}
