//! Which tensors of a folder make which of ours.

use crate::language::causal::params::{CausalParams, Family, NormKind};
use crate::language::hugging_face::tensors::{Entry, Form};

/// What names may begin with.
fn prefix(family: Family) -> &'static str {
    match family {
        Family::GptNeox => "gpt_neox.",
        Family::Llama | Family::Qwen2 => "model.",
        Family::Gpt2 => "transformer.",
    }
}

/// Names of the tensor that reads logits, which no prefix stands before; GPT-NeoX had another one in version 4.
pub(super) fn heads(family: Family) -> &'static [&'static str] {
    if family == Family::GptNeox { &["lm_head.weight", "embed_out.weight"] } else { &["lm_head.weight"] }
}

/// Names of the parts of a block in a folder: what ours are made of.
struct Names {
    embedding: &'static str,
    block: &'static str,
    before_attention: &'static str,
    /// Parts that are joined, each with its rows.
    qkv: Vec<(&'static str, usize)>,
    output: &'static str,
    before_perceptron: &'static str,
    up: Vec<&'static str>,
    down: &'static str,
    last: &'static str,
    map: Form,
    qkv_map: [Form; 2],
}

fn names(params: &CausalParams) -> Names {
    let heads = params.heads();
    match params.family {
        Family::GptNeox => Names {
            embedding: "embed_in",
            block: "layers",
            before_attention: "input_layernorm",
            qkv: vec![("attention.query_key_value", heads.packed())],
            output: "attention.dense",
            before_perceptron: "post_attention_layernorm",
            up: vec!["mlp.dense_h_to_4h"],
            down: "mlp.dense_4h_to_h",
            last: "final_layer_norm",
            map: Form::Transposed,
            qkv_map: [Form::ByHeads(heads), Form::BiasByHeads(heads)],
        },
        Family::Gpt2 => Names {
            embedding: "wte",
            block: "h",
            before_attention: "ln_1",
            qkv: vec![("attn.c_attn", heads.packed())],
            output: "attn.c_proj",
            before_perceptron: "ln_2",
            up: vec!["mlp.c_fc"],
            down: "mlp.c_proj",
            last: "ln_f",
            map: Form::Same,
            qkv_map: [Form::Same, Form::Same],
        },
        Family::Llama | Family::Qwen2 => {
            let keys = params.n_key_heads * params.head_width;
            Names {
                embedding: "embed_tokens",
                block: "layers",
                before_attention: "input_layernorm",
                qkv: vec![("self_attn.q_proj", heads.width()), ("self_attn.k_proj", keys), ("self_attn.v_proj", keys)],
                output: "self_attn.o_proj",
                before_perceptron: "post_attention_layernorm",
                up: vec!["mlp.gate_proj", "mlp.up_proj"],
                down: "mlp.down_proj",
                last: "norm",
                map: Form::Transposed,
                qkv_map: [Form::Transposed, Form::Same],
            }
        }
    }
}

/// All tensors but that of the logits; ours begin with `name`.
pub(super) fn plan(params: &CausalParams, name: &str) -> Vec<Entry> {
    let names = names(params);
    let width = params.width;
    let table = |ours: String, part: &str, n_rows: usize| {
        entry(params, ours, vec![(format!("{part}.weight"), vec![n_rows, width])], Form::Same)
    };
    let mut entries = vec![table(format!("{name}.embedding"), names.embedding, params.n_words)];
    if params.rotary.is_none() {
        entries.push(table(format!("{name}.positions"), "wpe", params.context));
    }
    for number in 0..params.n_layers {
        let ours = |part: &str| format!("{name}.blocks.{number}.{part}");
        let theirs = |part: &str| format!("{}.{number}.{part}", names.block);
        entries.extend(norm(params, ours("before_attention"), theirs(names.before_attention)));
        let qkv: Vec<(String, usize)> = names.qkv.iter().map(|(part, n_out)| (theirs(part), *n_out)).collect();
        entries.extend(map(params, ours("qkv"), &qkv, width, params.qkv_bias, names.qkv_map));
        let forms = [names.map, Form::Same];
        let output = [(theirs(names.output), width)];
        entries.extend(map(params, ours("output"), &output, params.heads().width(), params.output_bias, forms));
        entries.extend(norm(params, ours("before_perceptron"), theirs(names.before_perceptron)));
        let up: Vec<(String, usize)> = names.up.iter().map(|part| (theirs(part), params.n_hidden)).collect();
        entries.extend(map(params, ours("up"), &up, width, params.perceptron_bias, forms));
        let down = [(theirs(names.down), width)];
        entries.extend(map(params, ours("down"), &down, params.n_hidden, params.perceptron_bias, forms));
    }
    entries.extend(norm(params, format!("{name}.last"), names.last.to_owned()));
    entries
}

fn entry(params: &CausalParams, name: String, parts: Vec<(String, Vec<usize>)>, form: Form) -> Entry {
    Entry { name, prefix: prefix(params.family), parts, form }
}

fn norm(params: &CausalParams, ours: String, theirs: String) -> Vec<Entry> {
    let of = |ours: String, theirs: String| entry(params, ours, vec![(theirs, vec![params.width])], Form::Same);
    let mut entries = vec![of(format!("{ours}.gain"), format!("{theirs}.weight"))];
    if params.norm == NormKind::Layer {
        entries.push(of(format!("{ours}.bias"), format!("{theirs}.bias")));
    }
    entries
}

/// Weight, and bias if there is one, of a map whose outputs are joined from parts.
fn map(
    params: &CausalParams,
    ours: String,
    parts: &[(String, usize)],
    n_in: usize,
    has_bias: bool,
    forms: [Form; 2],
) -> Vec<Entry> {
    let shape = |n_out: usize| if forms[0] == Form::Same { vec![n_in, n_out] } else { vec![n_out, n_in] };
    let weights = parts.iter().map(|(part, n_out)| (format!("{part}.weight"), shape(*n_out))).collect();
    let mut entries = vec![entry(params, format!("{ours}.weight"), weights, forms[0])];
    if has_bias {
        let biases = parts.iter().map(|(part, n_out)| (format!("{part}.bias"), vec![*n_out])).collect();
        entries.push(entry(params, format!("{ours}.bias"), biases, forms[1]));
    }
    entries
}
