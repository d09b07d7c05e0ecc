//! Copies of model folders in which something is wrong.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};

/// What is said of a copy of a folder in which something is wrong.
#[track_caller]
pub fn said<T>(folder: &Path, spoil: impl FnOnce(&Path), read: impl FnOnce(&Path) -> scflow::Result<T>) -> String {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    spoil(copy.path());
    let error = read(copy.path()).err().expect("it is read");
    assert!(error.is_mistake(), "{error}");
    format!("{error} {}", error.hint().unwrap_or_default())
}

#[track_caller]
pub fn holds(said: &str, parts: &[&str]) {
    parts.iter().for_each(|part| assert!(said.contains(part), "`{part}` is not in: {said}"));
}

pub fn rewrite(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    std::fs::write(path, text.replace(from, to)).unwrap();
}

pub fn with_tensors(folder: &Path, change: impl FnOnce(&mut HashMap<String, Tensor>)) {
    let path = folder.join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let opened = candle_core::safetensors::BufferedSafetensors::new(bytes).unwrap();
    let names: Vec<String> = opened.tensors().into_iter().map(|(name, _)| name).collect();
    // What this library cannot hold is no weight.
    let names = names.into_iter().filter(|name| !name.ends_with("attention.bias"));
    let mut all = names.map(|name| (name.clone(), opened.load(&name, &Device::Cpu).unwrap())).collect();
    change(&mut all);
    candle_core::safetensors::save(&all, path).unwrap();
}
