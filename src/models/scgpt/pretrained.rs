//! The weights of a published scGPT: what of a folder is taken, under which name, and where a fit starts from it.
//!
//! As the published fine-tuning for perturbations does, a fit takes the encoder of genes, that of values and the transformer,
//! and starts the rest new. A folder that holds a perturbation model itself, which its flags tell (`pert_encoder`), gives these
//! and its decoder too. A batch normalisation in the folder stands still, at its running statistics. What scflow adds to the
//! network starts at zero, so that before the first step it computes what the published one computes with the same weights.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::weights::Weights;
use crate::language::encoder::EncoderParams;
use crate::{Error, Result};

/// Words of the vocabulary that are no genes; a folder may leave them out of its file.
const SPECIAL: [&str; 3] = ["<pad>", "<cls>", "<eoc>"];
/// With a smaller share of known genes, names are of another kind.
const LEAST_KNOWN: f64 = 0.5;
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
    place: PathBuf,
    /// The size of the transformer.
    pub(crate) encoder: EncoderParams,
    /// Whether there is a batch normalisation.
    pub(crate) batch_norm: bool,
    vocabulary: BTreeMap<String, u64>,
    /// (n_words, width).
    embedding: Tensor,
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
    /// [`Error::MissingKey`] for a setting or tensor that is absent; [`Error::InvalidFile`] for a network of another kind or a
    /// vocabulary that does not belong to the embedding; [`Error::ShapeMismatch`] and [`Error::BadValues`] for a tensor of
    /// another shape or with numbers that are not finite.
    pub fn new(files: PretrainedFiles) -> Result<Self> {
        let args = Args { path: files.place.join("args.json"), values: &files.args };
        let encoder = args.encoder()?;
        let mut weights = Weights::new(files.place.join(&files.weights), files.tensors)?;
        weights.refuse("dsbn.", "batch normalisations of single batches are not supported")?;
        let width = encoder.width;
        let embedding = weights.take_rows("encoder.embedding.weight", width)?;
        check_vocabulary(&files.place, &files.vocabulary, embedding.dim(0)?)?;

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
        Ok(Self {
            place: files.place,
            encoder,
            batch_norm,
            vocabulary: files.vocabulary,
            embedding,
            tensors,
            has_decoder,
            taken,
            left,
        })
    }

    /// The tensors that were pretrained, by the names of the network.
    pub(super) fn names(&self) -> BTreeSet<String> {
        self.tensors.keys().cloned().chain([GENES.to_owned()]).collect()
    }

    /// Where the network of some genes starts: pretrained tensors, and zeros for what scflow adds.
    ///
    /// # Errors
    /// [`Error::BadValues`] if the vocabulary does not know some genes and that is not allowed, or does not know most.
    pub(crate) fn start(
        &self,
        genes: &[&str],
        allow_unknown: bool,
        n_told: usize,
        seed: u64,
    ) -> Result<(HashMap<String, Tensor>, Origin)> {
        let unknown = self.unknown(genes, allow_unknown)?;
        let width = self.encoder.width;
        let mut start = self.tensors.clone();
        start.insert(GENES.into(), self.embed(genes, seed)?);
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

    fn unknown(&self, genes: &[&str], allow_unknown: bool) -> Result<Vec<String>> {
        let is_unknown = |gene: &&&str| !self.vocabulary.contains_key(**gene) || SPECIAL.contains(*gene);
        let unknown: Vec<String> = genes.iter().filter(is_unknown).map(|gene| (*gene).to_owned()).collect();
        let n_known = genes.len() - unknown.len();
        let hint = if n_known == 0 || (n_known as f64) < LEAST_KNOWN * genes.len() as f64 {
            "at least half must be known: --gene-symbols COLUMN names the column of var that holds gene symbols"
        } else if !unknown.is_empty() && !allow_unknown {
            "--allow-unknown-genes lets their embeddings start new; --gene-symbols COLUMN takes names from a column of var"
        } else {
            return Ok(unknown);
        };
        Err(Error::BadValues {
            place: "genes of the principal component analysis".into(),
            problem: format!("unknown to the vocabulary of `{}`", self.place.display()),
            n_bad: unknown.len(),
            n_total: genes.len(),
            examples: unknown.into_iter().take(3).collect(),
            hint: hint.into(),
        })
    }

    /// The genes' rows of the embedding; those that it does not have are drawn as spread as the others: (n_genes, width).
    fn embed(&self, genes: &[&str], seed: u64) -> Result<Tensor> {
        let width = self.encoder.width;
        let ids: Vec<Option<u32>> = genes.iter().map(|gene| self.vocabulary.get(*gene).map(|&id| id as u32)).collect();
        let known: Vec<u32> = ids.iter().flatten().copied().collect();
        let n_known = known.len();
        let rows = self.embedding.index_select(&Tensor::from_vec(known, n_known, &Device::Cpu)?, 0)?;
        let rows = rows.flatten_all()?.to_vec1::<f32>()?;
        let squares: f64 = rows.iter().map(|value| f64::from(*value).powi(2)).sum();
        let deviation = (squares / rows.len() as f64).sqrt() as f32;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // The network's own draws are stream 0.
        rng.set_stream(1);
        let mut rows = rows.chunks_exact(width);
        let mut values = Vec::with_capacity(genes.len() * width);
        for id in ids {
            match id.and_then(|_| rows.next()) {
                Some(row) => values.extend_from_slice(row),
                None => values.extend((0..width).map(|_| -> f32 {
                    let draw: f32 = StandardNormal.sample(&mut rng);
                    deviation * draw
                })),
            }
        }
        Ok(Tensor::from_vec(values, (genes.len(), width), &Device::Cpu)?)
    }
}

/// The settings of a pretrained network.
struct Args<'a> {
    path: PathBuf,
    values: &'a Value,
}

impl Args<'_> {
    fn encoder(&self) -> Result<EncoderParams> {
        if let Some(style) = self.values.get("input_emb_style").filter(|style| *style != "continuous") {
            return self.refuse(format!("input_emb_style is {style}; only \"continuous\" values can be read"));
        }
        if self.values.get("pre_norm").is_some_and(|pre_norm| *pre_norm != Value::Bool(false)) {
            return self.refuse("pre_norm is true; only layers that normalise afterwards are supported".into());
        }
        let encoder = EncoderParams {
            width: self.number(&["embsize"])?,
            n_heads: self.number(&["nheads", "nhead"])?,
            n_hidden: self.number(&["d_hid"])?,
            n_layers: self.number(&["nlayers"])?,
        };
        match encoder.check() {
            Ok(()) => Ok(encoder),
            Err(error) => self.refuse(error.to_string()),
        }
    }

    /// The whole number of the first of some names that is there.
    fn number(&self, names: &[&str]) -> Result<usize> {
        let Some(value) = names.iter().find_map(|name| self.values.get(*name)) else {
            return Err(Error::MissingKey {
                place: self.path.display().to_string(),
                key: names[0].into(),
                hint: "give a folder that scGPT wrote: args.json, vocab.json and best_model.pt".into(),
            });
        };
        match value.as_u64().and_then(|number| usize::try_from(number).ok()) {
            Some(number) => Ok(number),
            None => self.refuse(format!("{} is {value}, not a whole number", names[0])),
        }
    }

    fn refuse<T>(&self, reason: String) -> Result<T> {
        Err(Error::InvalidFile {
            path: self.path.clone(),
            reason,
            hint: "give the folder of an scGPT with continuous values and layers that normalise afterwards".into(),
        })
    }
}

/// Fails if the words do not stand for the rows of the embedding, one each.
fn check_vocabulary(place: &Path, vocabulary: &BTreeMap<String, u64>, n_rows: usize) -> Result<()> {
    let invalid = |reason: String| {
        Err(Error::InvalidFile {
            path: place.join("vocab.json"),
            reason,
            hint: "vocabulary and weights must come from the same folder".into(),
        })
    };
    let beyond = vocabulary.iter().filter(|(_, id)| **id >= n_rows as u64);
    let beyond: Vec<String> = beyond.map(|(word, id)| format!("`{word}` ({id})")).collect();
    if !beyond.is_empty() {
        let examples = beyond.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        return invalid(format!("{} words stand beyond the {n_rows} rows of the embedding: {examples}", beyond.len()));
    }
    let n_absent = SPECIAL.iter().filter(|word| !vocabulary.contains_key(**word)).count();
    if !(vocabulary.len()..=vocabulary.len() + n_absent).contains(&n_rows) {
        return invalid(format!("{} words for the {n_rows} rows of the embedding", vocabulary.len()));
    }
    let ids: BTreeSet<u64> = vocabulary.values().copied().collect();
    match ids.len() == vocabulary.len() {
        true => Ok(()),
        false => invalid(format!("{} words share a row with others", vocabulary.len() - ids.len())),
    }
}
