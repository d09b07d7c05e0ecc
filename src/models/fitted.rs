//! A fitted model with everything that a prediction needs: no file of the screen is looked at again.

use std::collections::BTreeMap;

use ndarray::Array2;
use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::gene_decoder::GeneDecoder;
use super::known::Known;
use super::method::{Asked, Draws, FittedMethod, Made, project};
use crate::cells::SparseMatrix;
use crate::conditions::Condition;
use crate::embedding::pca::Pca;
use crate::numbers::fnv;
use crate::prepared::Settings;
use crate::{Error, Result};

/// A fitted model.
pub struct FittedModel {
    /// Makes cells.
    pub method: Box<dyn FittedMethod>,
    /// Turns principal components into counts; absent if the method makes counts itself.
    pub gene_decoder: Option<GeneDecoder>,
    /// The principal component analysis of the screen.
    pub pca: Pca,
    /// The names of the genes.
    pub genes: Vec<String>,
    /// How the screen was prepared.
    pub settings: Settings,
    /// What is known of the screen.
    pub known: Known,
    /// The history of the fit: column → values.
    pub history: BTreeMap<String, Vec<f64>>,
    /// How the model was fitted, for provenance.
    pub provenance: serde_json::Value,
}

/// Cells of one condition.
pub struct Generated {
    /// Principal components: (n_cells, n_components).
    pub embedding: Array2<f32>,
    /// Counts: (n_cells, n_genes).
    pub counts: SparseMatrix,
    /// The number of counts by which each cell is normalised: (n_cells).
    pub library_sizes: Vec<f64>,
}

impl FittedModel {
    /// Generates cells of a condition: one of the [`Self::blocks`].
    ///
    /// Library sizes are drawn from training cells with the same covariates, and handed to the cells that they fit.
    ///
    /// # Errors
    /// [`Error::UnknownName`] if a component or the covariates never occurred in training; those of the gene decoder.
    pub fn generate(&self, condition: &Condition, n_cells: usize, draws: Draws, seed: u64) -> Result<Generated> {
        self.known.require_components(&condition.perturbation, self.method.descriptions())?;
        let seed = condition_seed(condition, seed);
        let sizes = self.known.library_sizes.iter().find(|(covariates, _)| *covariates == condition.covariates);
        let (_, sizes) = sizes.ok_or_else(|| Error::UnknownName {
            what: "covariates".into(),
            name: condition.to_string(),
            place: "the model".into(),
            nearest: Vec::new(),
        })?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(u64::MAX);
        let drawn: Vec<f64> =
            (0..n_cells).filter_map(|_| sizes.choose(&mut rng)).map(|&size| f64::from(size)).collect();
        match self.method.make(&Asked { condition, n_cells, library_sizes: &drawn, draws, seed })? {
            Made::Components(embedding) => {
                let decoder = self.gene_decoder.as_ref().ok_or_else(|| Error::MissingKey {
                    place: "the model".into(),
                    key: "gene_decoder".into(),
                    hint: "fit the model again".into(),
                })?;
                let groups = vec![0; n_cells];
                let library_sizes = decoder.assign_library_sizes(embedding.view(), &drawn, &groups)?;
                let counts = decoder.generate(embedding.view(), &library_sizes, &groups, seed)?;
                Ok(Generated { embedding, counts, library_sizes })
            }
            Made::Counts { counts, library_sizes } => {
                let embedding = project(&counts, &library_sizes, &self.pca, self.settings.target_sum)?;
                Ok(Generated { embedding, counts, library_sizes })
            }
        }
    }
}

/// Generated cells of one condition are made in blocks of at most this many.
const MOST_CELLS: usize = 10_000;
const FEWEST_CELLS: usize = 1000;
/// And of at most this many cells times genes, as long as there are enough cells for the laws of a block to even out.
const MOST_VALUES: usize = 20_000_000;

impl FittedModel {
    /// The most cells of one condition that are drawn together.
    pub fn most_per_block(&self) -> usize {
        (MOST_VALUES / self.genes.len().max(1)).clamp(FEWEST_CELLS, MOST_CELLS)
    }

    /// The blocks in which `n_cells` cells of one condition are made: the seed and the number of cells of each.
    ///
    /// A condition of many cells is never held at once. Cells of different blocks are drawn apart, so that blocks are a
    /// part of the definition of the cells and depend on nothing but the number of genes: 10,000 cells up to 2,000 genes,
    /// fewer cells of more genes, at least 1,000.
    pub fn blocks(&self, n_cells: usize, seed: u64) -> Vec<(u64, usize)> {
        let most = self.most_per_block();
        let starts = (0..n_cells).step_by(most).enumerate();
        starts.map(|(block, start)| (block_seed(block, seed), most.min(n_cells - start))).collect()
    }
}

/// A seed of a block's own; the first block has the seed itself.
fn block_seed(block: usize, seed: u64) -> u64 {
    let bytes = seed.to_le_bytes().into_iter().chain((block as u64).to_le_bytes());
    if block == 0 { seed } else { fnv(0, bytes) }
}

/// A seed of the condition's own, so that its cells do not depend on which others are asked for.
fn condition_seed(condition: &Condition, seed: u64) -> u64 {
    fnv(0, seed.to_le_bytes().into_iter().chain(condition.to_string().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A method that gives every cell as many counts as its library size says, all in the first gene or in the second.
    struct Counting;

    impl FittedMethod for Counting {
        fn name(&self) -> &'static str {
            "counting"
        }

        fn params(&self) -> Result<serde_json::Value> {
            Ok(serde_json::Value::Null)
        }

        fn record(&self) -> Result<super::super::record::Record> {
            Ok(Default::default())
        }

        fn makes(&self) -> super::super::method::Makes {
            super::super::method::Makes::Counts
        }

        fn make(&self, asked: &Asked) -> Result<Made> {
            let row = |(cell, size): (usize, &f64)| vec![((cell % 2) as u32, *size as f32)];
            let rows: Vec<_> = asked.library_sizes.iter().enumerate().map(row).collect();
            let counts = SparseMatrix::from_rows(2, rows);
            Ok(Made::Counts { counts, library_sizes: asked.library_sizes.to_vec() })
        }
    }

    #[test]
    fn counts_of_a_method_stay_as_they_are_and_become_components_by_normalising_and_projecting() {
        let condition = Condition::parse("A | t=x", "control").unwrap();
        let known = Known {
            training: vec![(condition.clone(), 10)],
            held_out: vec![],
            validation: vec![],
            library_sizes: vec![(condition.covariates.clone(), vec![7.0, 7.0])],
        };
        let model = FittedModel {
            method: Box::new(Counting),
            gene_decoder: None,
            pca: Pca {
                mean: vec![1.0, 0.0],
                loadings: ndarray::arr2(&[[1.0, 0.0], [0.0, -1.0]]),
                variance: vec![],
                variance_ratio: vec![],
            },
            genes: vec!["g".into(), "h".into()],
            settings: Settings {
                version: String::new(),
                input: String::new(),
                input_sha256: String::new(),
                perturbation_column: String::new(),
                control: "control".into(),
                covariates: vec!["t".into()],
                size_factors: None,
                target_sum: 100.0,
                n_top_genes: 2,
                n_components: 2,
                held_out: vec![],
                removed: BTreeMap::new(),
            },
            known,
            history: BTreeMap::new(),
            provenance: serde_json::Value::Null,
        };
        let made = model.generate(&condition, 2, Draws::default(), 0).unwrap();
        assert_eq!(
            (made.library_sizes, made.counts.to_dense()),
            (vec![7.0; 2], ndarray::arr2(&[[7.0, 0.0], [0.0, 7.0]]))
        );
        let log = 101.0_f32.ln();
        let gap = made.embedding - ndarray::arr2(&[[log - 1.0, 0.0], [-1.0, -log]]);
        assert!(gap.iter().all(|gap: &f32| gap.abs() < 1e-6), "{gap}");
    }
}
