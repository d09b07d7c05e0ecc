//! A CaLMFlow on a language model from outside.

use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::conditions::tokenizer::Tokenizer;
use crate::language::causal::tests::families;
use crate::language::causal::tuning::Tuning;
use crate::language::causal::{Causal, CausalParams, NAME};
use crate::language::kernels::values;
use crate::language::parameters::Parameters;
use crate::language::precision::Precision;
use crate::models::fitted_flow::FittedFlow;
use crate::models::method::{Draws, Fitting};
use crate::models::prompts::Prompts;
use crate::models::reader::Told;
use crate::models::trial::{self, condition};
use crate::training::optimizer::Slot;

/// A tokenizer whose alphabet is all bytes.
fn tokenizer() -> Tokenizer {
    let (_, conditions) = trial::cells();
    let prompts: Vec<String> = conditions.iter().map(|condition| trial::phrasing().prompt(condition)).collect();
    Tokenizer::fit(&prompts).unwrap()
}

fn network(family: CausalParams) -> CausalParams {
    CausalParams { n_words: tokenizer().n_tokens(), context: 40, ..family }
}

fn params(family: CausalParams, tuning: Tuning, decoder: DecoderKind) -> CalmFlowParams {
    let language = LanguageParams {
        network: network(family),
        tuning,
        is_random: false,
        recomputes: false,
        precision: Precision::F32,
    };
    let own = CalmFlowParams::of(decoder);
    CalmFlowParams {
        prompt_use: PromptUse::Both,
        n_members: 1,
        n_steps: 3,
        n_spatial: 2,
        n_trajectories: 2,
        n_mixture: 2,
        n_cells: 32,
        n_prompts: 4,
        ..own
    }
    .on_language(language)
}

/// Weights of a language model that was trained elsewhere.
fn start(params: &CalmFlowParams) -> LanguageStart {
    let mut parameters = Parameters::draw(9, 0, &Device::Cpu);
    let language = params.language.unwrap();
    Causal::new(&mut parameters, NAME, language.network, Tuning::Full, false).unwrap();
    LanguageStart { tensors: parameters.copies().unwrap(), tokenizer: tokenizer() }
}

fn objective(params: CalmFlowParams) -> CalmFlowObjective {
    let (points, conditions) = trial::cells();
    let start = start(&params);
    CalmFlowObjective::new(points.view(), &conditions, trial::phrasing().into(), params, Some(start), 3, &Device::Cpu)
        .unwrap()
}

#[test]
fn every_trainable_tensor_has_the_gradient_of_finite_differences() {
    let [neox, llama, gpt2, _] = families();
    let evidence = CalmFlowParams { evidence: true, ..params(gpt2, Tuning::Full, DecoderKind::Mixture) };
    let of_tokens = CalmFlowParams { prompt_use: PromptUse::Prefix, inputs: false, ..evidence };
    for params in [
        of_tokens,
        params(neox, Tuning::Full, DecoderKind::Mixture),
        params(llama, Tuning::Lora { rank: 2 }, DecoderKind::Variational),
        params(neox, Tuning::Adapters { width: 4 }, DecoderKind::Mixture),
        evidence,
    ] {
        trial::check_gradients(&objective(params));
    }
}

#[test]
fn the_cache_gives_what_whole_sequences_give() {
    for family in families() {
        let objective = objective(params(family, Tuning::Full, DecoderKind::Mixture));
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let minibatch = objective.draw_minibatch(&mut rng).unwrap();
        let (prompts, trajectories) = objective.pack(&minibatch, &mut rng).unwrap();
        let network = objective.network();
        let conditioning = network.read_prompts(&prompts).unwrap();
        assert!(conditioning.prefixes.is_some());
        let whole = network.hidden(&trajectories.present().unwrap(), &prompts, &conditioning).unwrap();
        let whole = whole.reshape((trajectories.n_sequences, 3, ())).unwrap();
        let mut cache = network.cache(&prompts, &conditioning).unwrap();
        for step in 0..3 {
            let now: Vec<f32> = (0..trajectories.n_sequences * 2)
                .flat_map(|i| trajectories.state(i / 2, step, i % 2).to_vec())
                .collect();
            let now = Tensor::from_vec(now, (trajectories.n_sequences * 2, 3), &Device::Cpu).unwrap();
            let hidden = network.extend(&now, step, &mut cache, &conditioning).unwrap();
            let expected = values(&whole.narrow(1, step, 1).unwrap().contiguous().unwrap()).unwrap();
            let worst = values(&hidden).unwrap().iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-4, "{:?}, step {step}: {worst}", family.family);
        }
    }
}

#[test]
fn a_fit_goes_on_from_a_saved_state_to_the_same_bytes_and_recomputation_changes_none() {
    let [neox, llama, ..] = families();
    for (family, tuning) in [(neox, Tuning::Full), (llama, Tuning::Lora { rank: 2 })] {
        let params = params(family, tuning, DecoderKind::Mixture);
        trial::check_going_on(|| objective(params));
        let recomputing = LanguageParams { recomputes: true, ..params.language.unwrap() };
        let [kept, again] = [params, params.on_language(recomputing)].map(|params| {
            let objective = objective(params);
            trial::train(&objective, 8);
            objective.to_model().unwrap()
        });
        for (name, tensor) in kept.tensors() {
            assert_eq!(values(tensor).unwrap(), values(&again.tensors()[name]).unwrap(), "{name}");
        }
    }
}

#[test]
fn what_is_fixed_stays_and_is_kept_with_the_model() {
    let [neox, ..] = families();
    let params = params(neox, Tuning::Lora { rank: 2 }, DecoderKind::Mixture);
    let (objective, before) = (objective(params), start(&params).tensors);
    assert!(objective.slots().iter().all(|slot| !before.contains_key(slot.name.split_once('.').unwrap().1)));
    trial::train(&objective, 20);
    let model = objective.to_model().unwrap();
    for (name, tensor) in &before {
        assert_eq!(values(tensor).unwrap(), values(&model.tensors()[&format!("0.{name}")]).unwrap(), "{name}");
    }
    let again = CalmFlow::new(model.reader().clone(), params, model.tensors().clone()).unwrap();
    let generate = |model: &CalmFlow| model.generate(&condition("A+B"), 9, Draws::default(), 1).unwrap();
    assert_eq!(generate(&model), generate(&again));
    assert!(generate(&model).iter().all(|value| value.is_finite()));
}

#[test]
fn states_and_evidence_are_as_large_as_tokens_and_prompts_move_every_block_and_the_means() {
    let [.., qwen2] = families();
    let params = CalmFlowParams { evidence: true, inputs: false, ..params(qwen2, Tuning::Full, DecoderKind::Mixture) };
    let start = start(&params);
    let size =
        start.tensors[&format!("{NAME}.embedding")].sqr().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap();
    let objective = objective(params);
    let kept = values(&objective.to_model().unwrap().tensors()["0.state_size"]).unwrap()[0];
    assert!((kept - size.sqrt()).abs() < 1e-6, "{kept} {size}");
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let minibatch = objective.draw_minibatch(&mut rng).unwrap();
    let (prompts, _) = objective.pack(&minibatch, &mut rng).unwrap();
    let (reader, network) = (objective.to_model().unwrap().reader().clone(), objective.network());
    let vectors = |told: &[&Told]| {
        let prompts = Prompts::new(told, reader.tokenizer.n_tokens(), vec![0]).unwrap();
        let conditioning = network.read_prompts(&prompts).unwrap();
        assert!(conditioning.centre.is_some());
        conditioning.shift.unwrap().vectors.to_vec2::<f32>().unwrap()
    };
    // What stands beside a prompt in a minibatch, longer or of more evidence, does not matter; nothing is told of none.
    let together = network.read_prompts(&prompts).unwrap().shift.unwrap().vectors.to_vec2::<f32>().unwrap();
    for (told, together) in minibatch.told.iter().zip(&together) {
        let alone = vectors(&[*told]);
        assert!(alone[0].iter().zip(together).all(|(a, b)| (a - b).abs() < 1e-5), "{alone:?} {together:?}");
    }
    assert!(together.iter().any(|vector| vector != &together[0]));
    assert!(vectors(&[&reader.nothing()])[0].iter().all(|value| *value == 0.0));
}

/// The rates of tensors, and the decay of the first.
fn rates_of<const N: usize>(names: [&str; N], width: usize, is_random: bool, tuning: Tuning) -> ([f64; N], f64) {
    let [neox, ..] = families();
    let network = CausalParams { width, ..neox };
    let language = LanguageParams { network, tuning, is_random, recomputes: false, precision: Precision::F32 };
    let variable = candle_core::Var::from_tensor(&Tensor::new(&[0.0_f32], &Device::Cpu).unwrap()).unwrap();
    let mut slots = names.map(|name| Slot::new(name, &variable, 1.0, 1.0));
    language.set_rates(&mut slots);
    (slots.each_ref().map(|slot| slot.rate), slots[0].decay)
}

#[test]
fn wide_and_pretrained_weights_learn_slower() {
    let rates = |width: usize, is_random: bool, tuning: Tuning| {
        let names = ["0.language.last.gain", "0.to_shift.weight", "0.to_shift.bias", "1.encoder.weight"];
        rates_of(names, width, is_random, tuning)
    };
    assert_eq!(rates(64, true, Tuning::Full), ([1.0, 1.0, 1.0, 1.0], 1.0));
    assert_eq!(rates(256, true, Tuning::Full), ([0.25, 0.25, 1.0, 1.0], 1.0));
    assert_eq!(rates(256, false, Tuning::Full), ([0.0625, 0.25, 1.0, 1.0], 0.0));
    // What comes out of few numbers learns alike at every width.
    assert_eq!(rates(256, false, Tuning::Lora { rank: 2 }), ([4.0, 0.25, 1.0, 1.0], 1.0));
    assert_eq!(rates_of(["0.language.blocks.0.up.lora.first"], 256, false, Tuning::Lora { rank: 2 }).0, [1.0]);
    let adapters = ["0.language.blocks.0.adapter.down.weight", "0.language.blocks.0.adapter.up.weight"];
    assert_eq!(rates_of(adapters, 256, false, Tuning::Adapters { width: 2 }).0, [0.25, 1.0]);
}

#[test]
fn prompts_beyond_the_context_are_refused_in_training_and_afterwards() {
    let [neox, ..] = families();
    let params = params(neox, Tuning::Full, DecoderKind::Mixture);
    let mut language = params.language.unwrap();
    let longest = tokenizer().encode("a cell with A + B").unwrap().len();
    let n_own = params.order().n_tokens();
    let fit = |context: usize| {
        language.network.context = context;
        let params = params.on_language(language);
        let (points, conditions) = trial::cells();
        let start = Some(start(&params));
        CalmFlowObjective::new(points.view(), &conditions, trial::phrasing().into(), params, start, 3, &Device::Cpu)
    };
    let mut fit = fit;
    let error = fit(longest + n_own - 1).err().unwrap();
    assert!(error.is_mistake() && error.to_string().contains("reads at most"), "{error}");
    let error = fit(n_own).err().unwrap();
    assert!(error.is_mistake() && error.to_string().contains("time-steps"), "{error}");
    let model = fit(longest + n_own).unwrap().to_model().unwrap();
    assert!(model.generate(&condition("A+B"), 4, Draws::default(), 1).is_ok());
    let sum = CalmFlowParams { prompt_use: PromptUse::Sum, ..params };
    assert!(sum.check().unwrap_err().to_string().contains("prefix"));
}
