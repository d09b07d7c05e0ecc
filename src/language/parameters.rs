//! Named trainable tensors, drawn from a seed or taken from a file.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor, Var};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::precision::Precision;
use crate::{Error, Result};

/// How a tensor starts.
#[derive(Debug, Clone)]
pub enum Start {
    /// All zeros.
    Zeros,
    /// All ones.
    Ones,
    /// Normal with mean zero and this standard deviation.
    Normal(f32),
    /// This many numbers as by `Normal`, then zeros.
    NormalThenZeros(usize, f32),
    /// These numbers.
    Values(Vec<f32>),
}

enum Origin {
    /// Some tensors start as they are given, all others are drawn.
    Drawn(Box<ChaCha8Rng>, HashMap<String, Tensor>),
    Taken(HashMap<String, Tensor>),
}

/// Makes the tensors of a network, one after the other, and keeps those that are to be trained.
pub struct Parameters {
    origin: Origin,
    device: Device,
    /// The trainable tensors in the order in which they were made; empty if the tensors were taken only to be used.
    pub variables: Vec<(String, Var)>,
    /// Tensors beside them that were made while [`Self::fix`] held: they are kept and never trained.
    pub fixed: Vec<(String, Tensor)>,
    trainable: bool,
    fixes: bool,
    precision: Precision,
}

impl Parameters {
    /// Draws new trainable tensors with a stream of the seed's random numbers.
    pub fn draw(seed: u64, stream: u64, device: &Device) -> Self {
        Self::draw_beside(HashMap::new(), seed, stream, device)
    }

    /// The same, where the given tensors start as they are and are trained from there.
    pub fn draw_beside(given: HashMap<String, Tensor>, seed: u64, stream: u64, device: &Device) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        let origin = Origin::Drawn(Box::new(rng), given);
        Self::new(origin, device, true)
    }

    /// Takes tensors from a map, to be used and not trained.
    pub fn take(tensors: HashMap<String, Tensor>, device: &Device) -> Self {
        Self::new(Origin::Taken(tensors), device, false)
    }

    fn new(origin: Origin, device: &Device, trainable: bool) -> Self {
        Self {
            origin,
            device: device.clone(),
            variables: Vec::new(),
            fixed: Vec::new(),
            trainable,
            fixes: false,
            precision: Precision::F32,
        }
    }

    /// Whether tensors from here on are kept as they start and never trained.
    pub fn fix(&mut self, fixes: bool) {
        self.fixes = fixes;
    }

    /// How matrices from here on are held.
    pub fn hold(&mut self, precision: Precision) {
        self.precision = precision;
    }

    /// The next tensor, held as [`Self::hold`] told where the device can multiply with it.
    ///
    /// # Errors
    /// Those of [`Self::tensor`].
    pub fn matrix(&mut self, name: &str, shape: &[usize], start: Start) -> Result<Tensor> {
        self.held(name, shape, start, self.precision.on(&self.device))
    }

    /// The next tensor, of 32 bits.
    ///
    /// # Errors
    /// [`Error::MissingKey`] if it is to be taken and absent; [`Error::ShapeMismatch`] if it has another shape;
    /// [`Error::BadValues`] if it holds numbers that are not finite.
    pub fn tensor(&mut self, name: &str, shape: &[usize], start: Start) -> Result<Tensor> {
        self.held(name, shape, start, DType::F32)
    }

    fn held(&mut self, name: &str, shape: &[usize], start: Start, held: DType) -> Result<Tensor> {
        let tensor = match &mut self.origin {
            Origin::Drawn(_, given) if given.contains_key(name) => {
                let tensor = taken(given, name, shape)?;
                given.remove(name);
                tensor
            }
            Origin::Drawn(rng, _) => {
                let n = shape.iter().product();
                let values = match start {
                    Start::Zeros => vec![0.0; n],
                    Start::Ones => vec![1.0; n],
                    Start::Values(values) => values,
                    Start::Normal(deviation) => normal(rng, n, n, deviation),
                    Start::NormalThenZeros(n_normal, deviation) => normal(rng, n_normal, n, deviation),
                };
                Tensor::from_vec(values, shape, &Device::Cpu)?
            }
            Origin::Taken(tensors) => taken(tensors, name, shape)?,
        };
        let tensor = tensor.to_dtype(held)?.to_device(&self.device)?;
        if !self.trainable {
            return Ok(tensor);
        }
        if self.fixes {
            self.fixed.push((name.to_owned(), tensor.clone()));
            return Ok(tensor);
        }
        let variable = Var::from_tensor(&tensor)?;
        let tensor = variable.as_tensor().clone();
        self.variables.push((name.to_owned(), variable));
        Ok(tensor)
    }

    /// A number that is kept with the tensors and never trained.
    ///
    /// # Errors
    /// Those of [`Self::tensor`].
    pub fn constant(&mut self, name: &str, value: f32) -> Result<f64> {
        let fixes = std::mem::replace(&mut self.fixes, true);
        let tensor = self.tensor(name, &[1], Start::Values(vec![value]));
        self.fixes = fixes;
        Ok(f64::from(tensor?.to_vec1::<f32>()?[0]))
    }

    /// Zeros beside the tensors, never trained and not kept.
    ///
    /// # Errors
    /// [`Error::Backend`] if they cannot be made.
    pub fn zeros(&self, n: usize) -> Result<Tensor> {
        Ok(Tensor::zeros(n, DType::F32, &self.device)?)
    }

    /// The numbers of all variables, apart from any gradient.
    pub fn tensors(&self) -> HashMap<String, Tensor> {
        self.variables.iter().map(|(name, variable)| (name.clone(), variable.as_tensor().detach())).collect()
    }

    /// All tensors, copied where later steps of a fit would change them.
    ///
    /// # Errors
    /// [`Error::Backend`] if a tensor cannot be copied.
    pub fn copies(&self) -> Result<HashMap<String, Tensor>> {
        let copies = self.tensors().into_iter().map(|(name, tensor)| Ok((name, tensor.copy()?)));
        copies.chain(self.fixed.iter().cloned().map(Ok)).collect()
    }
}

/// Where tensors lie.
pub fn device_of(tensors: &HashMap<String, Tensor>) -> Device {
    tensors.values().next().map_or(Device::Cpu, |tensor| tensor.device().clone())
}

/// `n_normal` draws, then zeros up to `n`.
fn normal(rng: &mut ChaCha8Rng, n_normal: usize, n: usize, deviation: f32) -> Vec<f32> {
    let mut draw = || -> f32 { StandardNormal.sample(rng) };
    let mut values: Vec<f32> = (0..n_normal).map(|_| deviation * draw()).collect();
    values.resize(n, 0.0);
    values
}

fn taken(tensors: &HashMap<String, Tensor>, name: &str, shape: &[usize]) -> Result<Tensor> {
    let tensor = tensors.get(name).ok_or_else(|| Error::MissingKey {
        place: "weights".into(),
        key: name.to_owned(),
        hint: "the weights and the configuration must come from the same fit".into(),
    })?;
    if tensor.dims() != shape {
        return Err(Error::ShapeMismatch {
            what: format!("weight `{name}`"),
            expected: format!("{shape:?}"),
            got: format!("{:?}", tensor.dims()),
        });
    }
    let values = tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
    let bad: Vec<String> = values.iter().filter(|value| !value.is_finite()).map(ToString::to_string).collect();
    if !bad.is_empty() {
        return Err(Error::BadValues {
            place: format!("weight `{name}`"),
            problem: "not finite".into(),
            n_bad: bad.len(),
            n_total: values.len(),
            examples: bad.into_iter().take(3).collect(),
            hint: "fit the model again".into(),
        });
    }
    Ok(tensor.clone())
}
