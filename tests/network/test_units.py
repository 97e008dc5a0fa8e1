"""Removal equals masking, whatever the network looks like."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from nif.network.activations import treats_numbers_apart
from nif.network.forward import Forward
from nif.network.recording import record
from nif.network.unit_groups import UnitGroups
from nif.network.units import UnitWeights, unit_weights
from nif.pruning.problem import PruningProblem
from nif.pruning.prune import prune
from support.networks import FeedForward, ResidualCNN, Swish
from support.pruning_cases import NETWORKS, channel_axis, flow_of, measured, network


def some(problem: PruningProblem, units: np.ndarray, seed: int) -> Float[np.ndarray, " unit"]:
    """A rule for tests: any order."""
    return np.random.default_rng(seed).random(len(units))


def with_few_rows(name: str, seed: int = 0) -> tuple[nn.Module, Tensor, list[str]]:
    """A network of the table, hardly more rows than a pruning needs, and its hidden layers."""
    model, x, _, layers = network(name, seed)
    return model, x[:60], layers


def masked(model: nn.Module, x: Tensor, places: list[tuple[str, int]]) -> Tensor:
    """Slow twin of removal: the whole network, in which these units are multiplied by 0."""

    def mask(_: nn.Module, __: object, gives: Tensor, name: str) -> Tensor:
        gives = gives.clone()
        for layer, index in places:
            if layer == name:
                gives.select(channel_axis(model, gives), index).zero_()
        return gives

    twin = copy.deepcopy(model)
    for name in {layer for layer, _ in places}:
        twin.get_submodule(name).register_forward_hook(lambda *given, name=name: mask(*given, name=name))
    with torch.no_grad():
        return twin(x)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in {"used twice", "linear outputs"}])
@pytest.mark.parametrize("seed", [0, 1])
def test_removal_equals_masking(name: str, seed: int) -> None:
    model, x, layers = with_few_rows(name, seed)
    flow = flow_of(model, x, layers)
    small = prune(model, flow, x, remove=0.4, tolerance=None, rule=some, compensate=None, seed=seed)
    places = [
        (str(layer), int(index))
        for layer, index in zip(small.removed["layer"], small.removed["index"], strict=True)
    ]
    assert len(places) > 0
    if name == "not traceable":  # the units of the skip are seen at r1 only
        places += [("r2", index) for _, index in places]
    assert (small.removed["how"] == "cut").all()
    assert small.size_after.parameters < small.size_before.parameters
    with torch.no_grad():
        assert torch.allclose(small.model(x), masked(model, x, places), atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_removed_is_the_identity(name: str) -> None:
    model, x, _, layers = network(name)
    small = prune(model, flow_of(model, x, layers), x, progress=False)
    assert len(small.removed) == 0
    with torch.no_grad():
        assert torch.equal(small.model(x), model(x))


@pytest.mark.parametrize("name", NETWORKS)
def test_cut_equals_zeroed_with_every_compensation(name: str) -> None:
    model, x, layers = with_few_rows(name)
    flow = flow_of(model, x, layers)
    options = {"remove": 0.3, "tolerance": None, "rule": some, "progress": False}
    for how in ("linear", "mean", None):
        both = [prune(model, flow, x, **options, compensate=how, cut=cut) for cut in (True, False)]
        with torch.no_grad():
            cut, zeroed = (small.model(x) for small in both)
        assert torch.allclose(cut, zeroed, atol=1e-5)
        assert (both[1].removed["how"] == "zeroed").all()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.filterwarnings("ignore:The model chooses its path by the data")
def test_units_are_found_under_the_names_of_a_recording(name: str) -> None:
    model, x, _, _ = network(name)
    found = unit_weights(Forward(model), (x[:2],))
    recorded = {layer.name: len(layer) for layer in record(model, x).layers[1:-1]}
    assert recorded == {layer: len(found.at[layer]) for layer in recorded}


def groups_of(weights: UnitWeights, units: np.ndarray) -> list[int]:
    return weights.groups.of(units).tolist()


@pytest.mark.parametrize("name", ["residual", "not traceable"])
def test_units_that_are_added_are_one(name: str) -> None:
    model, x, _, _ = network(name)
    found = unit_weights(Forward(model), (x[:2],))
    assert groups_of(found, found.rows["c1"]) == groups_of(found, found.rows["c2"])
    assert groups_of(found, found.columns["head"]) == groups_of(found, found.at["r1"])
    assert found.groups.has_fixed_width(found.columns["c1"]).all()
    assert found.groups.has_fixed_width(found.rows["head"]).all()
    assert not found.groups.has_fixed_width(found.rows["c2"]).any()


def test_a_residual_stream_loses_a_channel_everywhere() -> None:
    model, x, _, layers = network("residual")
    small = prune(model, flow_of(model, x, layers), x, remove={"r1": 0.34}, tolerance=None)
    net = small.model
    assert isinstance(net, ResidualCNN)
    assert net.c1.out_channels == net.c2.out_channels == net.c2.in_channels == net.b2.num_features == 4
    assert net.head.in_features == 4
    assert sorted(small.removed["layer"].unique()) == ["r1", "r2"]


def test_a_unit_read_by_layer_norm_is_zeroed_and_the_result_says_so() -> None:
    model, x, _, _ = network("feed-forward block")
    assert isinstance(model, FeedForward)
    with torch.no_grad():
        model.embed.weight[3], model.embed.bias[3] = 0, 0
        model.down.weight[3], model.down.bias[3] = 0, 0
    model.pass_on = nn.Identity()
    flow = flow_of(model, x, ["embed"])
    small = prune(model, flow, x, remove="silent")
    assert small.removed[["unit", "how"]].to_numpy().tolist() == [["embed[3]", "zeroed"]]
    assert "zeroed" in repr(small)
    assert small.score_after < 1e-6


class Unknown(nn.Module):
    """A function that runs on units that cannot be followed, and then again on some that can."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up, self.last = (
            nn.Conv2d(1, 6, 2, 2),
            nn.ConvTranspose2d(6, 4, 2, 2),
            nn.Conv2d(4, 4, 3),
        )
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.up(torch.relu(self.down(x))))
        return self.head(torch.relu(self.last(x)).mean((2, 3)))


def test_a_function_is_counted_where_its_units_are_not_known() -> None:
    torch.manual_seed(0)
    model, x = Unknown().eval(), torch.randn(200, 1, 6, 6)
    found = unit_weights(Forward(model), (x[:2],))
    assert "relu#2" not in found.at
    assert found.at["relu#3"].tolist() == found.rows["last"].tolist()


class Grown(nn.Module):
    """A DenseNet block: every convolution adds channels that are seen beside those before."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.more = nn.ModuleList([nn.Conv2d(4 + 2 * step, 2, 3, padding=1) for step in range(3)])
        self.norm, self.head = nn.BatchNorm2d(10), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for each in self.more:
            x = torch.cat([x, each(torch.relu(x))], dim=1)
        return self.head(torch.relu(self.norm(x)).mean((2, 3)))


def test_every_convolution_of_a_dense_block_keeps_a_channel() -> None:
    torch.manual_seed(0)
    model, x = Grown().eval(), torch.randn(200, 1, 6, 6)
    flow = measured(model, x)

    def newest_first(problem: PruningProblem, units: np.ndarray, seed: int) -> Float[np.ndarray, " unit"]:
        return -units.astype(np.float64)

    small = prune(model, flow, x, remove=0.5, tolerance=None, rule=newest_first)
    assert (small.removed["how"] == "cut").all()
    assert [each.out_channels for each in small.model.get_submodule("more").children()] == [1, 1, 1]
    assert small.size_after.parameters < small.size_before.parameters


def test_units_that_are_removed_together_are_one_whatever_the_order() -> None:
    groups = UnitGroups()
    a, b, c = groups.new(3), groups.new(3), groups.new(3)
    groups.join(c, b)
    groups.keep_width(b[:1])
    groups.join(b, a)
    assert groups.of(a).tolist() == groups.of(b).tolist() == groups.of(c).tolist()
    assert groups.has_fixed_width(a).tolist() == [True, False, False]


def test_both_factors_of_a_product_are_one() -> None:
    model, x, _, _ = network("gated")
    found = unit_weights(Forward(model), (x[:2],))
    assert found.rows.keys() == {"down", "gate", "head", "up"}
    tied = [groups_of(found, found.rows[name]) for name in ("gate", "up")]
    assert tied[0] == tied[1] == groups_of(found, found.columns["down"])


class Gate(nn.Module):
    """Has no weights, and takes two tensors."""

    def forward(self, units: Tensor, by: Tensor) -> Tensor:
        return units * torch.sigmoid(by)


class Wrapped(nn.Module):
    """Has no weights, and a module inside."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return torch.atan(self.inner(x))


class Gates(nn.Module):
    """A module of two tensors, and one with an activation inside that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.units, self.by = nn.Linear(5, 8), nn.Linear(5, 8)
        self.gate, self.act = Gate(), Wrapped()
        self.next, self.head = nn.Linear(8, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.gate(self.units(x), self.by(x)) if x.sum() < 1e9 else -x
        return self.head(self.act(self.next(self.act(x))))


@pytest.mark.filterwarnings("ignore:The model chooses its path by the data")
def test_modules_of_several_tensors_and_with_modules_inside_are_followed_by_their_names() -> None:
    model, x = Gates(), torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    found = unit_weights(Forward(model), (x[:2],))
    tied = [groups_of(found, units) for units in (found.at["gate"], found.rows["by"])]
    assert tied[0] == tied[1] == groups_of(found, found.columns["next"])
    recorded = [layer.name for layer in record(model, x).layers[1:-1]]
    assert set(recorded) <= found.at.keys() and "act#3" not in found.at
    pruned = prune(model, flow_of(model, x, ["gate"]), x, remove=0.5, tolerance=None, progress=False)
    assert pruned.removed["how"].tolist() == ["cut"] * 4


class Lost(nn.Module):
    """A sum with what no module has made, and units that are more behind a padding."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(5, 5), nn.Linear(5, 8)
        self.summed, self.padded = nn.ReLU(), nn.ReLU()
        self.one, self.two, self.head = nn.Linear(5, 3), nn.Linear(10, 3), nn.Linear(15, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x if x.sum() < 1e9 else 2 * x
        return self.ends(self.summed(self.left(x) + x), self.padded(functional.pad(self.right(x), (0, 2))))

    def ends(self, summed: Tensor, padded: Tensor) -> Tensor:
        return self.one(summed) + self.two(padded)


class SideBySide(Lost):
    """The same, one beside the other."""

    def ends(self, summed: Tensor, padded: Tensor) -> Tensor:
        return self.head(torch.cat([summed, padded], dim=1))


def test_units_that_are_not_those_of_a_module_are_not_taken_for_them() -> None:
    found = unit_weights(Forward(Lost()), (torch.randn(2, 5),))
    assert found.at.keys() == {"left", "right", "padded", "one", "two"}
    assert found.groups.has_fixed_width(found.rows["left"]).all()
    units = found.at["padded"]
    assert units[:8].tolist() == found.rows["right"].tolist()
    assert found.groups.has_fixed_width(units).tolist() == [False] * 8 + [True] * 2
    found = unit_weights(Forward(SideBySide()), (torch.randn(2, 5),))
    assert found.columns["head"][5:].tolist() == found.at["padded"].tolist()
    assert found.groups.has_fixed_width(found.columns["head"][:5]).all()


@pytest.mark.parametrize(
    ("module", "apart"),
    [
        (nn.Softshrink(), True),
        (Swish(), True),
        (nn.ReLU(inplace=True), True),
        (nn.Dropout().eval(), True),
        (nn.Softmax(-1), False),
        (nn.LayerNorm(6, elementwise_affine=False), False),
        (nn.ChannelShuffle(3), False),
        (nn.Linear(6, 6), False),
        (nn.Flatten(0), False),
        (Gate(), False),
    ],
    ids=str,
)
def test_what_treats_numbers_apart_is_found_by_trial(module: nn.Module, apart: bool) -> None:
    given = torch.randn(2, 6, 6, 6)
    before = given.clone()
    assert treats_numbers_apart(module, given) == apart
    assert torch.equal(given, before)
