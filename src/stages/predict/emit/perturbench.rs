//! Two files as PerturBench's `Evaluation` reads them: a reference and a prediction with the same controls and conditions.
//!
//! Expression is log1p, `obs["condition"]` holds `A+B` and `control`, covariates keep their names; all are categorical.

use std::path::Path;

use super::EmitAs;
use super::labels::Labels;
use crate::Result;

/// The generated cells, in the folder.
pub(super) const PREDICTION: &str = "prediction.h5ad";
/// The real cells, in the folder.
pub(super) const REFERENCE: &str = "reference.h5ad";
const PERTURBATION: &str = "condition";
/// With which PerturBench joins covariates and perturbation, and takes them apart again, unless it is told another one.
const DELIMITER: &str = "_";
const OTHER_DELIMITERS: [&str; 4] = ["|", "~", "::", "@@"];

/// The perturbation, and the covariates under their own names.
///
/// # Errors
/// Those of [`Labels::set_covariates`].
pub(super) fn label(labels: &mut Labels, covariates: &[String]) -> Result<()> {
    labels.set(PERTURBATION, |condition, _| condition.perturbation.to_string());
    labels.set_covariates(EmitAs::Perturbench, covariates)
}

/// How `Evaluation` is called on the folder.
pub(super) fn call(folder: &Path, covariates: &[String], labels: &Labels) -> String {
    let place = |name: &str| format!("anndata.read_h5ad({:?})", folder.join(name).display().to_string());
    let columns = if covariates.is_empty() { String::new() } else { format!(", cov_cols={covariates:?}") };
    let call = format!(
        "Evaluation({{\"scflow\": {}}}, {}, pert_col={PERTURBATION:?}, ctrl=\"control\"{columns})",
        place(PREDICTION),
        place(REFERENCE)
    );
    if !labels.hold(DELIMITER) {
        return call;
    }
    let delimiter = OTHER_DELIMITERS.into_iter().find(|other| !labels.hold(other));
    let delim = delimiter.map_or("another text than any that they hold".to_owned(), |other| format!("{other:?}"));
    format!(
        "{call}; names hold {DELIMITER:?}, at which it would cut them: call its aggregate() with delim={delim} first"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::Condition;

    #[test]
    fn a_delimiter_is_named_that_no_name_holds() {
        let said = |text: &str| {
            let condition = Condition::parse(text, "control").unwrap();
            let covariates: Vec<String> = condition.covariates.keys().cloned().collect();
            let mut labels = Labels::new([condition].into(), std::iter::empty());
            label(&mut labels, &covariates).unwrap();
            call(Path::new("out"), &covariates, &labels)
        };
        let usual = "Evaluation({\"scflow\": anndata.read_h5ad(\"out/prediction.h5ad\")}, \
                     anndata.read_h5ad(\"out/reference.h5ad\"), pert_col=\"condition\", ctrl=\"control\"";
        assert_eq!(said("A+B"), format!("{usual})"));
        assert_eq!(said("A+B | cell_type=T cell"), format!("{usual}, cov_cols=[\"cell_type\"])"));
        assert!(said("A+B | cell_type=CD4_T").ends_with("with delim=\"|\" first"));
        assert!(said("\"A|1\" + B_1").ends_with("with delim=\"~\" first"));
        assert!(said("\"A|1\" + \"B_~::@@\"").ends_with("any that they hold first"));
    }
}
