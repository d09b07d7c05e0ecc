//! How much one stratum of covariates tells of another.

use std::collections::BTreeMap;

use ndarray::Array1;

use super::strata::Covariates;

/// Strata whose control cells lie near each other answer alike: the weight of stratum s in telling of stratum c is
/// exp(−½ ‖m_c − m_s‖² / h²), m the means of their control cells (a kernel regression, Nadaraya 1964).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Likeness {
    controls: BTreeMap<Covariates, Array1<f64>>,
    /// h; without one all strata weigh the same.
    pub(super) bandwidth: Option<f64>,
}

impl Likeness {
    /// With a bandwidth in units of the cells.
    pub(super) fn new(controls: BTreeMap<Covariates, Array1<f64>>, bandwidth: Option<f64>) -> Self {
        Self { controls, bandwidth }
    }

    /// The median distance between the controls of two strata; nothing with fewer than three strata, where there is
    /// nothing to weigh.
    pub(super) fn median_distance(controls: &BTreeMap<Covariates, Array1<f64>>) -> Option<f64> {
        let means: Vec<&Array1<f64>> = controls.values().collect();
        let pairs = (0..means.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
        let mut distances: Vec<f64> = pairs.map(|(a, b)| squared_distance(means[a], means[b]).sqrt()).collect();
        distances.sort_by(f64::total_cmp);
        (means.len() > 2).then(|| distances[distances.len() / 2]).filter(|&median| median > 0.0)
    }

    /// The mean effect over strata, each with its number of cells, as one stratum sees them: (n_dims); nothing without
    /// strata.
    pub(super) fn mean<'a>(
        &self,
        seen_from: &Covariates,
        effects: impl Iterator<Item = (&'a Covariates, f64, &'a Array1<f64>)> + Clone,
    ) -> Option<Array1<f64>> {
        let exponent = |covariates: &Covariates| match (self.bandwidth, self.controls.get(seen_from)) {
            (Some(bandwidth), Some(here)) => self
                .controls
                .get(covariates)
                .map_or(0.0, |there| squared_distance(here, there) / (2.0 * bandwidth.powi(2))),
            _ => 0.0,
        };
        // The nearest weighs as many cells as it has, so that far strata do not all vanish.
        let nearest = effects.clone().map(|(covariates, ..)| exponent(covariates)).fold(f64::INFINITY, f64::min);
        let (mut sum, mut total) = (None::<Array1<f64>>, 0.0);
        for (covariates, n_cells, effect) in effects {
            let weight = n_cells * (nearest - exponent(covariates)).exp();
            sum.get_or_insert_with(|| Array1::zeros(effect.len())).scaled_add(weight, effect);
            total += weight;
        }
        sum.map(|sum| sum / total)
    }
}

fn squared_distance(a: &Array1<f64>, b: &Array1<f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use ndarray::arr1;

    use super::*;

    fn stratum(name: &str) -> Covariates {
        [("cell_type".to_owned(), name.to_owned())].into()
    }

    fn controls() -> BTreeMap<Covariates, Array1<f64>> {
        [("x", 0.0), ("y", 1.0), ("z", 3.0)].map(|(name, at)| (stratum(name), arr1(&[at]))).into()
    }

    #[test]
    fn near_strata_weigh_more() {
        let (x, y, z) = (stratum("x"), stratum("y"), stratum("z"));
        let (one, other) = (arr1(&[10.0]), arr1(&[20.0]));
        let seen = |bandwidth| {
            let likeness = Likeness::new(controls(), bandwidth);
            likeness.mean(&x, [(&y, 2.0, &one), (&z, 2.0, &other)].into_iter()).unwrap()[0]
        };
        assert_eq!(seen(None), 15.0);
        let share = (-4.0_f64).exp() / (1.0 + (-4.0_f64).exp());
        assert!((seen(Some(1.0)) - (10.0 + 10.0 * share)).abs() < 1e-12, "{}", seen(Some(1.0)));
        // Far beyond the bandwidth the nearest is all that there is, and not nothing.
        assert_eq!(seen(Some(1e-3)), 10.0);
        assert_eq!(Likeness::new(controls(), None).mean(&x, std::iter::empty()), None);
    }

    #[test]
    fn two_strata_have_no_distance_to_compare() {
        assert_eq!(Likeness::median_distance(&controls()), Some(2.0));
        let two = controls().into_iter().take(2).collect();
        assert_eq!(Likeness::median_distance(&two), None);
    }
}
