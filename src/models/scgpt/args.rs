//! The settings of a published scGPT.

use std::path::PathBuf;

use serde_json::Value;

use crate::language::encoder::EncoderParams;
use crate::{Error, Result};

/// `args.json`: what it says of the network.
pub(super) struct Args<'a> {
    /// The file that errors speak of.
    pub(super) path: PathBuf,
    pub(super) values: &'a Value,
}

impl Args<'_> {
    /// The size of the transformer.
    ///
    /// # Errors
    /// [`Error::MissingKey`] for a setting that is absent; [`Error::InvalidFile`] for a network of another kind.
    pub(super) fn encoder(&self) -> Result<EncoderParams> {
        if let Some(style) = self.values.get("input_emb_style").filter(|style| *style != "continuous") {
            return self.refuse(format!("input_emb_style is {style}; only \"continuous\" values can be read"));
        }
        if self.values.get("pre_norm").is_some_and(|pre_norm| *pre_norm != Value::Bool(false)) {
            return self.refuse("pre_norm is true; only layers that normalise afterwards are supported".into());
        }
        let encoder = EncoderParams {
            width: self.number(&["embsize"])?,
            n_heads: self.number(&["nheads", "nhead"])?,
            n_hidden: self.number(&["d_hid"])?,
            n_layers: self.number(&["nlayers"])?,
        };
        match encoder.check() {
            Ok(()) => Ok(encoder),
            Err(error) => self.refuse(error.to_string()),
        }
    }

    /// The whole number of the first of some names that is there.
    fn number(&self, names: &[&str]) -> Result<usize> {
        let Some(value) = names.iter().find_map(|name| self.values.get(*name)) else {
            return Err(Error::MissingKey {
                place: self.path.display().to_string(),
                key: names[0].into(),
                hint: "give a folder that scGPT wrote: args.json, vocab.json and best_model.pt".into(),
            });
        };
        match value.as_u64().and_then(|number| usize::try_from(number).ok()) {
            Some(number) => Ok(number),
            None => self.refuse(format!("{} is {value}, not a whole number", names[0])),
        }
    }

    fn refuse<T>(&self, reason: String) -> Result<T> {
        Err(Error::InvalidFile {
            path: self.path.clone(),
            reason,
            hint: "give the folder of an scGPT with continuous values and layers that normalise afterwards".into(),
        })
    }
}
