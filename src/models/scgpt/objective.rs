//! Fitting: the loss of random pairs on random genes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use candle_core::{Device, Tensor, Var};
use rand_chacha::ChaCha8Rng;

use super::fitted::Scgpt;
use super::kept::{Kept, Projection};
use super::network::Network;
use super::pairs::{Pair, PairedCells};
use super::panel::Panel;
use super::params::ScgptParams;
use super::pretrained::{Origin, Pretrained};
use crate::language::parameters::Parameters;
use crate::models::counts::Told;
use crate::models::method::{FittedMethod, Fitting};
use crate::models::reference::Choice;
use crate::models::source::{ControlCells, FEWEST_KEPT, control_rows};
use crate::models::training_data::TrainingData;
use crate::preprocess::normalize::log_normalize;
use crate::training::optimizer::Slot;
use crate::training::{Objective, Part, sum_of};
use crate::{Error, Result};

/// A minibatch is split into parts of this many pairs, each on a thread of its own.
const PAIRS_PER_PART: usize = 4;
/// At most this many control cells are kept per combination of covariates: they are held in all genes of the panel.
const MOST_CONTROLS: usize = FEWEST_KEPT;
/// Pretrained tensors learn so much slower than new ones: at the published rate, 1e-4, if the peak rate is the method's own.
const RATE_OF_PRETRAINED: f64 = 0.05;

/// An scGPT that is being fitted.
pub struct ScgptObjective {
    params: ScgptParams,
    cells: PairedCells,
    panel: Panel,
    told: Told,
    projection: Projection,
    controls: ControlCells,
    network: Network,
    parameters: Parameters,
    /// Names of tensors that were pretrained.
    pretrained: BTreeSet<String>,
    origin: Option<Origin>,
    device: Device,
}

impl ScgptObjective {
    /// Prepares the fit: the counts of all training cells are read, in sparse rows; the network is drawn on the device, or
    /// starts from pretrained weights, which decide its size.
    ///
    /// # Errors
    /// Those of [`ScgptParams::check`], of reading and of [`Told::fit`]; [`Error::TooFew`] if there are no genes, no
    /// perturbations, or no control cells for some covariates; [`Error::BadValues`] if the vocabulary of the pretrained
    /// weights does not know the genes.
    pub fn new(
        data: &TrainingData,
        mut params: ScgptParams,
        pretrained: Option<&Pretrained>,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        if let Some(pretrained) = pretrained {
            (params.encoder, params.batch_norm) = (pretrained.encoder, pretrained.batch_norm);
        }
        params.check()?;
        let (panel, columns) = Panel::of(data)?;
        let rows: Vec<usize> = (0..data.conditions.len()).collect();
        let counts = data.counts.rows(&rows)?.select_columns(&columns);
        let expression = log_normalize(&counts, data.counts.library_sizes(), data.target_sum);
        drop(counts);
        let told = Told::fit(data.embedding, data.conditions, params.centre, seed)?;
        if told.codes.components().is_empty() {
            return Err(Error::TooFew {
                what: "perturbations among the training cells".into(),
                needed: 1,
                got: 0,
                hint: "hold out fewer conditions".into(),
            });
        }
        let means = expression.column_means(&rows).into_iter().map(|mean| mean as f32).collect();
        let kept = control_rows(data.conditions, MOST_CONTROLS, seed);
        let controls = expression.select_rows(&kept).to_dense();
        let controls = ControlCells::of(controls.view(), kept.iter().map(|&row| &data.conditions[row]));
        let projection = Projection::of(data.pca, &columns);
        let (start, origin) = match pretrained {
            Some(pretrained) => {
                let genes: Vec<&str> = columns.iter().map(|&gene| data.genes[gene].as_str()).collect();
                let start = pretrained.start(&genes, params.allow_unknown_genes, told.n_numbers(), seed)?;
                (start.0, Some(start.1))
            }
            None => (HashMap::new(), None),
        };
        let mut parameters = Parameters::draw_beside(start, seed, 0, device);
        let network = Network::new(&mut parameters, &params, &panel, told.n_numbers(), means)?;
        let cells = PairedCells::new(expression, data.conditions, &told, &panel)?;
        let device = device.clone();
        let pretrained = pretrained.map(Pretrained::names).unwrap_or_default();
        Ok(Self { params, cells, panel, told, projection, controls, network, parameters, pretrained, origin, device })
    }

    /// The model as it is now, for generation.
    ///
    /// # Errors
    /// [`Error::BadValues`] if a weight is not finite.
    pub(super) fn to_model(&self) -> Result<Scgpt> {
        let kept = Kept {
            panel: self.panel.clone(),
            told: self.told.clone(),
            projection: self.projection.clone(),
            controls: self.controls.clone(),
            origin: self.origin.clone(),
            tensors: self.parameters.copies()?,
        };
        Scgpt::new(self.params, kept)
    }

    /// The mean squared error of the pairs' genes.
    fn loss_of(&self, pairs: &[Pair], genes: &[u32]) -> Result<Tensor> {
        let (tokens, expected) = self.cells.tokens(pairs, genes);
        let expected = Tensor::from_vec(expected, (pairs.len(), genes.len()), &self.device)?;
        Ok((self.network.forward(&tokens, &self.device)? - expected)?.sqr()?.mean_all()?)
    }
}

impl Objective for ScgptObjective {
    fn loss(&self, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        sum_of(self.parts(rng)?)
    }

    fn parts(&self, rng: &mut ChaCha8Rng) -> Result<Vec<Part<'_>>> {
        let (pairs, genes) = self.cells.draw(self.params.n_cells, self.params.n_genes, rng);
        let genes = Arc::new(genes);
        let part = |some: &[Pair]| -> Part<'_> {
            let (some, genes, weight) = (some.to_vec(), genes.clone(), some.len() as f64 / pairs.len() as f64);
            Box::new(move || Ok((self.loss_of(&some, &genes)? * weight)?))
        };
        Ok(pairs.chunks(PAIRS_PER_PART).map(part).collect())
    }
}

impl Fitting for ScgptObjective {
    /// Only what is multiplied with something decays: embeddings of genes and their means do not, nor what was pretrained.
    fn slots(&self) -> Vec<Slot> {
        let slot = |(name, variable): &(String, Var)| match self.pretrained.contains(name) {
            true => Slot::new(name, variable, RATE_OF_PRETRAINED, 0.0),
            false => Slot::new(name, variable, 1.0, if name.ends_with(".weight") { 1.0 } else { 0.0 }),
        };
        self.parameters.variables.iter().map(slot).collect()
    }

    fn choice(&self) -> Option<&Choice> {
        self.told.choice()
    }

    fn origin(&self) -> Option<String> {
        self.origin.as_ref().map(Origin::describe)
    }

    fn model(&self) -> Result<Box<dyn FittedMethod>> {
        Ok(Box::new(self.to_model()?))
    }
}
