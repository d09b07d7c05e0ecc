"""Writes a GPT-NeoX of Pythia-160M's size with random weights of 16 bits and a small tokenizer.

usage: python pythia.py FOLDER; needs torch, transformers and tokenizers.
"""

import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

folder = sys.argv[1]
torch.manual_seed(0)
config = GPTNeoXConfig(
    vocab_size=50304,
    hidden_size=768,
    intermediate_size=3072,
    num_hidden_layers=12,
    num_attention_heads=12,
    max_position_embeddings=2048,
    rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
)
GPTNeoXForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
alphabet = pre_tokenizers.ByteLevel.alphabet()
trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
tokenizer.train_from_iterator(["a T cell perturbed with drug A + drug B"] * 3, trainer)
tokenizer.save(f"{folder}/tokenizer.json")
