//! Numbers of components at doses between those that have some.

use std::collections::BTreeMap;

use ndarray::Array1;

use crate::conditions::Between;

/// The numbers of a component: its own, or linear in the logarithm of the dose between those of its neighbours ([`Between`]).
pub(super) fn at_dose(numbers: &BTreeMap<String, Vec<f32>>, component: &str) -> Option<Array1<f64>> {
    let own = |label: &str| Some(Array1::from_iter(numbers.get(label)?.iter().map(|&number| f64::from(number))));
    own(component).or_else(|| {
        let Between { lower, upper, share } = Between::of(component, numbers.keys())?;
        Some(own(&lower)? * (1.0 - share) + own(&upper)? * share)
    })
}
