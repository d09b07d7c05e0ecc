//! What a simulated screen should look like.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How the effect of a pair departs from the sum of its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Interactions {
    /// The interaction follows from the pathways of the two parts, so that it can be learned from other pairs.
    #[default]
    Readable,
    /// Interactions of the same sizes and kinds, dealt out to pairs at random: the parts do not tell them.
    Hidden,
    /// Every pair is the sum of its parts on the logarithm of expression.
    None,
}

/// The size of a simulated screen and the laws that it follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScreenDesign {
    /// Number of cells.
    pub cells: usize,
    /// Number of genes, among them 13 mitochondrial ones.
    pub genes: usize,
    /// Number of perturbations that are also applied alone.
    pub singles: usize,
    /// Number of pairs of them.
    pub pairs: usize,
    /// Number of pathways that perturbations target; half as many as singles, up to six, if absent.
    #[serde(default)]
    pub pathways: Option<usize>,
    /// Number of cell types.
    pub cell_types: usize,
    /// Number of experimental batches.
    pub batches: usize,
    /// How pairs depart from the sum of their parts.
    pub interactions: Interactions,
    /// Seed of everything drawn.
    pub seed: u64,
}

impl Default for ScreenDesign {
    fn default() -> Self {
        Self {
            cells: 8000,
            genes: 2000,
            singles: 8,
            pairs: 28,
            pathways: None,
            cell_types: 5,
            batches: 3,
            interactions: Interactions::Readable,
            seed: 0,
        }
    }
}

/// Fewer genes cannot hold the programmes.
const MIN_GENES: usize = 100;
/// More than any genome has.
const MAX_GENES: usize = 100_000;
/// More than any screen has.
const MAX_CELLS: usize = 10_000_000;
/// Enough for every genome-wide screen of singles, and for their names.
const MAX_SINGLES: usize = 20_000;
/// Finer divisions leave no cells in a group.
const MAX_GROUPS: usize = 200;

impl ScreenDesign {
    /// Number of conditions: the control, singles and pairs.
    pub fn n_conditions(&self) -> usize {
        1 + self.singles + self.pairs
    }

    /// Number of pairs that some singles make.
    pub fn n_possible_pairs(n_singles: usize) -> usize {
        n_singles.saturating_mul(n_singles.saturating_sub(1)) / 2
    }

    /// Checks that such a screen can be made.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] that names the flag.
    pub fn check(&self) -> Result<()> {
        let between = |flag: &str, value: usize, least: usize, most: usize| {
            let reason = format!("must be between {least} and {most}");
            if (least..=most).contains(&value) { Ok(()) } else { Err(invalid(flag, value, reason)) }
        };
        between("--genes", self.genes, MIN_GENES, MAX_GENES)?;
        between("--singles", self.singles, 1, MAX_SINGLES)?;
        between("--pathways", self.pathways.unwrap_or(1), 1, self.singles)?;
        between("--cell-types", self.cell_types, 1, MAX_GROUPS)?;
        between("--batches", self.batches, 1, MAX_GROUPS)?;
        let n_possible = Self::n_possible_pairs(self.singles);
        if self.pairs > n_possible {
            let reason = format!("{} singles make at most {n_possible} pairs", self.singles);
            return Err(invalid("--pairs", self.pairs, reason));
        }
        if self.cells < self.n_conditions() {
            let reason = format!(
                "the screen has {} conditions (control, {} singles, {} pairs) and each needs at least one cell",
                self.n_conditions(),
                self.singles,
                self.pairs
            );
            return Err(invalid("--cells", self.cells, reason));
        }
        between("--cells", self.cells, self.n_conditions(), MAX_CELLS)
    }
}

fn invalid(flag: &str, value: usize, reason: String) -> Error {
    Error::InvalidParameter { name: flag.to_owned(), value: value.to_string(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_the_flag() {
        let refused = |change: &dyn Fn(&mut ScreenDesign)| {
            let mut design = ScreenDesign::default();
            change(&mut design);
            design.check().unwrap_err().to_string()
        };
        assert!(refused(&|d| d.cells = 0).starts_with("--cells = `0`"));
        assert!(refused(&|d| d.cells = 36).contains("37 conditions"));
        assert!(refused(&|d| d.cells = usize::MAX).starts_with("--cells"));
        assert!(refused(&|d| d.genes = 99).starts_with("--genes = `99`"));
        assert!(refused(&|d| d.singles = 0).starts_with("--singles"));
        assert!(refused(&|d| d.pairs = 29).contains("8 singles make at most 28 pairs"));
        assert!(refused(&|d| d.pathways = Some(9)).contains("between 1 and 8"));
        assert!(refused(&|d| d.cell_types = 0).starts_with("--cell-types"));
        assert!(refused(&|d| d.batches = 0).starts_with("--batches"));
        assert!(ScreenDesign::default().check().is_ok());
    }
}
