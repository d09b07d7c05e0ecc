//! The running mean of the weights.

use candle_core::Tensor;

use super::optimizer::Slot;
use crate::Result;

/// The exponential moving average of all trainable tensors, ā ← d·ā + (1 − d)·θ with d = min(decay, (1 + n)/(10 + n))
/// after step n, so that it follows fast at first (Polyak & Juditsky 1992; the warm-up as in TensorFlow's).
#[derive(Debug, Clone)]
pub struct Average {
    decay: f64,
    pub(super) values: Vec<Tensor>,
}

impl Average {
    /// Starts at the weights as they are.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if a tensor cannot be read.
    pub fn new(slots: &[Slot], decay: f64) -> Result<Self> {
        let values = slots.iter().map(|slot| Ok(slot.value()?.copy()?)).collect::<Result<_>>()?;
        Ok(Self { decay, values })
    }

    /// Takes in the weights after step `n_steps_done`.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if a tensor cannot be read.
    pub fn update(&mut self, slots: &[Slot], n_steps_done: usize) -> Result<()> {
        let n = n_steps_done as f64;
        let decay = self.decay.min((1.0 + n) / (10.0 + n));
        for (slot, average) in slots.iter().zip(&mut self.values) {
            let step = ((slot.value()? - &*average)? * (1.0 - decay))?;
            *average = (&*average + step)?;
        }
        Ok(())
    }

    /// Exchanges the averages and the weights; twice is nothing.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] if a tensor cannot be written.
    pub fn exchange(&mut self, slots: &mut [Slot]) -> Result<()> {
        for (slot, average) in slots.iter_mut().zip(&mut self.values) {
            let averaged = std::mem::replace(average, slot.value()?.copy()?);
            slot.set_value(&averaged)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn the_average_is_that_of_its_definition_and_is_exchanged_back_and_forth() {
        let variable = Var::from_tensor(&Tensor::new(&[0.0_f32, 4.0], &Device::Cpu).unwrap()).unwrap();
        let mut slots = [Slot::new("x", &variable, 1.0, 1.0)];
        let mut average = Average::new(&slots, 0.5).unwrap();
        let mut expected = [0.0_f64, 4.0];
        for n in 0..20 {
            let now = [f64::from(n), 4.0 - f64::from(n * n)];
            variable.set(&Tensor::new(&[now[0] as f32, now[1] as f32], &Device::Cpu).unwrap()).unwrap();
            average.update(&slots, n as usize).unwrap();
            let decay = (f64::from(1 + n) / f64::from(10 + n)).min(0.5);
            expected = [0, 1].map(|i| decay * expected[i] + (1.0 - decay) * now[i]);
        }
        let last = variable.to_vec1::<f32>().unwrap();
        average.exchange(&mut slots).unwrap();
        for (got, expected) in variable.to_vec1::<f32>().unwrap().into_iter().zip(expected) {
            assert!((f64::from(got) - expected).abs() < 1e-4, "{got} {expected}");
        }
        average.exchange(&mut slots).unwrap();
        assert_eq!(variable.to_vec1::<f32>().unwrap(), last);
    }
}
