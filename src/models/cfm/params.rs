//! The choices of conditional flow matching.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::{refuse, refuse_below_zero, refuse_zero};
use crate::flow::{Coupling, Spread};
use crate::models::coordinates::Coordinates;
use crate::models::guide::Centre;
use crate::models::minibatch::{MinibatchParams, check_dropout};
use crate::models::reader::ReaderParams;
use crate::models::source::Source;

/// Which conditional paths are fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// Independent ends.
    Cfm,
    /// Ends paired by exact optimal transport within each condition of a minibatch.
    CfmOt,
    /// Ends paired by entropic optimal transport likewise, with a Brownian bridge between them.
    CfmSb,
}

impl Variant {
    /// The name by which it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cfm => "cfm",
            Self::CfmOt => "cfm-ot",
            Self::CfmSb => "cfm-sb",
        }
    }

    /// How its ends are paired.
    pub fn coupling(self) -> Coupling {
        match self {
            Self::Cfm => Coupling::Independent,
            Self::CfmOt => Coupling::Exact,
            Self::CfmSb => Coupling::Entropic,
        }
    }
}

/// The choices of conditional flow matching.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CfmParams {
    /// Which paths are fitted.
    pub variant: Variant,
    /// What cells are measured from.
    pub centre: Centre,
    /// The coordinates that the flow works in.
    pub coordinates: Coordinates,
    /// Whether the estimate is told to the network in numbers.
    pub inputs: bool,
    /// Where flows start.
    pub source: Source,
    /// Networks that are fitted side by side.
    pub n_members: usize,
    /// Numbers per layer of the velocity field.
    pub width: usize,
    /// Residual blocks of the velocity field.
    pub n_layers: usize,
    /// Whether the score is learned too, for the stochastic equation (`CfmSb`).
    pub score: bool,
    /// σ of the conditional path; the data have unit standard deviation.
    pub sigma: f32,
    /// The probability with which a condition is hidden in training; guidance needs it above zero.
    pub condition_dropout: f64,
    /// Cells per training step.
    pub n_cells: usize,
    /// Conditions per training step.
    pub n_prompts: usize,
}

impl CfmParams {
    /// The choices of a variant. Transport pairs cells of one condition only, so its minibatches have fewer conditions
    /// with more cells each.
    pub fn of(variant: Variant) -> Self {
        let independent = Self {
            variant,
            centre: Centre::Interaction,
            coordinates: Coordinates::Scaled,
            inputs: true,
            source: Source::Noise,
            n_members: 1,
            width: 256,
            n_layers: 3,
            score: false,
            sigma: 0.0,
            condition_dropout: 0.0,
            n_cells: 256,
            n_prompts: 32,
        };
        match variant {
            Variant::Cfm => independent,
            Variant::CfmOt => Self { n_prompts: 8, ..independent },
            Variant::CfmSb => Self { n_prompts: 8, sigma: 0.5, ..independent },
        }
    }

    /// The law of x_t given both ends.
    pub fn spread(&self) -> Spread {
        match self.variant {
            Variant::Cfm | Variant::CfmOt => Spread::Constant { sigma: self.sigma },
            Variant::CfmSb => Spread::Bridge { sigma: self.sigma },
        }
    }

    /// What is read of conditions.
    pub fn reader(&self) -> ReaderParams {
        ReaderParams {
            centre: self.centre,
            coordinates: self.coordinates,
            inputs: self.inputs,
            source: self.source,
            evidence: false,
            reads_order: false,
        }
    }

    /// The size of a minibatch, and its coupling.
    pub fn minibatch(&self) -> MinibatchParams {
        MinibatchParams {
            n_cells: self.n_cells,
            n_prompts: self.n_prompts,
            multiple: 1,
            coupling: self.variant.coupling(),
            sigma: self.sigma,
            condition_dropout: self.condition_dropout,
        }
    }

    /// # Errors
    /// [`crate::Error::InvalidParameter`] for a value that cannot work.
    pub fn check(&self) -> Result<()> {
        refuse_zero([
            ("members", self.n_members),
            ("width", self.width),
            ("layers", self.n_layers),
            ("cells-per-step", self.n_cells),
            ("prompts-per-step", self.n_prompts),
        ])?;
        refuse_below_zero([("sigma", f64::from(self.sigma))])?;
        check_dropout(self.condition_dropout)?;
        if self.variant == Variant::CfmSb && self.sigma == 0.0 {
            return refuse("sigma", "0", "`cfm-sb` needs it above zero; without noise it is `cfm-ot`");
        }
        if self.score && self.variant != Variant::CfmSb {
            return refuse("score", "given", "only the bridge of `cfm-sb` has a stochastic equation");
        }
        Ok(())
    }
}
