//! The one integration binary.
#![allow(missing_docs, clippy::unwrap_used)]

mod metrics;
mod evaluation;
mod gene_decoder;
mod h5ad;
