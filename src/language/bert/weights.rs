//! The weights of a folder under our names.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::params::{BertFamily, BertParams};
use super::plan::{KINDS, plan, prefix, roots};
use crate::Result;
use crate::language::hugging_face::tensors::{refuse_strangers, take};

/// Names the tensors of a folder as [`Bert::new`](super::Bert::new) asks for them, in 32 bits; `place` is the folder that errors speak of.
/// Heads are left out.
///
/// # Errors
/// [`crate::Error::MissingKey`] for tensors that are absent; [`crate::Error::ShapeMismatch`] for other shapes;
/// [`crate::Error::BadValues`] for numbers that are not finite; [`crate::Error::InvalidFile`] for tensors of an encoder that belong
/// to none of this configuration.
pub fn convert(params: &BertParams, tensors: HashMap<String, Tensor>, place: &Path) -> Result<HashMap<String, Tensor>> {
    let mut tensors = tensors.into_iter().map(|(name, tensor)| (today(name), tensor)).collect();
    let mut ours = take(&plan(params), &mut tensors, place)?;
    let is_own = |name: &&String| {
        let bare = name.strip_prefix(prefix(params.family)).unwrap_or(name);
        roots(params.family).iter().any(|root| bare.starts_with(root))
    };
    refuse_strangers(tensors.keys().filter(is_own), params.family.name(), place)?;
    if params.family == BertFamily::DistilBert {
        let nothing = Tensor::zeros((params.n_kinds, params.width), DType::F32, &Device::Cpu)?;
        ours.insert(KINDS.into(), nothing);
    }
    Ok(ours)
}

/// The first BERTs came from TensorFlow, where gains and biases of normalisations have other names.
fn today(name: String) -> String {
    for (old, new) in [(".LayerNorm.gamma", ".LayerNorm.weight"), (".LayerNorm.beta", ".LayerNorm.bias")] {
        if let Some(start) = name.strip_suffix(old) {
            return format!("{start}{new}");
        }
    }
    name
}
