//! Random minibatches of conditions and cells, in flow coordinates; the same for every flow.

use std::collections::BTreeMap;

use candle_core::Tensor;
use ndarray::{Array1, Array2, ArrayView2, Axis, concatenate, s};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::prompts::Prompts;
use super::reader::{Reader, Told};
use crate::conditions::Condition;
use crate::error::refuse;
use crate::flow::Coupling;
use crate::numbers::normal;
use crate::training::Part;
use crate::{Error, Result};

/// The size of a minibatch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MinibatchParams {
    /// Cells.
    pub n_cells: usize,
    /// Conditions.
    pub n_prompts: usize,
    /// The number of cells of a condition is a multiple of this, and at least this.
    pub multiple: usize,
    /// How source points are paired with cells.
    pub coupling: Coupling,
    /// The σ of the path, which decides the entropic coupling.
    pub sigma: f32,
    /// The probability with which a condition is hidden, so that the law of all conditions is learned too.
    pub condition_dropout: f64,
}

/// # Errors
/// [`Error::InvalidParameter`] if it is no probability below one.
pub fn check_dropout(condition_dropout: f64) -> Result<()> {
    if (0.0..1.0).contains(&condition_dropout) {
        return Ok(());
    }
    refuse("condition-dropout", condition_dropout, "it must be zero or above, and below one")
}

/// One way in which a training condition is met.
struct Met {
    /// In all its wordings.
    told: Vec<Told>,
    /// The point that cells are measured from: (n_dims).
    centre: Array1<f32>,
}

/// The cells of a training condition as principal components, and all the ways in which it is met.
struct Group {
    condition: Condition,
    cells: Array2<f32>,
    met: Vec<Met>,
}

/// The training cells by condition.
pub struct TrainingCells {
    groups: Vec<Group>,
    /// What is told where a condition is hidden.
    nothing: Told,
}

/// Cells of a few conditions, paired with source points; those of one condition stand together.
pub struct Minibatch<'a> {
    /// What is told of each condition.
    pub told: Vec<&'a Told>,
    /// Cells of each condition.
    pub n_cells_each: usize,
    /// Source points: (n_cells, n_dims).
    pub x0: Array2<f32>,
    /// Cells: (n_cells, n_dims).
    pub x1: Array2<f32>,
}

impl TrainingCells {
    /// Sorts training cells by condition. Where a network reads the order of words, a condition is met with its components in
    /// any order.
    ///
    /// **Shapes** `embedding`: (n_cells, n_dims); one condition per cell.
    ///
    /// # Errors
    /// Those of the reader and its guide.
    pub fn new(
        embedding: ArrayView2<f32>,
        conditions: &[Condition],
        reader: &Reader,
        reads_order: bool,
    ) -> Result<Self> {
        let mut rows = BTreeMap::<&Condition, Vec<usize>>::new();
        for (row, condition) in conditions.iter().enumerate() {
            rows.entry(condition).or_default().push(row);
        }
        let mut groups = Vec::with_capacity(rows.len());
        for (condition, rows) in rows {
            let views = reader.guide.training_views(condition)?.into_iter();
            let met = views.map(|view| {
                let told = reader.told_in_training(condition, &view, reads_order)?;
                Ok(Met { told, centre: view.centre })
            });
            groups.push(Group {
                condition: condition.clone(),
                cells: embedding.select(Axis(0), &rows),
                met: met.collect::<Result<_>>()?,
            });
        }
        Ok(Self { groups, nothing: reader.nothing() })
    }

    /// Draws conditions, a way of meeting each, one of its wordings, cells of each, and source points, and pairs them.
    ///
    /// # Errors
    /// Those of [`Reader::matched_controls`] and [`Coupling::pair`].
    pub fn draw(&self, reader: &Reader, params: MinibatchParams, rng: &mut ChaCha8Rng) -> Result<Minibatch<'_>> {
        let n_dims = reader.guide.n_dims();
        let n_cells_each = (params.n_cells / params.n_prompts / params.multiple).max(1) * params.multiple;
        let n_cells = params.n_prompts * n_cells_each;
        let (mut told, mut x1) = (Vec::with_capacity(params.n_prompts), Array2::zeros((n_cells, n_dims)));
        let mut controls = Vec::new();
        for mut of_prompt in x1.axis_chunks_iter_mut(Axis(0), n_cells_each) {
            let group = &self.groups[rng.random_range(0..self.groups.len())];
            // A single view or wording costs no draw, so that others give the models that they always gave.
            let mut one_of = |n: usize| if n > 1 { rng.random_range(0..n) } else { 0 };
            let met = &group.met[one_of(group.met.len())];
            let wording = &met.told[one_of(met.told.len())];
            let is_hidden = params.condition_dropout > 0.0 && rng.random_bool(params.condition_dropout);
            told.push(if is_hidden { &self.nothing } else { wording });
            let rows: Vec<usize> = (0..n_cells_each).map(|_| rng.random_range(0..group.cells.nrows())).collect();
            let cells = group.cells.select(Axis(0), &rows);
            of_prompt.assign(&reader.guide.standard().standardise(cells.view(), &met.centre));
            controls.extend(reader.matched_controls(&group.condition, &met.centre, n_cells_each, rng)?);
        }
        let mut x0 = match controls.is_empty() {
            true => normal(n_cells, n_dims, rng),
            false => {
                let controls: Vec<_> = controls.iter().map(Array2::view).collect();
                concatenate(Axis(0), &controls).map_err(|source| Error::backend("joining control cells", source))?
            }
        };
        if params.coupling != Coupling::Independent {
            let of_prompts = x0.axis_chunks_iter_mut(Axis(0), n_cells_each);
            for (mut x0, x1) in of_prompts.zip(x1.axis_chunks_iter(Axis(0), n_cells_each)) {
                let order = params.coupling.pair(x0.view(), x1, params.sigma, rng)?;
                let paired = x0.select(Axis(0), &order);
                x0.assign(&paired);
            }
        }
        Ok(Minibatch { told, n_cells_each, x0, x1 })
    }
}

impl<'a> Minibatch<'a> {
    /// The same cells as at most `n_parts` minibatches of nearly equal size, each with conditions of its own. Where there
    /// are fewer conditions than parts, a condition is met in several; the cells of each stay a multiple of `multiple`.
    pub fn split(&self, n_parts: usize, multiple: usize) -> Vec<Minibatch<'a>> {
        let n_rows = self.n_cells_each / multiple;
        let copies = (1..=n_rows).find(|copies| n_rows.is_multiple_of(*copies) && copies * self.told.len() >= n_parts);
        let copies = copies.unwrap_or(n_rows).max(1);
        let told: Vec<&Told> = self.told.iter().flat_map(|told| std::iter::repeat_n(*told, copies)).collect();
        let n_cells_each = self.n_cells_each / copies;
        let (mut parts, mut start) = (Vec::with_capacity(n_parts), 0);
        for told in told.chunks(told.len().div_ceil(n_parts.max(1)).max(1)) {
            let rows = s![start..start + told.len() * n_cells_each, ..];
            let (x0, x1) = (self.x0.slice(rows).to_owned(), self.x1.slice(rows).to_owned());
            start += x0.nrows();
            parts.push(Minibatch { told: told.to_vec(), n_cells_each, x0, x1 });
        }
        parts
    }

    /// `share` times the mean of a loss over the cells as a sum of parts, those of [`Self::split`], each with random numbers
    /// of its own.
    pub fn parts<'p>(
        &self,
        n_parts: usize,
        multiple: usize,
        share: f64,
        rng: &mut ChaCha8Rng,
        loss_of: impl Fn(&Minibatch<'_>, &mut ChaCha8Rng) -> Result<Tensor> + Copy + Send + 'p,
    ) -> Vec<Part<'p>>
    where
        'a: 'p,
    {
        let n_cells = self.x1.nrows() as f64;
        let mut part = |minibatch: Minibatch<'a>| -> Part<'p> {
            let mut rng = ChaCha8Rng::seed_from_u64(rng.random());
            let weight = share * minibatch.x1.nrows() as f64 / n_cells;
            Box::new(move || Ok((loss_of(&minibatch, &mut rng)? * weight)?))
        };
        self.split(n_parts, multiple).into_iter().map(&mut part).collect()
    }

    /// The conditions for a network whose sequences hold `cells_per_sequence` cells each.
    ///
    /// # Errors
    /// [`Error::Backend`] if a tensor cannot be made.
    pub fn prompts(&self, n_words: usize, cells_per_sequence: usize) -> Result<Prompts> {
        let per_prompt = self.n_cells_each / cells_per_sequence;
        let of_sequence = (0..self.told.len() as u32).flat_map(|prompt| std::iter::repeat_n(prompt, per_prompt));
        Prompts::new(&self.told, n_words, of_sequence.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_minibatch_are_its_cells_in_order() {
        let told = |token: u32| Told { tokens: vec![token], inputs: Array1::zeros(0), evidence: Vec::new() };
        let told: Vec<Told> = (0..3).map(told).collect();
        let x0 = Array2::from_shape_fn((24, 2), |(row, column)| (2 * row + column) as f32);
        let minibatch = Minibatch { told: told.iter().collect(), n_cells_each: 8, x1: -&x0, x0 };
        for (n_parts, expected) in
            [(1, vec![24]), (2, vec![16, 8]), (4, vec![8, 8, 8]), (6, vec![4; 6]), (100, vec![2; 12])]
        {
            let parts = minibatch.split(n_parts, 2);
            assert_eq!(parts.iter().map(|part| part.x0.nrows()).collect::<Vec<_>>(), expected, "{n_parts}");
            let mut row = 0;
            for part in &parts {
                assert_eq!(part.told.len() * part.n_cells_each, part.x0.nrows());
                for (place, (x0, x1)) in part.x0.rows().into_iter().zip(part.x1.rows()).enumerate() {
                    assert_eq!((x0[0], x1[1]), (2.0 * row as f32, -(2.0 * row as f32 + 1.0)));
                    assert_eq!(part.told[place / part.n_cells_each].tokens, [row as u32 / 8]);
                    row += 1;
                }
            }
        }
    }
}
