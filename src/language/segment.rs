//! Parts of a network that are differentiated one by one. Their inner numbers are kept for that, or made again in the backward
//! pass (Chen et al. 2016, arXiv 1604.06174), which takes the memory of the inputs only. Both do the same operations in the same
//! order, so that the gradients are the same to the bit.

use std::sync::Mutex;

use candle_core::{Result, Tensor, TensorId, Var, bail};

use super::by_hand::by_hand;
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
    let result = pass.output.detach();
    let part = Segment { run: Box::new(run), kept: Mutex::new((!recomputes).then_some(pass)) };
    // An input that nothing trainable stands before would leave the operation out of the backward pass.
    let anchored = |input: &Tensor| match inputs.iter().any(|input| input.track_op()) {
        true => Ok(input.clone()),
        false => Var::from_tensor(input).map(|variable| variable.as_tensor().clone()),
    };
    match inputs {
        [a] => by_hand([&anchored(a)?], result, move |inputs, grad| part.backward(inputs, grad)),
        [a, b] => by_hand([&anchored(a)?, b], result, move |inputs, grad| part.backward(inputs, grad)),
        [a, b, c] => by_hand([&anchored(a)?, b, c], result, move |inputs, grad| part.backward(inputs, grad)),
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
    /// The pass, where it is kept, until the backward pass takes it.
    kept: Mutex<Option<Pass>>,
}

impl Segment {
    /// The gradients of the inputs.
    fn backward<const N: usize>(&self, inputs: [&Tensor; N], grad: &Tensor) -> Result<[Option<Tensor>; N]> {
        let kept = lock(&self.kept).take();
        let Pass { variables, output } = kept.map_or_else(|| Pass::run(&inputs, &self.run), Ok)?;
        let store = (output * grad)?.sum_all()?.backward()?;
        let ids: Vec<TensorId> = variables.iter().flatten().map(|variable| variable.as_tensor().id()).collect();
        collect_store(&store, &ids)?;
        let mut grads = variables.iter().map(|variable| variable.as_ref().and_then(|one| store.get(one).cloned()));
        Ok(std::array::from_fn(|_| grads.next().flatten()))
    }
}
