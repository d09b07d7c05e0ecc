//! The one integration binary.
#![allow(missing_docs, clippy::unwrap_used)]

mod data;
mod spoiled;
mod simulate;
mod split;
mod import;
mod inspect;
mod metrics;
mod preprocess;
mod evaluation;
mod gene_decoder;
mod h5ad;
mod report;
mod run;
mod benchmark;
mod architecture;
mod flow;
mod embedding;
mod fit;
mod language;
mod text_encoders;
mod norman;
