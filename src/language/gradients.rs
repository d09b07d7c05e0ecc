//! The gradients of trainable tensors, summed where they arise.
//!
//! The tensor library makes a zero tensor and a sum for each gradient of each operation. A kernel that knows a trainable
//! tensor adds the gradient to one buffer per tensor instead, which is opened by [`Gradients::of`] for the thread.

use std::cell::RefCell;
use std::collections::HashMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, TensorId};

use super::kernels::with_values;
use crate::Result;

thread_local! {
    static OPEN: RefCell<Option<Gradients>> = const { RefCell::new(None) };
}

/// The gradients of one scalar with respect to the trainable tensors under it.
#[derive(Debug, Default)]
pub struct Gradients {
    /// Those of tensors on the CPU, row by row.
    here: HashMap<TensorId, Vec<f32>>,
    /// Those of tensors on other devices, where these lie, of 32 bits.
    there: HashMap<TensorId, Tensor>,
}

/// Puts the buffers of an outer pass back, also when the inner one fails.
struct Restore(Option<Gradients>);

impl Drop for Restore {
    fn drop(&mut self) {
        OPEN.set(self.0.take());
    }
}

impl Gradients {
    /// Differentiates a scalar.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if an operation cannot be differentiated.
    pub fn of(loss: &Tensor) -> Result<Self> {
        Self::default().again(loss)
    }

    /// Differentiates another scalar, in the memory of these gradients.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if an operation cannot be differentiated.
    pub fn again(mut self, loss: &Tensor) -> Result<Self> {
        self.here.values_mut().for_each(Vec::clear);
        self.there.clear();
        self.further(loss)
    }

    /// Adds the gradients of another scalar to these.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if an operation cannot be differentiated.
    pub fn further(self, loss: &Tensor) -> Result<Self> {
        let restore = Restore(OPEN.replace(Some(self)));
        let store = loss.backward()?;
        let mut gradients = OPEN.take().unwrap_or_default();
        drop(restore);
        gradients.add_all(&store, &[])?;
        gradients.here.retain(|_, sum| !sum.is_empty());
        Ok(gradients)
    }

    /// The gradient of a trainable tensor on the CPU, row by row; nothing if the scalar does not depend on it.
    pub fn get(&self, tensor: &Tensor) -> Option<&[f32]> {
        self.here.get(&tensor.id()).map(Vec::as_slice)
    }

    /// The gradient of a trainable tensor, of 32 bits, where it lies.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if it has another shape than the tensor.
    pub fn tensor(&self, tensor: &Tensor) -> Result<Option<Tensor>> {
        Ok(match (self.there.get(&tensor.id()), self.get(tensor)) {
            (Some(grad), _) => Some(grad.clone()),
            (None, Some(grad)) => Some(Tensor::from_slice(grad, tensor.shape(), tensor.device())?),
            (None, None) => None,
        })
    }

    /// Adds the gradient of a tensor.
    fn add(&mut self, id: TensorId, grad: &Tensor) -> candle_core::Result<()> {
        // What made it is not to be kept with it.
        let grad = grad.detach().to_dtype(DType::F32)?;
        if grad.device().is_cpu() {
            let sum = self.here.entry(id).or_default();
            return with_values([&grad.contiguous()?], |[grad]| {
                add(sum, grad);
                Ok(())
            });
        }
        let sum = match self.there.remove(&id) {
            Some(sum) => (sum + grad)?,
            None => grad,
        };
        self.there.insert(id, sum);
        Ok(())
    }

    /// Adds all gradients of a backward pass but those of some tensors.
    fn add_all(&mut self, store: &GradStore, but: &[TensorId]) -> candle_core::Result<()> {
        for id in store.get_ids().filter(|id| !but.contains(id)) {
            if let Some(grad) = store.get_id(*id) {
                self.add(*id, grad)?;
            }
        }
        Ok(())
    }
}

/// Adds what a backward pass within another one left for trainable tensors to the open buffers, but for `inputs`, whose
/// gradients the outer pass takes itself.
pub(super) fn collect_store(store: &GradStore, inputs: &[TensorId]) -> candle_core::Result<()> {
    OPEN.with_borrow_mut(|open| match open {
        Some(gradients) => gradients.add_all(store, inputs),
        None => {
            candle_core::bail!("the parts of a network leave gradients in buffers: differentiate with `Gradients::of`")
        }
    })
}

/// Adds to a sum, or starts it.
pub(crate) fn add(sum: &mut Vec<f32>, values: &[f32]) {
    match sum.is_empty() {
        true => sum.extend_from_slice(values),
        false => sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value),
    }
}

/// Adds to the buffer of a trainable tensor by `add`, which is given the sum so far (empty before the first addition).
/// Elsewhere it returns the gradient as a tensor: where no buffers are open, or the tensor is itself a result.
pub(crate) fn gradient_of(tensor: &Tensor, add: impl FnOnce(&mut Vec<f32>)) -> candle_core::Result<Option<Tensor>> {
    let sum = OPEN.with_borrow_mut(|open| match open {
        Some(gradients) if tensor.is_variable() => Some(gradients.here.remove(&tensor.id()).unwrap_or_default()),
        _ => None,
    });
    match sum {
        Some(mut sum) => {
            add(&mut sum);
            OPEN.with_borrow_mut(|open| open.as_mut().map(|gradients| gradients.here.insert(tensor.id(), sum)));
            Ok(None)
        }
        None if tensor.track_op() => {
            let mut sum = Vec::new();
            add(&mut sum);
            Tensor::from_vec(sum, tensor.shape(), tensor.device()).map(Some)
        }
        None => Ok(None),
    }
}

/// As [`gradient_of`] for a gradient that is made as a tensor.
pub(crate) fn gradient_tensor_of(
    tensor: &Tensor,
    make: impl FnOnce() -> candle_core::Result<Tensor>,
) -> candle_core::Result<Option<Tensor>> {
    if !tensor.track_op() {
        return Ok(None);
    }
    let grad = make()?;
    OPEN.with_borrow_mut(|open| match open {
        Some(gradients) if tensor.is_variable() => gradients.add(tensor.id(), &grad).map(|()| None),
        _ => grad.to_dtype(tensor.dtype()).map(Some),
    })
}

/// As [`gradient_of`] for a tensor that is no argument of the operation in the tensor library's graph.
pub(crate) fn collect_gradient(tensor: &Tensor, add: impl FnOnce(&mut Vec<f32>)) -> candle_core::Result<()> {
    if !tensor.track_op() {
        return Ok(());
    }
    match gradient_of(tensor, add)? {
        None => Ok(()),
        Some(_) => candle_core::bail!(
            "this operation leaves gradients in buffers: differentiate with `Gradients::of`, and make its tensors trainable themselves"
        ),
    }
}
