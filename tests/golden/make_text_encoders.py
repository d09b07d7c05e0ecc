"""Writes text_encoders/: tiny text encoders as Hugging Face folders, and what `transformers` computes with them.

python3 -m venv env && env/bin/pip install torch transformers && env/bin/python make_text_encoders.py

Made with transformers 5.24, tokenizers 0.23 and torch 2.15, in 32 bits on the CPU. Every case differs in how it is written:
configurations as version 4 and 5 write them, with and without the heads that models are pretrained with, names with and without the
prefix of the architecture, old names of gains and biases (gamma, beta), buffers, 32 and 16 bits, one file or shards, and tokenizers
of words, of bytes and of pieces; two of these cut and pad texts, as those of sentence-transformers do. `expected.safetensors` holds,
for each case and for the causal model llama_grouped of make_language.py, the texts of `TEXTS` as one batch padded at the end:

- `ids`, `mask`: (n_texts, n_tokens), 32-bit integers;
- `hidden`: the last hidden state, (n_texts, n_tokens, width); what stands at padding means nothing;
- `mean`: over the tokens that count, as the pooling of sentence-transformers; `first`, `last`: of the first and the last of them.
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig, BertForMaskedLM, BertModel, DistilBertConfig, DistilBertForMaskedLM, LlamaModel, ModernBertConfig,
    ModernBertForMaskedLM, ModernBertModel, RobertaConfig, RobertaForMaskedLM, XLMRobertaConfig, XLMRobertaModel,
)

from shards import write_shards

HERE = pathlib.Path(__file__).parent / "text_encoders"
TEXTS = [
    "drug A",
    "a strong inhibitor of MAP2K6, which blocks the growth of T cells",
    "activates KLF1 in a T cell",
    "an agonist of the interferon receptor; raises STAT1 in B cells",
]
WORDS, CONTEXT = 110, 64
SIZES = dict(vocab_size=WORDS, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2)


def modern(**more):
    rope = {"full_attention": dict(rope_type="default", rope_theta=160000.0),
            "sliding_attention": dict(rope_type="default", rope_theta=100.0)}
    return ModernBertConfig(**{**SIZES, "num_hidden_layers": 4}, max_position_embeddings=CONTEXT, local_attention=6,
                            rope_parameters=rope, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2, **more)


# name → model, form of its configuration, type of its weights, number of shards, tokenizer
CASES = {
    "bert": (lambda: BertForMaskedLM(BertConfig(**SIZES, max_position_embeddings=CONTEXT)), 4, torch.float32, 1, "words"),
    "bert_tanh": (lambda: BertModel(BertConfig(**SIZES, max_position_embeddings=CONTEXT, hidden_act="gelu_new", layer_norm_eps=1e-3)),
                  5, torch.bfloat16, 2, "words"),
    "distilbert": (lambda: DistilBertForMaskedLM(DistilBertConfig(
        vocab_size=WORDS, dim=8, hidden_dim=12, n_layers=2, n_heads=2, max_position_embeddings=CONTEXT)),
        4, torch.float16, 1, "words"),
    "roberta": (lambda: RobertaForMaskedLM(RobertaConfig(
        **SIZES, max_position_embeddings=CONTEXT + 2, type_vocab_size=1, layer_norm_eps=1e-5)), 4, torch.float32, 1, "bytes"),
    "xlm_roberta": (lambda: XLMRobertaModel(XLMRobertaConfig(
        **SIZES, max_position_embeddings=CONTEXT + 2, type_vocab_size=1, layer_norm_eps=1e-5, hidden_act="relu")),
        5, torch.bfloat16, 1, "pieces"),
    "modernbert": (lambda: ModernBertForMaskedLM(modern()), 4, torch.float32, 1, "bytes"),
    "modernbert_5": (lambda: ModernBertModel(modern()), 5, torch.bfloat16, 1, "bytes"),
}
PADDING = {"words": 0, "bytes": 1, "pieces": 1}


def make_tokenizer(kind):
    letters = sorted(set("".join(TEXTS)) - {" "})
    whole = sorted({word for text in TEXTS for word in text.split() if word.isalpha() and len(word) > 1})
    if kind == "words":
        small = sorted({letter.lower() for letter in letters})
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + small + ["##" + letter for letter in small] + [word.lower() for word in whole[:20]]
        tokenizer = Tokenizer(models.WordPiece({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        first, last = "[CLS]", "[SEP]"
    elif kind == "bytes":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(vocab_size=100, special_tokens=["<s>", "<pad>", "</s>"], show_progress=False)
        tokenizer.train_from_iterator(TEXTS, trainer)
        first, last = "<s>", "</s>"
    else:
        pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
        pieces += [(letter, -6.0) for letter in letters] + [("▁" + word, -8.0) for word in whole]
        tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3))
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        first, last = "<s>", "</s>"
    ids = [(token, tokenizer.token_to_id(token)) for token in (first, last)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{first} $A {last}", special_tokens=ids)
    assert tokenizer.get_vocab_size() <= WORDS
    return tokenizer


def as_version_4(config):
    """The keys of a configuration where version 4 wrote them."""
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.40.0"
    if config["model_type"] == "modernbert":
        rope = config.pop("rope_parameters")
        config["global_rope_theta"] = rope["full_attention"]["rope_theta"]
        config["local_rope_theta"] = rope["sliding_attention"]["rope_theta"]
        del config["layer_types"]
        config["global_attn_every_n_layers"] = 3
    else:
        config["position_embedding_type"] = "absolute"
    return config


def write(name, model, version, dtype, shards, tokenizer):
    folder = HERE / name
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config
    config.dtype = dtype
    config.architectures = [type(model).__name__]
    config.save_pretrained(folder)
    if version == 4:
        written = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(as_version_4(written), indent=2) + "\n")
    tensors = {key: value.detach().to(dtype).contiguous() for key, value in model.state_dict().items()}
    tied = ("decoder.weight", "vocab_projector.weight", "predictions.decoder.bias", "lm_head.decoder.bias")
    tensors = {key: value for key, value in tensors.items() if not key.endswith(tied)}
    if name == "bert":
        old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        for new, before in old.items():
            tensors = {key.replace(new, before): value for key, value in tensors.items()}
        tensors["bert.embeddings.position_ids"] = torch.arange(CONTEXT)[None]
    write_shards(folder, tensors, shards)
    if name in ("bert", "xlm_roberta"):
        # What these say is for batches; a text that is longer is to be refused, not cut.
        tokenizer.enable_truncation(12)
        tokenizer.enable_padding(length=12, pad_id=PADDING[CASES[name][4]])
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)


def expected(body, tokenizer, padding):
    lists = [tokenizer.encode(text).ids for text in TEXTS]
    longest = max(map(len, lists))
    ids = torch.tensor([one + [padding] * (longest - len(one)) for one in lists])
    mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in lists])
    with torch.no_grad():
        hidden = body(input_ids=ids, attention_mask=mask).last_hidden_state
    weights = mask[:, :, None].float()
    mean = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
    last = hidden[torch.arange(len(lists)), mask.sum(1) - 1]
    return dict(ids=ids.int(), mask=mask.int(), hidden=hidden, mean=mean, first=hidden[:, 0], last=last)


def main():
    numbers = {}

    def keep(name, values):
        numbers.update({f"{name}.{key}": value.contiguous().clone() for key, value in values.items()})

    for number, (name, (make, version, dtype, shards, kind)) in enumerate(CASES.items()):
        torch.manual_seed(number)
        model = make().eval().float()
        with torch.no_grad():
            for key, value in model.named_parameters():
                is_norm = "norm" in key.lower()
                spread = 0.1 if key.endswith("bias") or is_norm else 0.3
                centre = 1.0 if is_norm and key.endswith("weight") else 0.0
                # What is written is what is computed with, also in 16 bits.
                value.copy_((centre + spread * torch.randn_like(value)).to(dtype).float())
        tokenizer = make_tokenizer(kind)
        keep(name, expected(getattr(model, model.base_model_prefix, model), tokenizer, PADDING[kind]))
        write(name, model, version, dtype, shards, tokenizer)
    folder = HERE.parent / "language" / "llama_grouped"
    model = LlamaModel.from_pretrained(folder, dtype=torch.float32).eval()
    # What follows a token does not change it: padding at the end is as good as none.
    keep("llama_grouped", expected(model, Tokenizer.from_file(str(folder / "tokenizer.json")), 0))
    save_file(numbers, HERE / "expected.safetensors")
    (HERE / "texts.json").write_text(json.dumps(TEXTS, indent=1) + "\n")


main()
