//! Early stopping: training conditions that are kept from the fit, and how well the model tells them as it learns.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use candle_core::{Device, Tensor};
use ndarray::{Array2, Axis};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::FitParams;
use crate::conditions::{Condition, Perturbation};
use crate::embedding::pca::Pca;
use crate::metrics::energy::energy;
use crate::metrics::mmd::{gamma_median, mmd2_rbf};
use crate::metrics::spread::std_ratio;
use crate::models::method::{Asked, Draws, Fitting};
use crate::prepared::Prepared;
use crate::training::State;
use crate::{Error, Result};

/// The model is judged this often in the course of a fit.
const N_JUDGEMENTS: usize = 20;
/// Training ends after this many judgements without a better one.
const PATIENCE: usize = 5;
/// At most this many cells of a condition are compared.
const MOST_CELLS: usize = 300;
/// A condition with fewer cells cannot judge.
const FEWEST_CELLS: usize = 10;
/// The columns of a judgement.
const COLUMNS: [&str; 5] =
    ["step", "validation", "validation_edist_l2", "validation_mmd2_rbf_median", "validation_std_ratio"];

/// The real cells of one condition, and how far control cells are from them.
struct Held {
    condition: Condition,
    cells: Array2<f32>,
    /// Of control cells, in turn, for as many cells.
    library_sizes: Vec<f64>,
    gamma: f64,
    energy_of_control: f64,
    mmd_of_control: f64,
}

/// Judges a model in the course of its fit.
///
/// The score is the mean over conditions of (energy distance / that of control cells + MMD² / that of control cells) / 2: 1
/// for a model that predicts no effect, 0 for the truth. Neither distance rewards cells that vary too little.
pub(super) struct Validation {
    held: Vec<Held>,
    pca: Pca,
    target_sum: f64,
    seed: u64,
    /// Rows of [`COLUMNS`].
    judgements: Vec<[f64; COLUMNS.len()]>,
    best: HashMap<String, Tensor>,
}

impl Validation {
    /// Takes conditions from the training cells of a screen, or those that it keeps for validation; nothing if the user
    /// wants none.
    ///
    /// # Errors
    /// [`Error::TooFew`] if there are fewer conditions that others tell of than wanted.
    pub(super) fn take(params: &FitParams, prepared: &mut Prepared) -> Result<Option<Self>> {
        if params.validation_conditions == 0 && !params.validation_split {
            return Ok(None);
        }
        let chosen = match params.validation_split {
            true => marked(prepared)?,
            false => choose(prepared, params.validation_conditions, params.seed)?,
        };
        let sizes = prepared.library_sizes()?;
        let mut held = Vec::with_capacity(chosen.len());
        for (condition, rows) in chosen {
            rows.iter().for_each(|&row| prepared.is_training[row] = false);
            let mut rng = ChaCha8Rng::seed_from_u64(params.seed);
            let mut sample = |mut rows: Vec<usize>| {
                rows.shuffle(&mut rng);
                rows.truncate(MOST_CELLS);
                rows
            };
            let cells = prepared.embedding().select(Axis(0), &sample(rows));
            let is_its_control = |row: &usize| {
                let other = &prepared.conditions[*row];
                other.perturbation.is_control() && other.covariates == condition.covariates
            };
            let controls = sample(prepared.training_rows().into_iter().filter(is_its_control).collect());
            let control = prepared.embedding().select(Axis(0), &controls);
            let gamma = gamma_median(cells.view())?;
            let least = f64::from(f32::EPSILON);
            held.push(Held {
                energy_of_control: energy(cells.view(), control.view())?.max(least),
                mmd_of_control: mmd2_rbf(cells.view(), control.view(), gamma)?.max(least),
                library_sizes: controls.iter().cycle().take(cells.nrows()).map(|&row| sizes[row]).collect(),
                condition,
                cells,
                gamma,
            });
        }
        Ok(Some(Self {
            held,
            pca: prepared.pca()?,
            target_sum: prepared.settings.target_sum,
            seed: params.seed,
            judgements: Vec::new(),
            best: HashMap::new(),
        }))
    }

    /// The conditions.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.held.iter().map(|held| &held.condition)
    }

    /// Judges the model where it is due, keeps it if it is the best so far, and ends the fit if it has got no better for
    /// long.
    ///
    /// # Errors
    /// Those of generating cells and of comparing them.
    pub(super) fn after_step(&mut self, fitting: &dyn Fitting, state: &mut State, n_steps: usize) -> Result<()> {
        let every = n_steps.div_ceil(N_JUDGEMENTS);
        if !state.step.is_multiple_of(every) && state.step != n_steps {
            return Ok(());
        }
        state.exchange_average()?;
        let judgement = self.judge(fitting, state.step);
        if judgement.as_ref().is_ok_and(|judgement| self.is_best(judgement)) {
            let copies = state.slots.iter().map(|slot| Ok((slot.name.clone(), slot.variable.as_tensor().copy()?)));
            self.best = copies.collect::<Result<_>>()?;
        }
        state.exchange_average()?;
        self.judgements.push(judgement?);
        state.is_done = self.has_waited();
        Ok(())
    }

    /// True if the model has got no better for long.
    pub(super) fn has_waited(&self) -> bool {
        self.best_judgement().is_some_and(|best| self.judgements.len() - 1 - best >= PATIENCE)
    }

    fn is_best(&self, judgement: &[f64; COLUMNS.len()]) -> bool {
        self.judgements.iter().all(|before| judgement[1] < before[1])
    }

    fn best_judgement(&self) -> Option<usize> {
        (0..self.judgements.len()).min_by(|&a, &b| self.judgements[a][1].total_cmp(&self.judgements[b][1]))
    }

    fn judge(&self, fitting: &dyn Fitting, step: usize) -> Result<[f64; COLUMNS.len()]> {
        let model = fitting.model()?;
        let mut sums = [0.0; 4];
        for held in &self.held {
            let asked = Asked {
                condition: &held.condition,
                n_cells: held.cells.nrows(),
                library_sizes: &held.library_sizes,
                draws: Draws::default(),
                seed: self.seed,
            };
            let generated = model.make(&asked)?.into_components(&self.pca, self.target_sum)?;
            let (real, generated) = (held.cells.view(), generated.view());
            let (energy, mmd) = (energy(real, generated)?, mmd2_rbf(real, generated, held.gamma)?);
            let score = 0.5 * (energy / held.energy_of_control + mmd / held.mmd_of_control);
            let values = [score, energy, mmd, std_ratio(real, generated)?];
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value / self.held.len() as f64);
        }
        Ok([step as f64, sums[0], sums[1], sums[2], sums[3]])
    }

    /// Gives the tensors the values of the best judgement, and returns its step.
    ///
    /// # Errors
    /// [`Error::Backend`] if a tensor cannot be written.
    pub(super) fn restore_best(&self, state: &mut State) -> Result<Option<usize>> {
        for slot in &state.slots {
            if let Some(best) = self.best.get(&slot.name) {
                slot.variable.set(&best.to_device(slot.variable.device())?)?;
            }
        }
        Ok(self.best_judgement().map(|best| self.judgements[best][0] as usize))
    }

    /// The judgements as columns of a history with one row per step; rows without a judgement are NaN.
    pub(super) fn history(&self, n_steps: usize) -> BTreeMap<String, Vec<f64>> {
        let column = |(place, name): (usize, &&str)| {
            let mut values = vec![f64::NAN; n_steps];
            self.judgements.iter().for_each(|judgement| values[judgement[0] as usize - 1] = judgement[place]);
            ((*name).to_owned(), values)
        };
        COLUMNS.iter().enumerate().skip(1).map(column).collect()
    }

    /// Everything as named tensors, for a checkpoint.
    ///
    /// # Errors
    /// [`Error::Backend`] if a tensor cannot be made.
    pub(super) fn to_tensors(&self) -> Result<HashMap<String, Tensor>> {
        let best = self.best.iter().map(|(name, tensor)| (format!("best/{name}"), tensor.clone()));
        let mut tensors: HashMap<String, Tensor> = best.collect();
        let judgements = self.judgements.concat();
        let shape = (self.judgements.len(), COLUMNS.len());
        tensors.insert("judgements".into(), Tensor::from_vec(judgements, shape, &Device::Cpu)?);
        Ok(tensors)
    }

    /// Goes back to what [`Self::to_tensors`] gave.
    ///
    /// # Errors
    /// [`Error::MissingKey`] if it is absent.
    pub(super) fn restore(&mut self, tensors: &HashMap<String, Tensor>) -> Result<()> {
        let judgements = tensors.get("judgements").ok_or_else(|| Error::MissingKey {
            place: "checkpoint".into(),
            key: "judgements".into(),
            hint: "the checkpoint belongs to another fit; fit without --resume".into(),
        })?;
        self.judgements.clear();
        for row in judgements.to_vec2::<f64>()? {
            let mut judgement = [0.0; COLUMNS.len()];
            judgement.iter_mut().zip(row).for_each(|(to, from)| *to = from);
            self.judgements.push(judgement);
        }
        let best =
            tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix("best/")?.to_owned(), tensor.clone())));
        self.best = best.collect();
        Ok(())
    }
}

type Chosen = Vec<(Condition, Vec<usize>)>;

/// The conditions that the screen keeps for validation.
fn marked(prepared: &Prepared) -> Result<Chosen> {
    let splits = prepared.cells.obs.texts("obs", "split")?;
    let mut rows = BTreeMap::<Condition, Vec<usize>>::new();
    for (row, condition) in prepared.conditions.iter().enumerate().filter(|(row, _)| splits[*row] == "val") {
        rows.entry(condition.clone()).or_default().push(row);
    }
    let chosen: Chosen = rows.into_iter().filter(|(_, rows)| rows.len() >= FEWEST_CELLS).collect();
    if chosen.is_empty() {
        return Err(Error::TooFew {
            what: format!("conditions with at least {FEWEST_CELLS} cells marked `val` in obs[\"split\"]"),
            needed: 1,
            got: 0,
            hint: "mark some in the table of `scflow preprocess --split`, or give --validation-conditions".into(),
        });
    }
    Ok(chosen)
}

/// Draws perturbations (or, where there are no combinations, single strata) whose parts other training cells tell of.
fn choose(prepared: &Prepared, wanted: usize, seed: u64) -> Result<Chosen> {
    let rows = prepared.rows_by_condition(true);
    let perturbed = || rows.keys().filter(|condition| !condition.perturbation.is_control());
    let is_combination = |condition: &&Condition| condition.perturbation.components().len() > 1;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let too_few = |got: usize| Error::TooFew {
        what: "training conditions that others tell of".into(),
        needed: wanted,
        got,
        hint: "give a smaller --validation-conditions, or train without early stopping".into(),
    };
    let keep = |is_chosen: &dyn Fn(&Condition) -> bool| -> Chosen {
        let chosen = rows.iter().filter(|(condition, rows)| is_chosen(condition) && rows.len() >= FEWEST_CELLS);
        chosen.map(|(condition, rows)| (condition.clone(), rows.clone())).collect()
    };
    if perturbed().any(|condition| is_combination(&condition)) {
        let was_alone =
            |component: &String| perturbed().any(|other| other.perturbation == Perturbation::single(component));
        let combinations: BTreeSet<&Perturbation> = perturbed()
            .filter(is_combination)
            .map(|condition| &condition.perturbation)
            .filter(|combination| combination.components().iter().all(was_alone))
            .collect();
        let mut combinations: Vec<&Perturbation> = combinations.into_iter().collect();
        combinations.shuffle(&mut rng);
        combinations.truncate(wanted);
        let chosen = keep(&|condition| combinations.contains(&&condition.perturbation));
        return if combinations.len() < wanted || chosen.is_empty() {
            Err(too_few(combinations.len()))
        } else {
            Ok(chosen)
        };
    }
    let is_elsewhere = |condition: &&Condition| {
        perturbed().any(|other| other.perturbation == condition.perturbation && other != *condition)
    };
    let mut strata: Vec<&Condition> = perturbed().filter(is_elsewhere).collect();
    strata.shuffle(&mut rng);
    strata.truncate(wanted);
    let chosen = keep(&|condition| strata.contains(&condition));
    // One stratum of every perturbation must stay.
    let stays = |condition: &&&Condition| {
        perturbed().any(|other| other.perturbation == condition.perturbation && !strata.contains(&other))
    };
    let n_safe = strata.iter().filter(stays).count();
    if n_safe < wanted || chosen.len() < wanted { Err(too_few(n_safe.min(chosen.len()))) } else { Ok(chosen) }
}
