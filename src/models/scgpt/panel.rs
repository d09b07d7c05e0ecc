//! The genes that are tokens.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::conditions::{Component, Condition, Perturbation};
use crate::embedding::pca::Pca;
use crate::models::training_data::TrainingData;
use crate::{Error, Result};

/// The genes of the principal component analysis, and which of them are perturbed by components of their name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Panel {
    /// Number of genes.
    pub(crate) n_genes: usize,
    /// The places in the panel of the genes that a component of training names: several only where a symbol is not unique.
    targets: BTreeMap<String, Vec<u32>>,
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
        let mut places = BTreeMap::<&str, Vec<u32>>::new();
        for (place, &gene) in columns.iter().enumerate() {
            places.entry(data.genes[gene].as_str()).or_default().push(place as u32);
        }
        let distinct: BTreeSet<&Perturbation> =
            data.conditions.iter().map(|condition| &condition.perturbation).collect();
        let parts = distinct.into_iter().flat_map(Perturbation::parts);
        let target = |part: Component| Some((part.name.clone(), places.get(part.name.as_str())?.clone()));
        Ok((Self { n_genes: columns.len(), targets: parts.filter_map(target).collect() }, columns))
    }

    /// The places of the genes that a condition perturbs.
    pub(super) fn perturbed(&self, condition: &Condition) -> Vec<u32> {
        condition.perturbation.parts().filter_map(|part| self.targets.get(&part.name)).flatten().copied().collect()
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
