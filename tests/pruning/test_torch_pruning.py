"""torch-pruning's own pruners remove what the flow says is worth least."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch_pruning as tp
from torch import Tensor, nn
from torch.nn import functional

import nif
from nif.core.errors import InputError
from nif.pruning.torch_pruning import FlowImportance
from support.networks import chain
from support.pruning_cases import flow_of

X = torch.randn(120, 6, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(120, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Residual(nn.Module):
    """Two blocks that add to one stream of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.relu = nn.Conv2d(1, 6, 3, padding=1), nn.ReLU()
        self.first, self.bn1, self.act1 = nn.Conv2d(6, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU()
        self.second, self.act2 = nn.Conv2d(5, 6, 3, padding=1), nn.ReLU()
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        stream = self.relu(self.stem(x))
        stream = self.act2(stream + self.second(self.act1(self.bn1(self.first(stream)))))
        return self.head(stream.mean((2, 3)))


def cnn() -> nn.Sequential:
    torch.manual_seed(0)
    modules = [nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 10), nn.ReLU()]
    return nn.Sequential(*modules, nn.Linear(10, 3))


def pruned(model: nn.Module, x: Tensor, importance: Any, head: nn.Module, **options: Any) -> nn.Module:
    pruner = tp.pruner.MagnitudePruner(model, x[:1], importance=importance, ignored_layers=[head], **options)
    for _ in range(options.get("iterative_steps", 1)):
        pruner.step()
    return model


def rows_kept(before: nn.Module, after: nn.Module) -> list[int]:
    """Which units of a layer are left, from the rows of its weights where what it reads is unchanged."""
    old, new = before.get_parameter("weight").flatten(1), after.get_parameter("weight").flatten(1)
    return [int((old - row).abs().sum(1).argmin()) for row in new]


@pytest.mark.parametrize("steps", [1, 3])
def test_the_units_with_least_throughput_go(steps: int) -> None:
    model = chain(6, 12, 8, 3)
    before, flow = copy.deepcopy(model), flow_of(model, X, ["1", "3"], silent=[("1", 2), ("1", 7), ("1", 9)])
    importance = FlowImportance(flow, model, X)
    pruned(model, X, importance, model[4], pruning_ratio=0.5, iterative_steps=steps)
    worth = flow.neurons()["throughput"]
    best = sorted(np.argsort(-worth.loc["1"].to_numpy())[:6].tolist())
    assert rows_kept(before[0], model[0]) == best and not {2, 7, 9} & set(best)
    assert model[2].weight.shape == (4, 6)
    seconds = sorted(np.argsort(-worth.loc["3"].to_numpy())[:4].tolist())
    assert torch.equal(model[2].weight, before[2].weight[seconds][:, best])


def test_global_pruning_compares_layers_by_their_share() -> None:
    model = chain(6, 12, 8, 3)
    silent = [("1", unit) for unit in range(10)]
    flow = flow_of(model, X, ["1", "3"], silent=silent)
    pruned(model, X, FlowImportance(flow, model, X), model[4], pruning_ratio=0.5, global_pruning=True)
    assert model[0].out_features == 2 and model[2].out_features >= 7


def test_channels_of_a_cnn_go_with_the_features_they_are_flattened_to() -> None:
    model = cnn()
    before, flow = (
        copy.deepcopy(model),
        flow_of(model, IMAGES, ["1", "5"], silent=[("1", 0), ("1", 4)]),
    )
    pruned(model, IMAGES, FlowImportance(flow, model, IMAGES), model[6], pruning_ratio=1 / 3)
    assert rows_kept(before[0], model[0]) == [1, 2, 3, 5]
    with torch.no_grad():
        assert model(IMAGES).shape == (120, 3)


def test_a_measured_residual_network_is_pruned() -> None:
    torch.manual_seed(0)
    model = Residual().eval()
    flow = nif.measure(model, IMAGES, nif.Binned(), progress=False)
    importance = FlowImportance(flow, model, IMAGES)
    pruned(model, IMAGES, importance, model.head, pruning_ratio=0.5)
    assert (model.stem.out_channels, model.first.out_channels, model.second.out_channels) == (3, 2, 3)
    with torch.no_grad():
        assert model(IMAGES).shape == (120, 3)


@pytest.mark.parametrize("rule", ["redundancy", "silent", lambda problem, units, seed: np.arange(len(units))])
def test_any_rule_can_be_the_importance(rule: Any) -> None:
    model = chain(6, 12, 3)
    flow = flow_of(model, X, ["1"])
    before = copy.deepcopy(model)
    pruned(model, X, FlowImportance(flow, model, X, rule), model[2], pruning_ratio=0.25)
    assert model[0].out_features == 9
    if callable(rule):
        assert rows_kept(before[0], model[0]) == list(range(3, 12))


def test_what_was_not_measured_is_left_whole() -> None:
    model = chain(6, 12, 8, 3)
    flow = nif.measure(model, X, nif.Binned(), layers=["3"], progress=False)
    pruned(model, X, FlowImportance(flow, model, X), model[4], pruning_ratio=0.5)
    assert (model[0].out_features, model[2].out_features) == (12, 4)


def test_pruning_by_flow_is_better_than_by_its_opposite() -> None:
    x = torch.randn(600, 4, generator=torch.Generator().manual_seed(1))
    y = (x[:, 0] * x[:, 1] > 0).long()
    torch.manual_seed(0)
    model = chain(4, 24, 2)
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(150):
        optimiser.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    flow = nif.measure(model, x, nif.Binned(), progress=False)
    score = {}
    for sign in (1, -1):
        small = copy.deepcopy(model)
        importance = FlowImportance(flow, small, x)
        pruned(small, x, lambda group, s=sign, i=importance: s * i(group), small[2], pruning_ratio=0.5)
        score[sign] = float((small(x).argmax(1) == y).double().mean())
    assert score[1] > score[-1] + 0.05


def test_what_does_not_belong_together_is_refused() -> None:
    model, other = chain(6, 12, 3), chain(6, 12, 3)
    flow = flow_of(model, X, ["1"])
    with pytest.raises(InputError, match=r"Unknown rule 'best'; expected one of silent, throughput"):
        FlowImportance(flow, model, X, rule="best")
    with pytest.raises(InputError, match=r"Linear that is not in the model given to FlowImportance"):
        pruned(other, X, FlowImportance(flow, model, X), other[2], pruning_ratio=0.5)
    with pytest.raises(InputError, match=r"layer '1' of 12 units and the model has 7"):
        FlowImportance(flow, chain(6, 7, 3), X)
