//! A fitted velocity field: cells of any condition.

use std::collections::HashMap;

use candle_core::Tensor;
use ndarray::{Array2, ArrayView2};
use rand_chacha::ChaCha8Rng;

use super::network::{Conditioning, Fields, Network};
use super::params::CfmParams;
use crate::conditions::Condition;
use crate::error::refuse;
use crate::flow::Solver;
use crate::flow::sde::euler_maruyama;
use crate::language::kernels::values;
use crate::language::parameters::Parameters;
use crate::models::fitted_flow::FittedFlow;
use crate::models::generation::{Anchors, Generation};
use crate::models::members;
use crate::models::method::{Draws, written};
use crate::models::prompts::Prompts;
use crate::models::reader::{Reader, Told};
use crate::models::source::Source;
use crate::{Error, Result};

/// A fitted velocity field.
pub struct Cfm {
    reader: Reader,
    params: CfmParams,
    tensors: HashMap<String, Tensor>,
    networks: Vec<Network>,
    anchors: Anchors,
}

impl Cfm {
    /// Puts a model together from its parts.
    ///
    /// # Errors
    /// [`Error::MissingKey`], [`Error::ShapeMismatch`] or [`Error::BadValues`] if the weights do not belong to the choices.
    pub fn new(reader: Reader, params: CfmParams, tensors: HashMap<String, Tensor>) -> Result<Self> {
        reader.check_source(params.source)?;
        let network = |parameters: &mut Parameters| Network::new(parameters, &params, reader.sizes());
        let networks = members::take(params.n_members, &tensors, network)?;
        Ok(Self { reader, params, tensors, networks, anchors: Anchors::default() })
    }

    /// Carries source points along v_none + G (v_condition − v_none), G the guidance; or along the stochastic equation
    /// dX = (v + (σ²/2)∇log p) dt + σ dW with the same marginal laws (Tong et al. 2023, arXiv 2307.03672), guided likewise.
    ///
    /// Source points → cells in flow coordinates: (n_cells, n_dims) → the same, row by row.
    fn solve(
        &self,
        network: &Network,
        told: &Told,
        x0: ArrayView2<f32>,
        draws: Draws,
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<f32>> {
        let (n, n_dims) = x0.dim();
        let solver = draws.solver.unwrap_or_default();
        let is_stochastic = matches!(solver, Solver::EulerMaruyama { .. });
        let read = |told: &Told| network.read(&Prompts::new(&[told], self.reader.tokenizer.n_tokens(), vec![0; n])?);
        let conditioning = read(told)?;
        let none = if draws.guidance == 1.0 { None } else { Some(read(&self.reader.nothing())?) };
        let field = |t: f32, x: &Array2<f32>, conditioning: &Conditioning| {
            let Fields { velocity, score } = network.fields(x.view(), &vec![t; n], conditioning)?;
            let drift = match score.filter(|_| is_stochastic) {
                Some(score) => (velocity + score)?,
                None => velocity,
            };
            let shape = |source| Error::backend("collecting velocities", source);
            Array2::from_shape_vec((n, n_dims), values(&drift)?).map_err(shape)
        };
        let velocity = |t: f32, x: &Array2<f32>| {
            let own = field(t, x, &conditioning)?;
            match &none {
                Some(none) => {
                    let none = field(t, x, none)?;
                    Ok(&none + &((own - &none) * draws.guidance))
                }
                None => Ok(own),
            }
        };
        let start = x0.mapv(|value| draws.temperature * value);
        let end = match solver {
            Solver::EulerMaruyama { n_steps } => {
                euler_maruyama(start, n_steps, draws.temperature * self.params.sigma, &velocity, rng)?
            }
            _ => solver.solve(start, &velocity)?,
        };
        Ok(end.into_iter().collect())
    }
}

impl FittedFlow for Cfm {
    fn name(&self) -> &'static str {
        self.params.variant.name()
    }

    fn params(&self) -> Result<serde_json::Value> {
        written(&self.params)
    }

    fn reader(&self) -> &Reader {
        &self.reader
    }

    fn reader_mut(&mut self) -> &mut Reader {
        &mut self.reader
    }

    fn tensors(&self) -> &HashMap<String, Tensor> {
        &self.tensors
    }

    /// The temperature scales the noise that the flow starts from, and that of a stochastic equation.
    fn generate(&self, condition: &Condition, n_cells: usize, draws: Draws, seed: u64) -> Result<Array2<f32>> {
        draws.check()?;
        draws.check_guidance(self.name(), self.params.condition_dropout)?;
        draws.check_anchor(self.name(), &self.reader.guide)?;
        if self.params.source == Source::Control && draws.temperature != 1.0 {
            let reason = format!("`{}` fitted with --source control draws no noise that could be scaled", self.name());
            return refuse("temperature", draws.temperature, &reason);
        }
        if let Some(Solver::EulerMaruyama { n_steps }) = draws.solver.filter(|_| !self.params.score) {
            let reason = format!("this `{}` has no score; fit it with --method cfm-sb --score", self.name());
            return refuse("solver", format!("sde:{n_steps}"), &reason);
        }
        let solve = |network: &Network, told: &Told, x0: ArrayView2<f32>, draws: Draws, rng: &mut _| {
            self.solve(network, told, x0, draws, rng)
        };
        let (reader, networks, anchors) = (&self.reader, &self.networks[..], &self.anchors);
        Generation { reader, networks, condition, multiple: 1, draws, anchors }.cells(n_cells, seed, solve)
    }
}
