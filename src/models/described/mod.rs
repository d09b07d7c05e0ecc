//! Effects of components that were never measured, from what is said of them: texts become vectors ([`TextEncoder`]), by their words
//! or by a pretrained network ([`TextNetwork`]), and a kernel ridge regression takes these to effects ([`DescribedEffects`]).

mod effects;
mod encoder;
mod network;
mod pooling;
mod ridge;
mod words;
mod wording;

pub use effects::{DescribedEffects, Strength};
pub use encoder::TextEncoder;
pub use network::{NetworkParams, TextNetwork};
pub use pooling::Pooling;
pub use wording::Wording;
pub use words::Words;
