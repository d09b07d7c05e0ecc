"""Writes language/: tiny causal language models as Hugging Face folders, and what `transformers` computes with them.

python3 -m venv env && env/bin/pip install torch transformers && env/bin/python make_language.py

Made with transformers 5.24 and torch 2.15, in 32 bits on the CPU. Every case differs in how it is written: configurations as
version 4 and 5 write them, names with and without the prefix of the architecture, 32 and 16 bits, one file or shards, buffers of
older versions beside the weights. `expected.safetensors` holds, for each case:

- `ids`, `hidden`, `logits`: two sequences of nine tokens;
- `embeds`, `embeds_hidden`, `embeds_logits`, `embeds_gradient`: the same for embedded tokens, and the gradient of
  (sum of squares of logits and hidden states) / 2 with respect to them;
- `padded_*`: the same ids, the second sequence cut to its last five tokens and padded on the left, then three more tokens for
  each with the cache: hidden states and logits of the prompts, and of the tokens after them;
- `cached_*`: hidden states and logits of the last four of the nine tokens, run two by two on the cache of the first five.
"""

import json
import pathlib

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen2Config,
    Qwen2ForCausalLM,
)

from shards import write_shards

HERE = pathlib.Path(__file__).parent / "language"
WORDS, CONTEXT = 43, 64
SIZES = dict(vocab_size=WORDS, hidden_size=16, intermediate_size=24, num_hidden_layers=2, max_position_embeddings=CONTEXT)
LLAMA3 = dict(rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)


def neox(parallel, fraction, **more):
    rope = dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=fraction)
    return GPTNeoXForCausalLM(GPTNeoXConfig(
        **SIZES, num_attention_heads=2, use_parallel_residual=parallel, rope_parameters=rope, hidden_act="gelu", **more))


def llama(rope, **more):
    return LlamaForCausalLM(LlamaConfig(**SIZES, num_attention_heads=4, rope_parameters=rope, **more))


# name → model, form of its configuration, type of its weights, prefix of its names kept, number of shards
CASES = {
    "neox_parallel": (lambda: neox(True, 0.25), 4, torch.float32, True, 1),
    "neox_sequential": (lambda: neox(False, 1.0), 5, torch.bfloat16, False, 1),
    "llama_grouped": (lambda: llama(dict(rope_type="default", rope_theta=500000.0), num_key_value_heads=2, head_dim=8),
                      5, torch.float32, True, 2),
    "llama_scaled": (lambda: llama(dict(rope_theta=10000.0, **LLAMA3), num_key_value_heads=4, attention_bias=True,
                                   mlp_bias=True, tie_word_embeddings=True), 4, torch.float16, True, 1),
    "llama_linear": (lambda: llama(dict(rope_type="linear", factor=2.0, rope_theta=10000.0), num_key_value_heads=1),
                     5, torch.bfloat16, False, 1),
    "gpt2": (lambda: GPT2LMHeadModel(GPT2Config(
        vocab_size=WORDS, n_embd=16, n_layer=2, n_head=2, n_inner=24, n_positions=CONTEXT)), 4, torch.float32, False, 1),
    "qwen2": (lambda: Qwen2ForCausalLM(Qwen2Config(
        **SIZES, num_attention_heads=4, num_key_value_heads=2,
        rope_parameters=dict(rope_type="default", rope_theta=1e6))), 4, torch.bfloat16, True, 1),
}
PREFIX = {"gpt_neox": "gpt_neox.", "llama": "model.", "qwen2": "model.", "gpt2": "transformer."}


def as_version_4(config):
    """The keys of a configuration where version 4 wrote them."""
    rope = config.pop("rope_parameters", None)
    if config["model_type"] == "qwen2":
        # Written, and not used.
        config["sliding_window"] = 32
        del config["layer_types"]
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.40.0"
    if rope is None:
        return config
    theta, fraction = rope.pop("rope_theta"), rope.pop("partial_rotary_factor", None)
    if config["model_type"] == "gpt_neox":
        config["rotary_emb_base"], config["rotary_pct"] = theta, fraction
    else:
        config["rope_theta"] = theta
    config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    return config


def write_tokenizer(folder):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = ["a T cell perturbed with drug A", "a B cell perturbed with drug B", "the cell of the drug"]
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=40, special_tokens=["<s>"], show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer


def write(name, model, version, dtype, keeps_prefix, shards):
    folder = HERE / name
    folder.mkdir(parents=True, exist_ok=True)
    kind, config = model.config.model_type, model.config
    config.dtype = dtype
    config.architectures = [type(model).__name__]
    config.save_pretrained(folder)
    written = json.loads((folder / "config.json").read_text())
    if version == 4:
        (folder / "config.json").write_text(json.dumps(as_version_4(written), indent=2) + "\n")
    tensors = {key: value.detach().to(dtype).contiguous() for key, value in model.state_dict().items()}
    if config.tie_word_embeddings:
        del tensors["lm_head.weight"]
    if not keeps_prefix:
        tensors = {key.removeprefix(PREFIX[kind]): value for key, value in tensors.items()}
    if name == "neox_parallel":
        for layer in range(2):
            at = f"gpt_neox.layers.{layer}.attention."
            tensors[at + "bias"] = torch.ones(1, 1, 4, 4, dtype=torch.bool).tril()
            tensors[at + "masked_bias"] = torch.tensor(-1e9)
            tensors[at + "rotary_emb.inv_freq"] = torch.ones(1)
    if name == "gpt2":
        for layer in range(2):
            tensors[f"h.{layer}.attn.bias"] = torch.ones(1, 1, 4, 4).tril()
    if kind == "gpt_neox" and version == 4:
        tensors["embed_out.weight"] = tensors.pop("lm_head.weight")
    write_shards(folder, tensors, shards)


def run(model, **inputs):
    output = model(**inputs, output_hidden_states=True)
    return output.hidden_states[-1], output.logits, output.past_key_values


def expected(model):
    ids = torch.randint(0, WORDS, (2, 12))
    more, ids = ids[:, 9:], ids[:, :9]
    result = dict(ids=ids, more=more)
    result["hidden"], result["logits"], _ = run(model, input_ids=ids)

    embeds = torch.randn(2, 6, 16).requires_grad_()
    hidden, logits, _ = run(model, inputs_embeds=embeds)
    ((hidden ** 2).sum() / 2 + (logits ** 2).sum() / 2).backward()
    result |= dict(embeds=embeds, embeds_hidden=hidden, embeds_logits=logits, embeds_gradient=embeds.grad)

    _, _, cache = run(model, input_ids=ids[:, :5], use_cache=True)
    parts = [run(model, input_ids=ids[:, at:at + 2], past_key_values=cache, use_cache=True)[:2] for at in (5, 7)]
    result["cached_hidden"] = torch.cat([part[0] for part in parts], 1)
    result["cached_logits"] = torch.cat([part[1] for part in parts], 1)

    mask = torch.ones(2, 12, dtype=torch.long)
    mask[1, :4] = 0
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    result["padded_hidden"], result["padded_logits"], cache = run(
        model, input_ids=ids, attention_mask=mask[:, :9], position_ids=positions[:, :9], use_cache=True)
    result["padded_more_hidden"], result["padded_more_logits"], _ = run(
        model, input_ids=more, attention_mask=mask, position_ids=positions[:, 9:], past_key_values=cache, use_cache=True)
    return result


def main():
    numbers, text = {}, "a T cell with drug B"
    for name, (make, version, dtype, keeps_prefix, shards) in CASES.items():
        torch.manual_seed(len(numbers))
        model = make().eval().float()
        with torch.no_grad():
            for key, value in model.named_parameters():
                spread = 0.1 if key.endswith("bias") or "norm" in key or "ln_" in key else 0.3
                centre = 1.0 if ("norm" in key or "ln_" in key) and key.endswith("weight") else 0.0
                # What is written is what is computed with, also in 16 bits.
                value.copy_((centre + spread * torch.randn_like(value)).to(dtype).float())
        write(name, model, version, dtype, keeps_prefix, shards)
        if name == "llama_grouped":
            ids = write_tokenizer(HERE / name).encode(text).ids
            numbers["text_ids"] = torch.tensor(ids)
            numbers["text_probabilities"] = run(model, input_ids=torch.tensor([ids]))[1][0, -1].softmax(0).detach()
        for key, value in expected(model).items():
            value = value.to(torch.int64) if value.dtype == torch.long else value.detach()
            numbers[f"{name}.{key}"] = value.contiguous().clone()
    save_file(numbers, HERE / "expected.safetensors")


main()
