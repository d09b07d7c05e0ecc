//! The simple estimates that any model has to beat: control mean, perturbed mean, additive.

mod effects;

pub use effects::Effects;
pub(crate) use effects::nearest;
