//! The same operations on other devices than the CPU: of the tensor library's own, with gradients by hand. One operation stands in
//! its graph where there would be tens, each with a gradient of its own that is allocated, zeroed and added to, and what lies
//! between is made again where it is needed.

mod attention;
mod gelu;
mod linear;
mod norm;
mod rotary;

pub(super) use attention::attention;
pub(super) use gelu::gelu;
pub(super) use linear::linear;
pub(crate) use linear::multiplied;
pub(super) use norm::{Norm, norm};
pub(super) use rotary::turned;
