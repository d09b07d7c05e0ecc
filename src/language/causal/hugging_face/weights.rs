//! The weights of a folder under our names and in our order.

use std::collections::HashMap;
use std::path::Path;

use candle_core::Tensor;

pub use super::plan::is_buffer;
use super::plan::{Entry, Form, heads, plan, prefix};
use crate::language::causal::params::CausalParams;
use crate::language::kernels::values;
use crate::{Error, Result};

/// What to do with weights that do not fit.
const HINT: &str = "config.json and weights must come from the same model: fetch or save the folder again";

/// Names the tensors of a folder as [`Causal::new`](crate::language::causal::Causal::new) asks for them under `name`, in 32 bits;
/// `place` is the folder that errors speak of.
///
/// Without `has_head`, the tensor that only logits need may be there or not.
///
/// # Errors
/// [`Error::MissingKey`] for tensors that are absent; [`Error::ShapeMismatch`] for other shapes; [`Error::BadValues`] for numbers
/// that are not finite; [`Error::InvalidFile`] for tensors that belong to no such model.
pub fn convert(
    params: &CausalParams,
    name: &str,
    mut tensors: HashMap<String, Tensor>,
    has_head: bool,
    place: &Path,
) -> Result<HashMap<String, Tensor>> {
    let prefix = prefix(params.family);
    let mut entries = plan(params, name);
    let own_head = heads(params.family).iter().find(|name| tensors.contains_key(**name));
    let own_head = own_head.copied().unwrap_or(heads(params.family)[0]);
    if !params.tied && (has_head || tensors.contains_key(own_head)) {
        let parts = vec![(own_head.to_owned(), vec![params.n_words, params.width])];
        entries.push(Entry { name: format!("{name}.head"), parts, form: Form::Same });
    }
    // Names without the prefix: those of the part of the model that has no head.
    let found = |part: &str, tensors: &HashMap<String, Tensor>| -> Option<String> {
        [format!("{prefix}{part}"), part.to_owned()].into_iter().find(|name| tensors.contains_key(name))
    };
    let all = || entries.iter().flat_map(|entry| &entry.parts);
    let missing: Vec<String> = all()
        .filter(|(part, _)| found(part, &tensors).is_none())
        .map(|(part, _)| if part == own_head { part.clone() } else { format!("{prefix}{part}") })
        .collect();
    if let Some(first) = missing.first() {
        let n = missing.len();
        let more = if n > 1 { format!("{n} of {} tensors are missing; ", all().count()) } else { String::new() };
        return Err(Error::MissingKey {
            place: place.display().to_string(),
            key: first.clone(),
            hint: format!("{more}{HINT}"),
        });
    }
    let second = if params.tied { tensors.remove(own_head) } else { None };
    let embedding = found(&entries[0].parts[0].0, &tensors).and_then(|name| tensors.get(&name));
    if let (Some(head), Some(embedding)) = (second, embedding)
        && values(&head)? != values(embedding)?
    {
        let reason = format!("`{own_head}` differs from the embedding, and config.json says that they are one");
        return invalid(place, reason);
    }
    let mut ours = HashMap::new();
    for entry in &entries {
        let mut parts = Vec::with_capacity(entry.parts.len());
        for (part, shape) in &entry.parts {
            let Some((name, tensor)) = found(part, &tensors).and_then(|name| tensors.remove_entry(&name)) else {
                continue;
            };
            check(&name, &tensor, shape, place)?;
            parts.push(tensor);
        }
        ours.insert(entry.name.clone(), entry.form.apply(parts, params)?);
    }
    let mut strangers: Vec<&String> = tensors.keys().collect();
    strangers.sort();
    if !strangers.is_empty() {
        let some: Vec<String> = strangers.iter().take(3).map(|name| format!("`{name}`")).collect();
        let n = strangers.len();
        let reason = format!(
            "{n} tensors belong to no `{}` of this configuration, such as {}",
            params.family.name(),
            some.join(", ")
        );
        return invalid(place, reason);
    }
    Ok(ours)
}

fn invalid<T>(place: &Path, reason: String) -> Result<T> {
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
    fn apply(self, parts: Vec<Tensor>, params: &CausalParams) -> Result<Tensor> {
        let joined = match parts.as_slice() {
            [one] => one.clone(),
            _ => Tensor::cat(&parts, 0)?,
        };
        drop(parts);
        Ok(match self {
            Self::Same => joined,
            Self::Transposed => joined.t()?.contiguous()?,
            Self::ByHeads => by_heads(&joined, params)?.t()?.contiguous()?,
            Self::BiasByHeads => by_heads(&joined, params)?,
        })
    }
}

/// Queries, keys and values of each head → queries of all heads, keys of all, values of all; along the first dimension.
fn by_heads(tensor: &Tensor, params: &CausalParams) -> candle_core::Result<Tensor> {
    let heads = params.heads();
    let split = tensor.reshape((heads.n_heads, 3, heads.head_width, ()))?;
    split.transpose(0, 1)?.contiguous()?.reshape(tensor.shape())
}
