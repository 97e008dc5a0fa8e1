"""Small networks in training, for the tests of `nif.Watch`."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import nif

ROWS = 200

FEW = nif.Currents(rows=48, backgrounds=16, steps=4, by_class=False, paths=0)
"""For what looks at the watch and not at its currents."""


def network() -> nn.Sequential:
    """With all that a forward pass in training mode would change."""
    return nn.Sequential(
        nn.Linear(4, 12),
        nn.BatchNorm1d(12),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(12, 6),
        nn.ReLU(),
        nn.Linear(6, 2),
    )


def rows() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(ROWS, 4, generator=generator)
    return x, (x[:, 0] + x[:, 1] > 0).long()


def trained(
    watch_of: Callable[[nn.Module, Any], Callable[[int], Any]], epochs: int = 3
) -> tuple[nn.Module, Any]:
    """A run that draws from every global generator, and the state it ends in."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the state that must not change
    torch.manual_seed(0)
    model, (x, y) = network(), rows()
    loader = DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    step = watch_of(model, loader)
    for epoch in range(epochs):
        model.train()
        for inputs, labels in loader:
            noisy = inputs + 0.01 * random.random() + 0.01 * np.random.rand()  # noqa: NPY002
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(noisy), labels).backward()
            optimiser.step()
        step(epoch)
    return model, (torch.get_rng_state(), np.random.get_state(), random.getstate(), optimiser.state_dict())  # noqa: NPY002


WATCHES: dict[str, Callable[[nn.Module, Any], nif.Watch]] = {
    "rows": lambda model, loader: nif.Watch(model, rows()[0], max_samples=60),
    "the training loader": lambda model, loader: nif.Watch(model, loader, max_samples=100),
    "every second": lambda model, loader: nif.Watch(model, loader, every=2),
    "noise": lambda model, loader: nif.Watch(model, loader, nif.Association(noise=0.1)),
}


def dying(method: Any = None) -> tuple[nif.Watch, nn.Sequential]:
    """Five epochs; hidden unit 2 dies at epoch 2, unit 5 at epoch 1 and lives again at epoch 4."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    bias = model[0].bias
    watch = nif.Watch(model, rows()[0], method or FEW)
    alive = bias.detach().clone()
    with torch.no_grad():
        model[0].weight[[2, 5]] = torch.tensor([[1.0, 0.0, 0.0, 0.1], [0.0, 1.0, 0.1, 0.0]])
        model[2].weight[:, [2, 5]] = 2 * torch.eye(2)  # each decides a class while it lives
        for epoch in range(5):
            bias[2] = -100.0 if epoch >= 2 else alive[2]
            bias[5] = -100.0 if 1 <= epoch < 4 else alive[5]
            watch()
    return watch, model
