//! The weights of a published scGPT: what of a folder is taken, under which name, and where a fit starts from it.
//!
//! As the published fine-tuning for perturbations does, a fit takes the encoder of genes, that of values and the transformer,
//! and starts the rest new. A folder that holds a perturbation model itself, which its flags tell (`pert_encoder`), gives these
//! and its decoder too. A batch normalisation in the folder stands still, at its running statistics. What scflow adds to the
//! network starts at zero, so that before the first step it computes what the published one computes with the same weights.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::args::Args;
use super::vocabulary::Vocabulary;
use super::weights::Weights;
use crate::Result;
use crate::language::encoder::EncoderParams;

/// The tensor of the network that starts as the genes' rows of the embedding.
const GENES: &str = "encoder.embedding";

/// A pretrained scGPT as its folder has it.
#[derive(Debug, Clone)]
pub struct PretrainedFiles {
    /// The folder that errors speak of.
    pub place: PathBuf,
    /// The name of the file of weights.
    pub weights: String,
    /// `args.json`.
    pub args: Value,
    /// `vocab.json`: gene symbol → row of the embedding.
    pub vocabulary: BTreeMap<String, u64>,
    /// The weights under their published names.
    pub tensors: HashMap<String, Tensor>,
}

/// Pretrained weights, checked, under the names of the network.
#[derive(Debug, Clone)]
pub struct Pretrained {
    /// The size of the transformer.
    pub(crate) encoder: EncoderParams,
    /// Whether there is a batch normalisation.
    pub(crate) batch_norm: bool,
    vocabulary: Vocabulary,
    tensors: HashMap<String, Tensor>,
    has_decoder: bool,
    taken: Vec<String>,
    left: Vec<String>,
}

/// What a model took from pretrained weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Origin {
    /// Genes of the panel.
    n_genes: usize,
    /// Those of them that the vocabulary does not know: their embeddings started new.
    unknown: Vec<String>,
    /// Parts of the network that started as pretrained.
    taken: Vec<String>,
    /// Parts that started new.
    new: Vec<String>,
    /// Parts of the folder that no perturbation model has.
    left: Vec<String>,
}

impl Origin {
    /// In words.
    pub(super) fn describe(&self) -> String {
        let list = |names: &[String]| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        let known = format!("{} of {} genes are known", self.n_genes - self.unknown.len(), self.n_genes);
        let examples: Vec<String> = self.unknown.iter().take(3).map(|name| format!("`{name}`")).collect();
        let examples = match examples.is_empty() {
            true => String::new(),
            false => format!("; {} start new, such as {}", self.unknown.len(), examples.join(", ")),
        };
        format!(
            "pretrained: {}; new: {}; left out: {}; {known}{examples}",
            list(&self.taken),
            list(&self.new),
            list(&self.left)
        )
    }
}

impl Pretrained {
    /// Checks a folder's contents and takes what a perturbation model has.
    ///
    /// # Errors
    /// [`crate::Error::MissingKey`] for a setting or tensor that is absent; [`crate::Error::InvalidFile`] for a network of another kind or a
    /// vocabulary that does not belong to the embedding; [`crate::Error::ShapeMismatch`] and [`crate::Error::BadValues`] for a tensor of
    /// another shape or with numbers that are not finite.
    pub fn new(files: PretrainedFiles) -> Result<Self> {
        let args = Args { path: files.place.join("args.json"), values: &files.args };
        let encoder = args.encoder()?;
        let mut weights = Weights::new(files.place.join(&files.weights), files.tensors)?;
        weights.refuse("dsbn.", "batch normalisations of single batches are not supported")?;
        let width = encoder.width;
        let embedding = weights.take_rows("encoder.embedding.weight", width)?;
        let vocabulary = Vocabulary::new(files.place, files.vocabulary, embedding)?;

        weights.take_norm("encoder.enc_norm", width)?;
        weights.take_linear("value_encoder.linear1", 1, width)?;
        weights.take_linear("value_encoder.linear2", width, width)?;
        weights.take_norm("value_encoder.norm", width)?;
        for number in 0..encoder.n_layers {
            let part = |part: &str| format!("transformer_encoder.layers.{number}.{part}");
            weights.take_linear(&part("self_attn.in_proj"), width, 3 * width)?;
            weights.take_linear(&part("self_attn.out_proj"), width, width)?;
            weights.take_linear(&part("linear1"), width, encoder.n_hidden)?;
            weights.take_linear(&part("linear2"), encoder.n_hidden, width)?;
            weights.take_norm(&part("norm1"), width)?;
            weights.take_norm(&part("norm2"), width)?;
        }
        let parts = ["encoder", "value_encoder", "transformer_encoder"];
        for part in parts {
            weights.refuse(&format!("{part}."), "args.json tells of a network without it")?;
        }
        let mut taken = parts.map(str::to_owned).to_vec();
        let batch_norm = weights.has("bn.running_mean");
        if batch_norm {
            weights.take_batch_norm("bn", width)?;
            taken.push("bn".into());
        }
        let is_of_perturbations = weights.has("pert_encoder.weight");
        if is_of_perturbations {
            weights.take_flags("pert_encoder", width)?;
            taken.push("pert_encoder".into());
        }
        let has_decoder = is_of_perturbations && weights.has("decoder.fc.4.weight");
        if has_decoder {
            weights.refuse("decoder.zero_logit.", "a decoder with probabilities of zeros is not supported")?;
            weights.take_linear("decoder.fc.0", width, width)?;
            weights.take_linear("decoder.fc.2", width, width)?;
            weights.take_last("decoder.fc.4", width)?;
            taken.push("decoder".into());
        }
        let (tensors, left) = weights.finish();
        Ok(Self { encoder, batch_norm, vocabulary, tensors, has_decoder, taken, left })
    }

    /// The tensors that were pretrained, by the names of the network.
    pub(super) fn names(&self) -> BTreeSet<String> {
        self.tensors.keys().cloned().chain([GENES.to_owned()]).collect()
    }

    /// Where the network of some genes starts: pretrained tensors, and zeros for what scflow adds.
    ///
    /// # Errors
    /// [`crate::Error::BadValues`] if the vocabulary does not know some genes and that is not allowed, or does not know most.
    pub(crate) fn start(
        &self,
        genes: &[&str],
        allow_unknown: bool,
        n_told: usize,
        seed: u64,
    ) -> Result<(HashMap<String, Tensor>, Origin)> {
        let unknown = self.vocabulary.unknown(genes, allow_unknown)?;
        let width = self.encoder.width;
        let mut start = self.tensors.clone();
        start.insert(GENES.into(), self.vocabulary.embed(genes, seed)?);
        let zeros = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu);
        start.insert("told.weight".into(), zeros(&[n_told, width])?);
        if self.has_decoder {
            start.insert("mean".into(), zeros(&[genes.len(), 1])?);
        }
        let parts = ["pert_encoder", "decoder"].map(str::to_owned).into_iter();
        let origin = Origin {
            n_genes: genes.len(),
            unknown,
            new: parts.filter(|part| !self.taken.contains(part)).collect(),
            taken: self.taken.clone(),
            left: self.left.clone(),
        };
        Ok((start, origin))
    }
}
