//! Work that is done once: steps that read and write files, and are repeated only if something that they depend on changed.

mod stamp;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};

use self::stamp::Stamp;
use crate::io::digest;
use crate::stages::fit::Watcher;
use crate::{Error, Result};

type Work = dyn Fn(&dyn Watcher, bool) -> Result<()>;

/// One stage of a run, ready to go.
pub struct Step {
    /// The verb, which is the name of its section.
    pub name: &'static str,
    /// What it reads: role and path.
    pub inputs: Vec<(&'static str, PathBuf)>,
    /// What it writes.
    pub output: PathBuf,
    /// Its resolved parameters, without what the run decides.
    pub settings: Value,
    /// Runs it; it replaces its output. The second argument is true where the same work was begun before and not finished.
    pub run: Box<Work>,
}

impl Step {
    /// A step from the parameters of a stage; `decided` are their keys that decide nothing about the result: places of files,
    /// and whether they are replaced.
    ///
    /// # Errors
    /// Those of [`settings`].
    pub fn new<P: Serialize + 'static>(
        name: &'static str,
        params: P,
        decided: &[&str],
        inputs: Vec<(&'static str, PathBuf)>,
        output: &Path,
        work: impl Fn(&P, &dyn Watcher, bool) -> Result<()> + 'static,
    ) -> Result<Self> {
        let settings = settings(&params, decided)?;
        let run = Box::new(move |watcher: &dyn Watcher, begun| work(&params, watcher, begun));
        Ok(Self { name, inputs, output: output.to_owned(), settings, run })
    }
}

/// The parameters without some of their keys: what a stamp and a resolved configuration hold.
///
/// # Errors
/// [`Error::Backend`] if the parameters are no table.
pub fn settings(params: &impl Serialize, reserved: &[&str]) -> Result<Value> {
    let mut all = as_map(params)?;
    all.retain(|key, _| !reserved.contains(&key.as_str()));
    Ok(Value::Object(all))
}

/// Parameters as a table.
///
/// # Errors
/// [`Error::Backend`] if they are none.
pub fn as_map(params: &impl Serialize) -> Result<Map<String, Value>> {
    match serde_json::to_value(params) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(other) => Err(Error::backend("reading parameters", format!("not a table: {other}"))),
        Err(source) => Err(Error::backend("reading parameters", source)),
    }
}

/// Runs the step if it is not up to date.
///
/// # Errors
/// Those of the step; [`Error::OutputExists`] if its output is there and no stamp says that this program wrote it.
pub fn advance(step: &Step, stamps: &Path, force: bool, digests: &mut Digests, watcher: &dyn Watcher) -> Result<()> {
    let path = stamps.join(format!("{}.json", step.name));
    let earlier = Stamp::read(&path)?;
    let mut inputs = BTreeMap::new();
    for (role, input) in &step.inputs {
        inputs.insert((*role).to_owned(), digests.of(input)?);
    }
    let mut stamp = Stamp::new(step.name, step.settings.clone(), inputs);
    let output = if step.output.exists() { Some(digests.of(&step.output)?) } else { None };
    let reason = match (&earlier, &output) {
        _ if force => Some("asked for by --force".to_owned()),
        (None, None) => Some("not done yet".to_owned()),
        // What this command did not write is the user's own, and stays.
        (None, Some(_)) => return Err(Error::OutputExists { path: step.output.clone() }),
        (Some(earlier), _) => earlier.outdated(&stamp, output.as_deref()),
    };
    let Some(reason) = reason else {
        watcher.say(&format!("up to date: {}", step.output.display()));
        return Ok(());
    };
    watcher.say(&format!("runs: {reason}"));
    let begun = !force && earlier.is_some_and(|earlier| earlier == stamp);
    // A stamp without an output's digest marks a stage that was begun and not finished.
    stamp.write(&path)?;
    (step.run)(watcher, begun)?;
    digests.forget(&step.output);
    stamp.output = Some(digests.of(&step.output)?);
    stamp.write(&path)
}

/// The digests of files and folders, each computed once.
#[derive(Debug, Clone, Default)]
pub struct Digests {
    known: BTreeMap<PathBuf, String>,
}

impl Digests {
    /// The digest of a file or folder.
    ///
    /// # Errors
    /// Those of [`digest::any`].
    pub fn of(&mut self, path: &Path) -> Result<String> {
        if let Some(known) = self.known.get(path) {
            return Ok(known.clone());
        }
        let computed = digest::any(path)?;
        self.known.insert(path.to_owned(), computed.clone());
        Ok(computed)
    }

    /// Takes a digest for known.
    pub fn know(&mut self, path: &Path, digest: &str) {
        self.known.insert(path.to_owned(), digest.to_owned());
    }

    fn forget(&mut self, path: &Path) {
        self.known.remove(path);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::json;

    use super::*;
    use crate::io::atomic;
    use crate::training::Progress;

    /// A step that writes the joined contents of its inputs and the setting `word`.
    fn step(name: &'static str, inputs: &[&Path], output: &Path, word: &str) -> Step {
        let (read, written, word) = (inputs.to_vec(), output.to_owned(), word.to_owned());
        let read: Vec<PathBuf> = read.into_iter().map(Path::to_owned).collect();
        Step {
            name,
            inputs: inputs.iter().map(|path| ("before", path.to_path_buf())).collect(),
            output: output.to_owned(),
            settings: json!({ "word": word }),
            run: Box::new(move |_, _| {
                let parts = read.iter().map(|path| std::fs::read_to_string(path).unwrap());
                let text = parts.collect::<String>() + &word;
                if text.contains("fail") {
                    return Err(Error::backend("the step", "fails"));
                }
                atomic::bytes(&written, text.as_bytes())
            }),
        }
    }

    /// Remembers what it is told.
    #[derive(Default)]
    struct Listener(RefCell<Vec<String>>);

    impl Watcher for Listener {
        fn say(&self, message: &str) {
            self.0.borrow_mut().push(message.split(": ").last().unwrap().to_owned());
        }

        fn progress(&self, _progress: Progress) {}

        fn signal(&self) -> Option<u8> {
            None
        }
    }

    /// Runs two steps, `first` → `second`, and returns what was said of each.
    fn both(folder: &Path, words: [&str; 2], force: bool) -> Result<Vec<String>> {
        let (first, second) = (folder.join("first"), folder.join("second"));
        let steps = [step("a", &[], &first, words[0]), step("b", &[&first], &second, words[1])];
        let listener = Listener::default();
        let mut digests = Digests::default();
        for step in &steps {
            advance(step, folder, force, &mut digests, &listener)?;
        }
        Ok(listener.0.into_inner())
    }

    #[test]
    fn only_what_changed_runs_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let done = |name: &str| path.join(name).display().to_string();
        let all_done = [done("first"), done("second")];
        assert_eq!(both(path, ["x", "y"], false).unwrap(), ["not done yet", "not done yet"]);
        assert_eq!(std::fs::read_to_string(path.join("second")).unwrap(), "xy");
        assert_eq!(both(path, ["x", "y"], false).unwrap(), all_done);
        let word = "`word` was \"y\" and is \"z\"".to_owned();
        assert_eq!(both(path, ["x", "z"], false).unwrap(), [all_done[0].clone(), word]);
        assert_eq!(both(path, ["w", "z"], false).unwrap()[1], "its input `before` changed");
        assert_eq!(std::fs::read_to_string(path.join("second")).unwrap(), "wz");
        std::fs::remove_file(path.join("second")).unwrap();
        assert_eq!(both(path, ["w", "z"], false).unwrap(), [all_done[0].clone(), "its output is gone".into()]);
        assert_eq!(both(path, ["w", "z"], true).unwrap(), ["asked for by --force", "asked for by --force"]);
        std::fs::write(path.join("first"), "edited").unwrap();
        let edited = both(path, ["w", "z"], false).unwrap();
        assert_eq!(edited, ["its output was changed by something else".to_owned(), all_done[1].clone()]);
    }

    #[test]
    fn a_stage_that_failed_runs_again_and_files_of_the_user_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert!(both(path, ["x", "fail"], false).is_err());
        assert_eq!(both(path, ["x", "y"], false).unwrap()[1], "it was begun and not finished");
        let other = tempfile::tempdir().unwrap();
        std::fs::write(other.path().join("first"), "the user's own").unwrap();
        let refused = both(other.path(), ["x", "y"], false).unwrap_err();
        assert!(matches!(refused, Error::OutputExists { .. }));
        assert_eq!(std::fs::read_to_string(other.path().join("first")).unwrap(), "the user's own");
        assert_eq!(both(other.path(), ["x", "y"], true).unwrap().len(), 2);
    }
}
