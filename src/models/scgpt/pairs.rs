//! Control cells and perturbed cells of the same covariates, paired at random.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::Rng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;

use super::network::Tokens;
use super::panel::Panel;
use crate::cells::SparseMatrix;
use crate::conditions::Condition;
use crate::models::counts::Told;
use crate::{Error, Result};

/// What is known of the cells of one condition.
struct Stratum {
    /// All that is told of it, one or the other at random.
    told: Vec<Vec<f32>>,
    perturbed: Vec<u32>,
    /// Control cells with the same covariates.
    controls: Arc<Vec<usize>>,
}

/// The training cells.
pub(super) struct PairedCells {
    /// Log-normalised: (n_cells, n_genes) of the panel.
    expression: SparseMatrix,
    strata: Vec<Stratum>,
    /// The stratum of each cell.
    stratum_of: Vec<u32>,
}

/// One cell, its control, and which of all that is told of its condition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    control: usize,
    cell: usize,
    which: usize,
}

impl PairedCells {
    /// Takes training cells.
    ///
    /// **Shapes** `expression`: (n_cells, n_genes), log-normalised; one condition per cell.
    ///
    /// # Errors
    /// [`Error::TooFew`] if a condition has no control cells with its covariates; those of [`Told`].
    pub(super) fn new(expression: SparseMatrix, conditions: &[Condition], told: &Told, panel: &Panel) -> Result<Self> {
        let mut controls = BTreeMap::<_, Vec<usize>>::new();
        for (row, condition) in conditions.iter().enumerate().filter(|(_, one)| one.perturbation.is_control()) {
            controls.entry(&condition.covariates).or_default().push(row);
        }
        let controls: BTreeMap<_, _> = controls.into_iter().map(|(key, rows)| (key, Arc::new(rows))).collect();
        let (mut numbers, mut strata) = (BTreeMap::<&Condition, u32>::new(), Vec::new());
        let mut stratum_of = Vec::with_capacity(conditions.len());
        for condition in conditions {
            if !numbers.contains_key(condition) {
                let controls = controls.get(&condition.covariates).ok_or_else(|| Error::TooFew {
                    what: format!("training control cells with the covariates of `{condition}`"),
                    needed: 1,
                    got: 0,
                    hint: "`scgpt` pairs every cell with a control cell: leave these cells out, or add their controls"
                        .into(),
                })?;
                numbers.insert(condition, strata.len() as u32);
                let (told, perturbed) = (told.training_numbers(condition)?, panel.perturbed(condition));
                strata.push(Stratum { told, perturbed, controls: controls.clone() });
            }
            stratum_of.push(numbers[condition]);
        }
        Ok(Self { expression, strata, stratum_of })
    }

    /// Draws cells, each as likely as any other, each with a control cell; and genes of the panel, at most `n_genes`.
    pub(super) fn draw(&self, n_cells: usize, n_genes: usize, rng: &mut ChaCha8Rng) -> (Vec<Pair>, Vec<u32>) {
        let mut pair = |_| {
            let cell = rng.random_range(0..self.stratum_of.len());
            let Stratum { told, controls, .. } = &self.strata[self.stratum_of[cell] as usize];
            let control = controls[rng.random_range(0..controls.len())];
            Pair { control, cell, which: rng.random_range(0..told.len()) }
        };
        let pairs = (0..n_cells).map(&mut pair).collect();
        let n_all = self.expression.n_columns();
        let mut genes: Vec<u32> = match n_genes < n_all {
            true => sample(rng, n_all, n_genes).into_iter().map(|gene| gene as u32).collect(),
            false => (0..n_all as u32).collect(),
        };
        genes.sort_unstable();
        (pairs, genes)
    }

    /// The tokens of control cells that are told the conditions of their partners, and the expression of these partners:
    /// (n_cells · n_genes).
    pub(super) fn tokens<'a>(&self, pairs: &[Pair], genes: &'a [u32]) -> (Tokens<'a>, Vec<f32>) {
        let mut place_of = vec![None; self.expression.n_columns()];
        genes.iter().enumerate().for_each(|(place, &gene)| place_of[gene as usize] = Some(place));
        let dense = |row_of: fn(&Pair) -> usize| {
            let mut all = vec![0.0_f32; pairs.len() * genes.len()];
            for (dense, pair) in all.chunks_exact_mut(genes.len()).zip(pairs) {
                let (columns, values) = self.expression.row(row_of(pair));
                let stored = columns.iter().zip(values);
                stored
                    .filter_map(|(&gene, &value)| Some((place_of[gene as usize]?, value)))
                    .for_each(|(place, value): (usize, f32)| dense[place] = value);
            }
            all
        };
        let stratum = |pair: &Pair| &self.strata[self.stratum_of[pair.cell] as usize];
        let tokens = Tokens {
            genes,
            expression: dense(|pair| pair.control),
            perturbed: pairs.iter().flat_map(|pair| flags(genes, &stratum(pair).perturbed)).collect(),
            told: pairs.iter().flat_map(|pair| stratum(pair).told[pair.which].iter().copied()).collect(),
        };
        (tokens, dense(|pair| pair.cell))
    }
}

/// 1 for each gene that is perturbed, 0 for the others: (n_genes).
pub(super) fn flags(genes: &[u32], perturbed: &[u32]) -> Vec<f32> {
    genes.iter().map(|gene| f32::from(u8::from(perturbed.contains(gene)))).collect()
}
