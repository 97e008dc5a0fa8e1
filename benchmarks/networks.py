"""Networks that several benchmarks measure."""

from __future__ import annotations

import itertools

from torch import nn


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    modules: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        modules += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def cnn() -> nn.Sequential:
    """Three convolutions of 16, 32 and 64 channels with BatchNorm and pooling, and a linear readout."""
    modules: list[nn.Module] = []
    for before, after in itertools.pairwise((1, 16, 32, 64)):
        modules += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*modules, nn.Flatten(), nn.Linear(64 * 9, 10))
