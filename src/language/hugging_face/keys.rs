//! A JSON object whose keys are read one by one, with the file in every error.

use std::path::Path;

use serde_json::{Map, Value};

use crate::{Error, Result};

/// What to do with a configuration that cannot be used.
const HINT: &str = "give the config.json that `save_pretrained` of Hugging Face's transformers wrote";

/// An object of a file; a key that is `null` counts as absent.
#[derive(Clone, Copy)]
pub(in crate::language) struct Keys<'a> {
    map: &'a Map<String, Value>,
    pub(in crate::language) place: &'a Path,
}

impl<'a> Keys<'a> {
    pub(in crate::language) fn new(value: &'a Value, place: &'a Path) -> Result<Self> {
        match value.as_object() {
            Some(map) => Ok(Self { map, place }),
            None => Err(invalid(place, "it holds no object of keys and values".into())),
        }
    }

    pub(in crate::language) fn refuse<T>(&self, reason: impl Into<String>) -> Result<T> {
        Err(invalid(self.place, reason.into()))
    }

    pub(in crate::language) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// True if the key is there and says `null`.
    pub(in crate::language) fn is_null(&self, key: &str) -> bool {
        self.map.get(key).is_some_and(Value::is_null)
    }

    fn read<T>(&self, key: &str, what: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => match read(value) {
                Some(read) => Ok(Some(read)),
                None => self.refuse(format!("`{key}` is {value}, and must be {what}")),
            },
        }
    }

    pub(in crate::language) fn size(&self, key: &str) -> Result<Option<usize>> {
        self.read(key, "a whole number", |value| usize::try_from(value.as_u64()?).ok())
    }

    pub(in crate::language) fn number(&self, key: &str) -> Result<Option<f64>> {
        self.read(key, "a number", Value::as_f64)
    }

    pub(in crate::language) fn flag(&self, key: &str, default: bool) -> Result<bool> {
        Ok(self.read(key, "true or false", Value::as_bool)?.unwrap_or(default))
    }

    pub(in crate::language) fn text(&self, key: &str) -> Result<Option<&'a str>> {
        self.read(key, "a text", Value::as_str)
    }

    pub(in crate::language) fn object(&self, key: &str) -> Result<Option<Self>> {
        let map = self.read(key, "an object", Value::as_object)?;
        Ok(map.map(|map| Self { map, place: self.place }))
    }

    /// What must be there.
    pub(in crate::language) fn need<T>(&self, key: &str, read: Option<T>) -> Result<T> {
        read.ok_or_else(|| Error::MissingKey {
            place: self.place.display().to_string(),
            key: key.into(),
            hint: HINT.into(),
        })
    }

    pub(in crate::language) fn needed_size(&self, key: &str) -> Result<usize> {
        self.need(key, self.size(key)?)
    }
}

fn invalid(place: &Path, reason: String) -> Error {
    Error::InvalidFile { path: place.into(), reason, hint: HINT.into() }
}
