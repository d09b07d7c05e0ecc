//! A simulated perturbation screen with known truth: a [`ScreenDesign`] goes in, [`Cells`](crate::cells::Cells) with raw
//! counts come out.
//!
//! Gene programmes (sets of genes that rise and fall together) make everything: cell types, the state of a cell,
//! and what a perturbation does. A perturbation activates or inhibits one pathway programme strongly, a second one
//! weakly, and a programme of its own. A pair does what its two parts do, plus an interaction, see [`Interactions`].
//! All of it is additive on the natural logarithm of expression; counts are negative binomial.

mod assignment;
mod counts;
mod descriptions;
mod design;
mod interactions;
mod mechanisms;
mod names;
mod population;
mod programmes;
mod response;
mod screen;
mod truth;

pub use descriptions::describe;
pub use design::{Interactions, ScreenDesign};
pub use interactions::Kind;
pub use screen::{Screen, simulate};
pub use truth::{EFFECTS_KEY, PairTruth, SingleTruth, Truth};
