//! Tells what is in a file and what to type next.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::inspection::{self, Choices, Inspection};
use crate::io::h5ad;
use crate::{Error, Result};

/// What to look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct InspectParams {
    /// The file.
    pub input: PathBuf,
    /// The column of obs that names the perturbation; suggested if absent.
    pub perturbation_column: Option<String>,
    /// The control's name in this column; suggested if absent.
    pub control: Option<String>,
    /// Columns of obs that tell cells apart beside the perturbation; suggested if empty.
    pub covariates: Vec<String>,
}

impl InspectParams {
    /// Checks that the parameters go together.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`].
    pub fn check(&self) -> Result<()> {
        match (&self.perturbation_column, &self.control) {
            (None, Some(control)) => Err(Error::InvalidParameter {
                name: "--control".into(),
                value: control.clone(),
                reason: "tell with --perturbation-column in which column this name stands".into(),
            }),
            _ => Ok(()),
        }
    }
}

/// Reads a file and looks at everything in it.
///
/// # Errors
/// Those of [`InspectParams::check`], of reading, and of [`inspection::inspect`].
pub fn inspect(params: &InspectParams) -> Result<Inspection> {
    params.check()?;
    let (cells, notes) = h5ad::read_noting(&params.input)?;
    let choices = Choices {
        perturbation_column: params.perturbation_column.clone(),
        control: params.control.clone(),
        covariates: params.covariates.clone(),
    };
    inspection::inspect(&params.input.display().to_string(), &cells, notes, &choices)
}
