"""The measure as a whole: what it takes, what it refuses, and what the outputs of a model stand for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neural_network import MLPRegressor
from torch import Tensor, nn

import nif

X = torch.rand(60, 5, 4, generator=torch.Generator().manual_seed(0))
FAST = nif.Currents(steps=2, rows=20, backgrounds=4)


class Sequence(nn.Module):
    """Logits at every position."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu, self.last = nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.relu(self.first(x)))


def test_positions_as_samples_are_refused() -> None:
    with pytest.raises(nif.InputError, match="reduce is 'positions'"):
        nif.measure(Sequence(), X, FAST, reduce="positions", progress=False)


@pytest.mark.filterwarnings(
    "ignore:Stochastic Optimizer:UserWarning", "ignore:.*backgrounds miss:UserWarning"
)
def test_a_regressor_with_two_outputs_has_values_and_no_classes() -> None:
    x = np.random.default_rng(0).normal(size=(80, 3))
    model = MLPRegressor(hidden_layer_sizes=(4,), max_iter=5, random_state=0).fit(x, x[:, :2])
    flow = nif.measure(model, x, FAST, progress=False)
    assert "2 values" in flow.measurement.options["decision"]
