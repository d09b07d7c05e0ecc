//! Causal language models of the families that are published as Hugging Face folders, behind one configuration: embedded
//! tokens in, hidden states and logits out, everything trainable.

pub mod rotary;
pub mod params;
mod norm;
mod block;
pub mod network;
pub mod padding;
pub mod next;
pub mod hugging_face;
#[cfg(test)]
mod tests;

pub use network::Causal;
pub use params::CausalParams;
