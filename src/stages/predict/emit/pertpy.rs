//! One file with real controls, real cells and generated cells side by side, for the distances of pertpy.
//!
//! `obsm["X_pca"]` has all of them on the same components, training cells as if these had not been fitted to them; each
//! value of `obs["group"]` is one population to compare.

use std::path::Path;

use super::EmitAs;
use super::labels::Labels;
use crate::Result;
use crate::conditions::status::Measured;

/// The column that tells real and generated cells of each condition apart.
const GROUP: &str = "group";

/// The perturbation, covariates under their own names, the origin, how far the condition is from training and its stratum, and
/// the group.
///
/// # Errors
/// Those of [`Labels::set_covariates`].
pub(super) fn label(labels: &mut Labels, covariates: &[String], measured: &Measured) -> Result<()> {
    labels.set("perturbation", |condition, _| condition.perturbation.to_string());
    labels.set("origin", |_, origin| origin.to_string());
    labels.set("status", |condition, _| measured.status(condition).to_string());
    labels.set("stratum", |condition, _| measured.status(condition).stratum());
    labels.set(GROUP, |condition, origin| format!("{condition} | {origin}"));
    labels.set_covariates(EmitAs::Pertpy, covariates)
}

/// How pertpy is called on the file.
pub(super) fn call(file: &Path) -> String {
    format!(
        "pertpy.tools.Distance(\"edistance\", obsm_key=\"X_pca\").pairwise(anndata.read_h5ad({:?}), groupby={GROUP:?})",
        file.display().to_string()
    )
}
