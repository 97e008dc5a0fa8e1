"""Networks of the `transformers` library as they are built, with random weights: measured, and made smaller.

``python benchmarks/architectures.py [NAME ...]`` prints for each network, on 120 rows,

- the layers that are found and the units in them, and the seconds from the network to its flow by `Binned`;
- of the units that can be pruned 30 % are removed without a promise: how many of them are cut out, the
  parameters left, how far outputs move by that, and how far the outputs of the smaller network are from those
  of one in which the same units are zeroed; both as a share of the largest output.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import logging
import time
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

import nif
from environment import environment
from nif.core.errors import InputError

ROWS, WORDS, TOKENS, CLASSES = 120, 50, 9, 3

library: Any = importlib.import_module("transformers")

OF_IMAGES: dict[str, dict[str, Any]] = {
    "ConvNext": {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2, "layer_scale_init_value": 1.0},
    "MobileNetV1": {"image_size": 32, "depth_multiplier": 0.1},
    "RegNet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "groups_width": 4},
    "ResNet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
    "Swin": {"image_size": 32, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4},
    "ViT": {"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 2}
    | {"num_attention_heads": 2, "intermediate_size": 32},
}
OF_TEXT: dict[str, dict[str, Any]] = {
    "Bert": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32},
    "DistilBert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    "Llama": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    | {"pad_token_id": 0},
}
"""Sizes of each network; small, because its weights are random."""


class Logits(nn.Module):
    """A network that gives nothing but its logits."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, given: Tensor) -> Tensor:
        found: Tensor = self.inner(given).logits
        return found


def made(name: str) -> tuple[nn.Module, Tensor]:
    """The network of that name and its data."""
    torch.manual_seed(0)
    text = name in OF_TEXT
    sizes = {"vocab_size": WORDS, **OF_TEXT[name]} if text else OF_IMAGES[name]
    config = getattr(library, f"{name}Config")(num_labels=CLASSES, **sizes)
    kind = "SequenceClassification" if text else "ImageClassification"
    data = torch.randint(1, WORDS, (ROWS, TOKENS)) if text else torch.randn(ROWS, 3, 32, 32)
    model = getattr(library, f"{name}For{kind}")(config)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding):
            module.reset_parameters()  # the library's own start is so small that outputs hardly move
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # statistics are those of all passes
    with torch.no_grad():
        model.train()(data)
    return Logits(model).eval(), data


def tried(name: str) -> dict[str, object]:
    """What is found in a network, and what of it can be removed."""
    model, data = made(name)
    start = time.perf_counter()
    groups = None if name in OF_TEXT else 8
    flow = nif.measure(model, data, nif.Binned(), input_groups=groups, progress=False)
    seconds = time.perf_counter() - start
    found: dict[str, object] = {
        "network": name,
        "layers": len(flow.layers),
        "units": sum(map(len, flow.layers)),
        "seconds": seconds,
    }
    try:
        cut, zeroed = (
            nif.prune(model, flow, data, remove=0.3, tolerance=None, compensate=None, cut=cut, progress=False)
            for cut in (True, False)
        )
    except InputError as error:
        return {**found, "note": str(error)}
    before, after = cut.size_before.parameters, cut.size_after.parameters
    return {
        **found,
        "removed": len(cut.removed),
        "cut out": int((cut.removed["how"] == "cut").sum()),
        "parameters left": after / before,
        "outputs move": _difference(model, zeroed.model, data),
        "cut from zeroed": _difference(cut.model, zeroed.model, data),
    }


def _difference(one: nn.Module, other: nn.Module, data: Tensor) -> float:
    with torch.no_grad():
        first, second = (copy.deepcopy(model).eval()(data) for model in (one, other))
    return float((first - second).abs().max() / second.abs().max())


def main() -> None:
    names = sorted({**OF_IMAGES, **OF_TEXT})
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=names, metavar="NAME", help=", ".join(names))
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    print(environment(), f"transformers {library.__version__}", sep=", ")
    found = pd.DataFrame(tried(name) for name in options.names)
    print(found.to_string(index=False, float_format=lambda value: f"{value:.3g}"))


if __name__ == "__main__":
    main()
