//! How strongly a component acts at a dose.

use candle_core::{Device, Tensor};

use crate::Result;
use crate::language::parameters::{Parameters, Start as Init};
use crate::models::counts::Codes;
use crate::models::dose_scale::Amount;

/// A curve for each component with several doses, and for each with several times.
///
/// f(d) = 2σ(β·x + b), x = (ln d − m) / h ([`crate::models::dose_scale::DoseScale`]); β and b are learned for each component,
/// from 1 and 0. As σ(β·x + b) = d^n / (d^n + c^n) with n = β / h and ln c = m − b·h / β, this is a Hill curve, of which the
/// component's embedding has the height; the published program has the same logistic of ln(1 + d) among its choices
/// (`logsigm`). Without a dose an embedding counts once.
pub(super) struct DoseCurves {
    /// β: (n_doses).
    slopes: Tensor,
    /// b: (n_doses).
    offsets: Tensor,
    n_codes: usize,
    /// 1 where a dose is one of a component, likewise for times: (n_doses, n_codes) each.
    owners: Vec<Tensor>,
}

impl DoseCurves {
    /// Curves for what training has at several doses or times; nothing if there is none.
    pub(super) fn new(parameters: &mut Parameters, codes: &Codes) -> Result<Option<Self>> {
        let (scales, dosed, n_codes) = (codes.doses().scales(), codes.dosed(), codes.n());
        if scales.is_empty() {
            return Ok(None);
        }
        let n = scales.len();
        let slopes = parameters.tensor("dose.gain", &[n], Init::Ones)?;
        let offsets = parameters.tensor("dose.bias", &[n], Init::Zeros)?;
        let owner = |amount: Amount| {
            let mut owner = vec![0.0_f32; n * n_codes];
            let own = scales.iter().zip(&dosed).enumerate().filter(|(_, (scale, _))| scale.amount == amount);
            own.for_each(|(place, (_, code))| owner[place * n_codes + code] = 1.0);
            owner
        };
        let owners = [Amount::Dose, Amount::Time].map(owner).into_iter().filter(|owner| owner.contains(&1.0));
        let tensor = |owner| Ok(Tensor::from_vec(owner, (n, n_codes), &Device::Cpu)?.to_device(slopes.device())?);
        let owners = owners.map(tensor).collect::<Result<_>>()?;
        Ok(Some(Self { slopes, offsets, n_codes, owners }))
    }

    /// Codes, doses, other numbers → codes times f of their doses, other numbers: (n_cells, n_told) →
    /// (n_cells, n_told − n_doses).
    pub(super) fn scale(&self, told: &Tensor) -> Result<Tensor> {
        let n = self.slopes.elem_count();
        let mut codes = told.narrow(1, 0, self.n_codes)?.contiguous()?;
        let doses = told.narrow(1, self.n_codes, n)?.contiguous()?;
        // 2σ(y) = 1 + tanh(y / 2); what has no dose is multiplied by 1.
        let curves = (doses.broadcast_mul(&self.slopes)?.broadcast_add(&self.offsets)? * 0.5)?.tanh()?;
        for owner in &self.owners {
            codes = (codes * (curves.matmul(owner)? + 1.0)?)?;
        }
        let n_others = told.dim(1)? - self.n_codes - n;
        match n_others {
            0 => Ok(codes),
            n_others => Ok(Tensor::cat(&[&codes, &told.narrow(1, self.n_codes + n, n_others)?.contiguous()?], 1)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::gradients::Gradients;
    use crate::models::counts::Told;
    use crate::models::guide::Centre;
    use crate::models::trial::condition;

    /// f written out as a Hill curve of the dose itself.
    #[test]
    fn codes_are_scaled_by_hill_curves_of_their_doses() {
        let training = ["control", "A @ 1 uM 4 h", "A @ 100 uM 16 h", "B @ 2 uM 4 h", "C"].map(condition);
        let cells = ndarray::Array2::zeros((training.len(), 2));
        let told = Told::fit(cells.view(), &training, Centre::None, 0).unwrap();
        let mut parameters = Parameters::draw(1, 0, &Device::Cpu);
        let curves = DoseCurves::new(&mut parameters, &told.codes).unwrap().unwrap();
        let wanted = ["A @ 10 uM 8 h", "A @ 100 uM 4 h + C", "B @ 2 uM 4 h", "control"].map(condition);
        let numbers: Vec<f32> = wanted.iter().flat_map(|condition| told.numbers(condition).unwrap()).collect();
        let numbers = Tensor::from_vec(numbers, (4, told.n_numbers()), &Device::Cpu).unwrap();
        let [slope, offset] = [[0.7_f32, 1.5], [0.3, -0.2]];
        for (name, variable) in &parameters.variables {
            let values = if name == "dose.gain" { slope } else { offset };
            variable.set(&Tensor::new(&values, &Device::Cpu).unwrap()).unwrap();
        }
        let scaled = curves.scale(&numbers).unwrap();
        let hill = |value: f64, low: f64, high: f64, place: usize| {
            let (middle, half) = ((low.ln() + high.ln()) / 2.0, (high.ln() - low.ln()) / 2.0);
            let (slope, offset) = (f64::from(slope[place]), f64::from(offset[place]));
            let (power, half_way) = (slope / half, (middle - offset * half / slope).exp());
            2.0 * value.powf(power) / (value.powf(power) + half_way.powf(power))
        };
        let dose = |value| hill(value, 1.0, 100.0, 0);
        let time = |value| hill(value, 4.0, 16.0, 1);
        let expected =
            [[dose(10.0) * time(8.0), 0.0, 0.0], [dose(100.0) * time(4.0), 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]];
        let found = scaled.to_vec2::<f32>().unwrap();
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                found.iter().zip(expected).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-5),
                "{found:?} {expected:?}"
            );
        }
        let slopes = Gradients::of(&scaled.sum_all().unwrap()).unwrap();
        for (name, variable) in &parameters.variables {
            assert!(slopes.get(variable.as_tensor()).unwrap().iter().all(|slope| slope.abs() > 1e-3), "{name}");
        }
    }

    #[test]
    fn a_screen_without_doses_has_no_curves() {
        let training = ["control", "A @ 1 uM", "B"].map(condition);
        let codes = Codes::fit(&training);
        assert!(DoseCurves::new(&mut Parameters::draw(1, 0, &Device::Cpu), &codes).unwrap().is_none());
    }
}
