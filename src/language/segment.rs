//! Parts of a network that are differentiated one by one. Their inner numbers are kept for that, or made again in the backward
//! pass (Chen et al. 2016, arXiv 1604.06174), which takes the memory of the inputs only. Both do the same operations in the same
//! order, so that the gradients are the same to the bit.

use std::sync::Mutex;

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Layout, MetalStorage, Result, Shape, Storage, Tensor, TensorId,
    Var, bail,
};

use super::gradients::collect_store;
use super::kernels::lock;

/// What a part computes.
type Run = Box<dyn Fn(&[Tensor]) -> Result<Tensor> + Send + Sync>;

/// Runs a part of a network on one to three tensors. Whatever else it reads must be trainable or fixed itself, not a
/// result; gradients of trainable tensors go to the buffers of [`Gradients`](super::gradients::Gradients).
///
/// # Errors
/// Those of `run`; an error for another number of inputs.
pub fn segment(
    inputs: &[&Tensor],
    recomputes: bool,
    run: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    let pass = Pass::run(inputs, &run)?;
    if !pass.output.track_op() {
        return Ok(pass.output);
    }
    let made = Mutex::new(Some(pass.output.detach()));
    let kept = Mutex::new((!recomputes).then_some(pass));
    let operation = Segment { run: Box::new(run), made, kept };
    // An input that nothing trainable stands before would leave the operation out of the backward pass.
    let anchored = |input: &Tensor| match inputs.iter().any(|input| input.track_op()) {
        true => Ok(input.clone()),
        false => Var::from_tensor(input).map(|variable| variable.as_tensor().clone()),
    };
    match inputs {
        [a] => anchored(a)?.apply_op1(operation),
        [a, b] => anchored(a)?.apply_op2(b, operation),
        [a, b, c] => anchored(a)?.apply_op3(b, c, operation),
        _ => bail!("a part of {} inputs", inputs.len()),
    }
}

/// A forward pass, cut off from what made its inputs.
struct Pass {
    /// The inputs that something trainable stands before.
    variables: Vec<Option<Var>>,
    output: Tensor,
}

impl Pass {
    fn run(inputs: &[&Tensor], run: &impl Fn(&[Tensor]) -> Result<Tensor>) -> Result<Self> {
        let variable = |input: &&Tensor| input.track_op().then(|| Var::from_tensor(&input.detach())).transpose();
        let variables = inputs.iter().map(variable).collect::<Result<Vec<_>>>()?;
        let own = variables.iter().zip(inputs).map(|(variable, input)| match variable {
            Some(variable) => variable.as_tensor().clone(),
            None => input.detach(),
        });
        let output = run(&own.collect::<Vec<_>>())?;
        Ok(Self { variables, output })
    }
}

struct Segment {
    run: Run,
    /// The result, until the forward pass takes it.
    made: Mutex<Option<Tensor>>,
    /// The pass, where it is kept, until the backward pass takes it.
    kept: Mutex<Option<Pass>>,
}

impl Segment {
    /// The result as a forward pass on one kind of device gives it.
    fn take<S: BackendStorage>(&self, of: impl Fn(&Storage) -> Option<&S>) -> Result<(S, Shape)> {
        let Some(made) = lock(&self.made).take() else { bail!("a part was run twice") };
        let made = made.contiguous()?.copy()?;
        let (storage, layout) = made.storage_and_layout();
        match of(&storage) {
            Some(storage) => Ok((storage.try_clone(layout)?, layout.shape().clone())),
            None => bail!("a part of a network left its device"),
        }
    }

    /// The gradients of the inputs.
    fn backward<const N: usize>(&self, inputs: [&Tensor; N], grad: &Tensor) -> Result<[Option<Tensor>; N]> {
        let kept = lock(&self.kept).take();
        let Pass { variables, output } = kept.map_or_else(|| Pass::run(&inputs, &self.run), Ok)?;
        let store = (output * grad.detach())?.sum_all()?.backward()?;
        let ids: Vec<TensorId> = variables.iter().flatten().map(|variable| variable.as_tensor().id()).collect();
        collect_store(&store, &ids)?;
        let mut grads = variables.iter().map(|variable| variable.as_ref().and_then(|one| store.get(one).cloned()));
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

impl CustomOp1 for Segment {
    fn name(&self) -> &'static str {
        "part-of-one"
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
        let [a] = self.backward([a], grad)?;
        Ok(a)
    }
}

impl CustomOp2 for Segment {
    fn name(&self) -> &'static str {
        "part-of-two"
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
        let [a, b] = self.backward([a, b], grad)?;
        Ok((a, b))
    }
}

impl CustomOp3 for Segment {
    fn name(&self) -> &'static str {
        "part-of-three"
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
        let [a, b, c] = self.backward([a, b, c], grad)?;
        Ok((a, b, c))
    }
}
