//! The simple estimates that any model has to beat: control mean, perturbed mean, additive, and with
//! interactions.

mod effects;
mod interaction;

pub use effects::Effects;
pub(crate) use effects::nearest;
pub use interaction::{Choice, Estimate, InteractionEffects, Rule, Tried};
