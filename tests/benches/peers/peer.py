"""The other side of a comparison: JSON lines in, JSON lines out (side.rs describes them)."""

import importlib.util
import json
import os
import sys
from unittest.mock import MagicMock


def library():
    """Makes the authors' library importable. What only its unmeasured parts need may be missing."""
    sys.path.insert(0, os.environ["STEREOSCOPE_PEER_LIBRARY"])
    for name in ("nnsight", "datasets", "zstandard", "wandb", "umap", "circuitsvis", "pandas", "plotly"):
        if importlib.util.find_spec(name) is None:
            sys.modules[name] = MagicMock()


def serve(setup):
    """`setup` takes the case and gives a function that runs one repetition: (seconds, numbers)."""
    answers = os.fdopen(os.dup(1), "w")
    # Whatever the libraries print must not come between the answers.
    os.dup2(2, 1)

    def answer(value):
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    case = json.loads(sys.stdin.readline())
    import torch
    import transformers

    torch.set_num_threads(case["threads"])
    run = setup(case)
    answer({"ready": f"torch {torch.__version__}, transformers {transformers.__version__}"})
    for _ in sys.stdin:
        seconds, check = run()
        answer({"seconds": seconds, "check": [float(x) for x in check]})
