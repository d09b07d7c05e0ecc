//! Causal language models over sequences of continuous and textual tokens, an encoder of sets of tokens, and the kernels that
//! make them fast.

pub mod device;
pub mod gradients;
pub mod kernels;
pub mod parameters;
pub mod mask;
pub mod transformer;
pub mod encoder;
pub mod prefix;
pub mod kv_cache;
pub mod segment;
pub mod causal;
