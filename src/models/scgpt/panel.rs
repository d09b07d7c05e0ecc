//! The genes that are tokens.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::conditions::Condition;
use crate::embedding::pca::Pca;
use crate::models::training_data::TrainingData;
use crate::{Error, Result};

/// The genes of the principal component analysis, and which of them are perturbed by components of their name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Panel {
    /// Number of genes.
    pub(super) n_genes: usize,
    /// The place in the panel of the gene that a component of training names.
    targets: BTreeMap<String, u32>,
}

impl Panel {
    /// The panel of a screen, and its columns among all genes.
    ///
    /// # Errors
    /// [`Error::TooFew`] if no gene has a loading.
    pub(super) fn of(data: &TrainingData) -> Result<(Self, Vec<usize>)> {
        let columns = columns(data.pca);
        if columns.is_empty() {
            return Err(Error::TooFew {
                what: "genes in the principal component analysis".into(),
                needed: 1,
                got: 0,
                hint: "prepare the screen again".into(),
            });
        }
        let places: BTreeMap<&str, u32> =
            columns.iter().enumerate().map(|(place, &gene)| (data.genes[gene].as_str(), place as u32)).collect();
        let components = data.conditions.iter().flat_map(|condition| condition.perturbation.components());
        let target = |name: &String| places.get(name.as_str()).map(|&place| (name.clone(), place));
        Ok((Self { n_genes: columns.len(), targets: components.filter_map(target).collect() }, columns))
    }

    /// True if any component of training is a gene of the panel.
    pub(super) fn has_targets(&self) -> bool {
        !self.targets.is_empty()
    }

    /// The places of the genes that a condition perturbs.
    pub(super) fn perturbed(&self, condition: &Condition) -> Vec<u32> {
        condition.perturbation.components().iter().filter_map(|name| self.targets.get(name).copied()).collect()
    }

    /// The genes in groups of at most `most`, as even as can be; neighbours are apart, as they are at random in training.
    pub(super) fn groups(&self, most: usize) -> Vec<Vec<u32>> {
        let n_groups = self.n_genes.div_ceil(most);
        let group = |first: usize| (first..self.n_genes).step_by(n_groups).map(|gene| gene as u32).collect();
        (0..n_groups).map(group).collect()
    }
}

/// The genes that have a loading.
fn columns(pca: &Pca) -> Vec<usize> {
    let is_in_use = |gene: &usize| pca.loadings.row(*gene).iter().any(|loading| *loading != 0.0);
    (0..pca.loadings.nrows()).filter(is_in_use).collect()
}
