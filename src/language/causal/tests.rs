//! What holds of every family: gradients are those of finite differences, and every way to run a sequence gives the same.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::Causal;
use super::params::{CausalParams, Family, NormKind};
use super::rotary::{RotaryParams, Scaling};
use super::tuning::Tuning;
use crate::language::device::composed;
use crate::language::gradients::Gradients;
use crate::language::kernels::activation::Activation;
use crate::language::kernels::attention::Arrangement;
use crate::language::kernels::values;
use crate::language::kv_cache::{Cache, Prefixes};
use crate::language::mask::Mask;
use crate::language::parameters::Parameters;
use crate::language::precision::Precision;

/// Between them, the four hold every choice.
pub(crate) fn families() -> [CausalParams; 4] {
    let rotary = |n_turned| Some(RotaryParams { n_turned, theta: 100.0, scaling: Scaling::Linear { factor: 2.0 } });
    let neox = CausalParams {
        family: Family::GptNeox,
        n_words: 11,
        width: 12,
        n_layers: 2,
        n_heads: 2,
        n_key_heads: 2,
        head_width: 6,
        n_hidden: 10,
        context: 20,
        norm: NormKind::Layer,
        epsilon: 1e-5,
        activation: Activation::Gelu,
        gated: false,
        rotary: rotary(2),
        parallel_residual: true,
        qkv_bias: true,
        output_bias: true,
        perceptron_bias: true,
        tied: false,
        start_deviation: 0.02,
    };
    let llama = CausalParams {
        family: Family::Llama,
        n_heads: 4,
        n_key_heads: 2,
        norm: NormKind::RootMeanSquare,
        activation: Activation::Silu,
        gated: true,
        rotary: rotary(6),
        parallel_residual: false,
        qkv_bias: false,
        output_bias: false,
        perceptron_bias: false,
        ..neox
    };
    let gpt2 = CausalParams {
        family: Family::Gpt2,
        activation: Activation::GeluTanh,
        rotary: None,
        parallel_residual: false,
        tied: true,
        ..neox
    };
    let qwen2 = CausalParams { family: Family::Qwen2, qkv_bias: true, n_key_heads: 1, head_width: 8, ..llama };
    [neox, llama, gpt2, qwen2]
}

fn arrangement(model: &Causal) -> Arrangement {
    Arrangement {
        n_heads: model.params.n_heads,
        mask: Arc::new(Mask::causal(4)),
        prefix_of_sequence: Arc::new(vec![1, 0, 1]),
        prefix_lengths: Arc::new(vec![3, 2]),
    }
}

#[test]
fn hidden_states_of_prompts_are_those_of_plain_sequences() {
    for params in families() {
        let model =
            Causal::new(&mut Parameters::draw(1, 0, &Device::Cpu), "language", params, Tuning::Full, false).unwrap();
        let x = Tensor::from_vec(numbers(6 * params.width, 0.3), (6, params.width), &Device::Cpu).unwrap();
        let (prefixes, hidden) = model.read_prompts(&x, 3).unwrap();
        let plain = model.forward(&x, None, &model.causal(3), None).unwrap();
        assert_eq!(values(&hidden).unwrap(), values(&plain).unwrap(), "{:?}", params.family);
        for (prefix, alone) in prefixes.iter().zip(model.encode_prefixes(&x, 3).unwrap()) {
            assert_eq!(values(prefix).unwrap(), values(&alone).unwrap(), "{:?}", params.family);
        }
    }
}

/// Two prompts as prefixes, and three sequences of four tokens behind them.
fn hidden(model: &Causal, prompts: &Tensor, x: &Tensor) -> Tensor {
    let prefixes = model.encode_prefixes(prompts, 3).unwrap();
    model.forward(x, Some(&prefixes), &arrangement(model), None).unwrap()
}

fn numbers(n: usize, first: f32) -> Vec<f32> {
    (0..n).map(|i| (first + i as f32 * 0.713).sin()).collect()
}

/// Adapters and thin matrices start as zeros on one side, so that the other would have no gradient.
fn shake(parameters: &Parameters) {
    for (name, variable) in &parameters.variables {
        if name.contains(".adapter.") || name.contains(".lora.") {
            let numbers = numbers(variable.elem_count(), name.len() as f32).into_iter().map(|value| 0.2 * value);
            let numbers = Tensor::from_iter(numbers, &Device::Cpu).unwrap().reshape(variable.shape()).unwrap();
            variable.set(&numbers).unwrap();
        }
    }
}

#[test]
fn every_weight_and_every_embedded_token_has_the_gradient_of_finite_differences() {
    gradients_are_those_of_finite_differences();
    composed(gradients_are_those_of_finite_differences);
}

fn gradients_are_those_of_finite_differences() {
    let [neox, llama, ..] = families();
    let full = families().map(|params| (params, Tuning::Full));
    let beside =
        [(neox, Tuning::Lora { rank: 3 }), (llama, Tuning::Lora { rank: 2 }), (neox, Tuning::Adapters { width: 5 })];
    for (params, tuning) in full.into_iter().chain(beside) {
        let mut parameters = Parameters::draw(1, 0, &Device::Cpu);
        let model = Causal::new(&mut parameters, "language", params, tuning, true).unwrap();
        shake(&parameters);
        let is_beside = |name: &str| name.contains(".adapter.") || name.contains(".lora.");
        assert!(parameters.variables.iter().all(|(name, _)| is_beside(name) == (tuning != Tuning::Full)));
        assert_eq!(parameters.fixed.is_empty(), tuning == Tuning::Full);
        let variable = |n: usize, first: f32| {
            candle_core::Var::from_tensor(&Tensor::from_vec(numbers(n * 12, first), (n, 12), &Device::Cpu).unwrap())
                .unwrap()
        };
        let (prompts, x) = (variable(6, 0.1), variable(12, 0.5));
        let weights = Tensor::from_vec(numbers(12 * 11, 0.9), (12, 11), &Device::Cpu).unwrap();
        let ids: Vec<u32> = (0..12).map(|i| i * 5 % 11).collect();
        let loss = |model: &Causal| {
            let x = (x.as_tensor() + model.embed(&ids).unwrap()).unwrap();
            let logits = model.logits(&hidden(model, &prompts, &x)).unwrap();
            (logits * &weights).unwrap().sum_all().unwrap()
        };
        let gradients = Gradients::of(&loss(&model)).unwrap();
        let inputs = [("prompts".to_owned(), prompts.clone()), ("x".to_owned(), x.clone())];
        let again = model.clone().recomputing(true);
        let same = Gradients::of(&loss(&again)).unwrap();
        for (name, variable) in parameters.variables.iter().chain(&inputs) {
            // The same operations on the same numbers: not a bit differs.
            assert_eq!(gradients.get(variable), same.get(variable), "{:?}: {name}", params.family);
            let start = variable.as_tensor().copy().unwrap();
            let direction = Tensor::from_vec(numbers(start.elem_count(), 0.3), start.shape(), &Device::Cpu).unwrap();
            // Of four points, so that the error goes with the fourth power of the step.
            let at = |step: f64| {
                variable.set(&(&start + (&direction * step).unwrap()).unwrap()).unwrap();
                f64::from(loss(&model).to_scalar::<f32>().unwrap())
            };
            let step = 4e-3;
            let slope = (8.0 * (at(step) - at(-step)) - (at(2.0 * step) - at(-2.0 * step))) / (12.0 * step);
            variable.set(&start).unwrap();
            let gradient = gradients.get(variable).unwrap_or_else(|| panic!("{:?}: {name} has none", params.family));
            let direction = values(&direction).unwrap();
            let ours: f64 = gradient.iter().zip(&direction).map(|(a, b)| f64::from(a * b)).sum();
            let size: f64 = gradient.iter().map(|a| f64::from(a * a)).sum::<f64>().sqrt();
            assert!(size > 0.0, "{:?}: the gradient of {name} is zero", params.family);
            assert!(
                (ours - slope).abs() < 2e-3 * size.max(1.0),
                "{:?}: {name}: {ours} and {slope} of {size}",
                params.family
            );
        }
    }
}

#[test]
fn a_prefix_a_cache_and_a_whole_sequence_give_the_same() {
    for params in families() {
        let mut parameters = Parameters::draw(2, 0, &Device::Cpu);
        let model = Causal::new(&mut parameters, "language", params, Tuning::Full, false).unwrap();
        let tensor = |n: usize, first: f32| Tensor::from_vec(numbers(n * 12, first), (n, 12), &Device::Cpu).unwrap();
        let (prompts, x) = (tensor(6, 0.1), tensor(12, 0.5));
        let whole = values(&hidden(&model, &prompts, &x)).unwrap();
        // The third sequence stands behind the first two tokens of the second prompt.
        let one = Tensor::cat(&[&prompts.narrow(0, 3, 2).unwrap(), &x.narrow(0, 8, 4).unwrap()], 0).unwrap();
        let one = values(&model.forward(&one, None, &model.causal(6), None).unwrap()).unwrap();
        near(&one[2 * 12..], &whole[8 * 12..]);
        let prefixes = Prefixes::new(&model.encode_prefixes(&prompts, 3).unwrap(), &[3, 2]).unwrap();
        let mut cache = Cache::new(model.size(), Arc::new(Mask::causal(4)), 3, prefixes, vec![1, 0, 1]);
        for token in 0..4 {
            let rows = Tensor::new(&[token as u32, token as u32 + 4, token as u32 + 8], &Device::Cpu).unwrap();
            let next = values(&model.extend(&x.index_select(&rows, 0).unwrap(), &mut cache, None).unwrap()).unwrap();
            for sequence in 0..3 {
                near(&next[sequence * 12..][..12], &whole[(sequence * 4 + token) * 12..][..12]);
            }
        }
    }
}

/// How far numbers are from others, over how large these are.
fn gap(ours: &[f32], theirs: &[f32]) -> f32 {
    let length = |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>().sqrt();
    length(&mut ours.iter().zip(theirs).map(|(a, b)| a - b)) / length(&mut theirs.iter().copied())
}

#[test]
fn matrices_of_sixteen_bits_give_nearly_the_same_numbers_and_gradients() {
    let ids: Vec<u32> = (0..12).map(|i| i * i % 7).collect();
    // Of one sign, so that sums of rounded numbers are not small beside them.
    let weights = numbers(12 * 11, 0.9).into_iter().map(|value| 1.5 + value).collect();
    let weights = Tensor::from_vec(weights, (12, 11), &Device::Cpu).unwrap();
    let run = |params: CausalParams, tuning: Tuning, precision: Precision, recomputes: bool| {
        let mut parameters = Parameters::draw(1, 0, &Device::Cpu);
        parameters.hold(precision);
        let model = Causal::new(&mut parameters, "language", params, tuning, true).unwrap().recomputing(recomputes);
        shake(&parameters);
        let prompts = Tensor::from_vec(numbers(6 * 12, 0.1), (6, 12), &Device::Cpu).unwrap();
        let logits = model.logits(&hidden(&model, &prompts, &model.embed(&ids).unwrap())).unwrap();
        let gradients = Gradients::of(&(&logits * &weights).unwrap().sum_all().unwrap()).unwrap();
        let all = parameters.variables.iter().map(|(name, variable)| {
            let gradient = gradients.tensor(variable).unwrap().unwrap_or_else(|| panic!("{name} has no gradient"));
            assert_eq!(gradient.dtype(), DType::F32);
            (name.clone(), values(&gradient).unwrap())
        });
        let held = parameters.copies().unwrap();
        (values(&logits).unwrap(), all.collect::<Vec<_>>(), held)
    };
    let [neox, ..] = families();
    let all = families().map(|params| (params, Tuning::Full)).into_iter().chain([(neox, Tuning::Lora { rank: 3 })]);
    composed(|| {
        for (params, tuning) in all {
            let (exact, exact_gradients, _) = run(params, tuning, Precision::F32, false);
            let (logits, gradients, held) = run(params, tuning, Precision::Bf16, false);
            let (family, far) = (params.family, gap(&logits, &exact));
            assert!(far > 1e-4 && far < 2e-2, "{family:?}: {far}");
            for ((name, ours), (_, theirs)) in gradients.iter().zip(&exact_gradients) {
                assert!(gap(ours, theirs) < 5e-2, "{family:?}: {name}: {}", gap(ours, theirs));
            }
            for (name, tensor) in &held {
                let is_matrix = tensor.rank() == 2 && !name.contains(".lora.");
                assert_eq!(tensor.dtype() == DType::BF16, is_matrix, "{name}");
            }
            // Recomputation changes nothing, and the CPU reads the same weights in 32 bits.
            let (again, gradients_again, _) = run(params, tuning, Precision::Bf16, true);
            assert!(again == logits && gradients_again == gradients, "{family:?}");
        }
    });
}

#[test]
fn the_cpu_reads_weights_of_sixteen_bits_as_they_are() {
    let [params, ..] = families();
    let x = Tensor::from_vec(numbers(4 * 12, 0.5), (4, 12), &Device::Cpu).unwrap();
    let held = composed(|| {
        let mut parameters = Parameters::draw(1, 0, &Device::Cpu);
        parameters.hold(Precision::Bf16);
        Causal::new(&mut parameters, "language", params, Tuning::Full, false).unwrap();
        parameters.copies().unwrap()
    });
    let widened = held.iter().map(|(name, tensor)| (name.clone(), tensor.to_dtype(DType::F32).unwrap())).collect();
    let run = |tensors| {
        let mut parameters = Parameters::take(tensors, &Device::Cpu);
        parameters.hold(Precision::Bf16);
        let model = Causal::new(&mut parameters, "language", params, Tuning::Full, false).unwrap();
        values(&model.forward(&x, None, &model.causal(4), None).unwrap()).unwrap()
    };
    assert_eq!(run(held), run(widened));
}

#[track_caller]
fn near(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).for_each(|(a, b)| assert!((a - b).abs() < 2e-5 * b.abs().max(1.0), "{a} {b}"));
}

#[test]
fn sequences_beyond_the_context_and_words_beyond_the_vocabulary_are_refused() {
    let model =
        Causal::new(&mut Parameters::draw(1, 0, &Device::Cpu), "language", families()[0], Tuning::Full, false).unwrap();
    let x = Tensor::zeros((21, 12), DType::F32, &Device::Cpu).unwrap();
    let long = model.forward(&x, None, &model.causal(21), None).unwrap_err();
    assert!(long.is_mistake() && long.to_string().contains("at most 20"), "{long}");
    let unknown = model.embed(&[3, 11, 12]).unwrap_err();
    assert!(unknown.is_mistake() && unknown.to_string().contains("2 of 3"), "{unknown}");
    assert!(model.logits(&x).unwrap_err().to_string().contains("head"));
}

#[test]
fn a_tuned_model_starts_as_the_one_that_it_was() {
    let [params, ..] = families();
    let x = Tensor::from_vec(numbers(4 * 12, 0.5), (4, 12), &Device::Cpu).unwrap();
    let mut parameters = Parameters::draw(3, 0, &Device::Cpu);
    let run = |model: Causal| values(&model.forward(&x, None, &model.causal(4), None).unwrap()).unwrap();
    let full = run(Causal::new(&mut parameters, "language", params, Tuning::Full, false).unwrap());
    for tuning in [Tuning::Lora { rank: 2 }, Tuning::Adapters { width: 3 }] {
        let mut beside = Parameters::draw_beside(parameters.tensors(), 4, 0, &Device::Cpu);
        assert_eq!(run(Causal::new(&mut beside, "language", params, tuning, false).unwrap()), full);
        // Everything is kept for a file, and makes the same model again.
        let mut taken = Parameters::take(beside.copies().unwrap(), &Device::Cpu);
        assert_eq!(run(Causal::new(&mut taken, "language", params, tuning, false).unwrap()), full);
    }
    assert!(Tuning::Lora { rank: 0 }.check().is_err());
}
