//! The splits of a benchmark: each has a folder with its prepared screen, and the methods fitted to it.

use std::path::{Path, PathBuf};

use super::params::BenchmarkParams;
use crate::Result;
use crate::io::h5ad::Partial;
use crate::io::{atomic, split_table};
use crate::preprocess::folds::Folds;
use crate::preprocess::labels;
use crate::stages::preprocess::PreprocessParams;

/// The split that hold-out patterns make.
const HOLDOUT: &str = "holdout";

/// One split.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Split {
    /// Its name.
    pub(super) name: String,
    /// Its folder.
    pub(super) folder: PathBuf,
    /// How the screen is prepared for it.
    pub(super) preprocess: PreprocessParams,
}

impl Split {
    /// All splits of a benchmark. Of folds the tables are written first, where they are not there yet: they follow from the
    /// screen's conditions and the first seed.
    ///
    /// # Errors
    /// Those of reading the screen's annotations, of [`Folds::divide`], and of writing.
    pub(super) fn all(params: &BenchmarkParams, say: &dyn Fn(&str)) -> Result<Vec<Self>> {
        let of = |name: String, table: Option<PathBuf>| {
            let folder = params.output.join("splits").join(&name);
            let own =
                PreprocessParams { output: folder.join("prepared.h5ad"), force: true, ..params.preprocess.clone() };
            let preprocess = PreprocessParams { split: table, ..own };
            Self { name, folder, preprocess }
        };
        if let Some(n) = params.folds {
            return folds(params, n, say)?
                .into_iter()
                .map(|(name, table)| {
                    let path = params.output.join("splits").join(&name).join("split.csv");
                    atomic::file(&path, |beside| split_table::write(beside, &table))?;
                    Ok(of(name, Some(path)))
                })
                .collect();
        }
        if !params.splits.is_empty() {
            let named = params.splits.iter();
            return Ok(named.map(|(name, table)| of(name.clone(), Some(table.clone()))).collect());
        }
        let table = params.preprocess.split.clone();
        let name = table.as_deref().map_or_else(|| HOLDOUT.to_owned(), name_of);
        Ok(vec![of(name, table)])
    }

    /// The prepared screen.
    pub(super) fn prepared(&self) -> &Path {
        &self.preprocess.output
    }
}

/// What a split is called whose table was given without a name: the name of the file without its ending.
pub fn name_of(table: &Path) -> String {
    table.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn folds(
    params: &BenchmarkParams,
    n: usize,
    say: &dyn Fn(&str),
) -> Result<Vec<(String, crate::preprocess::split_table::SplitTable)>> {
    let own = &params.preprocess;
    let (_, cells) = Partial::open(&own.input, &[])?;
    let conditions = labels::conditions(&cells, &own.perturbation_column, &own.control, &own.covariates)?;
    let folds = Folds::divide(&conditions, n, params.first_seed)?;
    if let Some(example) = folds.kept.first() {
        say(&format!(
            "{} conditions are held out by no fold and stay in training, as nothing else would tell of them: for example {example}",
            folds.kept.len()
        ));
    }
    let name = |place: usize| format!("fold-{}", place + 1);
    Ok(folds.tables(&conditions, &own.control)?.into_iter().enumerate().map(|(i, table)| (name(i), table)).collect())
}
