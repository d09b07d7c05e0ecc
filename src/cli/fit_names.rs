//! The names by which the choices of `scflow fit` are asked for.

use clap::ValueEnum;

use crate::flow::Coupling;
use crate::language::device::DeviceChoice;
use crate::language::precision::Precision;
use crate::models::calmflow::{DecoderKind, PromptUse};
use crate::models::coordinates::Coordinates;
use crate::models::counts::CountLikelihood;
use crate::models::described::Pooling;
use crate::models::guide::Centre;
use crate::models::registry::Method;
use crate::models::source::Source;
use crate::stages::fit::Tune;

/// A flag whose values are names, and what each stands for.
macro_rules! names {
    ($(#[$meta:meta])* $name:ident => $target:ty { $($(#[$doc:meta])* $variant:ident => $value:expr,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, ValueEnum)]
        pub(super) enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl From<$name> for $target {
            fn from(name: $name) -> Self {
                match name {
                    $($name::$variant => $value,)*
                }
            }
        }
    };
}

names! {
    /// `--tune`.
    TuneBy => Tune {
        /// Every weight of the language model.
        Full => Tune::Full,
        /// Small perceptrons beside those of its blocks; its own weights stay.
        Adapters => Tune::Adapters,
        /// Products of thin matrices beside its maps; its own weights stay.
        Lora => Tune::Lora,
    }
}

names! {
    /// `--language-weights`, and `--weights` of `scflow language`.
    WeightsIn => Precision {
        /// 32 bits.
        F32 => Precision::F32,
        /// 16 bits; what is multiplied with them is rounded alike, and summed in 32.
        Bf16 => Precision::Bf16,
    }
}

names! {
    /// `--method`.
    MethodName => Method {
        /// Flow matching as a Volterra equation, solved by a causal language model.
        Calmflow => Method::Calmflow,
        /// Conditional flow matching: a perceptron as velocity field.
        Cfm => Method::Cfm,
        /// The same, source and cells paired by exact optimal transport.
        CfmOt => Method::CfmOt,
        /// The same, paired by entropic transport, with a Brownian bridge between them.
        CfmSb => Method::CfmSb,
        /// A variational autoencoder of counts, told of the condition.
        Scvi => Method::Scvi,
        /// The compositional perturbation autoencoder, on counts.
        Cpa => Method::Cpa,
        /// A transformer over genes, from control cells to perturbed ones.
        Scgpt => Method::Scgpt,
        /// Every cell is the mean of the control cells.
        ControlMean => Method::ControlMean,
        /// Every cell is the mean of all perturbed cells.
        PerturbedMean => Method::PerturbedMean,
        /// Every cell is the control plus the sum of the single effects.
        Additive => Method::Additive,
        /// Every cell is the mean that a ridge regression on factors tells.
        Linear => Method::Linear,
        /// Control cells, moved by the sum of the single effects.
        AdditiveShift => Method::AdditiveShift,
        /// Control cells, moved by the closed form with interaction.
        InteractionShift => Method::InteractionShift,
    }
}

names! {
    /// `--device`.
    DeviceName => DeviceChoice {
        /// A GPU, if there is one, for a language model or a pretrained scgpt; else the processor, which is faster for small networks.
        Auto => DeviceChoice::Auto,
        /// The processor.
        Cpu => DeviceChoice::Cpu,
        /// The first GPU of NVIDIA.
        Cuda => DeviceChoice::Cuda,
        /// The first GPU of Apple.
        Metal => DeviceChoice::Metal,
        /// The processor, by the operations that other devices use.
        #[value(hide = true)]
        Composed => DeviceChoice::Composed,
    }
}

names! {
    /// `--decoder`.
    Decoder => DecoderKind {
        /// A mixture of Gaussians over the end of the path.
        Mixture => DecoderKind::Mixture,
        /// A Gaussian latent per token, as published.
        Variational => DecoderKind::Variational,
    }
}

names! {
    /// `--prompt-use`.
    PromptAs => PromptUse {
        /// Tokens before the flow's tokens, as published.
        Prefix => PromptUse::Prefix,
        /// The sum of its words' embeddings, added in every block.
        Sum => PromptUse::Sum,
        /// Both.
        Both => PromptUse::Both,
    }
}

names! {
    /// `--centre`.
    CentreOn => Centre {
        /// The additive estimate of the condition.
        Additive => Centre::Additive,
        /// The estimate with interactions, effects shrunk over covariates.
        Interaction => Centre::Interaction,
        /// The mean of all training cells.
        None => Centre::None,
    }
}

names! {
    /// `--coordinates`.
    CoordinatesAre => Coordinates {
        /// Principal components, each in units of its spread around the centres.
        Scaled => Coordinates::Scaled,
        /// Turned so that they are uncorrelated within conditions, then scaled.
        Whitened => Coordinates::Whitened,
    }
}

names! {
    /// `--likelihood`.
    CountsBy => CountLikelihood {
        /// Negative binomial.
        Nb => CountLikelihood::Nb,
        /// Negative binomial with more zeros.
        Zinb => CountLikelihood::Zinb,
    }
}

names! {
    /// `--source`.
    SourceOf => Source {
        /// Noise.
        Noise => Source::Noise,
        /// Training control cells with the covariates of the condition.
        Control => Source::Control,
    }
}

names! {
    /// `--coupling`.
    CouplingBy => Coupling {
        /// At random.
        Independent => Coupling::Independent,
        /// By exact optimal transport.
        Exact => Coupling::Exact,
        /// By entropic optimal transport with regularisation 2 sigma^2.
        Entropic => Coupling::Entropic,
    }
}

names! {
    /// `--text-pooling`.
    PoolingBy => Pooling {
        /// Their mean over the tokens, as in sentence-transformers.
        Mean => Pooling::Mean,
        /// That of the first token, which many encoders of the BERT family are trained for.
        Cls => Pooling::Cls,
        /// That of the last token of a causal language model.
        Last => Pooling::Last,
    }
}
