//! Where tensors lie and are computed.

#[cfg(feature = "cuda")]
mod cuda;

use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::utils::{cuda_is_available, metal_is_available};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

#[cfg(feature = "cuda")]
use self::cuda::open as open_cuda;
use crate::{Error, Result};

/// The device that is asked for. Random numbers are drawn on the CPU always, so that a seed means the same everywhere; sums
/// are rounded differently on different devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceChoice {
    /// A GPU that this program was built for and that is there, for a network that was pretrained elsewhere or is as large as one;
    /// else the processor, which is faster for small ones: a GPU spends more time on each operation than these take.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The first GPU of NVIDIA.
    Cuda,
    /// The first GPU of Apple.
    Metal,
    /// The processor, by the operations that other devices use: slow, for tests of these.
    Composed,
}

/// True while fused kernels are left unused.
static COMPOSED: AtomicBool = AtomicBool::new(false);

/// True where operations on this device have fused kernels.
pub(crate) fn fuses(device: &Device) -> bool {
    #[cfg(test)]
    if COMPOSED_HERE.get() {
        return false;
    }
    device.is_cpu() && !COMPOSED.load(Ordering::Relaxed)
}

/// True where an operation on this tensor has a fused kernel.
pub(crate) fn is_fused(tensor: &Tensor) -> bool {
    fuses(tensor.device())
}

#[cfg(test)]
thread_local! {
    /// The same of one thread, since tests run side by side.
    static COMPOSED_HERE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Runs something without fused kernels on this thread.
#[cfg(test)]
pub(crate) fn composed<T>(run: impl FnOnce() -> T) -> T {
    let before = COMPOSED_HERE.replace(true);
    let result = run();
    COMPOSED_HERE.set(before);
    result
}

impl DeviceChoice {
    /// Opens the device for a network that is large or not; with it comes a description for people.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_for(self, is_large: bool) -> Result<(Device, String)> {
        match self {
            Self::Auto if !is_large => Self::Cpu.open(),
            named => named.open(),
        }
    }

    /// Opens the device for a large network; with it comes a description for people.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if this program was not built for the device, or if there is none.
    pub fn open(self) -> Result<(Device, String)> {
        COMPOSED.store(self == Self::Composed, Ordering::Relaxed);
        match self {
            Self::Auto => [Self::Cuda, Self::Metal].into_iter().find_map(|gpu| gpu.open().ok()).map_or_else(cpu, Ok),
            Self::Cpu | Self::Composed => cpu(),
            Self::Cuda => open_gpu("cuda", "CUDA GPU 0", cuda_is_available(), open_cuda),
            Self::Metal => open_gpu("metal", "Metal GPU 0", metal_is_available(), Device::new_metal),
        }
    }

    /// The choice that names the device that this one opened: `auto` gives way to what it came to.
    #[must_use]
    pub fn opened(self, device: &Device) -> Self {
        match (self, device) {
            (Self::Auto, Device::Cpu) => Self::Cpu,
            (Self::Auto, Device::Cuda(_)) => Self::Cuda,
            (Self::Auto, Device::Metal(_)) => Self::Metal,
            (named, _) => named,
        }
    }
}

fn cpu() -> Result<(Device, String)> {
    let n_threads = rayon::current_num_threads();
    Ok((Device::Cpu, format!("CPU, {n_threads} thread{}", if n_threads == 1 { "" } else { "s" })))
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(number: usize) -> candle_core::Result<Device> {
    Device::new_cuda(number)
}

fn open_gpu(
    name: &str,
    description: &str,
    is_built_in: bool,
    open: impl Fn(usize) -> candle_core::Result<Device>,
) -> Result<(Device, String)> {
    let invalid = |reason: String| Error::InvalidParameter { name: "device".into(), value: name.into(), reason };
    if !is_built_in {
        return Err(invalid(format!(
            "this program was built without it; where its toolkit is installed, build with `cargo build --release \
             --features {name}`, or use --device cpu"
        )));
    }
    match open(0) {
        Ok(device) => Ok((device, description.to_owned())),
        Err(error) => Err(invalid(format!("it cannot be used ({error}); use --device cpu"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_was_not_built_in_is_refused_with_the_way_to_build_it() {
        for (choice, feature) in [(DeviceChoice::Cuda, "cuda"), (DeviceChoice::Metal, "metal")] {
            if let Err(error) = choice.open() {
                assert!(error.is_mistake(), "{error}");
                let told = error.to_string();
                assert!(told.contains(&format!("--features {feature}")) || told.contains("cannot be used"), "{told}");
            }
        }
        let (device, description) = DeviceChoice::Cpu.open().unwrap();
        assert!(device.is_cpu() && description.starts_with("CPU, "), "{description}");
        assert!(DeviceChoice::Auto.open().is_ok());
    }

    #[test]
    fn what_auto_came_to_has_a_name_and_other_choices_keep_theirs() {
        assert_eq!(DeviceChoice::Auto.opened(&Device::Cpu), DeviceChoice::Cpu);
        assert_eq!(DeviceChoice::Composed.opened(&Device::Cpu), DeviceChoice::Composed);
    }
}
