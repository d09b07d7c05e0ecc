//! Operations whose gradients are given by hand: of what lies between, nothing is kept by the tensor library.

use std::sync::Mutex;

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Layout, MetalStorage, Result, Shape, Storage, Tensor,
    bail,
};

use super::kernels::lock;

/// From the inputs and the gradient of the result to the gradients of the inputs; none where nothing asks for one, or where it was
/// left in the buffers of [`Gradients`](super::gradients::Gradients).
type Backward = Box<dyn Fn(&[&Tensor], &Tensor) -> Result<Vec<Option<Tensor>>> + Send + Sync>;

/// Joins a result to one to three inputs, from which it was made apart from any gradient, on their device.
///
/// # Errors
/// An error for another number of inputs, or a result on another device.
pub fn by_hand<const N: usize>(
    inputs: [&Tensor; N],
    result: Tensor,
    backward: impl Fn([&Tensor; N], &Tensor) -> Result<[Option<Tensor>; N]> + Send + Sync + 'static,
) -> Result<Tensor> {
    let backward: Backward = Box::new(move |inputs, grad| match inputs.try_into() {
        Ok(inputs) => Ok(backward(inputs, grad)?.into()),
        Err(_) => bail!("an operation of {} inputs was given another number", N),
    });
    let operation = ByHand { made: Mutex::new(Some(result)), backward };
    match inputs.as_slice() {
        [a] => a.apply_op1(operation),
        [a, b] => a.apply_op2(b, operation),
        [a, b, c] => a.apply_op3(b, c, operation),
        _ => bail!("an operation of {N} inputs"),
    }
}

/// The gradient of an input, where anything trainable stands before it.
///
/// # Errors
/// Those of `make`.
pub fn gradient_of_input(input: &Tensor, make: impl FnOnce() -> Result<Tensor>) -> Result<Option<Tensor>> {
    input.track_op().then(make).transpose()
}

struct ByHand {
    /// The result, until the forward pass takes it.
    made: Mutex<Option<Tensor>>,
    backward: Backward,
}

impl ByHand {
    /// The result as a forward pass on one kind of device gives it.
    fn take<S: BackendStorage>(&self, of: impl Fn(&Storage) -> Option<&S>) -> Result<(S, Shape)> {
        let Some(made) = lock(&self.made).take() else { bail!("an operation by hand was run twice") };
        let made = made.contiguous()?;
        let made = if made.layout().start_offset() == 0 { made } else { made.copy()? };
        let (storage, layout) = made.storage_and_layout();
        match of(&storage) {
            Some(storage) => Ok((storage.try_clone(layout)?, layout.shape().clone())),
            None => bail!("an operation by hand left its device"),
        }
    }

    fn back<const N: usize>(&self, inputs: [&Tensor; N], grad: &Tensor) -> Result<[Option<Tensor>; N]> {
        let mut grads = (self.backward)(&inputs, &grad.detach())?.into_iter();
        Ok(std::array::from_fn(|_| grads.next().flatten()))
    }
}

fn on_cpu(storage: &Storage) -> Option<&CpuStorage> {
    match storage {
        Storage::Cpu(storage) => Some(storage),
        _ => None,
    }
}

fn on_cuda(storage: &Storage) -> Option<&CudaStorage> {
    match storage {
        Storage::Cuda(storage) => Some(storage),
        _ => None,
    }
}

fn on_metal(storage: &Storage) -> Option<&MetalStorage> {
    match storage {
        Storage::Metal(storage) => Some(storage),
        _ => None,
    }
}

impl CustomOp1 for ByHand {
    fn name(&self) -> &'static str {
        "by-hand-of-one"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.take(on_cpu)
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.take(on_cuda)
    }

    fn metal_fwd(&self, _: &MetalStorage, _: &Layout) -> Result<(MetalStorage, Shape)> {
        self.take(on_metal)
    }

    fn bwd(&self, a: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let [a] = self.back([a], grad)?;
        Ok(a)
    }
}

impl CustomOp2 for ByHand {
    fn name(&self) -> &'static str {
        "by-hand-of-two"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.take(on_cpu)
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.take(on_cuda)
    }

    fn metal_fwd(&self, _: &MetalStorage, _: &Layout, _: &MetalStorage, _: &Layout) -> Result<(MetalStorage, Shape)> {
        self.take(on_metal)
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [a, b] = self.back([a, b], grad)?;
        Ok((a, b))
    }
}

impl CustomOp3 for ByHand {
    fn name(&self) -> &'static str {
        "by-hand-of-three"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.take(on_cpu)
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.take(on_cuda)
    }

    fn metal_fwd(
        &self,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
    ) -> Result<(MetalStorage, Shape)> {
        self.take(on_metal)
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [a, b, c] = self.back([a, b, c], grad)?;
        Ok((a, b, c))
    }
}
