//! Causal language models from folders: against PyTorch, what is refused, and the command.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

mod parity;
mod refusals;
mod command;

/// The folders that `golden/make_language.py` made.
const CASES: [&str; 7] =
    ["neox_parallel", "neox_sequential", "llama_grouped", "llama_scaled", "llama_linear", "gpt2", "qwen2"];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/language").join(name)
}

fn expected() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(golden("expected.safetensors"), &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn ids(tensor: &Tensor) -> Vec<u32> {
    tensor.flatten_all().unwrap().to_vec1::<i64>().unwrap().into_iter().map(|id| id as u32).collect()
}

/// Largest gap to the numbers of PyTorch, relative to the largest of these.
#[track_caller]
fn gap(ours: &Tensor, theirs: &Tensor) -> f32 {
    let (ours, theirs) = (values(ours), values(theirs));
    assert_eq!(ours.len(), theirs.len());
    let size = theirs.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    assert!(size > 0.1);
    ours.iter().zip(&theirs).fold(0.0_f32, |most, (ours, theirs)| most.max((ours - theirs).abs())) / size
}
