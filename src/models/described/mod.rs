//! Effects of components that were never measured, from what is said of them: texts become vectors ([`TextEncoder`]), and a
//! kernel ridge regression takes these to effects ([`DescribedEffects`]).

mod effects;
mod encoder;
mod ridge;
mod words;

pub use effects::{DescribedEffects, Strength};
pub use encoder::TextEncoder;
pub use words::Words;
