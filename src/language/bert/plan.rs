//! Which tensors of a folder make which of ours; ours have the names that the networks of candle-transformers ask for.

use super::params::{BertFamily, BertParams};
use crate::language::hugging_face::tensors::{Entry, Form};

/// What names may begin with.
pub(super) fn prefix(family: BertFamily) -> &'static str {
    match family {
        BertFamily::Bert => "bert.",
        BertFamily::DistilBert => "distilbert.",
        BertFamily::Roberta | BertFamily::XlmRoberta => "roberta.",
        BertFamily::ModernBert => "model.",
    }
}

/// What the names of an encoder's tensors begin with behind that; everything else belongs to heads, which are not needed.
pub(super) fn roots(family: BertFamily) -> &'static [&'static str] {
    match family {
        BertFamily::Bert | BertFamily::Roberta | BertFamily::XlmRoberta => &["embeddings.", "encoder."],
        BertFamily::DistilBert => &["embeddings.", "transformer."],
        BertFamily::ModernBert => &["embeddings.", "layers.", "final_norm."],
    }
}

/// The embeddings of the kinds of tokens.
pub(super) const KINDS: &str = "embeddings.token_type_embeddings.weight";

/// All tensors of an encoder.
pub(super) fn plan(params: &BertParams) -> Vec<Entry> {
    let mut plan = Plan { params, entries: Vec::new() };
    match params.family {
        BertFamily::ModernBert => plan.modern(),
        _ => plan.plain(),
    }
    plan.entries
}

/// The names and shapes of all tensors as they are ours.
pub(super) fn own(params: &BertParams) -> Vec<(String, Vec<usize>)> {
    let of = |entry: Entry| {
        let mut shape = entry.parts.into_iter().flat_map(|(_, shape)| shape).collect::<Vec<_>>();
        if let (Form::After(n), Some(n_rows)) = (entry.form, shape.first_mut()) {
            *n_rows -= n;
        }
        (entry.name, shape)
    };
    let mut own: Vec<(String, Vec<usize>)> = plan(params).into_iter().map(of).collect();
    if params.family == BertFamily::DistilBert {
        own.push((KINDS.into(), vec![params.n_kinds, params.width]));
    }
    own
}

struct Plan<'a> {
    params: &'a BertParams,
    entries: Vec<Entry>,
}

impl Plan<'_> {
    fn add(&mut self, name: &str, theirs: &str, shape: &[usize], form: Form) {
        let parts = vec![(theirs.to_owned(), shape.to_vec())];
        self.entries.push(Entry { name: name.to_owned(), prefix: prefix(self.params.family), parts, form });
    }

    /// Weight and bias of a map, or of a normalisation.
    fn pair(&mut self, ours: &str, theirs: &str, shape: &[usize]) {
        self.add(&format!("{ours}.weight"), &format!("{theirs}.weight"), shape, Form::Same);
        self.add(&format!("{ours}.bias"), &format!("{theirs}.bias"), &shape[..1], Form::Same);
    }

    fn plain(&mut self) {
        let BertParams { n_words, width, n_hidden, context, n_kinds, .. } = *self.params;
        let (n_before, is_distilled) = (self.params.n_before(), self.params.family == BertFamily::DistilBert);
        let table = |part: &str| format!("embeddings.{part}.weight");
        self.add(&table("word_embeddings"), &table("word_embeddings"), &[n_words, width], Form::Same);
        let positions = table("position_embeddings");
        self.add(&positions, &positions, &[context + n_before, width], Form::After(n_before));
        if !is_distilled {
            self.add(KINDS, KINDS, &[n_kinds, width], Form::Same);
        }
        self.pair("embeddings.LayerNorm", "embeddings.LayerNorm", &[width]);
        for number in 0..self.params.n_layers {
            for (ours, distilled, shape) in [
                ("attention.self.query", "attention.q_lin", &[width, width][..]),
                ("attention.self.key", "attention.k_lin", &[width, width]),
                ("attention.self.value", "attention.v_lin", &[width, width]),
                ("attention.output.dense", "attention.out_lin", &[width, width]),
                ("attention.output.LayerNorm", "sa_layer_norm", &[width]),
                ("intermediate.dense", "ffn.lin1", &[n_hidden, width]),
                ("output.dense", "ffn.lin2", &[width, n_hidden]),
                ("output.LayerNorm", "output_layer_norm", &[width]),
            ] {
                let ours = format!("encoder.layer.{number}.{ours}");
                match is_distilled {
                    true => self.pair(&ours, &format!("transformer.layer.{number}.{distilled}"), shape),
                    false => self.pair(&ours, &ours, shape),
                }
            }
        }
    }

    fn modern(&mut self) {
        let BertParams { n_words, width, n_hidden, n_layers, .. } = *self.params;
        let mut add = |theirs: &str, shape: &[usize]| self.add(&format!("model.{theirs}"), theirs, shape, Form::Same);
        add("embeddings.tok_embeddings.weight", &[n_words, width]);
        add("embeddings.norm.weight", &[width]);
        for number in 0..n_layers {
            let mut add = |part: &str, shape: &[usize]| add(&format!("layers.{number}.{part}.weight"), shape);
            // The first block reads the embeddings, which are normalised already.
            if number > 0 {
                add("attn_norm", &[width]);
            }
            add("attn.Wqkv", &[3 * width, width]);
            add("attn.Wo", &[width, width]);
            add("mlp_norm", &[width]);
            add("mlp.Wi", &[2 * n_hidden, width]);
            add("mlp.Wo", &[width, n_hidden]);
        }
        add("final_norm.weight", &[width]);
    }
}
