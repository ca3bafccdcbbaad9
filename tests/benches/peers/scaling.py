"""Latent Scaling by the paper's closed-form scaler: one pass over the activations per target."""

import importlib.util
import time
from pathlib import Path

import peer


def setup(case):
    import torch
    from safetensors.torch import load_file

    peer.library()
    from dictionary_learning.dictionary import BatchTopKCrossCoder

    spec = importlib.util.spec_from_file_location("closed_form", case["scaler"])
    closed_form = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(closed_form)

    torch.set_grad_enabled(False)
    torch.set_float32_matmul_precision("highest")
    folder = Path(case["folder"])
    dictionary = BatchTopKCrossCoder(case["hidden"], case["latents"], 2, k=1)
    dictionary.load_state_dict(load_file(folder / "dictionary/model.safetensors"), strict=False)
    batches = load_file(folder / "activations.safetensors")["activations"].split(case["batch"])
    base, chat = dictionary.decoder.weight.detach()
    bias = dictionary.decoder.bias.detach()

    def activation(model):
        return lambda batch, **_: batch[:, model]

    def no_bias(model):
        return lambda batch, **_: batch[:, model] - bias[model]

    def reconstruction(model):
        return lambda batch, crosscoder, latent_activations, **_: crosscoder.decode(latent_activations)[:, model]

    def error(model, decoder):
        def target(batch, crosscoder, latent_activations, latent_indices, **_):
            rebuilt = crosscoder.decode(latent_activations)[:, model]
            without = closed_form.remove_latents(rebuilt, latent_activations[:, latent_indices], decoder[latent_indices])
            return batch[:, model] - without

        return target

    everything = torch.arange(case["latents"])
    chosen = torch.arange(case["chosen"])
    targets = [(make(model), everything) for make in (activation, no_bias, reconstruction) for model in (0, 1)]
    if case["chosen"]:
        targets += [(error(0, base), chosen), (error(1, chat), chosen)]

    def run():
        start = time.perf_counter()
        betas = [
            closed_form.closed_form_scalars(
                chat[indices], indices, batches, dictionary, target, device=torch.device("cpu")
            )[0]
            for target, indices in targets
        ]
        seconds = time.perf_counter() - start
        compared = torch.stack([column[: case["compared"]] for column in betas], 1)
        return seconds, torch.nan_to_num(compared).flatten().tolist()

    return run


peer.serve(setup)
