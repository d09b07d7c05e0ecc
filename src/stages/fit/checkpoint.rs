//! The checkpoint of a fit: where its training stands, beside the model folder to be.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde::Serialize;

use super::validation::Validation;
use super::{Every, FitParams};
use crate::io::{checkpoint, digest};
use crate::training::State;
use crate::{Error, Result};

/// The entry that holds the number of steps to do.
const N_STEPS: &str = "n_steps";

/// The checkpoint of one fit.
pub(super) struct Checkpoint {
    path: PathBuf,
    fingerprint: String,
}

impl Checkpoint {
    /// The checkpoint of a fit on this device; `inputs` are the digests of what it reads.
    ///
    /// # Errors
    /// [`Error::Backend`] if the choices cannot be named.
    pub(super) fn new(params: &FitParams, device: &Device, inputs: &impl Serialize) -> Result<Self> {
        Ok(Self { path: checkpoint::path_of(&params.output), fingerprint: fingerprint(params, device, inputs)? })
    }

    /// Fails if there is an unfinished fit that the user says nothing of.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`].
    pub(super) fn check(params: &FitParams) -> Result<()> {
        let path = checkpoint::path_of(&params.output);
        if !path.exists() || params.resume || params.force {
            return Ok(());
        }
        Err(Error::InvalidParameter {
            name: "resume".into(),
            value: "not given".into(),
            reason: format!(
                "`{}` holds an unfinished fit; add --resume to go on from it, or --force to begin anew",
                path.display()
            ),
        })
    }

    /// Brings the state to where it was, and returns the number of steps to do.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no checkpoint; [`Error::InvalidFile`] if it belongs to another fit.
    pub(super) fn restore(&self, state: &mut State, validation: Option<&mut Validation>) -> Result<Option<usize>> {
        let mut tensors = checkpoint::read(&self.path, &self.fingerprint)?;
        let n_steps = tensors.remove(N_STEPS).map(|tensor| tensor.to_scalar::<u32>()).transpose()?;
        state.restore(&tensors)?;
        if let Some(validation) = validation {
            validation.restore(&tensors)?;
            state.is_done = validation.has_waited();
        }
        Ok(n_steps.map(|n| n as usize))
    }

    /// Writes the state and the number of steps to do.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Backend`].
    pub(super) fn write(&self, state: &State, validation: Option<&Validation>, n_steps: usize) -> Result<()> {
        let mut tensors = state.to_tensors()?;
        if let Some(validation) = validation {
            tensors.extend(validation.to_tensors()?);
        }
        tensors.insert(N_STEPS.into(), Tensor::new(n_steps as u32, &Device::Cpu)?);
        checkpoint::write(&self.path, tensors, &self.fingerprint)
    }

    /// Where the file lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// A digest of everything that decides the numbers of a fit: the device in use, however it was asked for.
fn fingerprint(params: &FitParams, device: &Device, inputs: &impl Serialize) -> Result<String> {
    let deciding = FitParams {
        input: PathBuf::new(),
        output: PathBuf::new(),
        pretrained: params.pretrained.as_ref().map(|_| PathBuf::new()),
        language_model: params.language_model.as_ref().map(|_| PathBuf::new()),
        device: params.device.opened(device),
        checkpoint_every: Every::Steps(1),
        resume: false,
        force: false,
        ..params.clone()
    };
    let text = serde_json::to_string(&(deciding, inputs, env!("CARGO_PKG_VERSION")))
        .map_err(|source| Error::backend("naming a fit", source))?;
    Ok(digest::of_bytes(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::device::DeviceChoice;

    #[test]
    fn a_fit_is_named_by_the_device_in_use_and_not_by_how_it_was_asked_for() {
        let of = |device: DeviceChoice, seed: u64| {
            let params = FitParams { device, seed, ..FitParams::default() };
            fingerprint(&params, &Device::Cpu, &"ab").unwrap()
        };
        assert_eq!(of(DeviceChoice::Auto, 0), of(DeviceChoice::Cpu, 0));
        assert_ne!(of(DeviceChoice::Cpu, 0), of(DeviceChoice::Composed, 0));
        assert_ne!(of(DeviceChoice::Cpu, 0), of(DeviceChoice::Cpu, 1));
    }
}
