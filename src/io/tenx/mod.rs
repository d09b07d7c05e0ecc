//! Counts as 10x Genomics' programs write them: an `.h5` file, or a folder with a matrix and two lists of names.
//!
//! Cells come in blocks, so that a file may be larger than the memory.

mod features;
mod folder;
mod hdf5_file;
mod lines;
mod market;
mod rows;

use std::path::{Path, PathBuf};

pub use features::{Choice, Features, Names};

use crate::cells::SparseMatrix;
use crate::{Error, Result};
use rows::Rows;

/// Counts of cells on disk.
pub struct Tenx {
    path: PathBuf,
    /// The barcodes of the cells.
    pub barcodes: Vec<String>,
    /// What was counted.
    pub features: Features,
    counts: Counts,
}

enum Counts {
    Hdf5(hdf5_file::Counts),
    Market { path: PathBuf, are_sorted: bool },
}

impl Tenx {
    /// Opens a file or folder; `None` if it is no such thing. A path of a `matrix.mtx` stands for its folder.
    ///
    /// # Errors
    /// [`Error::Io`] if something cannot be opened; [`Error::InvalidFile`] if it is such a thing, but a broken one.
    /// `genome` chooses one where an old file holds several.
    pub fn open(path: &Path, genome: Option<&str>) -> Result<Option<Self>> {
        if let Some(folder) = folder::Folder::find(path)? {
            let (barcodes, features) = (folder.barcodes()?, folder.features()?);
            let counts = Counts::Market { path: folder.matrix, are_sorted: true };
            return Ok(Some(Self { path: path.to_owned(), barcodes, features, counts }));
        }
        let file = hdf5_file::open(path, genome)?;
        Ok(file.map(|(barcodes, features, counts)| Self {
            path: path.to_owned(),
            barcodes,
            features,
            counts: Counts::Hdf5(counts),
        }))
    }

    /// Lets `take` have the counts of the chosen features, block by block in the order of the cells; false if the entries
    /// are not in the order of the cells, so that blocks that were taken are void. From then on they are sorted in memory.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if the counts are broken; those of `take`.
    pub fn blocks(&mut self, chosen: &[usize], take: impl FnOnce(Blocks) -> Result<()>) -> Result<bool> {
        let mut is_unsorted = false;
        let size = (self.features.len(), self.barcodes.len());
        let rows = Rows::new(&self.path, chosen, size, &self.barcodes);
        let blocks: Blocks = match &self.counts {
            Counts::Hdf5(counts) => counts.blocks(rows),
            Counts::Market { path, are_sorted: true } => folder::sorted_blocks(path, rows, &mut is_unsorted)?,
            Counts::Market { path, are_sorted: false } => folder::unsorted_blocks(path, rows)?,
        };
        let taken = take(blocks);
        if is_unsorted && let Counts::Market { are_sorted, .. } = &mut self.counts {
            *are_sorted = false;
            return Ok(false);
        }
        taken.map(|()| true)
    }
}

/// Blocks of cells: the barcodes' positions are those that follow on the last block's.
pub type Blocks<'a> = Box<dyn Iterator<Item = Result<SparseMatrix>> + 'a>;

/// A file that is not what it should be.
fn invalid(path: &Path, reason: impl Into<String>, hint: &str) -> Error {
    Error::InvalidFile { path: path.to_owned(), reason: reason.into(), hint: hint.to_owned() }
}

const AGAIN: &str = "copy or download the file again, or let the program that writes it finish";
