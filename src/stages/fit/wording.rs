//! What is said of components, and who reads it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::language::Digests;
use super::{FitParams, Watcher};
use crate::conditions::descriptions::Descriptions;
use crate::conditions::prompt::Phrasing;
use crate::error::refuse;
use crate::io::{description_table, text_encoder_folder};
use crate::models::described::{Pooling, TextNetwork, Wording};
use crate::models::guide::Centre;
use crate::models::known::Known;
use crate::models::registry::Has;
use crate::{Error, Result};

/// Which network reads descriptions, for the provenance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Reads {
    architecture: &'static str,
    blocks: usize,
    width: usize,
    pooling: Pooling,
    files_sha256: Digests,
}

impl FitParams {
    /// Fails if choices of the text encoder do not go together.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`].
    pub(super) fn check_wording(&self) -> Result<()> {
        if self.descriptions_partial && self.descriptions.is_none() {
            return refuse("descriptions-partial", "given", "there are no descriptions; give --descriptions FILE.csv");
        }
        if self.text_pooling.is_some() && self.text_encoder.is_none() {
            return refuse("text-pooling", "given", "it says something of --text-encoder, which is not given");
        }
        if self.text_encoder.is_some() && self.descriptions.is_none() {
            return refuse("text-encoder", "given", "it reads descriptions; give --descriptions FILE.csv");
        }
        if self.text_encoder.is_some() && self.method.has(Has::Flow) && self.centre == Centre::None {
            let reason = "with --centre none no effect is told by descriptions; they are read in prompts only";
            return refuse("text-encoder", "given", reason);
        }
        Ok(())
    }

    /// How conditions are put into words, with the network that reads descriptions if one is asked for.
    ///
    /// # Errors
    /// Those of reading, of [`Phrasing::new`], [`TextNetwork::new`] and [`TextNetwork::check`]; [`Error::BadValues`] if a component of
    /// the training cells has no description, unless that is allowed.
    pub(super) fn wording(
        &self,
        covariates: &[String],
        known: &Known,
        watcher: &dyn Watcher,
    ) -> Result<(Wording, Option<Reads>)> {
        let descriptions = self.descriptions.as_deref().map(|path| descriptions(path, self, known, watcher));
        let descriptions = descriptions.transpose()?.unwrap_or_default();
        let Some(folder) = &self.text_encoder else {
            return Ok((Phrasing::new(&self.prompts, covariates, descriptions)?.into(), None));
        };
        let read = text_encoder_folder::read(folder, self.text_pooling)?;
        let pooling = read.pooling;
        let network = TextNetwork::new(read.params, pooling, read.tokenizer, read.tensors)?;
        network.check(&descriptions)?;
        watcher.say(&format!("text encoder: {network}"));
        let [blocks, width] = read.params.size();
        let architecture = read.params.family();
        let reads = Reads { architecture, blocks, width, pooling, files_sha256: read.digests };
        let phrasing = Phrasing::new(&self.prompts, covariates, descriptions)?;
        Ok((Wording { phrasing, network: Some(Arc::new(network)) }, Some(reads)))
    }
}

/// Reads what is said of components, and tells which of them the screen does not have.
///
/// # Errors
/// Those of reading; [`Error::BadValues`] if a component of the training cells has no description, unless that is
/// allowed.
fn descriptions(path: &Path, params: &FitParams, known: &Known, watcher: &dyn Watcher) -> Result<Descriptions> {
    let descriptions = description_table::read(path)?;
    let components = known.components();
    let lacking: Vec<String> = components.iter().filter(|name| descriptions.get(name).is_none()).cloned().collect();
    if !lacking.is_empty() && !params.descriptions_partial {
        return Err(Error::BadValues {
            place: "components of the training cells".into(),
            problem: format!("without a row in `{}`", path.display()),
            n_bad: lacking.len(),
            n_total: components.len(),
            examples: lacking,
            hint: "describe them, or say --descriptions-partial".into(),
        });
    }
    let doses = known.doses();
    let names: BTreeSet<&String> = doses.names().collect();
    let others: Vec<&String> = descriptions.iter().map(|(name, _)| name).filter(|name| !names.contains(name)).collect();
    if let Some(example) = others.first() {
        watcher.say(&format!(
            "{} of {} descriptions are of components that no training cell has, such as `{example}`: predict --allow-unseen takes \
             them",
            others.len(),
            descriptions.len()
        ));
    }
    Ok(descriptions)
}
