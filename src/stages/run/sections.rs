//! One section of the configuration: the parameters of a stage, minus what the run decides itself.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::nearest;
use crate::stages::steps::as_map;
use crate::{Error, Result};

/// Reads a stage's parameters: its defaults with the section's keys put in their place.
///
/// `reserved` keys are decided by the run: inputs and outputs follow from the layout.
///
/// # Errors
/// [`Error::UnknownName`] for a key that the stage does not know; [`Error::InvalidParameter`] for a reserved key or a value
/// of another kind.
pub fn read<P: Serialize + DeserializeOwned + Default>(
    name: &str,
    section: &Map<String, Value>,
    reserved: &[&str],
) -> Result<P> {
    let wrong = |key: &str, value: &Value, reason: String| Error::InvalidParameter {
        name: format!("{name}.{key}"),
        value: value.to_string(),
        reason,
    };
    let mut all = as_map(&P::default())?;
    for (key, value) in section {
        if reserved.contains(&key.as_str()) {
            let reason = "the run decides this; `input` and `output` stand at the top of the configuration".into();
            return Err(wrong(key, value, reason));
        }
        if !all.contains_key(key) {
            let known = all.keys().map(String::as_str).filter(|key| !reserved.contains(key));
            return Err(unknown_key(key, &format!("section [{name}]"), known));
        }
        let before = all.insert(key.clone(), value.clone());
        // One key at a time, so that the error can name the one at fault.
        if let Err(error) = serde_json::from_value::<P>(Value::Object(all.clone())) {
            let default = before.unwrap_or(Value::Null);
            return Err(wrong(key, value, format!("{error}; the default is {default}")));
        }
    }
    serde_json::from_value(Value::Object(all)).map_err(|source| Error::backend(format!("reading [{name}]"), source))
}

/// The error for a key that nothing knows, with the nearest ones that exist.
pub fn unknown_key<'a>(key: &str, place: &str, known: impl Iterator<Item = &'a str>) -> Error {
    Error::UnknownName { what: "key".into(), name: key.into(), place: place.into(), nearest: nearest(key, known) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stages::evaluate::EvaluateParams;

    fn read_evaluate(section: Value) -> Result<EvaluateParams> {
        let Value::Object(section) = section else { panic!() };
        read("evaluate", &section, &["output", "force"])
    }

    #[test]
    fn keys_that_are_absent_keep_their_defaults() {
        let params = read_evaluate(json!({ "seed": 7 })).unwrap();
        assert_eq!(params, EvaluateParams { seed: 7, ..EvaluateParams::default() });
    }

    #[test]
    fn unknown_reserved_and_mistyped_keys_are_named() {
        let error = read_evaluate(json!({ "min_cell": 7 })).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("key `min_cell` is unknown to section [evaluate]\nnearest names: `min_cells`")
        );
        let error = read_evaluate(json!({ "output": "elsewhere" })).unwrap_err();
        assert!(error.to_string().contains("evaluate.output") && error.is_mistake());
        let error = read_evaluate(json!({ "seed": 1, "min_cells": "many" })).unwrap_err().to_string();
        assert!(
            error.starts_with("evaluate.min_cells = `\"many\"`: ") && error.ends_with("the default is 20"),
            "{error}"
        );
    }
}
