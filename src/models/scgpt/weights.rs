//! The tensors of a published scGPT, taken one by one under the names and in the shapes of the network.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};

use crate::{Error, Result};

/// What to do with weights that do not fit.
const HINT: &str = "args.json and the weights must come from the same scGPT folder";
/// Added to variances by the published batch normalisation.
const BATCH_EPSILON: f64 = 6.1e-5;

/// Tensors that are not taken yet, and those that are.
pub(super) struct Weights {
    path: PathBuf,
    published: HashMap<String, Tensor>,
    taken: HashMap<String, Tensor>,
}

impl Weights {
    /// Brings names to one form: without the prefix of data-parallel training, and attention as PyTorch names it, whose
    /// queries, keys and values lie as those of the fast attention do.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if two tensors have one name then.
    pub(super) fn new(path: PathBuf, tensors: HashMap<String, Tensor>) -> Result<Self> {
        let mut published = HashMap::with_capacity(tensors.len());
        for (name, tensor) in tensors {
            let plain = name.strip_prefix("module.").unwrap_or(&name);
            let plain =
                plain.replace("self_attn._impl.", "self_attn.").replace("self_attn.Wqkv.", "self_attn.in_proj_");
            let plain = plain.replace("self_attn.in_proj_", "self_attn.in_proj.");
            if published.insert(plain.clone(), tensor).is_some() {
                return Err(Error::InvalidFile {
                    path,
                    reason: format!("two tensors are `{plain}`"),
                    hint: HINT.into(),
                });
            }
        }
        Ok(Self { path, published, taken: HashMap::new() })
    }

    /// True if there is a tensor of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.published.contains_key(name)
    }

    /// Fails if there are tensors left whose names begin so.
    ///
    /// # Errors
    /// [`Error::InvalidFile`].
    pub(super) fn refuse(&self, prefix: &str, reason: &str) -> Result<()> {
        let mut names: Vec<&String> = self.published.keys().filter(|name| name.starts_with(prefix)).collect();
        names.sort();
        match names.first() {
            None => Ok(()),
            Some(name) => Err(Error::InvalidFile {
                path: self.path.clone(),
                reason: format!("{} tensors such as `{name}`: {reason}", names.len()),
                hint: HINT.into(),
            }),
        }
    }

    /// A table of any number of rows: (n_rows, width).
    ///
    /// # Errors
    /// [`Error::MissingKey`], [`Error::ShapeMismatch`], [`Error::BadValues`].
    pub(super) fn take_rows(&mut self, name: &str, width: usize) -> Result<Tensor> {
        let n_rows = self.published.get(name).and_then(|tensor| tensor.dims().first().copied()).unwrap_or(0);
        self.remove(name, &[n_rows, width])
    }

    /// An affine map, which PyTorch keeps as (n_out, n_in).
    ///
    /// # Errors
    /// As [`Self::take_rows`].
    pub(super) fn take_linear(&mut self, name: &str, n_in: usize, n_out: usize) -> Result<()> {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let transposed = self.remove(&weight, &[n_out, n_in])?.t()?.contiguous()?;
        self.taken.insert(weight, transposed);
        let values = self.remove(&bias, &[n_out])?;
        self.taken.insert(bias, values);
        Ok(())
    }

    /// The last map of the published decoder, to one number, beside a second one that starts at zero: (width, 2).
    ///
    /// # Errors
    /// As [`Self::take_rows`].
    pub(super) fn take_last(&mut self, name: &str, width: usize) -> Result<()> {
        for (part, shape) in [("weight", &[1, width][..]), ("bias", &[1])] {
            let name = format!("{name}.{part}");
            let tensor = self.remove(&name, shape)?;
            let both = Tensor::cat(&[&tensor, &tensor.zeros_like()?], 0)?;
            let both = if part == "weight" { both.t()?.contiguous()? } else { both };
            self.taken.insert(name, both);
        }
        Ok(())
    }

    /// A layer normalisation.
    ///
    /// # Errors
    /// As [`Self::take_rows`].
    pub(super) fn take_norm(&mut self, name: &str, width: usize) -> Result<()> {
        let gain = self.remove(&format!("{name}.weight"), &[width])?;
        let bias = self.remove(&format!("{name}.bias"), &[width])?;
        self.taken.extend([(format!("{name}.gain"), gain), (format!("{name}.bias"), bias)]);
        Ok(())
    }

    /// A batch normalisation at its running statistics: (x − mean)/√(variance + ε) · weight + bias as gain and shift.
    ///
    /// # Errors
    /// As [`Self::take_rows`].
    pub(super) fn take_batch_norm(&mut self, name: &str, width: usize) -> Result<()> {
        self.published.remove(&format!("{name}.num_batches_tracked"));
        let mut part = |part: &str| self.remove(&format!("{name}.{part}"), &[width]);
        let (weight, bias, mean, variance) =
            (part("weight")?, part("bias")?, part("running_mean")?, part("running_var")?);
        let gain = (weight / (variance + BATCH_EPSILON)?.sqrt()?)?;
        let shift = (bias - (mean * &gain)?)?;
        self.taken.extend([(format!("{name}.gain"), gain), (format!("{name}.bias"), shift)]);
        Ok(())
    }

    /// The vectors of genes that are left alone and that are perturbed; the third published one is padding.
    ///
    /// # Errors
    /// As [`Self::take_rows`].
    pub(super) fn take_flags(&mut self, name: &str, width: usize) -> Result<()> {
        let flags = self.remove(&format!("{name}.weight"), &[3, width])?.narrow(0, 0, 2)?.contiguous()?;
        self.taken.insert(name.into(), flags);
        Ok(())
    }

    /// What was taken, and the parts of the published network that were not.
    pub(super) fn finish(self) -> (HashMap<String, Tensor>, Vec<String>) {
        let part = |name: &String| name.split('.').next().unwrap_or_default().to_owned();
        let left: BTreeSet<String> = self.published.keys().map(part).collect();
        (self.taken, left.into_iter().collect())
    }

    /// A tensor in single precision, if it is there, has this shape and holds finite numbers only.
    fn remove(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let place = self.path.display().to_string();
        let Some(tensor) = self.published.remove(name) else {
            return Err(Error::MissingKey { place, key: name.into(), hint: HINT.into() });
        };
        if tensor.dims() != shape {
            return Err(Error::ShapeMismatch {
                what: format!("`{place}`: tensor `{name}`"),
                expected: format!("{shape:?}"),
                got: format!("{:?}", tensor.dims()),
            });
        }
        let tensor = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous()?;
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        let bad: Vec<String> = values.iter().filter(|value| !value.is_finite()).map(ToString::to_string).collect();
        if bad.is_empty() {
            return Ok(tensor);
        }
        Err(Error::BadValues {
            place: format!("`{place}`: tensor `{name}`"),
            problem: "not finite".into(),
            n_bad: bad.len(),
            n_total: values.len(),
            examples: bad.into_iter().take(3).collect(),
            hint: "the file is damaged or the pretraining diverged; get it again".into(),
        })
    }
}
