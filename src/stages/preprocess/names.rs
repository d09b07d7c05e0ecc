//! One name or several.

use serde::{Deserialize, Serialize};

/// Names of columns: in a file a text where there is one at most, else a list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Names(pub Vec<String>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    One(String),
    Several(Vec<String>),
}

impl From<Written> for Names {
    fn from(written: Written) -> Self {
        match written {
            Written::One(name) => name.as_str().into(),
            Written::Several(names) => Self(names),
        }
    }
}

impl From<Names> for Written {
    fn from(Names(mut names): Names) -> Self {
        match names.len() {
            0 => Self::One(String::new()),
            1 if !names[0].is_empty() => Self::One(names.swap_remove(0)),
            _ => Self::Several(names),
        }
    }
}

impl From<&str> for Names {
    fn from(name: &str) -> Self {
        Self(if name.is_empty() { Vec::new() } else { vec![name.to_owned()] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_is_a_text_and_several_are_a_list() {
        for (names, text) in
            [(vec![], "\"\""), (vec!["a"], "\"a\""), (vec!["a", "b"], "[\"a\",\"b\"]"), (vec![""], "[\"\"]")]
        {
            let names = Names(names.into_iter().map(str::to_owned).collect());
            assert_eq!(serde_json::to_string(&names).unwrap(), text);
            assert_eq!(serde_json::from_str::<Names>(text).unwrap(), names);
        }
    }
}
