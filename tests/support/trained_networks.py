"""Small networks that are trained, with what is compared with the slow twin."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TRAINED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], list[str]]] = {
    "mlp": (
        lambda: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4)),
        (6,),
        ["1", "3"],
    ),
    "cnn": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(8, 4),
        ),
        (1, 4, 4),
        ["1", "4"],
    ),
    "attention": (
        lambda: nn.Sequential(
            nn.Linear(4, 8),
            nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True),
            nn.Flatten(),
            nn.Linear(40, 4),
        ),
        (5, 4),
        ["0", "1.self_attn", "1.linear1", "1"],
    ),
}
"""By name: builds the network, the shape of a row, and the modules whose units are compared."""


def trained(name: str) -> tuple[nn.Sequential, Tensor, list[str]]:
    """A network trained on four classes that depend on a product and on a sum, its rows, and its layers."""
    return copy.deepcopy(_trained(name))


@cache
def _trained(name: str) -> tuple[nn.Sequential, Tensor, list[str]]:
    build, shape, names = TRAINED[name]
    torch.manual_seed(0)
    model, rows = build(), torch.randn(400, *shape)
    flat = rows.flatten(1)
    classes = (flat[:, 0] * flat[:, 1] > 0).long() + 2 * (flat[:, 2] + flat[:, 3].abs() > 0.8).long()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(200):
        optimizer.zero_grad()
        F.cross_entropy(model(rows), classes).backward()
        optimizer.step()
    return model.eval().double(), rows.double(), names
