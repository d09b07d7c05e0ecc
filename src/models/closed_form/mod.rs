//! The simple methods: a closed form tells the mean of a condition, and no gradient is needed.
//!
//! Two kinds of populations come out. Methods that predict a mean and nothing else (`control-mean`, `perturbed-mean`,
//! `additive`, `linear`) give every cell this mean, as the field's benchmarks do with such baselines: their cells have
//! collapsed, and `std_ratio` says 0. The shift methods (`additive-shift`, `interaction-shift`) take training control cells
//! as they are, each once before any is taken again, and move all of them by the estimated effect.
//! [`crate::metrics`] has baselines of the same kind as the shifts, under the names `control_mean`, `perturbed_mean`,
//! `additive`.

mod estimate;
mod fitted;
#[cfg(test)]
mod tests;

pub use estimate::ClosedForm;
pub use fitted::FittedClosedForm;
