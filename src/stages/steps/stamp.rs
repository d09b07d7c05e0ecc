//! What a finished stage was made from, kept beside the results.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Result;
use crate::io::{atomic, json};

/// At most this many changed settings are told.
const MOST_TOLD: usize = 3;

/// What a stage was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stamp {
    /// The stage.
    pub stage: String,
    /// scflow's version.
    pub version: String,
    /// The resolved settings.
    pub settings: Value,
    /// Role of an input → its digest.
    pub inputs: BTreeMap<String, String>,
    /// Digest of the output; none while the stage runs.
    pub output: Option<String>,
}

impl Stamp {
    /// The stamp of a stage that is about to run.
    pub fn new(stage: &str, settings: Value, inputs: BTreeMap<String, String>) -> Self {
        Self { stage: stage.into(), version: env!("CARGO_PKG_VERSION").into(), settings, inputs, output: None }
    }

    /// Reads a stamp; none if there is no such file.
    ///
    /// # Errors
    /// Those of [`json::read`].
    pub fn read(path: &Path) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        json::read(path, "remove this file and add --force to repeat the stage").map(Some)
    }

    /// Writes the stamp.
    ///
    /// # Errors
    /// Those of [`atomic::file`].
    pub fn write(&self, path: &Path) -> Result<()> {
        atomic::file(path, |beside| json::write_pretty(beside, self))
    }

    /// Why the stage must be repeated to fulfil `wanted`, given the digest of the output as it is now; none if it need not.
    pub fn outdated(&self, wanted: &Stamp, output: Option<&str>) -> Option<String> {
        let Some(written) = &self.output else { return Some("it was begun and not finished".into()) };
        let changed: Vec<String> = changes(&self.settings, &wanted.settings);
        if self.version != wanted.version {
            Some(format!("scflow {} made it, this is {}", self.version, wanted.version))
        } else if !changed.is_empty() {
            let more = if changed.len() > MOST_TOLD { ", …" } else { "" };
            Some(format!("{}{more}", changed[..changed.len().min(MOST_TOLD)].join(", ")))
        } else if self.inputs != wanted.inputs {
            let differs = |(role, digest): &(&String, &String)| self.inputs.get(*role) != Some(*digest);
            let role = wanted.inputs.iter().find(differs).or_else(|| self.inputs.iter().next());
            Some(format!("its input `{}` changed", role.map_or("", |(role, _)| role)))
        } else {
            match output {
                None => Some("its output is gone".into()),
                Some(found) if found != written => Some("its output was changed by something else".into()),
                Some(_) => None,
            }
        }
    }
}

fn changes(old: &Value, new: &Value) -> Vec<String> {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return Vec::new() };
    let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let value = |of: &serde_json::Map<String, Value>, key: &str| match of.get(key) {
        None | Some(Value::Null) => "absent".to_owned(),
        Some(value) => value.to_string(),
    };
    let told = |key: &String| format!("`{key}` was {} and is {}", value(old, key), value(new, key));
    keys.into_iter().filter(|key| value(old, key) != value(new, key)).map(told).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stamp(settings: Value, input: &str) -> Stamp {
        Stamp::new("fit", settings, BTreeMap::from([("prepared".into(), input.into())]))
    }

    #[test]
    fn every_reason_to_repeat_a_stage_is_told() {
        let mut done = stamp(json!({ "steps": 100, "seed": 0 }), "aa");
        assert_eq!(done.outdated(&done.clone(), Some("ff")).as_deref(), Some("it was begun and not finished"));
        done.output = Some("ff".into());
        let same = stamp(json!({ "steps": 100, "seed": 0 }), "aa");
        assert_eq!(done.outdated(&same, Some("ff")), None);
        assert_eq!(done.outdated(&same, None).as_deref(), Some("its output is gone"));
        assert_eq!(done.outdated(&same, Some("fe")).as_deref(), Some("its output was changed by something else"));
        let steps = stamp(json!({ "steps": 200, "seed": 0, "title": null }), "aa");
        assert_eq!(done.outdated(&steps, Some("ff")).as_deref(), Some("`steps` was 100 and is 200"));
        let input = stamp(json!({ "steps": 100, "seed": 0 }), "ab");
        assert_eq!(done.outdated(&input, Some("ff")).as_deref(), Some("its input `prepared` changed"));
        let newer = Stamp { version: "999.0.0".into(), ..same };
        assert!(done.outdated(&newer, Some("ff")).is_some_and(|reason| reason.ends_with("this is 999.0.0")));
    }

    #[test]
    fn stamps_survive_writing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fit.json");
        assert_eq!(Stamp::read(&path).unwrap(), None);
        let written = stamp(json!({ "rate": 0.1 }), "aa");
        written.write(&path).unwrap();
        assert_eq!(Stamp::read(&path).unwrap(), Some(written));
        std::fs::write(&path, "{").unwrap();
        assert!(Stamp::read(&path).is_err_and(|error| error.is_mistake()));
    }
}
