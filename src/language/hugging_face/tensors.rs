//! The tensors of a folder under our names and in our order.

use std::collections::HashMap;
use std::path::Path;

use candle_core::Tensor;

use crate::language::kernels::rotary::Heads;
use crate::language::kernels::values;
use crate::{Error, Result};

/// What to do with weights that do not fit.
const HINT: &str = "config.json and weights must come from the same model: fetch or save the folder again";

/// True for what older versions saved beside the weights: masks, positions, and frequencies that follow from the configuration.
pub fn is_buffer(name: &str) -> bool {
    const ENDS: [&str; 8] = [
        ".attention.bias",
        ".attention.masked_bias",
        ".attn.bias",
        ".attn.masked_bias",
        ".rotary_emb.inv_freq",
        ".attention.rotary_emb.inv_freq",
        "embeddings.position_ids",
        "embeddings.token_type_ids",
    ];
    ENDS.iter().any(|end| name.ends_with(end))
}

/// How the parts of a tensor become ours; several are joined along their first dimension before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::language) enum Form {
    /// As they are.
    Same,
    /// (n_out, n_in) → (n_in, n_out).
    Transposed,
    /// (heads · 3 · head_width, …): queries, keys and values of each head side by side → those of all heads, then transposed.
    ByHeads(Heads),
    /// The same for a bias, which is not transposed.
    BiasByHeads(Heads),
    /// Without its first rows.
    After(usize),
}

/// One of our tensors.
pub(in crate::language) struct Entry {
    pub(in crate::language) name: String,
    /// What names in the folder may begin with; those of a part of the model that has no head do not.
    pub(in crate::language) prefix: &'static str,
    /// Names and shapes in the folder, without the prefix.
    pub(in crate::language) parts: Vec<(String, Vec<usize>)>,
    pub(in crate::language) form: Form,
}

impl Entry {
    /// The name of a part in the folder, if it is there.
    fn find(&self, part: &str, tensors: &HashMap<String, Tensor>) -> Option<String> {
        [format!("{}{part}", self.prefix), part.to_owned()].into_iter().find(|name| tensors.contains_key(name))
    }
}

/// Takes the tensors of all entries out of those of a folder; `place` is the folder that errors speak of.
///
/// # Errors
/// [`Error::MissingKey`] for tensors that are absent; [`Error::ShapeMismatch`] for other shapes; [`Error::BadValues`] for numbers
/// that are not finite.
pub(in crate::language) fn take(
    entries: &[Entry],
    tensors: &mut HashMap<String, Tensor>,
    place: &Path,
) -> Result<HashMap<String, Tensor>> {
    let all = || entries.iter().flat_map(|entry| entry.parts.iter().map(move |(part, shape)| (entry, part, shape)));
    let absent = all().filter(|(entry, part, _)| entry.find(part, tensors).is_none());
    let missing: Vec<String> = absent.map(|(entry, part, _)| format!("{}{part}", entry.prefix)).collect();
    if let Some(first) = missing.first() {
        let n = missing.len();
        let more = if n > 1 { format!("{n} of {} tensors are missing; ", all().count()) } else { String::new() };
        return Err(Error::MissingKey {
            place: place.display().to_string(),
            key: first.clone(),
            hint: format!("{more}{HINT}"),
        });
    }
    let mut ours = HashMap::new();
    for entry in entries {
        let mut parts = Vec::with_capacity(entry.parts.len());
        for (part, shape) in &entry.parts {
            let Some((name, tensor)) = entry.find(part, tensors).and_then(|name| tensors.remove_entry(&name)) else {
                continue;
            };
            check(&name, &tensor, shape, place)?;
            parts.push(tensor);
        }
        ours.insert(entry.name.clone(), entry.form.apply(parts)?);
    }
    Ok(ours)
}

/// Fails if there are tensors that a model of this configuration does not have.
///
/// # Errors
/// [`Error::InvalidFile`].
pub(in crate::language) fn refuse_strangers<'a>(
    strangers: impl Iterator<Item = &'a String>,
    family: &str,
    place: &Path,
) -> Result<()> {
    let mut strangers: Vec<&String> = strangers.collect();
    if strangers.is_empty() {
        return Ok(());
    }
    strangers.sort();
    let some: Vec<String> = strangers.iter().take(3).map(|name| format!("`{name}`")).collect();
    let n = strangers.len();
    refuse(place, format!("{n} tensors belong to no `{family}` of this configuration, such as {}", some.join(", ")))
}

/// Refuses a folder whose weights do not fit.
pub(in crate::language) fn refuse<T>(place: &Path, reason: String) -> Result<T> {
    Err(Error::InvalidFile { path: place.into(), reason, hint: HINT.into() })
}

fn check(name: &str, tensor: &Tensor, shape: &[usize], place: &Path) -> Result<()> {
    let what = format!("{}: tensor `{name}`", place.display());
    if tensor.dims() != shape {
        return Err(Error::ShapeMismatch {
            what,
            expected: format!("{shape:?}, from config.json"),
            got: format!("{:?}", tensor.dims()),
        });
    }
    let values = values(tensor)?;
    let bad = || values.iter().enumerate().filter(|(_, value)| !value.is_finite());
    match bad().count() {
        0 => Ok(()),
        n_bad => Err(Error::BadValues {
            place: what,
            problem: "not finite".into(),
            n_bad,
            n_total: values.len(),
            examples: bad().take(3).map(|(at, value)| format!("{value} (number {at})")).collect(),
            hint: "the training of this model has failed, or the file is damaged: fetch it again".into(),
        }),
    }
}

impl Form {
    fn apply(self, parts: Vec<Tensor>) -> Result<Tensor> {
        let joined = match parts.as_slice() {
            [one] => one.clone(),
            _ => Tensor::cat(&parts, 0)?,
        };
        drop(parts);
        Ok(match self {
            Self::Same => joined,
            Self::Transposed => joined.t()?.contiguous()?,
            Self::ByHeads(heads) => by_heads(&joined, heads)?.t()?.contiguous()?,
            Self::BiasByHeads(heads) => by_heads(&joined, heads)?,
            // A copy, so that the rows before are not kept in memory with it.
            Self::After(n) => joined.narrow(0, n, joined.dim(0)?.saturating_sub(n))?.copy()?,
        })
    }
}

/// Queries, keys and values of each head → queries of all heads, keys of all, values of all; along the first dimension.
fn by_heads(tensor: &Tensor, heads: Heads) -> candle_core::Result<Tensor> {
    let split = tensor.reshape((heads.n_heads, 3, heads.head_width, ()))?;
    split.transpose(0, 1)?.contiguous()?.reshape(tensor.shape())
}
