//! Makes an AnnData file of today of what other programs write: 10x Genomics' files and folders, and AnnData files of any
//! age.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cells::{Annotations, Cells, SparseMatrix};
use crate::error::refuse;
use crate::io::tenx::{Choice, Names, Tenx};
use crate::io::{atomic, h5ad};
use crate::preprocess::labels::check_unique;
use crate::{Error, Result};

/// What to import, and where to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct ImportParams {
    /// A file or folder.
    pub input: PathBuf,
    /// The AnnData file.
    pub output: PathBuf,
    /// What names the genes of 10x Genomics' files: symbols if absent.
    pub names: Option<Names>,
    /// Marks names that occur more than once instead of refusing them.
    pub unique: bool,
    /// The type of features that are kept; `Gene Expression` if absent, `all` for all.
    pub feature_type: Option<String>,
    /// The genome that is kept; all if absent.
    pub genome: Option<String>,
    /// Replace the output if it exists.
    pub force: bool,
}

/// Writes the AnnData file; `say` tells what was left out or changed.
///
/// # Errors
/// Those of reading and writing; [`Error::InvalidParameter`] if the choice of features does not fit the input;
/// [`Error::BadValues`] if names of cells or genes occur more than once.
pub fn import(params: &ImportParams, say: &dyn Fn(&str)) -> Result<()> {
    let same = |path: &PathBuf| path.canonicalize().ok();
    if same(&params.output).is_some() && same(&params.output) == same(&params.input) {
        return refuse("output", params.output.display(), "the output is the input itself");
    }
    atomic::check(&params.output, params.force)?;
    match Tenx::open(&params.input, params.genome.as_deref())? {
        Some(counts) => import_counts(counts, params, say),
        None => rewrite(params, say),
    }
}

/// Writes an AnnData file of any age in today's encodings.
fn rewrite(params: &ImportParams, say: &dyn Fn(&str)) -> Result<()> {
    let flags = [
        ("--names", params.names.is_some()),
        ("--unique", params.unique),
        ("--feature-type", params.feature_type.is_some()),
        ("--genome", params.genome.is_some()),
    ];
    if let Some((flag, _)) = flags.iter().find(|(_, is_given)| *is_given) {
        return refuse(flag, params.input.display(), "only 10x Genomics' files take it; others keep genes and names");
    }
    let mut notes = Vec::new();
    atomic::file(&params.output, |beside| {
        notes = h5ad::rewrite(&params.input, beside)?;
        Ok(())
    })?;
    notes.iter().for_each(|note| say(&format!("{}: {note}", params.input.display())));
    Ok(())
}

fn import_counts(mut counts: Tenx, params: &ImportParams, say: &dyn Fn(&str)) -> Result<()> {
    check_unique(&counts.barcodes, "barcodes", "10x Genomics' programs write every barcode once: make the file again")?;
    let choice = Choice {
        feature_type: params.feature_type.clone(),
        genome: params.genome.clone(),
        names: params.names.unwrap_or_default(),
        unique: params.unique,
    };
    let (chosen, var) = counts.features.choose(&choice, say)?;
    let barcodes = counts.barcodes.clone();
    say(&format!("{} cells × {} genes", barcodes.len(), var.index.len()));
    let outline = Cells { x: SparseMatrix::from_rows(var.index.len(), []), var, ..Cells::default() };
    loop {
        let is_written = counts.blocks(&chosen, |blocks| {
            let mut names = barcodes.iter();
            let blocks = blocks.map(|block| {
                let x = block?;
                let obs = Annotations::new(names.by_ref().take(x.n_rows()).cloned().collect());
                Ok::<_, Error>(Cells { x, obs, ..Cells::default() })
            });
            atomic::file(&params.output, |beside| h5ad::write_blocks(beside, &outline, barcodes.len(), blocks))
        })?;
        if is_written {
            return Ok(());
        }
        say("the entries of the matrix are not in the order of the cells: they are sorted in memory");
    }
}
