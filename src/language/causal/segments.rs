//! Blocks as parts of the network that are differentiated one by one; see [`segment`].

use candle_core::Tensor;

use super::block::Block;
use crate::Result;
use crate::language::kernels::attention::Arrangement;
use crate::language::kernels::rotary::Turn;
use crate::language::segment::segment;
use crate::language::transformer::Shift;

/// As [`Block::run`].
pub(super) fn run(
    block: &Block,
    x: &Tensor,
    prefix: Option<&Tensor>,
    turn: &Turn,
    arrangement: &Arrangement,
    shift: Option<&Shift>,
    recomputes: bool,
) -> Result<Tensor> {
    let inputs: Vec<&Tensor> = [Some(x), prefix, shift.map(|shift| &shift.vectors)].into_iter().flatten().collect();
    let (block, turn, arrangement) = (block.clone(), turn.clone(), arrangement.clone());
    let (has_prefix, of_sequence) = (prefix.is_some(), shift.map(|shift| shift.of_sequence.clone()));
    let output = segment(&inputs, recomputes, move |inputs| {
        let (prefix, rest) = if has_prefix { (inputs.get(1), &inputs[2..]) } else { (None, &inputs[1..]) };
        let shift = of_sequence.iter().zip(rest).next();
        let shift = shift.map(|(of, vectors)| Shift { vectors: vectors.clone(), of_sequence: of.clone() });
        block.run(&inputs[0], prefix, &turn, &arrangement, shift.as_ref()).map_err(as_backend)
    });
    Ok(output?)
}

/// As [`Block::run_prefix`].
pub(super) fn run_prefix(
    block: &Block,
    x: &Tensor,
    turn: &Turn,
    arrangement: &Arrangement,
    is_last: bool,
    recomputes: bool,
) -> Result<Tensor> {
    let (block, turn, arrangement) = (block.clone(), turn.clone(), arrangement.clone());
    let run = move |inputs: &[Tensor]| block.run_prefix(&inputs[0], &turn, &arrangement, is_last).map_err(as_backend);
    Ok(segment(&[x], recomputes, run)?)
}

/// An error on its way through the tensor library.
fn as_backend(error: crate::Error) -> candle_core::Error {
    candle_core::Error::wrap(error)
}
