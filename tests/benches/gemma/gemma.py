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
    device = torch.device(case.get("device", "cpu"))
    ids = torch.tensor([case["ids"]], device=device)

    def load(key):
        # Soft caps need eager attention.
        model = Gemma2ForCausalLM.from_pretrained(case[key], dtype=dtype, attn_implementation="eager")
        return model.to(device).eval()

    def clock():
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    def checked(logits):
        return logits.flatten()[:CHECKED].float().tolist()

    if case["task"] == "decode":
        model, new = load("model"), case["new"]

        @torch.inference_mode()
        def decode():
            out = model(ids[:, :-new], use_cache=True, logits_to_keep=1)
            start = clock()
            for at in range(ids.shape[1] - new, ids.shape[1]):
                out = model(
                    ids[:, at : at + 1], past_key_values=out.past_key_values, use_cache=True, logits_to_keep=1
                )
            return clock() - start, checked(out.logits)

        return decode

    if case["task"] == "read":
        model = load("model")

        @torch.inference_mode()
        def read():
            start = clock()
            out = model(ids, use_cache=True, logits_to_keep=1)
            return clock() - start, checked(out.logits)

        return read

    dictionary = load_file(Path(case["dictionary"]) / "model.safetensors")
    dictionary = {name.removeprefix("_orig_mod."): tensor.to(device) for name, tensor in dictionary.items()}
    encoder = dictionary["encoder.weight"].to(dtype).flatten(0, 1)
    bias = dictionary["encoder.bias"].to(dtype)
    scale = dictionary["decoder.weight"].float().norm(dim=2).sum(0)
    threshold = dictionary["threshold"].float()
    # Models whose activations were normalised for training.
    mean = dictionary.get("activation_mean", torch.zeros(2, 1, device=device)).to(dtype)
    rms = dictionary.get("activation_global_scale", torch.ones(2, device=device)).to(dtype)
    residuals = [None, None]

    def hidden(output):
        return output[0] if isinstance(output, tuple) else output

    def hook(which):
        def keep(_module, _inputs, output):
            residuals[which] = hidden(output)

        return keep

    def encoded(latents=slice(None)):
        x = torch.cat([(r.flatten(0, 1) - mean[which]) * rms[which] for which, r in enumerate(residuals)], dim=1)
        f = torch.relu(x @ encoder[:, latents] + bias[latents])
        return f * (f * scale[latents] > threshold)

    if case["task"] == "lanes":
        return lanes(case, ids, load, clock, dictionary, residuals, hidden, hook, encoded)

    models = [load("model"), load("chat")]
    for which, model in enumerate(models):
        model.model.layers[case["layer"]].register_forward_hook(hook(which))
    kept = 0 if case["every"] else 1

    @torch.inference_mode()
    def pair():
        start = clock()
        for _ in range(case["prompts"]):
            logits = [model(ids, use_cache=True, logits_to_keep=kept).logits for model in models]
            codes = encoded()
        seconds = clock() - start
        return seconds, [*checked(logits[1]), float((codes > 0).sum()) / ids.shape[1]]

    return pair


def lanes(case, ids, load, clock, dictionary, residuals, hidden, hook, encoded):
    """Greedy generation of the chat model, with a forward hook that edits every generated token's residual."""
    import torch

    chat, kind, latent = load("chat"), case["intervention"], slice(0, 1)
    ids = ids.repeat(case["lanes"], 1)
    rows = dictionary["decoder.weight"][1].to(chat.dtype)
    rest = dictionary["decoder.bias"][1].to(chat.dtype)
    direction = rows[0] / rows[0].norm()
    base = None
    if kind in ("scale", "reconstruct"):
        # The codes read the base model's residual too, and nothing above it.
        base = load("model").model
        base.layers = base.layers[: case["layer"] + 1]
        base.config.num_hidden_layers = case["layer"] + 1
        base.layers[-1].register_forward_hook(hook(0))
    generating = False

    def edit(_module, _inputs, output):
        if not generating or kind == "none":
            return None
        h = hidden(output)
        residuals[1] = h
        if kind == "add":
            h = h + direction
        elif kind == "scale":
            h = h - (encoded(latent) @ rows[latent]).view_as(h)
        else:
            h = (encoded() @ rows + rest).view_as(h)
        return (h, *output[1:]) if isinstance(output, tuple) else h

    chat.model.layers[case["layer"]].register_forward_hook(edit)

    def probability(out):
        return out.logits[0, -1].float().log_softmax(-1).max().item()

    @torch.inference_mode()
    def generate():
        nonlocal generating
        generating = False
        out = chat(ids, use_cache=True, logits_to_keep=1)
        theirs = base(ids, use_cache=True).past_key_values if base is not None else None
        generating = True
        check = [probability(out)]
        chosen = out.logits[:, -1].argmax(-1, keepdim=True)
        start = clock()
        for _ in range(case["new"] - 1):
            if base is not None:
                base(chosen, past_key_values=theirs, use_cache=True)
            out = chat(chosen, past_key_values=out.past_key_values, use_cache=True, logits_to_keep=1)
            chosen = out.logits[:, -1].argmax(-1, keepdim=True)
            # Each is sent as it comes.
            chosen.tolist()
            if len(check) < 2:
                check.append(probability(out))
        return clock() - start, check

    return generate


peer.serve(setup)
