//! The simple estimates that any model has to beat: control mean, perturbed mean, additive, linear, and with
//! interactions.

mod algebra;
mod effects;
mod linear;
mod interaction;

pub use effects::Effects;
pub use interaction::{Choice, Estimate, InteractionEffects, Rule, Tried};
pub use linear::Linear;
