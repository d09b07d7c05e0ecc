//! Every method, simple or deep: what it is given, what it generates.

pub mod reference;
pub mod guide;
pub mod calmflow;
pub mod gene_decoder;
pub mod fitted;
