//! A GPU of NVIDIA, opened for many small operations.

use candle_core::backend::BackendDevice;
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::result::{device, mem_pool};
use candle_core::cuda_backend::cudarc::driver::sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
use candle_core::{CudaDevice, Device, Result};

/// Opens a GPU with one stream for all threads, on which operations follow each other in the order in which they were asked for.
///
/// Nothing then waits for events, of which the tensor library would keep two per tensor. Memory that is given back stays with this
/// program for what is allocated next: by default the driver unmaps it whenever a number is read.
pub(super) fn open(number: usize) -> Result<Device> {
    let cuda = CudaDevice::new_with_stream(number)?;
    // SAFETY: there is one stream, so that no operation overtakes another one whose result it reads.
    unsafe { cuda.disable_event_tracking() };
    let mut keep = u64::MAX;
    // SAFETY: the pool is that of the device that was opened, and the threshold is a number of 64 bits.
    unsafe {
        let pool = device::get_default_mem_pool(device::get(number as i32).w()?).w()?;
        mem_pool::set_attribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, (&raw mut keep).cast()).w()?;
    }
    cuda.synchronize()?;
    Ok(Device::Cuda(cuda))
}
