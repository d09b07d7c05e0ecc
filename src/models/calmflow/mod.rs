//! CaLMFlow: flow matching as a Volterra integral equation, solved by a causal language model (He et al. 2024,
//! arXiv 2410.05292).
//!
//! z(t) = z(0) + ∫₀ᵗ G(z(s), t, s) ds on the grid t_k = k/N: the transformer sees the prompt and z(t_0) … z(t_k) and gives
//! the law of what comes next. Two decoders: `variational`, the paper's, and `mixture`, a mixture of Gaussians over the
//! end of the path.

mod params;
mod language;
mod backbone;
mod trajectories;
mod pooled;
mod network;
mod mixture;
mod mixture_kernel;
mod variational;
mod objective;
mod generate;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod language_tests;

pub use generate::CalmFlow;
pub use language::{LanguageParams, LanguageStart};
pub use objective::CalmFlowObjective;
pub use params::{CalmFlowParams, DecoderKind, PromptUse};
