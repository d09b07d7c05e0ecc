//! Every golden folder computes what `transformers` computes with it. `cargo test --release parity -- --nocapture` prints the largest
//! error of each check.

use std::sync::Arc;

use candle_core::Var;
use scflow::io::language_folder;
use scflow::language::causal::tuning::Tuning;
use scflow::language::causal::{Causal, NAME};
use scflow::language::gradients::Gradients;
use scflow::language::kv_cache::{Cache, Prefixes};
use scflow::language::mask::Mask;
use scflow::language::parameters::Parameters;

use super::*;

/// Largest error, relative to the largest number.
const MOST: f32 = 1e-4;

const CHECKS: [&str; 12] = [
    "ids: hidden",
    "ids: logits",
    "embeds: hidden",
    "embeds: logits",
    "embeds: gradient",
    "left padding: hidden",
    "left padding: logits",
    "cache: hidden",
    "cache: logits",
    "cache after left padding: hidden",
    "cache after left padding: logits",
    "whole sequence after left padding: hidden",
];

fn model(name: &str) -> Causal {
    let folder = language_folder::read(&golden(name), true).unwrap();
    let mut parameters = Parameters::take(folder.tensors, &Device::Cpu);
    Causal::new(&mut parameters, NAME, folder.params, Tuning::Full, true).unwrap()
}

/// The rows of some tokens of every sequence: (n_sequences, n_tokens, …) → (n_sequences · n_chosen, …).
fn tokens(tensor: &Tensor, first: usize, n: usize) -> Tensor {
    tensor.narrow(1, first, n).unwrap().contiguous().unwrap().flatten_to(1).unwrap()
}

/// Runs tokens part by part on a cache, and puts the parts of each sequence together again: (n_sequences, n_tokens, width).
fn extend(model: &Causal, cache: &mut Cache, ids: &Tensor, parts: &[usize]) -> Tensor {
    let (n_sequences, mut first, mut all) = (ids.dim(0).unwrap(), 0, Vec::new());
    for &n in parts {
        let x = model.embed(&super::ids(&tokens(ids, first, n))).unwrap();
        let hidden = model.extend(&x, cache, None).unwrap();
        all.push(hidden.reshape((n_sequences, n, ())).unwrap());
        first += n;
    }
    Tensor::cat(&all, 1).unwrap()
}

fn gaps(name: &str, expected: &HashMap<String, Tensor>) -> [f32; 12] {
    let model = model(name);
    let of = |key: &str| &expected[&format!("{name}.{key}")];
    let logits = |hidden: &Tensor| {
        let hidden = hidden.flatten_to(hidden.rank() - 2).unwrap();
        model.logits(&hidden).unwrap()
    };
    let all = ids(of("ids"));
    let hidden = model.forward(&model.embed(&all).unwrap(), None, &model.causal(9), None).unwrap();

    let x = Var::from_tensor(&of("embeds").flatten_to(1).unwrap()).unwrap();
    let embedded = model.forward(&x, None, &model.causal(6), None).unwrap();
    let half_square = |tensor: &Tensor| (tensor.sqr().unwrap().sum_all().unwrap() / 2.0).unwrap();
    let loss = (half_square(&embedded) + half_square(&logits(&embedded))).unwrap();
    let gradients = Gradients::of(&loss).unwrap();
    let gradient = Tensor::from_slice(gradients.get(&x).unwrap(), x.shape(), &Device::Cpu).unwrap();

    let padded = model.forward_padded(&model.embed(&all).unwrap(), &[9, 5]).unwrap();
    let counts = |tensor: &Tensor| {
        // Of the second sequence the last five tokens; what stands at padding means nothing.
        let tensor = tensor.reshape((2, 9, ())).unwrap();
        Tensor::cat(&[&tensor.get(0).unwrap(), &tensor.get(1).unwrap().narrow(0, 4, 5).unwrap()], 0).unwrap()
    };
    let logits_of_padded = counts(&logits(&padded));

    let mut cache = Cache::new(model.size(), Arc::new(Mask::causal(9)), 2, Prefixes::default(), Vec::new());
    let cached = extend(&model, &mut cache, of("ids"), &[5, 2, 2]).narrow(1, 5, 4).unwrap();

    // The prompts without padding, the shorter one first of all its tokens, then any.
    let second = &all[13..];
    let prompts: Vec<u32> = all[..9].iter().chain(second).chain(&[0; 4]).copied().collect();
    let prompts = model.encode_prefixes(&model.embed(&prompts).unwrap(), 9).unwrap();
    let prefixes = Prefixes::new(&prompts, &[9, 5]).unwrap();
    let mut cache = Cache::new(model.size(), Arc::new(Mask::causal(3)), 2, prefixes, vec![0, 1]);
    let more = extend(&model, &mut cache, of("more"), &[2, 1]);
    let arrangement = scflow::language::kernels::attention::Arrangement {
        prefix_of_sequence: Arc::new(vec![0, 1]),
        prefix_lengths: Arc::new(vec![9, 5]),
        ..model.causal(3)
    };
    let x = model.embed(&ids(of("more"))).unwrap();
    let whole = model.forward(&x, Some(&prompts), &arrangement, None).unwrap();

    [
        gap(&hidden, of("hidden")),
        gap(&logits(&hidden), of("logits")),
        gap(&embedded, of("embeds_hidden")),
        gap(&logits(&embedded), of("embeds_logits")),
        gap(&gradient, of("embeds_gradient")),
        gap(&counts(&padded), &counts(of("padded_hidden"))),
        gap(&logits_of_padded, &counts(of("padded_logits"))),
        gap(&cached, of("cached_hidden")),
        gap(&logits(&cached), of("cached_logits")),
        gap(&more, of("padded_more_hidden")),
        gap(&logits(&more), of("padded_more_logits")),
        gap(&whole, of("padded_more_hidden")),
    ]
}

#[test]
fn parity_with_transformers() {
    let expected = expected();
    let all = CASES.map(|name| gaps(name, &expected));
    println!("| check | {} |", CASES.join(" | "));
    println!("|---|{}", "---|".repeat(CASES.len()));
    for (number, check) in CHECKS.iter().enumerate() {
        let row: Vec<String> = all.iter().map(|gaps| format!("{:.1e}", gaps[number])).collect();
        println!("| {check} | {} |", row.join(" | "));
    }
    for (name, gaps) in CASES.iter().zip(&all) {
        for (check, gap) in CHECKS.iter().zip(gaps) {
            assert!(*gap < MOST, "{name}, {check}: {gap}");
        }
    }
}
