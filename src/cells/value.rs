//! Unstructured annotations: a tree of scalars and arrays.

use std::collections::BTreeMap;

/// One value of `uns`, or a mapping of further values.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number.
    Float(f64),
    /// A whole number.
    Integer(i64),
    /// True or false.
    Boolean(bool),
    /// A list of texts.
    Texts(Vec<String>),
    /// A list of numbers.
    Floats(Vec<f64>),
    /// A list of whole numbers.
    Integers(Vec<i64>),
    /// A list of truths.
    Booleans(Vec<bool>),
    /// Named values.
    Map(BTreeMap<String, Value>),
}

impl Value {
    /// The mapping's entry, if this is a mapping and has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Map(map) => map.get(key),
            _ => None,
        }
    }

    /// The text, if this is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The numbers, if this is a list of numbers.
    pub fn as_floats(&self) -> Option<&[f64]> {
        match self {
            Self::Floats(values) => Some(values),
            _ => None,
        }
    }
}
