//! Runs all stages from one configuration file, each only if something that it depends on has changed.

mod config;
mod plan;
mod sections;
mod stamp;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;

pub use config::Config;

use self::plan::{Layout, Step, plan};
use self::stamp::Stamp;
use crate::io::{atomic, digest, score_folder};
use crate::stages::fit::Watcher;
use crate::training::Progress;
use crate::{Error, Result};

/// What to run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunParams {
    /// The configuration file.
    pub config: PathBuf,
    /// Settings that take the place of the file's, as `section.key=value`.
    pub set: Vec<String>,
    /// The folder of results; the file's own if absent.
    pub output: Option<PathBuf>,
    /// Repeat every stage.
    pub force: bool,
}

/// Runs the stages that are not up to date and returns the path of the report; the watcher is told which run, and why.
///
/// # Errors
/// Those of the configuration and of the stages, each with its stage's name; scores that the model lacks, unless
/// `evaluate.allow_missing` is set.
pub fn run(params: &RunParams, watcher: &dyn Watcher) -> anyhow::Result<PathBuf> {
    let config = Config::read(params)?;
    let layout = Layout::new(&config.output);
    let (steps, allow_missing) = plan(&config, &layout)?;
    let stamps = config.output.join(".scflow");
    std::fs::create_dir_all(&stamps).map_err(|source| Error::Io { path: stamps.clone(), source })?;
    atomic::bytes(&config.output.join("config.toml"), config::resolved(&config, &steps)?.as_bytes())?;
    let mut digests = Digests::default();
    for (place, step) in steps.iter().enumerate() {
        let stage = Stage { watcher, prefix: format!("[{}/{} {}]", place + 1, steps.len(), step.name) };
        advance(step, &stamps, params.force, &mut digests, &stage).with_context(|| format!("stage `{}`", step.name))?;
    }
    if !allow_missing {
        let scores = score_folder::read(&layout.scores)?.scores;
        super::evaluate::require_complete(&scores).context("stage `evaluate`")?;
    }
    Ok(layout.report)
}

/// Puts the stage's name before what it says.
struct Stage<'a> {
    watcher: &'a dyn Watcher,
    prefix: String,
}

impl Watcher for Stage<'_> {
    fn say(&self, message: &str) {
        self.watcher.say(&format!("{} {message}", self.prefix));
    }

    fn progress(&self, progress: Progress) {
        self.watcher.progress(progress);
    }

    fn signal(&self) -> Option<u8> {
        self.watcher.signal()
    }
}

/// Runs the step if it is not up to date.
fn advance(step: &Step, stamps: &Path, force: bool, digests: &mut Digests, watcher: &dyn Watcher) -> Result<()> {
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
#[derive(Default)]
struct Digests {
    known: BTreeMap<PathBuf, String>,
}

impl Digests {
    fn of(&mut self, path: &Path) -> Result<String> {
        if let Some(known) = self.known.get(path) {
            return Ok(known.clone());
        }
        let computed = digest::any(path)?;
        self.known.insert(path.to_owned(), computed.clone());
        Ok(computed)
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
