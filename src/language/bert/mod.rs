//! Encoders of texts of the BERT family, which look at a whole text at once: tokens in, hidden states out. The networks are
//! candle-transformers'; nothing of them is trained here.
//!
//! DistilBERT, RoBERTa and XLM-RoBERTa compute what BERT computes: the first has no kinds of tokens, the others number positions
//! from behind the padding token. So all of them are read as a BERT, under BERT's names.

mod params;
mod plan;
mod network;
pub mod config;
pub mod weights;

pub use network::Bert;
pub use params::{BertFamily, BertParams, WindowParams};
