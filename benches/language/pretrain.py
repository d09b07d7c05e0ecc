"""Pretrains a small GPT-NeoX on sentences about made-up drugs, and writes it as a Hugging Face folder.

usage: python pretrain.py OUT_FOLDER STEPS SEED DESCRIPTIONS.csv...
needs: torch, transformers, tokenizers

The tables come from `scflow simulate --descriptions` with seeds that no experiment uses. From them the corpus is made: each
drug under a new random name, described in several wordings; which of two drugs act alike, which against each other, on which
pathway; and what cells of a type are, since a model that never read of B and T cells hardly tells them apart. What a pathway
does to genes stands nowhere in it. Half of a drug's words are drawn from a list of their likes, so
that the model meets words that mean the same in the same places. The last tenth of the sentences is held out to tell the loss.
Without steps (0), the model is written as it was drawn.
"""

import csv
import random
import re
import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

LENGTH, BATCH, N_SENTENCES = 112, 64, 30000
LIKE = {
    "activates": ["stimulates", "turns on", "raises"], "inhibits": ["blocks", "turns off", "lowers"],
    "strongly": ["heavily", "with great force"], "clearly": ["visibly"], "mildly": ["slightly", "a little"],
}
CELLS = {
    "B cell": ("CD19", "makes antibodies"), "T cell": ("CD3E", "knows antigens that other cells show"),
    "NK cell": ("NKG7", "kills infected cells"), "monocyte": ("CD14", "becomes a macrophage"),
    "plasma cell": ("SDC1", "secretes antibodies"), "neutrophil": ("CSF3R", "comes first where bacteria are"),
    "mast cell": ("KIT", "releases histamine"), "fibroblast": ("COL1A1", "makes collagen"),
    "endothelial cell": ("PECAM1", "lines vessels"), "epithelial cell": ("EPCAM", "lines organs"),
}
PROMPTS = [
    "Generate a cell with cell_type {kind} perturbed with {drugs}", "Generate a {kind} perturbed with {drugs}", "{kind}, after {drugs}",
    "{drugs}",
]


def drugs_of(paths):
    texts = []
    for path in paths:
        with open(path, newline="") as file:
            texts += [row["text"] for row in csv.DictReader(file)]
    return texts


def reworded(text, rng):
    for word, likes in LIKE.items():
        if word in text and rng.random() < 0.5:
            text = text.replace(word, rng.choice(likes))
    return text


def sentence(texts, rng):
    name = lambda: f"{rng.choice(['drug', 'compound', 'GENE', 'agent'])} {''.join(rng.choices('ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789', k=rng.randint(1, 4)))}"
    facts = lambda text: re.match(r"(.+?) (activator|inhibitor);", text).groups()
    (a, one), (b, two) = [(rng.choice(texts), name()) for _ in range(2)]
    kind = rng.choice(list(CELLS))
    marker, work = CELLS[kind]
    (pathway, does), (other, also) = facts(a), facts(b)
    style = rng.randint(0, 5)
    if style == 0:
        return f"{one} is {reworded(a, rng)}."
    if style == 1:
        drugs = " + ".join(f"{drug} ({text})" for drug, text in [(one, a), (two, b)][: rng.randint(1, 2)])
        question = rng.choice(["", f" Q: which marker has this cell, and what does it do? A: {marker}; it {work}."])
        prompt = rng.choice(PROMPTS[:-1] if question else PROMPTS)
        return prompt.format(kind=kind, drugs=drugs) + "." + question
    if style == 2:
        relation = ("act alike" if does == also else "act against each other") if pathway == other else "act apart"
        return f"{one} ({a}) and {two} ({b}) {relation}."
    if style == 3:
        opposite = "inhibitor" if does == "activator" else "activator"
        return f"{one} is {reworded(a, rng)}. Its opposite is a {pathway} {opposite}."
    if style == 4:
        return f"A {kind} has the marker {marker} and {work}."
    return f"Q: on which pathway does {one} ({reworded(a, rng)}) act, and how? A: {pathway}, {does}."


def main():
    folder, steps, seed, *paths = sys.argv[1:]
    rng = random.Random(int(seed))
    torch.manual_seed(int(seed))
    texts = drugs_of(paths)
    corpus = [sentence(texts, rng) for _ in range(N_SENTENCES)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, special_tokens=["<|endoftext|>"], show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    ids = [tokenizer.encode(text + "<|endoftext|>").ids[:LENGTH] for text in corpus]
    model = GPTNeoXForCausalLM(GPTNeoXConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=64, intermediate_size=256, num_hidden_layers=3, num_attention_heads=4,
        max_position_embeddings=512, hidden_dropout=0.0, attention_dropout=0.0))
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=max(1, int(steps)))
    n_train = len(ids) * 9 // 10

    def loss_of(batch):
        width = max(map(len, batch))
        tokens = torch.tensor([text + [0] * (width - len(text)) for text in batch])
        labels = torch.tensor([text + [-100] * (width - len(text)) for text in batch])
        return model(input_ids=tokens, labels=labels).loss

    for step in range(int(steps)):
        loss = loss_of(rng.sample(ids[:n_train], BATCH))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        held_out = sum(loss_of(ids[at:at + BATCH]).item() for at in range(n_train, n_train + 10 * BATCH, BATCH)) / 10
    print(f"{len(texts)} descriptions, {sum(map(len, ids[:n_train]))} tokens; {steps} steps, loss per token held out {held_out:.3f}")
    model.save_pretrained(folder)
    tokenizer.save(f"{folder}/tokenizer.json")


if __name__ == "__main__":
    main()
