//! Every golden folder computes what `transformers` computes with it in a padded batch. `cargo test --release text_encoders::parity --
//! --nocapture` prints the largest error of each check.

use super::*;

/// Largest error, relative to the largest number.
const MOST: f32 = 1e-4;

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(candle_core::DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Largest gap to the numbers of PyTorch, relative to the largest of these.
#[track_caller]
fn gap(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let size = theirs.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    assert!(size > 0.1);
    ours.iter().zip(theirs).fold(0.0_f32, |most, (ours, theirs)| most.max((ours - theirs).abs())) / size
}

/// The largest errors of hidden states, of their means, and of the other pooling that the architecture has.
fn gaps(name: &str, texts: &[String], expected: &HashMap<String, Tensor>) -> [f32; 3] {
    let of = |key: &str| &expected[&format!("{name}.{key}")];
    let other = if name == "llama_grouped" { (Pooling::Last, "last") } else { (Pooling::Cls, "first") };
    let means = network(&golden(name), Pooling::Mean).unwrap();
    let others = network(&golden(name), other.0).unwrap();
    let mut most = [0.0_f32; 3];
    for (row, text) in texts.iter().enumerate() {
        let n_tokens = numbers(&of("mask").get(row).unwrap()).iter().sum::<f32>() as usize;
        let hidden = means.hidden(text).unwrap();
        assert_eq!(hidden.dim(0).unwrap(), n_tokens, "{name}: `{text}` has other tokens");
        let theirs = of("hidden").get(row).unwrap().narrow(0, 0, n_tokens).unwrap();
        let pooled = |network: &TextNetwork| network.pooled(text).unwrap().to_vec();
        let found = [
            gap(&numbers(&hidden), &numbers(&theirs)),
            gap(&pooled(&means), &numbers(&of("mean").get(row).unwrap())),
            gap(&pooled(&others), &numbers(&of(other.1).get(row).unwrap())),
        ];
        most.iter_mut().zip(found).for_each(|(most, found)| *most = most.max(found));
    }
    most
}

#[test]
fn parity_with_transformers() {
    let expected = golden("expected.safetensors");
    let expected = candle_core::safetensors::load(expected, &Device::Cpu).unwrap();
    let texts: Vec<String> = serde_json::from_slice(&std::fs::read(golden("texts.json")).unwrap()).unwrap();
    println!("| model | hidden states | mean | first or last |");
    let mut wrong = Vec::new();
    for name in CASES {
        let gaps = gaps(name, &texts, &expected);
        println!("| {name} | {:.1e} | {:.1e} | {:.1e} |", gaps[0], gaps[1], gaps[2]);
        if gaps.iter().any(|gap| *gap >= MOST) {
            wrong.push(format!("{name}: {gaps:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn a_text_is_the_same_beside_any_other_and_after_another_round_through_a_record() {
    let mut record = scflow::models::record::Record::new("model");
    let network = network(&golden("bert"), Pooling::Mean).unwrap();
    let alone = network.pooled("drug A").unwrap();
    network.pooled("an agonist of the interferon receptor").unwrap();
    assert_eq!(network.pooled("drug A").unwrap(), alone);
    network.keep(&mut record).unwrap();
    let again = TextNetwork::take(&mut record).unwrap().unwrap();
    assert_eq!((again.params(), again.pooling()), (network.params(), network.pooling()));
    assert_eq!(again.pooled("drug A").unwrap(), alone);
    assert!(TextNetwork::take(&mut record).unwrap().is_none());
}
