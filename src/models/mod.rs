//! Every method, simple or deep: what it is given, what it generates.

mod lists;
pub mod record;
pub mod training_data;
pub mod reference;
pub mod described;
pub mod coordinates;
mod moments;
pub mod anchor;
pub mod guide;
pub mod source;
pub mod evidence;
pub mod reader;
pub mod prompts;
pub mod minibatch;
pub mod condition_reader;
mod members;
pub mod method;
pub mod fitted_flow;
mod generation;
#[cfg(test)]
mod trial;
pub mod calmflow;
pub mod cfm;
pub mod closed_form;
pub mod registry;
pub mod gene_decoder;
pub mod counts;
pub mod scvi;
pub mod cpa;
pub mod scgpt;
pub mod known;
pub mod fitted;
