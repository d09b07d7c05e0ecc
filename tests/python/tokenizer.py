"""Asserts that Python's tokenizers reads the tokenizer.json of a model folder, and gives every prompt of a prediction the tokens
that the model read.

usage: python tests/python/tokenizer.py MODEL PREDICTED.h5ad
needs: anndata, tokenizers
"""

import json
import sys

import anndata
import tokenizers


def main(model, predicted):
    tokenizer = tokenizers.Tokenizer.from_file(f"{model}/tokenizer.json")
    told = json.loads(anndata.read_h5ad(predicted, backed="r").uns["scflow"]["predict"])["told"]
    assert told, "the prediction names no prompt"
    for one in told:
        assert tokenizer.encode(one["prompt"]).ids == one["tokens"], one
        assert tokenizer.decode(one["tokens"]) == one["prompt"], one
    # Every byte has a token: nothing is dropped, whatever is written.
    for text in ["\u00b5M \u03b2-catenin \U0001f9ec", "GENE0001 + \"Na+\" @ 10 uM"]:
        assert tokenizer.decode(tokenizer.encode(text).ids) == text, text
    print(f"{len(told)} prompts, {tokenizer.get_vocab_size()} tokens")


main(*sys.argv[1:])
