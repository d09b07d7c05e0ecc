//! The weights of a folder under our names and in our order.

use std::collections::HashMap;
use std::path::Path;

use candle_core::Tensor;

use super::plan::{heads, plan};
use crate::Result;
use crate::language::causal::params::CausalParams;
use crate::language::hugging_face::tensors::{Entry, Form, refuse, refuse_strangers, take};
use crate::language::kernels::values;

/// Names the tensors of a folder as [`Causal::new`](crate::language::causal::Causal::new) asks for them under `name`, in 32 bits;
/// `place` is the folder that errors speak of.
///
/// Without `has_head`, the tensor that only logits need may be there or not.
///
/// # Errors
/// [`crate::Error::MissingKey`] for tensors that are absent; [`crate::Error::ShapeMismatch`] for other shapes;
/// [`crate::Error::BadValues`] for numbers that are not finite; [`crate::Error::InvalidFile`] for tensors that belong to no such
/// model.
pub fn convert(
    params: &CausalParams,
    name: &str,
    mut tensors: HashMap<String, Tensor>,
    has_head: bool,
    place: &Path,
) -> Result<HashMap<String, Tensor>> {
    let mut entries = plan(params, name);
    let own_head = heads(params.family).iter().find(|name| tensors.contains_key(**name));
    let own_head = own_head.copied().unwrap_or(heads(params.family)[0]);
    if !params.tied && (has_head || tensors.contains_key(own_head)) {
        let parts = vec![(own_head.to_owned(), vec![params.n_words, params.width])];
        entries.push(Entry { name: format!("{name}.head"), prefix: "", parts, form: Form::Same });
    }
    let second = if params.tied { tensors.remove(own_head) } else { None };
    let ours = take(&entries, &mut tensors, place)?;
    if let (Some(head), Some(embedding)) = (second, ours.get(&format!("{name}.embedding")))
        && values(&head)? != values(embedding)?
    {
        let reason = format!("`{own_head}` differs from the embedding, and config.json says that they are one");
        return refuse(place, reason);
    }
    refuse_strangers(tensors.keys(), params.family.name(), place)?;
    Ok(ours)
}
