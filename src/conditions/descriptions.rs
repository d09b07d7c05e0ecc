//! What is known of components in words, such as the class and the target of a drug.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Component → what it is, in words.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Descriptions(BTreeMap<String, String>);

impl Descriptions {
    /// Takes rows of a table: name and text. White space around names does not matter, and within texts it is one blank.
    ///
    /// # Errors
    /// [`Error::BadValues`] for names or texts that are empty, and for names that come twice.
    pub fn new(rows: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let rows: Vec<(String, String)> = rows
            .into_iter()
            .map(|(name, text)| (name.trim().to_owned(), text.split_whitespace().collect::<Vec<_>>().join(" ")))
            .collect();
        let bad = |column: &str, problem: &str, examples: Vec<String>, hint: &str| Error::BadValues {
            place: format!("descriptions, column `{column}`"),
            problem: problem.into(),
            n_bad: examples.len(),
            n_total: rows.len(),
            examples,
            hint: hint.into(),
        };
        let lines = |is_bad: &dyn Fn(&(String, String)) -> bool| -> Vec<String> {
            let rows = rows.iter().enumerate().filter(|(_, row)| is_bad(row));
            rows.map(|(place, (name, _))| format!("{name} in row {}", place + 1)).collect()
        };
        let nameless = lines(&|(name, _)| name.is_empty());
        if !nameless.is_empty() {
            return Err(bad("name", "empty", nameless, "name the component that the text describes"));
        }
        let empty = lines(&|(_, text)| text.is_empty());
        if !empty.is_empty() {
            return Err(bad("text", "empty", empty, "write a text, or remove these rows"));
        }
        let mut texts = BTreeMap::new();
        let doubled: Vec<String> = rows
            .iter()
            .filter(|(name, text)| texts.insert(name.clone(), text.clone()).is_some())
            .map(|(name, _)| name.clone())
            .collect();
        if !doubled.is_empty() {
            return Err(bad("name", "duplicated", doubled, "describe every component once"));
        }
        Ok(Self(texts))
    }

    /// The text of a component.
    pub fn get(&self, component: &str) -> Option<&str> {
        self.0.get(component).map(String::as_str)
    }

    /// Components with their texts.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }

    /// Number of components.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if nothing is described.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds descriptions of other components.
    ///
    /// # Errors
    /// [`Error::BadValues`] if a component has another text already: what was learned belongs to that.
    pub fn add(&mut self, more: &Self) -> Result<()> {
        let other = |(name, text): &(&String, &String)| self.get(name).is_some_and(|known| known != text.as_str());
        let changed: Vec<String> = more.iter().filter(other).map(|(name, _)| name.clone()).collect();
        if !changed.is_empty() {
            return Err(Error::BadValues {
                place: "descriptions".into(),
                problem: "of components that the model knows by another text".into(),
                n_bad: changed.len(),
                n_total: more.len(),
                examples: changed,
                hint: "remove these rows, or fit the model again with the new texts".into(),
            });
        }
        self.0.extend(more.0.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[(&str, &str)]) -> Result<Descriptions> {
        Descriptions::new(rows.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())))
    }

    #[test]
    fn names_and_texts_are_trimmed_and_bad_rows_are_counted() {
        let known = of(&[(" A ", "an  inhibitor\n of X"), ("B", "b")]).unwrap();
        assert_eq!((known.get("A"), known.len()), (Some("an inhibitor of X"), 2));
        for (rows, part) in [
            (&[("A", "x"), (" A", "y"), ("A", "z")][..], "2 of 3 values are duplicated; for example `A`"),
            (&[("A", "x"), ("B", " ")], "1 of 2 values are empty; for example `B in row 2`"),
            (&[("", "x")], "column `name`"),
        ] {
            let error = of(rows).unwrap_err();
            assert!(error.is_mistake() && error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn other_components_can_be_added_and_known_ones_keep_their_text() {
        let mut known = of(&[("A", "a")]).unwrap();
        known.add(&of(&[("A", "a"), ("B", "b")]).unwrap()).unwrap();
        assert_eq!(known.get("B"), Some("b"));
        let error = known.add(&of(&[("A", "other"), ("C", "c")]).unwrap()).unwrap_err().to_string();
        assert!(error.contains("1 of 2") && error.contains("`A`") && known.get("C").is_none(), "{error}");
    }
}
