"""The authors' training step: `update` of their trainers, in f32."""

import time

import peer


def setup(s):
    import torch
    import torch._dynamo  # looks for packages, so before some are replaced

    peer.library()
    from dictionary_learning.trainers.crosscoder import (
        BatchTopKCrossCoderTrainer,
        CrossCoderTrainer,
    )
    from safetensors.torch import load_file

    l1 = s["kind"] == "l1"
    common = {
        "activation_dim": s["hidden"],
        "dict_size": s["latents"],
        "lr": 1e-4,
        "layer": 0,
        "lm_name": "chat-base",
        "device": "cpu",
    }
    if l1:
        trainer = CrossCoderTrainer(l1_penalty=0.041, **common)
    else:
        trainer = BatchTopKCrossCoderTrainer(steps=100_000, k=s["k"], **common)
    trainer.ae.load_state_dict(load_file(f"{s['folder']}/model.safetensors"))
    batches = load_file(f"{s['folder']}/batches.safetensors")
    batches = [batches[str(i)] for i in range(len(batches))]
    steps = 0

    def run():
        nonlocal steps
        x = batches[steps % len(batches)].clone()
        if l1:
            # Their update does not tell the loss.
            with torch.no_grad():
                loss = trainer.loss(x).item()
        start = time.perf_counter()
        told = trainer.update(steps, x)
        seconds = time.perf_counter() - start
        steps += 1
        return seconds, [loss if l1 else told]

    run()
    return run


peer.serve(setup)
