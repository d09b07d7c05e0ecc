//! The columns of other programs' files.

use serde::{Deserialize, Serialize};

/// Whose files name their columns so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schema {
    /// GEARS, scGPT: `condition` with `A+B`, `A+ctrl`, `ctrl`.
    Gears,
    /// CPA: `condition` with `A+B`, `dose_val` with `1.0+0.5`.
    Cpa,
    /// CellFlow: `drug_1`, `drug_2`, `dose_1`, `dose_2`, `is_control`.
    Cellflow,
    /// STATE: `gene`, `non-targeting`.
    State,
    /// cell-eval and the Virtual Cell Challenge: `target_gene`, `non-targeting`.
    CellEval,
    /// PerturBench: `condition` with `A+B`, `control`.
    Perturbench,
    /// scPerturb: `perturbation` with `A_B`, `dose_value`, `dose_unit`.
    Scperturb,
    /// Open Problems (NeurIPS 2023): `sm_name`, `dose_uM`.
    Openproblems,
}

/// What a schema sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaColumns {
    /// Columns of labels, or one for each slot.
    pub perturbation: &'static [&'static str],
    /// What the control is called.
    pub control: &'static str,
    /// The column that marks control cells.
    pub control_column: Option<&'static str>,
    /// What stands between components.
    pub separator: &'static str,
    /// Columns of doses.
    pub dose: &'static [&'static str],
    /// The unit of doses: a column or the unit itself.
    pub dose_unit: Option<&'static str>,
    /// Columns that are part of the condition.
    pub covariates: &'static [&'static str],
}

impl Schema {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Gears,
        Self::Cpa,
        Self::Cellflow,
        Self::State,
        Self::CellEval,
        Self::Perturbench,
        Self::Scperturb,
        Self::Openproblems,
    ];

    /// The name by which it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gears => "gears",
            Self::Cpa => "cpa",
            Self::Cellflow => "cellflow",
            Self::State => "state",
            Self::CellEval => "cell-eval",
            Self::Perturbench => "perturbench",
            Self::Scperturb => "scperturb",
            Self::Openproblems => "openproblems",
        }
    }

    /// Its columns. In Open Problems' files `control` is true for positive controls too, so that the control is told by its
    /// name.
    pub fn columns(self) -> SchemaColumns {
        let plain = SchemaColumns {
            perturbation: &["condition"],
            control: "control",
            control_column: None,
            separator: "+",
            dose: &[],
            dose_unit: None,
            covariates: &["cell_type"],
        };
        match self {
            Self::Gears => SchemaColumns { control: "ctrl", ..plain },
            Self::Cpa => SchemaColumns { control: "ctrl", dose: &["dose_val"], ..plain },
            Self::Cellflow => SchemaColumns {
                perturbation: &["drug_1", "drug_2"],
                control_column: Some("is_control"),
                dose: &["dose_1", "dose_2"],
                ..plain
            },
            Self::State => SchemaColumns { perturbation: &["gene"], control: "non-targeting", separator: "", ..plain },
            Self::CellEval => SchemaColumns {
                perturbation: &["target_gene"],
                control: "non-targeting",
                separator: "",
                covariates: &[],
                ..plain
            },
            Self::Perturbench => plain,
            Self::Scperturb => SchemaColumns {
                perturbation: &["perturbation"],
                separator: "_",
                dose: &["dose_value"],
                dose_unit: Some("dose_unit"),
                covariates: &["celltype"],
                ..plain
            },
            Self::Openproblems => SchemaColumns {
                perturbation: &["sm_name"],
                control: "Dimethyl Sulfoxide",
                separator: "",
                dose: &["dose_uM"],
                dose_unit: Some("uM"),
                ..plain
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for schema in Schema::ALL {
            let text = serde_json::to_string(&schema).unwrap();
            assert_eq!(text, format!("\"{}\"", schema.name()));
            assert_eq!(serde_json::from_str::<Schema>(&text).unwrap(), schema);
        }
    }
}
