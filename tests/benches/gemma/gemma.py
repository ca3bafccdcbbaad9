"""Gemma-2 by transformers: decoding, reading a prompt, and a prompt through a pair with a crosscoder by torch."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peers"))

import peer  # noqa: E402

CHECKED = 8


def setup(case):
    import torch
    from safetensors.torch import load_file
    from transformers import Gemma2ForCausalLM

    dtype = getattr(torch, case["dtype"])
    ids = torch.tensor([case["ids"]])

    def load(key):
        # Soft caps need eager attention.
        return Gemma2ForCausalLM.from_pretrained(case[key], dtype=dtype, attn_implementation="eager").eval()

    def checked(logits):
        return logits.flatten()[:CHECKED].float().tolist()

    if case["task"] == "decode":
        model, new = load("model"), case["new"]

        @torch.inference_mode()
        def decode():
            out = model(ids[:, :-new], use_cache=True, logits_to_keep=1)
            start = time.perf_counter()
            for at in range(ids.shape[1] - new, ids.shape[1]):
                out = model(
                    ids[:, at : at + 1], past_key_values=out.past_key_values, use_cache=True, logits_to_keep=1
                )
            return time.perf_counter() - start, checked(out.logits)

        return decode

    if case["task"] == "read":
        model = load("model")

        @torch.inference_mode()
        def read():
            start = time.perf_counter()
            out = model(ids, use_cache=True, logits_to_keep=1)
            return time.perf_counter() - start, checked(out.logits)

        return read

    models = [load("model"), load("chat")]
    dictionary = load_file(Path(case["dictionary"]) / "model.safetensors")
    dictionary = {name.removeprefix("_orig_mod."): tensor for name, tensor in dictionary.items()}
    encoder = dictionary["encoder.weight"].to(dtype).flatten(0, 1)
    bias = dictionary["encoder.bias"].to(dtype)
    scale = dictionary["decoder.weight"].float().norm(dim=2).sum(0)
    threshold = dictionary["threshold"].float()
    # Models whose activations were normalised for training.
    mean = dictionary.get("activation_mean", torch.zeros(2, 1)).to(dtype)
    rms = dictionary.get("activation_global_scale", torch.ones(2)).to(dtype)
    residuals = [None, None]

    def hook(which):
        def keep(_module, _inputs, output):
            residuals[which] = output[0] if isinstance(output, tuple) else output

        return keep

    for which, model in enumerate(models):
        model.model.layers[case["layer"]].register_forward_hook(hook(which))

    @torch.inference_mode()
    def pair():
        start = time.perf_counter()
        for _ in range(case["prompts"]):
            logits = [model(ids, use_cache=True).logits for model in models]
            x = torch.cat(
                [
                    (residual.reshape(ids.shape[1], -1) - mean[which]) * rms[which]
                    for which, residual in enumerate(residuals)
                ],
                dim=1,
            )
            f = torch.relu(x @ encoder + bias)
            codes = f * (f * scale > threshold)
        seconds = time.perf_counter() - start
        return seconds, [*checked(logits[1]), float((codes > 0).sum()) / ids.shape[1]]

    return pair


peer.serve(setup)
