//! What a simulated screen is made of, written beside its cells.

use std::collections::BTreeMap;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::design::ScreenDesign;
use super::interactions::Kind;
use crate::cells::{Cells, Value};
use crate::{Error, Result};

/// The key of `varm` that holds the true effects.
pub const EFFECTS_KEY: &str = "simulation_effects";

/// What one perturbation does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SingleTruth {
    /// Its name.
    pub perturbation: String,
    /// The pathway that it targets, counted from 0.
    pub pathway: usize,
    /// Its activity there: positive activates, negative inhibits.
    pub activity: f64,
    /// The pathway that it moves weakly.
    pub side_pathway: usize,
    /// Its activity there.
    pub side_activity: f64,
    /// The share of cells that respond.
    pub penetrance: f64,
    /// Where there are doses: that of half the full activity, in uM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_dose: Option<f64>,
    /// Where there are doses: the power of the Hill curve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<f64>,
}

/// What one pair does beyond its parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairTruth {
    /// Its name.
    pub perturbation: String,
    /// Its two parts, each with its dose where there are doses.
    pub components: [String; 2],
    /// Their pathways.
    pub pathways: [usize; 2],
    /// The kind of the interaction.
    pub kind: Kind,
    /// The part that loses its effect, if the kind is masking.
    pub masked: Option<String>,
    /// Size of the interaction: Euclidean norm over genes of the log effect that is added to the sum of the parts.
    pub interaction_norm: f64,
}

/// The ground truth of a simulated screen.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// What was asked for.
    pub design: ScreenDesign,
    /// The singles.
    pub singles: Vec<SingleTruth>,
    /// The pairs.
    pub pairs: Vec<PairTruth>,
    /// The names of the conditions: control, singles, pairs.
    pub conditions: Vec<String>,
    /// The mean change of log expression against control cells, over cell types in their shares and over responding and
    /// other cells: (n_genes, n_conditions).
    ///
    /// **Units** natural logarithm of the fold change of expected counts.
    pub effects: Array2<f32>,
}

impl Truth {
    /// Writes the truth into `uns["scflow"]["simulation"]` and `varm["simulation_effects"]`.
    ///
    /// # Errors
    /// [`Error::Backend`] if the truth cannot become JSON.
    pub fn store(&self, cells: &mut Cells) -> Result<()> {
        fn json(value: &impl Serialize) -> Result<Value> {
            let text = serde_json::to_string(value).map_err(|source| Error::backend("writing the truth", source))?;
            Ok(Value::Text(text))
        }
        let simulation = BTreeMap::from([
            ("version".to_owned(), Value::Text(env!("CARGO_PKG_VERSION").to_owned())),
            ("parameters".to_owned(), json(&self.design)?),
            ("singles".to_owned(), json(&self.singles)?),
            ("pairs".to_owned(), json(&self.pairs)?),
            ("conditions".to_owned(), Value::Texts(self.conditions.clone())),
            (
                "note".to_owned(),
                Value::Text(format!(
                    "varm[\"{EFFECTS_KEY}\"] has one column per entry of `conditions`: the mean change of log \
                     expression (natural logarithm of the fold change of expected counts) against control cells"
                )),
            ),
        ]);
        let scflow = BTreeMap::from([("simulation".to_owned(), Value::Map(simulation))]);
        cells.uns.insert("scflow".to_owned(), Value::Map(scflow));
        cells.varm.insert(EFFECTS_KEY.to_owned(), self.effects.clone());
        Ok(())
    }
}
