//! Text encoders from folders: against PyTorch, and what is refused.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use scflow::Result;
use scflow::io::text_encoder_folder;
use scflow::models::described::{Pooling, TextNetwork};

mod parity;
mod refusals;

/// The folders that `golden/make_text_encoders.py` made, and one of `golden/make_language.py`.
const CASES: [&str; 8] =
    ["bert", "bert_tanh", "distilbert", "roberta", "xlm_roberta", "modernbert", "modernbert_5", "llama_grouped"];

fn golden(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    if name == "llama_grouped" { folder.join("language").join(name) } else { folder.join("text_encoders").join(name) }
}

fn network(folder: &Path, pooling: Pooling) -> Result<TextNetwork> {
    let read = text_encoder_folder::read(folder, Some(pooling))?;
    TextNetwork::new(read.params, read.pooling, read.tokenizer, read.tensors)
}
