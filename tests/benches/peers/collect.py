"""Residuals after one block by transformers with a forward hook."""

import json
import time
from pathlib import Path

import peer


def setup(case):
    import torch
    from transformers import AutoConfig, Gemma2ForCausalLM, Gemma2Model

    folder, layer = Path(case["folder"]), case["layer"]
    config = AutoConfig.from_pretrained(folder / "model")
    if case["cut"]:
        # Only the blocks up to the study's layer, and no head.
        config.num_hidden_layers = layer + 1
        config.layer_types = config.layer_types[: layer + 1]
    kind = Gemma2Model if case["cut"] else Gemma2ForCausalLM
    model = kind.from_pretrained(
        folder / "model", config=config, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    inner = model if case["cut"] else model.model
    documents = [torch.tensor(ids) for ids in json.loads((folder / "ids.json").read_text())]
    # Documents of like length go together, which spares padding; without sorting they come as in the corpus.
    order = sorted(range(len(documents)), key=lambda i: len(documents[i])) if case["sorted"] else range(len(documents))
    order = list(order)
    together = case["together"]
    hooked = []

    def hook(_module, _inputs, output):
        hooked.append(output[0] if isinstance(output, tuple) else output)

    inner.layers[layer].register_forward_hook(hook)

    @torch.inference_mode()
    def run():
        rows = [None] * len(documents)
        start = time.perf_counter()
        for first in range(0, len(order), together):
            group = order[first : first + together]
            longest = max(len(documents[i]) for i in group)
            ids = torch.zeros(len(group), longest, dtype=torch.long)
            mask = torch.zeros(len(group), longest, dtype=torch.long)
            for row, i in enumerate(group):
                ids[row, : len(documents[i])] = documents[i]
                mask[row, : len(documents[i])] = 1
            hooked.clear()
            model(input_ids=ids, attention_mask=mask, use_cache=False)
            for row, i in enumerate(group):
                rows[i] = hooked[0][row, : len(documents[i])].clone()
        seconds = time.perf_counter() - start
        return seconds, [x for row in rows for x in row[-1, :8].tolist()]

    return run


peer.serve(setup)
