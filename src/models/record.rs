//! What a fitted method keeps in its folder: documents of JSON and groups of arrays, each under the name of its file.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use ndarray::ArrayD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// What to do with a record that cannot be read.
const DAMAGED: &str = "the model folder is damaged or was written by another version; fit the model again";

/// The files of a fitted method in memory. A method puts everything in that it needs to be put together again, and takes it
/// out by the same names; the folder does not know what they mean.
#[derive(Debug, Clone, Default)]
pub struct Record {
    place: PathBuf,
    documents: BTreeMap<String, String>,
    tensors: BTreeMap<String, HashMap<String, Tensor>>,
}

impl Record {
    /// An empty record; `place` is the folder that errors speak of.
    pub fn new(place: impl Into<PathBuf>) -> Self {
        Self { place: place.into(), ..Self::default() }
    }

    /// Puts a value in, as JSON; the name ends with `.json`.
    ///
    /// # Errors
    /// [`Error::Backend`] if it cannot be JSON.
    pub fn put(&mut self, name: &str, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(value).map_err(|source| Error::backend(format!("writing {name}"), source))?;
        self.put_text(name, text + "\n");
        Ok(())
    }

    /// Puts a text in that is JSON already.
    pub fn put_text(&mut self, name: &str, text: String) {
        self.documents.insert(name.into(), text);
    }

    /// Puts tensors in; the name ends with `.safetensors`.
    pub fn put_tensors(&mut self, name: &str, tensors: HashMap<String, Tensor>) {
        self.tensors.insert(name.into(), tensors);
    }

    /// Puts arrays in; the name ends with `.safetensors`.
    ///
    /// # Errors
    /// [`Error::Backend`] if an array cannot be a tensor.
    pub fn put_arrays(&mut self, name: &str, arrays: impl IntoIterator<Item = (String, ArrayD<f32>)>) -> Result<()> {
        let tensors = arrays.into_iter().map(|(name, array)| Ok((name, to_tensor(&array)?)));
        self.put_tensors(name, tensors.collect::<Result<_>>()?);
        Ok(())
    }

    /// True if there is something under this name.
    pub fn has(&self, name: &str) -> bool {
        self.documents.contains_key(name) || self.tensors.contains_key(name)
    }

    /// Takes a value out.
    ///
    /// # Errors
    /// [`Error::MissingKey`] if it is absent; [`Error::InvalidFile`] if it is something else.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<T> {
        let text = self.take_text(name)?;
        serde_json::from_str(&text).map_err(|source| self.broken(name, &source))
    }

    /// Takes a text out.
    ///
    /// # Errors
    /// [`Error::MissingKey`] if it is absent.
    pub fn take_text(&mut self, name: &str) -> Result<String> {
        let text = self.documents.remove(name);
        text.ok_or_else(|| self.missing(name))
    }

    /// Takes tensors out, to a device.
    ///
    /// # Errors
    /// [`Error::MissingKey`] if they are absent; [`Error::Backend`] if the device does not take them.
    pub fn take_tensors(&mut self, name: &str, device: &Device) -> Result<HashMap<String, Tensor>> {
        let tensors = self.tensors.remove(name);
        let tensors = tensors.ok_or_else(|| self.missing(name))?.into_iter();
        tensors.map(|(name, tensor)| Ok((name, tensor.to_device(device)?))).collect()
    }

    /// Takes arrays out.
    ///
    /// # Errors
    /// [`Error::MissingKey`] if they are absent; [`Error::Backend`] if they hold other numbers.
    pub fn take_arrays<M: FromIterator<(String, ArrayD<f32>)>>(&mut self, name: &str) -> Result<M> {
        let tensors = self.take_tensors(name, &Device::Cpu)?;
        tensors.iter().map(|(name, tensor)| Ok((name.clone(), to_array(tensor)?))).collect()
    }

    /// The names with what is under them: JSON texts.
    pub fn documents(&self) -> &BTreeMap<String, String> {
        &self.documents
    }

    /// The names with what is under them: groups of tensors.
    pub fn tensors(&self) -> &BTreeMap<String, HashMap<String, Tensor>> {
        &self.tensors
    }

    /// All names, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.documents.keys().chain(self.tensors.keys()).cloned().collect();
        names.sort();
        names
    }

    /// True if a file of this name is a JSON text.
    pub fn is_document(name: &str) -> bool {
        Path::new(name).extension().is_some_and(|extension| extension == "json")
    }

    fn missing(&self, name: &str) -> Error {
        let place = if self.place.as_os_str().is_empty() { Path::new("the model") } else { &self.place };
        Error::MissingKey { place: place.display().to_string(), key: name.into(), hint: "fit the model again".into() }
    }

    fn broken(&self, name: &str, source: &dyn std::fmt::Display) -> Error {
        Error::InvalidFile { path: self.place.join(name), reason: source.to_string(), hint: DAMAGED.into() }
    }
}

/// An array as a tensor.
///
/// # Errors
/// [`Error::Backend`].
pub fn to_tensor(array: &ArrayD<f32>) -> Result<Tensor> {
    Ok(Tensor::from_vec(array.iter().copied().collect::<Vec<f32>>(), array.shape(), &Device::Cpu)?)
}

/// A tensor as an array.
///
/// # Errors
/// [`Error::Backend`] if it holds other numbers.
pub fn to_array(tensor: &Tensor) -> Result<ArrayD<f32>> {
    let values = tensor.flatten_all()?.to_vec1::<f32>()?;
    ArrayD::from_shape_vec(tensor.dims(), values).map_err(|source| Error::backend("reading an array", source))
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    #[test]
    fn what_is_put_in_is_taken_out_once() {
        let mut record = Record::new("model");
        record.put("a.json", &[1, 2]).unwrap();
        let array = arr2(&[[1.0_f32, 2.0]]).into_dyn();
        record.put_arrays("b.safetensors", [("x".to_owned(), array.clone())]).unwrap();
        assert_eq!(record.names(), ["a.json", "b.safetensors"]);
        assert_eq!(record.take::<Vec<u8>>("a.json").unwrap(), [1, 2]);
        let back: BTreeMap<String, ArrayD<f32>> = record.take_arrays("b.safetensors").unwrap();
        assert_eq!(back["x"], array);
        let error = record.take::<Vec<u8>>("a.json").unwrap_err().to_string();
        assert!(error.contains("a.json") && error.contains("model"), "{error}");
        record.put("a.json", &"text").unwrap();
        assert!(matches!(record.take::<Vec<u8>>("a.json"), Err(Error::InvalidFile { .. })));
    }
}
