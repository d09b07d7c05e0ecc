use candle_core::{DType, Device, Tensor, Var};

use super::*;
use crate::language::device::composed;

/// The rule in 64 bits for Σ x²/2, whose gradient is x.
struct Expected {
    x: Vec<f64>,
    m: Vec<f64>,
    v: Vec<f64>,
}

const RATE: f64 = 0.1;
const DECAY: f64 = 0.5;

impl Expected {
    fn new(x: &[f64]) -> Self {
        Self { x: x.to_vec(), m: vec![0.0; x.len()], v: vec![0.0; x.len()] }
    }

    /// One step of the gradient g.
    fn step(&mut self, n_steps: i32, g: &[f64]) {
        for (i, g) in g.iter().enumerate() {
            self.m[i] = 0.9 * self.m[i] + 0.1 * g;
            self.v[i] = 0.99 * self.v[i] + 0.01 * g * g;
            let (m, v) = (self.m[i] / (1.0 - 0.9_f64.powi(n_steps)), self.v[i] / (1.0 - 0.99_f64.powi(n_steps)));
            self.x[i] -= RATE * (m / (v.sqrt() + 1e-8) + DECAY * self.x[i]);
        }
    }
}

/// Steps on Σ x² in two halves, whose gradient is 2x; the norm stays below the clip.
fn steps_follow_the_rule() {
    let variable = Var::from_tensor(&Tensor::new(&[1.0_f32, -2.0], &Device::Cpu).unwrap()).unwrap();
    let mut slots = [Slot::new("x", &variable, 1.0, 1.0)];
    let mut expected = Expected::new(&[1.0, -2.0]);
    for t in 0..5 {
        let loss = (variable.sqr().unwrap().sum_all().unwrap() * 0.5).unwrap();
        let half = || Gradients::of(&loss).unwrap();
        let norm = step(&mut slots, &[half(), half()], t, RATE, DECAY, 100.0).unwrap();
        let g: Vec<f64> = expected.x.iter().map(|x| 2.0 * x).collect();
        assert!((norm - g.iter().map(|g| g * g).sum::<f64>().sqrt()).abs() < 1e-4, "{norm} {g:?}");
        expected.step(t as i32 + 1, &g);
    }
    for (got, expected) in variable.to_vec1::<f32>().unwrap().into_iter().zip(&expected.x) {
        assert!((f64::from(got) - expected).abs() < 1e-5, "{got} {expected}");
    }
}

#[test]
fn steps_follow_the_published_rule_on_every_device() {
    steps_follow_the_rule();
    composed(steps_follow_the_rule);
}

#[test]
fn a_clipped_gradient_has_the_norm_of_the_clip_on_every_device() {
    let run = || {
        let variable = Var::from_tensor(&Tensor::new(&[3.0_f32, 4.0], &Device::Cpu).unwrap()).unwrap();
        let mut slots = [Slot::new("x", &variable, 1.0, 1.0)];
        let loss = (variable.sqr().unwrap().sum_all().unwrap() * 0.5).unwrap();
        let norm = step(&mut slots, &[Gradients::of(&loss).unwrap()], 0, RATE, DECAY, 1.0).unwrap();
        assert!((norm - 5.0).abs() < 1e-5, "{norm}");
        slots[0].moments().unwrap()[0].to_vec1::<f32>().unwrap()
    };
    for got in [run(), composed(run)] {
        got.iter().zip([0.06, 0.08]).for_each(|(got, expected)| assert!((got - expected).abs() < 1e-6, "{got}"));
    }
}

/// Steps that are smaller than half of what 16 bits tell apart add up.
#[test]
fn a_variable_of_sixteen_bits_is_the_rounding_of_what_is_trained() {
    composed(|| {
        let start = Tensor::new(&[1.0_f32, -2.0], &Device::Cpu).unwrap();
        let variable = Var::from_tensor(&start.to_dtype(DType::BF16).unwrap()).unwrap();
        let mut slots = [Slot::new("x", &variable, 1.0, 1.0)];
        let n = 40;
        for t in 0..n {
            let loss = variable.as_tensor().to_dtype(DType::F32).unwrap().sum_all().unwrap();
            step(&mut slots, &[Gradients::of(&loss).unwrap()], t, 1e-3, 0.0, 100.0).unwrap();
        }
        let exact = slots[0].value().unwrap().to_vec1::<f32>().unwrap();
        // The gradient is one always, so that each step is the rate.
        for (got, start) in exact.iter().zip([1.0_f64, -2.0]) {
            assert!((f64::from(*got) - (start - 1e-3 * n as f64)).abs() < 1e-5, "{got}");
        }
        let rounded = variable.to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
        for (rounded, exact) in rounded.iter().zip(&exact) {
            assert!((rounded - exact).abs() <= exact.abs() / 256.0 && rounded != exact, "{rounded} {exact}");
        }
        // What is kept of it is enough to go on from.
        let mut again = Slot::new("x", &variable, 1.0, 1.0);
        again.set_value(&slots[0].value().unwrap()).unwrap();
        again.set_moments(slots[0].moments().unwrap().each_ref()).unwrap();
        let after = |slot: &mut Slot| {
            let loss = slot.variable.as_tensor().to_dtype(DType::F32).unwrap().sum_all().unwrap();
            step(std::slice::from_mut(slot), &[Gradients::of(&loss).unwrap()], n, 1e-3, 0.0, 100.0).unwrap();
            slot.value().unwrap().to_vec1::<f32>().unwrap()
        };
        let kept = variable.as_tensor().copy().unwrap();
        let first = after(&mut slots[0]);
        variable.set(&kept).unwrap();
        assert_eq!(after(&mut again), first);
    });
}
