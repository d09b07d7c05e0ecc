//! The only place that opens files.

pub mod digest;
mod temporary;
pub mod atomic;
pub mod json;
pub mod table;
pub mod history;
pub mod multiqc;
pub mod h5ad;
pub mod tenx;
pub mod score_tables;
pub mod score_folder;
pub mod benchmark_folder;
pub mod split_table;
pub mod description_table;
pub mod model_folder;
pub mod pretrained_folder;
pub mod language_folder;
pub mod text_encoder_folder;
pub mod checkpoint;
