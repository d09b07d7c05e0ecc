//! The genes that a published scGPT knows, and the rows of its embedding that are theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::{Error, Result};

/// Words that are no genes; a folder may leave them out of its file.
const SPECIAL: [&str; 3] = ["<pad>", "<cls>", "<eoc>"];
/// With a smaller share of known genes, names are of another kind.
const LEAST_KNOWN: f64 = 0.5;

/// `vocab.json` with the embedding that belongs to it.
#[derive(Debug, Clone)]
pub(super) struct Vocabulary {
    folder: PathBuf,
    /// Word → row.
    rows: BTreeMap<String, u64>,
    /// (n_words, width).
    embedding: Tensor,
}

impl Vocabulary {
    /// Puts the two together.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if the words do not stand for the rows of the embedding, one each.
    pub(super) fn new(folder: PathBuf, rows: BTreeMap<String, u64>, embedding: Tensor) -> Result<Self> {
        let n_rows = embedding.dim(0)?;
        let invalid = |reason: String| {
            Err(Error::InvalidFile {
                path: folder.join("vocab.json"),
                reason,
                hint: "vocabulary and weights must come from the same folder".into(),
            })
        };
        let beyond = rows.iter().filter(|(_, id)| **id >= n_rows as u64);
        let beyond: Vec<String> = beyond.map(|(word, id)| format!("`{word}` ({id})")).collect();
        if !beyond.is_empty() {
            let examples = beyond.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
            return invalid(format!(
                "{} words stand beyond the {n_rows} rows of the embedding: {examples}",
                beyond.len()
            ));
        }
        let n_absent = SPECIAL.iter().filter(|word| !rows.contains_key(**word)).count();
        if !(rows.len()..=rows.len() + n_absent).contains(&n_rows) {
            return invalid(format!("{} words for the {n_rows} rows of the embedding", rows.len()));
        }
        let ids: BTreeSet<u64> = rows.values().copied().collect();
        match ids.len() == rows.len() {
            true => Ok(Self { folder, rows, embedding }),
            false => invalid(format!("{} words share a row with others", rows.len() - ids.len())),
        }
    }

    /// The genes that have no row.
    ///
    /// # Errors
    /// [`Error::BadValues`] if there are some and that is not allowed, or most have none.
    pub(super) fn unknown(&self, genes: &[&str], allow_unknown: bool) -> Result<Vec<String>> {
        let is_unknown = |gene: &&&str| !self.rows.contains_key(**gene) || SPECIAL.contains(*gene);
        let unknown: Vec<String> = genes.iter().filter(is_unknown).map(|gene| (*gene).to_owned()).collect();
        let n_known = genes.len() - unknown.len();
        let hint = if n_known == 0 || (n_known as f64) < LEAST_KNOWN * genes.len() as f64 {
            "at least half must be known: --gene-symbols COLUMN names the column of var that holds gene symbols"
        } else if !unknown.is_empty() && !allow_unknown {
            "--allow-unknown-genes lets their embeddings start new; --gene-symbols COLUMN takes names from a column of var"
        } else {
            return Ok(unknown);
        };
        Err(Error::BadValues {
            place: "genes of the principal component analysis".into(),
            problem: format!("unknown to the vocabulary of `{}`", self.folder.display()),
            n_bad: unknown.len(),
            n_total: genes.len(),
            examples: unknown.into_iter().take(3).collect(),
            hint: hint.into(),
        })
    }

    /// The genes' rows of the embedding; those that it does not have are drawn as spread as the others: (n_genes, width).
    pub(super) fn embed(&self, genes: &[&str], seed: u64) -> Result<Tensor> {
        let width = self.embedding.dim(1)?;
        let ids: Vec<Option<u32>> = genes.iter().map(|gene| self.rows.get(*gene).map(|&id| id as u32)).collect();
        let known: Vec<u32> = ids.iter().flatten().copied().collect();
        let n_known = known.len();
        let rows = self.embedding.index_select(&Tensor::from_vec(known, n_known, &Device::Cpu)?, 0)?;
        let rows = rows.flatten_all()?.to_vec1::<f32>()?;
        let squares: f64 = rows.iter().map(|value| f64::from(*value).powi(2)).sum();
        let deviation = (squares / rows.len() as f64).sqrt() as f32;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // The network's own draws are stream 0.
        rng.set_stream(1);
        let mut rows = rows.chunks_exact(width);
        let mut values = Vec::with_capacity(genes.len() * width);
        for id in ids {
            match id.and_then(|_| rows.next()) {
                Some(row) => values.extend_from_slice(row),
                None => values.extend((0..width).map(|_| -> f32 {
                    let draw: f32 = StandardNormal.sample(&mut rng);
                    deviation * draw
                })),
            }
        }
        Ok(Tensor::from_vec(values, (genes.len(), width), &Device::Cpu)?)
    }
}
