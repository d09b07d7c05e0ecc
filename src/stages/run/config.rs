//! The configuration file, with what the command line puts in its place.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::RunParams;
use super::plan::{PATH_KEYS, SECTIONS};
use super::sections::unknown_key;
use crate::{Error, Result};

/// The configuration of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file, for messages.
    pub path: PathBuf,
    /// The raw screen; none if one is simulated.
    pub input: Option<PathBuf>,
    /// The folder of results.
    pub output: PathBuf,
    /// Section → its keys, as written.
    pub sections: Map<String, Value>,
}

impl Config {
    /// Reads the file; its paths are relative to its folder, those of the command line to the working directory.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if the file is absent or no TOML; [`Error::UnknownName`] for a key or section that does not
    /// exist; [`Error::InvalidParameter`] for a wrong `--set`, or if there is not exactly one of `input` and `[simulate]`.
    pub fn read(params: &RunParams) -> Result<Self> {
        let path = &params.config;
        let invalid = |reason: String| Error::InvalidFile {
            path: path.clone(),
            reason,
            hint: "see pipelines/simulated.toml for a configuration that works".into(),
        };
        let text = std::fs::read_to_string(path).map_err(|error| invalid(error.to_string()))?;
        let table: toml::Table = toml::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        let Ok(Value::Object(mut all)) = serde_json::to_value(table) else {
            return Err(invalid("not a table".into()));
        };
        let folder = absolute(path)?.parent().map(Path::to_owned).unwrap_or_default();
        anchor(&mut all, &folder);
        for text in &params.set {
            set(&mut all, text)?;
        }
        let mut path_of = |key: &str| match all.remove(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(PathBuf::from(text))),
            Some(other) => Err(Error::InvalidParameter {
                name: key.into(),
                value: other.to_string(),
                reason: "a path in quotes is needed".into(),
            }),
        };
        let (input, own_output) = (path_of("input")?, path_of("output")?);
        let output = match (&params.output, own_output) {
            (Some(output), _) => absolute(output)?,
            (None, Some(output)) => output,
            (None, None) => return Err(invalid("`output` is missing: a folder for the results, or --output".into())),
        };
        for (key, value) in &all {
            if !SECTIONS.contains(&key.as_str()) {
                let known = SECTIONS.into_iter().chain(["input", "output"]);
                return Err(unknown_key(key, &format!("`{}`", path.display()), known));
            }
            if !value.is_object() {
                return Err(invalid(format!("`{key}` is not a section")));
            }
        }
        if let Some(input) = input.as_ref().filter(|input| !input.is_file()) {
            let hint = "`input` is the raw screen: an .h5ad file; its path is relative to the configuration".into();
            return Err(Error::InvalidFile { path: input.clone(), reason: "no such file".into(), hint });
        }
        match (input.is_some(), all.contains_key("simulate")) {
            (true, true) => Err(invalid("both `input` and [simulate] are given; one of them is needed".into())),
            (false, false) => Err(invalid("`input` or [simulate] is missing; one of them is needed".into())),
            _ => Ok(Self { path: path.clone(), input, output, sections: all }),
        }
    }

    /// The keys of a section; none of them if it is absent.
    pub fn section(&self, name: &str) -> Map<String, Value> {
        self.sections.get(name).and_then(Value::as_object).cloned().unwrap_or_default()
    }
}

/// Puts one setting of the command line in place: `key=value` or `section.key=value`. The value is read as TOML; what is no
/// TOML is text, so that `fit.method=flow` needs no quotes.
fn set(all: &mut Map<String, Value>, text: &str) -> Result<()> {
    let wrong = |reason: &str| Error::InvalidParameter {
        name: "--set".into(),
        value: text.into(),
        reason: format!("{reason}; for example --set evaluate.seed=1"),
    };
    let (key, value) = text.split_once('=').ok_or_else(|| wrong("expected key=value"))?;
    let parsed = toml::from_str::<toml::Table>(&format!("value = {value}")).ok();
    let parsed = parsed.and_then(|mut table| serde_json::to_value(table.remove("value")?).ok());
    let value = parsed.unwrap_or_else(|| Value::String(value.trim().to_owned()));
    let key = key.trim();
    let (section, key) = key.rsplit_once('.').unwrap_or(("", key));
    let mut one = Map::new();
    if section.is_empty() {
        one.insert(key.into(), value);
    } else {
        one.insert(section.into(), Value::Object(Map::from_iter([(key.to_owned(), value)])));
    }
    anchor(&mut one, &absolute(Path::new("."))?);
    for (name, value) in one {
        match (all.get_mut(&name), value) {
            (Some(Value::Object(existing)), Value::Object(new)) => existing.extend(new),
            (_, value) => drop(all.insert(name, value)),
        }
    }
    Ok(())
}

/// Makes the paths among the settings absolute, as seen from `folder`.
fn anchor(all: &mut Map<String, Value>, folder: &Path) {
    fn place(value: &mut Value, folder: &Path) {
        match value {
            Value::String(text) => *text = folder.join(&*text).components().collect::<PathBuf>().display().to_string(),
            Value::Object(table) => table.values_mut().for_each(|value| place(value, folder)),
            _ => {}
        }
    }
    for (name, value) in all {
        match value {
            Value::Object(section) => {
                let keys = PATH_KEYS.iter().filter(|(section, _)| section == name);
                for (_, key) in keys {
                    if let Some(value) = section.get_mut(*key) {
                        place(value, folder);
                    }
                }
            }
            value if name == "input" || name == "output" => place(value, folder),
            _ => {}
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|source| Error::Io { path: path.to_owned(), source })
}

/// The resolved configuration as TOML: every setting of every section; it can be run again.
///
/// # Errors
/// [`Error::Backend`] if a setting cannot be written as TOML.
pub fn resolved(config: &Config, sections: &[(&str, Value)]) -> Result<String> {
    let mut all = Map::new();
    if let Some(input) = &config.input {
        all.insert("input".into(), input.display().to_string().into());
    }
    all.insert("output".into(), ".".into());
    for (name, settings) in sections {
        let mut settings = settings.clone();
        if let Value::Object(settings) = &mut settings {
            // TOML has no null: what is absent is left out.
            settings.retain(|_, value| !value.is_null());
        }
        all.insert((*name).into(), settings);
    }
    let text = toml::to_string(&all).map_err(|source| Error::backend("writing the resolved configuration", source))?;
    let version = env!("CARGO_PKG_VERSION");
    Ok(format!(
        "# Every setting of this run, resolved by scflow {version}. To run it again: scflow run config.toml\n{text}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, set: &[&str]) -> Result<Config> {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("run.toml");
        std::fs::write(&config, text).unwrap();
        let set = set.iter().map(ToString::to_string).collect();
        Config::read(&RunParams { config, set, ..RunParams::default() }).map(|mut config| {
            config.output = config.output.strip_prefix(folder.path()).unwrap_or(&config.output).to_owned();
            config
        })
    }

    #[test]
    fn the_command_line_takes_the_place_of_the_file() {
        let config = read(
            "output = \"./results\"\n[simulate]\ncells = 3\n",
            &["simulate.cells=5", "evaluate.seed = 2", "report.title=A+B", "preprocess.holdout=[\"A+B\"]"],
        )
        .unwrap();
        assert_eq!(config.output, Path::new("results"));
        assert_eq!(config.section("simulate")["cells"], 5);
        assert_eq!(config.section("evaluate")["seed"], 2);
        assert_eq!(config.section("report")["title"], "A+B");
        assert_eq!(config.section("preprocess")["holdout"][0], "A+B");
        assert!(config.section("inspect").is_empty());
    }

    #[test]
    fn wrong_configurations_are_refused() {
        let refused = |text: &str, set: &[&str], part: &str| {
            let error = read(text, set).unwrap_err();
            assert!(error.is_mistake() && error.to_string().contains(part), "{error}");
        };
        refused("output = \"r\"\n[simulate]\n[evalute]\n", &[], "key `evalute` is unknown");
        refused("output = \"r\"\n[simulate]\n[evalute]\n", &[], "`evaluate`");
        refused("output = \"r\"\n", &[], "`input` or [simulate] is missing");
        refused("input = \"a\"\noutput = \"r\"\n", &[], "a`: no such file");
        refused("input = \"run.toml\"\noutput = \"r\"\n[simulate]\n", &[], "both `input` and [simulate]");
        refused("[simulate]\n", &[], "`output` is missing");
        refused("output = 3\n[simulate]\n", &[], "a path in quotes");
        refused("output = \"r\"\nsimulate = 3\n", &[], "not a section");
        refused("output =\n", &[], "run.toml");
        refused("output = \"r\"\n[simulate]\n", &["evaluate.seed"], "expected key=value");
    }
}
