//! The folder of a published scGPT: `args.json`, `vocab.json`, and `best_model.pt` (a state dictionary that PyTorch saved) or
//! `model.safetensors`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::pickle::PthTensors;
use candle_core::{Device, Tensor};

use super::{digest, json};
use crate::models::scgpt::{Pretrained, PretrainedFiles};
use crate::{Error, Result};

const ARGS: &str = "args.json";
const VOCABULARY: &str = "vocab.json";
const PYTORCH: &str = "best_model.pt";
const SAFETENSORS: &str = "model.safetensors";
/// What to do with a folder that is no scGPT.
const HINT: &str = "give a folder that scGPT wrote: args.json, vocab.json and best_model.pt (or model.safetensors)";

/// Reads a folder, and the digest of each of its files.
///
/// # Errors
/// [`Error::MissingKey`] naming a file that is absent; [`Error::InvalidFile`] if one cannot be understood, or there are two
/// files of weights; those of [`Pretrained::new`].
pub fn read(folder: &Path) -> Result<(Pretrained, BTreeMap<String, String>)> {
    if !folder.is_dir() {
        return Err(Error::InvalidFile {
            path: folder.into(),
            reason: "there is no such folder".into(),
            hint: HINT.into(),
        });
    }
    let weights = match [PYTORCH, SAFETENSORS].map(|name| folder.join(name).exists()) {
        [true, false] => PYTORCH,
        [false, true] => SAFETENSORS,
        [false, false] => return Err(missing(folder, PYTORCH)),
        [true, true] => {
            let reason = format!("it holds both {PYTORCH} and {SAFETENSORS}");
            return Err(Error::InvalidFile { path: folder.into(), reason, hint: "remove one of them".into() });
        }
    };
    if let Some(name) = [ARGS, VOCABULARY].into_iter().find(|name| !folder.join(name).exists()) {
        return Err(missing(folder, name));
    }
    let pretrained = Pretrained::new(PretrainedFiles {
        args: json::read(&folder.join(ARGS), HINT)?,
        vocabulary: json::read(&folder.join(VOCABULARY), HINT)?,
        tensors: tensors(&folder.join(weights), weights == PYTORCH)?,
        weights: weights.into(),
        place: folder.into(),
    })?;
    let digest = |name: &str| Ok((name.to_owned(), digest::sha256(&folder.join(name))?));
    Ok((pretrained, [ARGS, VOCABULARY, weights].into_iter().map(digest).collect::<Result<_>>()?))
}

fn missing(folder: &Path, name: &str) -> Error {
    Error::MissingKey { place: folder.display().to_string(), key: name.into(), hint: HINT.into() }
}

fn tensors(path: &Path, is_pytorch: bool) -> Result<HashMap<String, Tensor>> {
    let tensors = if is_pytorch { pytorch(path) } else { candle_core::safetensors::load(path, &Device::Cpu) };
    let invalid = |reason: String, hint: &str| Error::InvalidFile { path: path.into(), reason, hint: hint.into() };
    let tensors = tensors.map_err(|source| {
        invalid(
            format!("it holds no weights that can be read ({source})"),
            "if PyTorch opens it, save its state dictionary again: torch.save(model.state_dict(), \"best_model.pt\")",
        )
    })?;
    match tensors.is_empty() {
        true => {
            Err(invalid("it holds no tensors by name".into(), "save the state dictionary itself, not what wraps it"))
        }
        false => Ok(tensors),
    }
}

fn pytorch(path: &Path) -> candle_core::Result<HashMap<String, Tensor>> {
    let file = PthTensors::new(path, None)?;
    let mut tensors = HashMap::new();
    for name in file.tensor_infos().keys() {
        if let Some(tensor) = file.get(name)? {
            tensors.insert(name.clone(), tensor);
        }
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::Value;

    use super::*;
    use crate::language::kernels::values;
    use crate::language::parameters::Parameters;
    use crate::models::scgpt::{Network, Panel, ScgptParams, Tokens};

    fn golden() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/scgpt")
    }

    fn numbers(value: &Value) -> Vec<f32> {
        value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
    }

    /// Largest gap to the numbers of PyTorch, relative to their size.
    fn gap(ours: &Tensor, theirs: &Value) -> f32 {
        let (ours, theirs) = (values(ours).unwrap(), numbers(theirs));
        assert_eq!(ours.len(), theirs.len());
        let size = theirs.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        ours.iter().zip(&theirs).fold(0.0_f32, |most, (ours, theirs)| most.max((ours - theirs).abs())) / size
    }

    /// Fast attention and data-parallel names, no flags; PyTorch's names with flags, batch normalisation and a decoder.
    #[test]
    fn a_pretrained_network_computes_what_pytorch_computes_with_its_weights() {
        let cases = std::fs::read_to_string(golden().join("expected.json")).unwrap();
        let cases: Value = serde_json::from_str(&cases).unwrap();
        for name in ["pretrained", "perturbation"] {
            let case = &cases[name];
            let (pretrained, digests) = read(&golden().join(name)).unwrap();
            assert_eq!(digests.keys().collect::<Vec<_>>(), ["args.json", "best_model.pt", "vocab.json"]);
            let genes: Vec<&str> =
                case["genes"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
            let (start, _) = pretrained.start(&genes, false, 3, 0).unwrap();
            let mut parameters = Parameters::draw_beside(start, 0, 0, &Device::Cpu);
            let panel: Panel =
                serde_json::from_value(serde_json::json!({ "n_genes": genes.len(), "targets": {} })).unwrap();
            let (encoder, batch_norm) = (pretrained.encoder, pretrained.batch_norm);
            assert_eq!(batch_norm, name == "perturbation");
            let params = ScgptParams { encoder, batch_norm, ..ScgptParams::default() };
            let network = Network::new(&mut parameters, &params, &panel, 3, vec![0.5; genes.len()]).unwrap();
            let (expression, mut flags) = (numbers(&case["values"]), numbers(&case["flags"]));
            if name == "pretrained" {
                // Without flags in the folder these start new: what a gene is given is then left away here.
                parameters.variables.iter().filter(|(name, _)| name == "pert_encoder").for_each(|(_, flags)| {
                    flags.set(&flags.zeros_like().unwrap()).unwrap();
                });
                flags.fill(0.0);
            }
            let tokens = Tokens {
                genes: &(0..genes.len() as u32).collect::<Vec<_>>(),
                told: vec![1.0; 3 * expression.len() / genes.len()],
                perturbed: flags,
                expression,
            };
            let far = gap(&network.hidden(&tokens, &Device::Cpu).unwrap(), &case["hidden"]);
            assert!(far < 1e-4, "{name}: hidden states are off by {far}");
            if name == "perturbation" {
                let far = gap(&network.forward(&tokens, &Device::Cpu).unwrap(), &case["predicted"]);
                assert!(far < 1e-4, "{name}: predictions are off by {far}");
            }
        }
    }

    /// A copy of the folder in which something is wrong, and what is said of it.
    fn said(spoil: impl FnOnce(&Path)) -> String {
        let folder = tempfile::tempdir().unwrap();
        for name in [ARGS, VOCABULARY, PYTORCH] {
            std::fs::copy(golden().join("perturbation").join(name), folder.path().join(name)).unwrap();
        }
        spoil(folder.path());
        let error = read(folder.path()).err().unwrap();
        assert!(error.is_mistake(), "{error}");
        error.to_string()
    }

    fn rewrite(path: &Path, from: &str, to: &str) {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    /// The same weights as safetensors, one of them changed.
    fn with_tensor(folder: &Path, name: &str, change: impl FnOnce(&Tensor) -> Tensor) {
        let mut all = pytorch(&folder.join(PYTORCH)).unwrap();
        let changed = change(&all[name]);
        all.insert(name.to_owned(), changed);
        std::fs::remove_file(folder.join(PYTORCH)).unwrap();
        candle_core::safetensors::save(&all, folder.join(SAFETENSORS)).unwrap();
    }

    #[test]
    fn folders_that_cannot_be_used_are_refused_with_the_reason() {
        for name in [ARGS, VOCABULARY, PYTORCH] {
            let said = said(|folder| std::fs::remove_file(folder.join(name)).unwrap());
            assert!(said.contains(name) && said.contains("is missing"), "{said}");
        }
        let cases = [
            ("\"nlayers\": 2", "\"nlayers\": 3", "layers.2.self_attn.in_proj"),
            ("\"nlayers\": 2", "\"nlayers\": 1", "layers.1."),
            ("\"embsize\": 16", "\"embsize\": 24", "encoder.embedding.weight"),
            ("\"embsize\": 16", "\"width\": 16", "`embsize` is missing"),
            ("\"nheads\": 2", "\"nheads\": 3", "multiple"),
            ("\"d_hid\": 24", "\"d_hid\": 32", "linear1.weight"),
            ("\"continuous\"", "\"category\"", "input_emb_style"),
            ("\"pre_norm\": false", "\"pre_norm\": true", "pre_norm"),
            ("{", "[", "args.json"),
        ];
        for (from, to, part) in cases {
            let said = said(|folder| rewrite(&folder.join(ARGS), from, to));
            assert!(said.contains(part), "{part}: {said}");
        }
        let many = said(|folder| rewrite(&folder.join(VOCABULARY), "\"GENE0001\"", "\"more\": 999, \"GENE0001\""));
        assert!(many.contains("vocab.json") && many.contains("`more` (999)"), "{many}");
        let few = said(|folder| rewrite(&folder.join(VOCABULARY), "\"GENE0001\": ", "\"GENE0002\": "));
        assert!(few.contains("vocab.json") && few.contains("words for the"), "{few}");
        let no_zip = said(|folder| std::fs::write(folder.join(PYTORCH), "text").unwrap());
        assert!(no_zip.contains(PYTORCH) && no_zip.contains("no weights"), "{no_zip}");
        let name = "transformer_encoder.layers.0.linear2.bias";
        let nan = said(|folder| with_tensor(folder, name, |tensor| (tensor * f64::NAN).unwrap()));
        assert!(nan.contains(name) && nan.contains("not finite") && nan.contains("16 of 16"), "{nan}");
        let short = said(|folder| with_tensor(folder, name, |tensor| tensor.narrow(0, 0, 3).unwrap()));
        assert!(short.contains(name) && short.contains("[16]") && short.contains("[3]"), "{short}");
        let two = said(|folder| std::fs::write(folder.join(SAFETENSORS), "x").unwrap());
        assert!(two.contains("both"), "{two}");
    }

    #[test]
    fn genes_that_the_vocabulary_does_not_know_are_counted_and_start_new_only_if_that_is_allowed() {
        let (pretrained, _) = read(&golden().join("perturbation")).unwrap();
        let genes = ["GENE0003", "new one", "GENE0001"];
        let error = pretrained.start(&genes, false, 3, 0).unwrap_err();
        let said = format!("{error} {}", error.hint().unwrap());
        assert!(
            said.contains("1 of 3") && said.contains("`new one`") && said.contains("--allow-unknown-genes"),
            "{said}"
        );
        let (start, origin) = pretrained.start(&genes, true, 3, 0).unwrap();
        let embedding = start["encoder.embedding"].to_vec2::<f32>().unwrap();
        let alone = |gene: &str| {
            let (start, _) = pretrained.start(&[gene], false, 3, 0).unwrap();
            start["encoder.embedding"].to_vec2::<f32>().unwrap().remove(0)
        };
        assert_eq!((&embedding[0], &embedding[2]), (&alone("GENE0003"), &alone("GENE0001")));
        assert!(embedding[1].iter().all(|value| *value != 0.0));
        assert!(serde_json::to_string(&origin).unwrap().contains("new one"));
        let most = pretrained.start(&["ENSG1", "ENSG2", "GENE0001"], true, 3, 0).unwrap_err();
        assert!(most.hint().unwrap().contains("--gene-symbols"), "{most}");
    }
}
