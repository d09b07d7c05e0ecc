//! Several networks of one method, drawn apart and fitted side by side: what one of them takes for the mean of a condition
//! that it has not met depends on its start, and the mean of several is nearer (Hansen & Salamon 1990).

use std::collections::HashMap;

use candle_core::{Device, Tensor};

use super::condition_reader::slots;
use crate::Result;
use crate::language::parameters::{Parameters, device_of};
use crate::training::optimizer::Slot;

/// Networks with their trainable tensors.
pub(super) struct Members<N> {
    pub(super) networks: Vec<N>,
    parameters: Vec<Parameters>,
}

impl<N> Members<N> {
    /// Draws `n` networks on a device, each with random numbers of its own; the given tensors start as they are in each.
    ///
    /// # Errors
    /// Those of `network`.
    pub(super) fn draw(
        n: usize,
        seed: u64,
        device: &Device,
        mut given: HashMap<String, Tensor>,
        network: impl Fn(&mut Parameters) -> Result<N>,
    ) -> Result<Self> {
        let (mut networks, mut parameters) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for member in 0..n {
            // The last one takes them, so that nothing is held twice that is trained.
            let given = if member + 1 == n { std::mem::take(&mut given) } else { given.clone() };
            let mut own = Parameters::draw_beside(given, seed, member as u64, device);
            networks.push(network(&mut own)?);
            parameters.push(own);
        }
        Ok(Self { networks, parameters })
    }

    /// The tensors before the first step; that named `gates` learns faster.
    pub(super) fn slots(&self, gates: &str) -> Vec<Slot> {
        let of_member = |(member, parameters): (usize, &Parameters)| {
            let mut slots = slots(parameters, gates);
            slots.iter_mut().for_each(|slot| slot.name.insert_str(0, &prefix(member)));
            slots
        };
        self.parameters.iter().enumerate().flat_map(of_member).collect()
    }

    /// Copies of all tensors, which later steps of a fit leave as they are.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if a tensor cannot be copied.
    pub(super) fn copies(&self) -> Result<HashMap<String, Tensor>> {
        let mut tensors = HashMap::new();
        for (member, parameters) in self.parameters.iter().enumerate() {
            let copies = parameters.copies()?.into_iter();
            tensors.extend(copies.map(|(name, tensor)| (prefix(member) + &name, tensor)));
        }
        Ok(tensors)
    }
}

/// Takes `n` networks from the tensors of a file, to be used and not trained.
///
/// # Errors
/// Those of `network`.
pub(super) fn take<N>(
    n: usize,
    tensors: &HashMap<String, Tensor>,
    network: impl Fn(&mut Parameters) -> Result<N>,
) -> Result<Vec<N>> {
    let device = device_of(tensors);
    let of_member = |member: usize| {
        let own =
            |(name, tensor): (&String, &Tensor)| Some((name.strip_prefix(&prefix(member))?.into(), tensor.clone()));
        network(&mut Parameters::take(tensors.iter().filter_map(own).collect(), &device))
    };
    (0..n).map(of_member).collect()
}

/// What the names of a member's tensors begin with.
fn prefix(member: usize) -> String {
    format!("{member}.")
}
