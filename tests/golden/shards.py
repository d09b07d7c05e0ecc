"""Writes tensors as `save_pretrained` does: one file, or several with an index."""

import json

from safetensors.torch import save_file


def write_shards(folder, tensors, shards):
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        names, where = sorted(tensors), {}
        for shard in range(shards):
            file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
            part = {key: tensors[key] for key in names[shard::shards]}
            save_file(part, folder / file, metadata={"format": "pt"})
            where |= {key: file for key in part}
        size = sum(value.numel() * value.element_size() for value in tensors.values())
        index = {"metadata": {"total_size": size}, "weight_map": where}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")
