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


def test_classes_can_be_chosen_and_the_rest_has_a_column() -> None:
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 30)), torch.randn(40, 3)
    whole = nif.Currents(backgrounds=40, steps=4, by_class=range(30))
    every = nif.measure(net, x, whole, progress=False).attribution()
    some = nif.Currents(backgrounds=40, steps=4, by_class=(17, 2))
    table = nif.measure(net, x, some, class_names=[f"c{n}" for n in range(30)], progress=False).attribution()
    assert every.shape == (3, 30) and list(table.columns) == ["c2", "c17", "the rest"]
    np.testing.assert_allclose(table[["c2", "c17"]], every.iloc[:, [2, 17]], atol=1e-6)
    np.testing.assert_allclose(table.sum(axis=1), every.sum(axis=1), atol=1e-6)
    with pytest.raises(
        nif.InputError, match="There is no class 30; expected numbers of classes from 0 to 29"
    ):
        nif.measure(net, x, nif.Currents(by_class=(30,)), progress=False)
    for wrong in ("cat", 3, (0.5,)):
        with pytest.raises(nif.InputError, match="by_class is"):
            nif.Currents(by_class=wrong)  # type: ignore[arg-type]
