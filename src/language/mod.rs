//! Causal language models over sequences of continuous and textual tokens, an encoder of sets of tokens, the kernels that make
//! them fast, and encoders of texts.

pub mod device;
pub mod gradients;
pub mod kernels;
pub mod parameters;
pub mod precision;
pub mod mask;
pub mod transformer;
pub mod encoder;
pub mod prefix;
pub mod kv_cache;
pub mod by_hand;
pub mod segment;
pub mod hugging_face;
pub mod causal;
pub mod bert;
