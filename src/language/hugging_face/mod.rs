//! What the Hugging Face folders of all architectures have in common: keys of a configuration, and tensors that become ours by
//! their names, shapes and order.

pub(in crate::language) mod keys;
pub(in crate::language) mod tensors;

pub use tensors::is_buffer;
