"""Links and pruning follow units through networks by the same table of operators."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import nif
from nif.network.forward import Forward
from nif.network.recording import record
from nif.network.units import UnitWeights, unit_weights
from nif.pruning.prune import prune

X = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))


class Behind(nn.Module):
    """A layer of units, a function of them, and a layer that reads them."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.function = function
        self.first, self.relu, self.tanh = nn.Linear(5, 5), nn.ReLU(), nn.Tanh()
        self.last = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.tanh(self.function(self.relu(self.first(x)))))


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "erf": torch.erf,
    "hardshrink": functional.hardshrink,
    "sign": torch.sign,
    "rsqrt": lambda x: torch.rsqrt(x + 1),
    "reciprocal": lambda x: torch.reciprocal(x + 1),
    "where": lambda x: torch.where(x > 0.5, x, x * 0.1),
    "bfloat16": lambda x: x.to(torch.bfloat16).float(),
    "logsigmoid": functional.logsigmoid,
    "square of a view": lambda x: x.unsqueeze(2).square().squeeze(2),
    "two chunks": lambda x: torch.cat([x.chunk(1, 1)[0].abs()], 1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_links_are_those_between_a_unit_and_itself(name: str) -> None:
    model = Behind(FUNCTIONS[name])
    found = record(model, X)
    for source in range(1, len(found.layers) - 2):
        np.testing.assert_array_equal(found.connected_between(source, source + 1), np.eye(5))


def test_measure_gives_five_links_of_twenty_five() -> None:
    flow = nif.measure(Behind(torch.erf), X, nif.Binned(), progress=False)
    assert [len(flow.layers[each.source]) * 1 for each in flow.links if each.count == 5] == [5]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_units_behind_it_are_cut(name: str) -> None:
    model = Behind(FUNCTIONS[name]).eval()
    flow = nif.measure(model, X, nif.Binned(), progress=False)
    small = prune(model, flow, X, remove={"tanh": 0.4}, tolerance=None, compensate=None, progress=False)
    assert small.removed["how"].tolist() == ["cut"] * len(small.removed) and len(small.removed) > 0
    assert small.model.get_submodule("last").in_features == 3


def followed(model: nn.Module, x: Tensor = X) -> UnitWeights:
    return unit_weights(Forward(model.eval()), (x[:2],))


class Functional(nn.Module):
    """The weights of modules, used by functions."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(functional.linear(x, self.first.weight, self.first.bias))
        return functional.linear(torch.tanh(self.second(x)), weight=self.last.weight, bias=self.last.bias)


@pytest.mark.parametrize("compensate", ["linear", "mean", None])
def test_a_weight_is_known_wherever_it_is_used(compensate: str | None) -> None:
    model = Functional().eval()
    flow = nif.measure(model, X, nif.Binned(), progress=False)
    options = {"remove": 0.4, "tolerance": None, "compensate": compensate, "progress": False}
    cut, zeroed = (prune(model, flow, X, cut=cut, **options) for cut in (True, False))
    assert (cut.removed["how"] == "cut").all() and len(cut.removed) > 0
    with torch.no_grad():
        assert torch.allclose(cut.model(X), zeroed.model(X), atol=1e-5)


class Tied(Functional):
    """A weight that is also used as a matrix."""

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        x = torch.tanh(self.second(x))
        return self.last(x @ self.second.weight.T)


def test_a_weight_that_is_used_as_a_matrix_keeps_its_shape() -> None:
    found = followed(Tied())
    assert found.groups.has_fixed_width(found.rows["second"]).all()
    assert found.groups.has_fixed_width(found.columns["second"]).all()
    assert found.groups.has_fixed_width(found.rows["first"]).all()


def test_two_modules_with_one_weight_are_two() -> None:
    net = nn.Sequential(nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 2))
    net[2].weight = net[0].weight
    found = followed(net)
    assert set(found.rows["0"]).isdisjoint(found.rows["2"])
    assert found.columns["2"].tolist() == found.rows["0"].tolist()


class Excited(nn.Module):
    """Every channel is scaled by a number that all channels give."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.relu, self.scale, self.head = (
            nn.Conv2d(1, 6, 3),
            nn.ReLU(),
            nn.Linear(6, 6),
            nn.Linear(6, 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv(x))
        scale = torch.sigmoid(self.scale(x.mean((2, 3))))
        return self.head((x * scale[:, :, None, None]).amax((-1, -2)))


def test_channels_are_cut_with_what_scales_them() -> None:
    model, x = Excited().eval(), torch.randn(200, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    flow = nif.measure(model, x, nif.Binned(), input_groups=3, progress=False)
    small = prune(model, flow, x, remove={"relu": 0.5}, tolerance=None, progress=False)
    assert (small.removed["how"] == "cut").all()
    assert small.model.get_submodule("scale").out_features == 3


def unknown(x: Tensor) -> Tensor:
    """Treats every number by itself, which no row of the table says."""
    return torch.special.modified_bessel_k0(x + 1)


def test_an_unknown_operator_is_named_once_and_links_all() -> None:
    with pytest.warns(UserWarning, match="modified_bessel_k0.*is not known") as warned:
        found = record(Behind(unknown), X)
    assert len(warned) == 1
    assert found.connected_between(1, 2) is None


def test_an_unknown_operator_keeps_the_number_of_units() -> None:
    found = followed(Behind(unknown))
    assert found.groups.has_fixed_width(found.rows["first"]).all() and "tanh" not in found.at


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[: x.shape[0]].reshape(len(x), -1),
        lambda x: x * (x.detach().max() > 1e9).logical_not(),
        lambda x: x + torch.zeros_like(x),
        lambda x: x if bool((x >= 0).all()) else -x,
    ],
)
@pytest.mark.filterwarnings("ignore:The model chooses its path by the data")
def test_nothing_is_said_of_operators_that_are_known(function: Callable[[Tensor], Tensor]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "The model chooses its path by the data")
        record(Behind(function), X)


def test_nothing_is_said_where_weights_mix_all_anyway() -> None:
    class Between(Behind):
        def forward(self, x: Tensor) -> Tensor:
            return self.last(unknown(self.relu(self.first(x))))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record(Between(unknown), X)


class Own(nn.Module):
    """A user's activation of functions that no row has."""

    def forward(self, x: Tensor) -> Tensor:
        return unknown(x)


def test_a_user_s_activation_is_known_by_trial() -> None:
    model = Behind(Own()).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = record(model, X, layers=["relu", "tanh"])
    np.testing.assert_array_equal(found.connected_between(1, 2), np.eye(5))
    weights = followed(model)
    assert weights.at["tanh"].tolist() == weights.rows["first"].tolist()
    assert not weights.groups.has_fixed_width(weights.rows["first"]).any()
