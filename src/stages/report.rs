//! Writes one page from a folder of scores, or of a benchmark.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::io::{atomic, benchmark_folder, score_folder};
use crate::report::figures::{Picture, of_benchmark, of_prediction};
use crate::report::{Verdict, benchmark, page, verdict};

/// What to report on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportParams {
    /// The folder of scores, or of a benchmark.
    pub scores: PathBuf,
    /// The page.
    pub output: PathBuf,
    /// A folder for the pictures as SVG and PNG; none if absent.
    pub figures: Option<PathBuf>,
    /// The page's title; named after what was predicted if absent.
    pub title: Option<String>,
    /// Replace the output if it exists.
    pub force: bool,
}

impl Default for ReportParams {
    fn default() -> Self {
        Self { scores: "scores".into(), output: "report.html".into(), figures: None, title: None, force: false }
    }
}

/// Writes the page, and the pictures if they are asked for, and returns its verdict.
///
/// # Errors
/// [`crate::Error::OutputExists`]; those of reading the folder and of writing.
pub fn report(params: &ReportParams) -> Result<Verdict> {
    atomic::check(&params.output, params.force)?;
    params.figures.iter().try_for_each(|folder| atomic::check(folder, params.force))?;
    if params.scores.join(benchmark_folder::CONTENT).is_file() {
        let found = benchmark_folder::read(&params.scores)?;
        write_figures(params.figures.as_deref(), || of_benchmark(&found))?;
        atomic::bytes(&params.output, benchmark::page(&found, params.title.as_deref()).as_bytes())?;
        return Ok(benchmark::verdict(&found));
    }
    let contents = score_folder::read(&params.scores)?;
    write_figures(params.figures.as_deref(), || of_prediction(&contents))?;
    atomic::bytes(&params.output, page(&contents, params.title.as_deref()).as_bytes())?;
    Ok(verdict(&contents.scores))
}

fn write_figures(folder: Option<&Path>, pictures: impl FnOnce() -> Vec<Picture>) -> Result<()> {
    let Some(folder) = folder else { return Ok(()) };
    let pictures = pictures();
    atomic::folder(folder, |folder| {
        pictures.iter().try_for_each(|picture| {
            atomic::bytes(&folder.join(format!("{}.svg", picture.name)), picture.svg().as_bytes())?;
            atomic::bytes(&folder.join(format!("{}.png", picture.name)), &picture.png()?)
        })
    })
}
