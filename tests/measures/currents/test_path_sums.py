"""Currents along paths: they sum to the total in any network, and equal products of slopes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.core.errors import InputError
from nif.core.types import CurrentTables
from nif.measures.currents.decisions import decided_by
from nif.measures.currents.sample import Sample
from nif.network.decision import Decision, Scale
from support.currents import measured, value_on_the_way

FEW: dict[str, Any] = {"rows": 16, "backgrounds": 4, "steps": 2, "paths": 100_000}
"""A sample that paths are evaluated on as a whole, and more paths than there are."""

X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))


def chain(*sizes: int, activation: type[nn.Module], seed: int = 1) -> nn.Sequential:
    torch.manual_seed(seed)
    modules: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        modules += [nn.Linear(before, after), activation()]
    return louder(nn.Sequential(*modules[:-1]))


def louder(net: nn.Module) -> Any:
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2)
    return net


class Residual(nn.Module):
    """Units meet those that a shortcut leads past two weights; the output reads the features too."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.first, self.relu = nn.Linear(3, 4), nn.ReLU()
        self.block = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
        self.out, self.short = nn.Linear(4, 2), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.relu(self.first(x))
        return self.out(hidden + self.block(hidden)) + self.short(x)


class Attention(nn.Module):
    """Slopes between two layers are of several weights, a softmax and a norm."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.encoder = nn.TransformerEncoderLayer(4, 2, 5, batch_first=True)
        self.out = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.encoder(x).mean(1))


class Reader(nn.Module):
    """Token ids: features are positions."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.words, self.hidden, self.relu, self.out = (
            nn.Embedding(9, 3),
            nn.Linear(12, 4),
            nn.ReLU(),
            nn.Linear(4, 2),
        )

    def forward(self, ids: Tensor) -> Tensor:
        return self.out(self.relu(self.hidden(self.words(ids).flatten(1))))


class Branching(nn.Module):
    """Rows run other operations on either side of 0."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.first, self.relu, self.out = louder(nn.Linear(3, 4)), nn.ReLU(), louder(nn.Linear(1, 2))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.relu(self.first(x)).sum(1, keepdim=True) - 1
        return self.out(torch.stack([row if row > 0 else row * 0.3 for row in hidden]))


def convolution() -> nn.Module:
    torch.manual_seed(6)
    hidden = [nn.Conv2d(1, 3, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 2, 2), nn.GELU()]
    return louder(nn.Sequential(*hidden, nn.Flatten(), nn.Linear(2, 3)))


NETWORKS: dict[str, tuple[Any, Tensor, dict[str, Any]]] = {
    "no hidden layer": (lambda: louder(nn.Sequential(nn.Linear(3, 2))), X, {}),
    "two of ReLU": (lambda: chain(3, 5, 4, 2, activation=nn.ReLU), X, {}),
    "three of tanh": (lambda: chain(3, 4, 3, 4, 3, activation=nn.Tanh), X, {}),
    "three of GELU": (lambda: chain(3, 4, 3, 4, 2, activation=nn.GELU), X, {}),
    "a value": (lambda: chain(3, 5, 4, 1, activation=nn.Tanh), X, {}),
    "residual": (Residual, X, {}),
    "convolution": (convolution, torch.randn(20, 1, 5, 5, generator=torch.Generator().manual_seed(1)), {}),
    "groups of features": (convolution, torch.randn(20, 1, 5, 5), {"groups": np.arange(25) % 4}),
    "attention": (Attention, torch.randn(20, 3, 4, generator=torch.Generator().manual_seed(2)), {}),
    "tokens": (Reader, torch.randint(0, 9, (30, 4), generator=torch.Generator().manual_seed(3)), {}),
    "orders": (lambda: chain(3, 4, 3, 2, activation=nn.ReLU), X, {"path": "orders", "steps": 1}),
    "layers that are recorded": (lambda: chain(3, 5, 4, 2, activation=nn.ReLU), X, {"layers": ["0", "2"]}),
}


def tables_of(result: Any) -> CurrentTables:
    assert result.currents is not None and result.currents.paths is not None
    tables: CurrentTables = result.currents
    return tables


@pytest.mark.parametrize(("net", "x", "options"), NETWORKS.values(), ids=NETWORKS.keys())
def test_all_paths_sum_to_the_total_and_those_through_a_unit_to_its_current(
    net: Any, x: Tensor, options: dict[str, Any]
) -> None:
    tables = tables_of(measured(net(), x, **{**FEW, **options}))
    paths = tables.paths
    assert paths is not None and paths.nats.sum() == pytest.approx(tables.total.nats, abs=1e-6)
    assert len(np.unique(paths.units, axis=0)) == len(paths.units)
    assert paths.rows == 16 and paths.evaluated >= len(paths.nats)
    for layer, units in enumerate(tables.units):
        through = np.zeros(len(units.nats))
        known = paths.units[:, layer] >= 0
        np.add.at(through, paths.units[known, layer], paths.nats[known])
        np.testing.assert_allclose(through, units.nats, atol=2e-6 * max(1.0, np.abs(units.nats).sum()))


@pytest.mark.filterwarnings("ignore:The model chooses its path by the data")
@pytest.mark.filterwarnings("ignore:The model runs different operations")
def test_paths_of_a_model_with_branches_sum_to_what_its_inputs_carry() -> None:
    tables = tables_of(measured(Branching(), X, **{**FEW, "rows": 8}))
    assert tables.paths is not None
    for_inputs = float(tables.units[0].nats.sum())
    assert tables.paths.nats.sum() == pytest.approx(for_inputs, rel=1e-5)


@pytest.mark.parametrize("activation", [nn.Tanh, nn.GELU])
def test_paths_are_the_products_of_slopes_of_512_midpoint_steps(activation: type[nn.Module]) -> None:
    net, x = chain(3, 4, 3, 2, activation=activation), X[:8]
    result = measured(net, x, rows=8, backgrounds=7, paths=1000, steps=64)
    tables, twin = tables_of(result), by_products(net, x)
    assert tables.paths is not None and len(tables.paths.nats) == 3 * 4 * 3 * 2
    expected = twin[tuple(tables.paths.units.T)]
    assert twin.sum() == pytest.approx(tables.total.nats, rel=1e-3)
    assert np.abs(tables.paths.nats - expected).max() < 2e-4 * tables.total.nats
    assert (expected < -1e-3 * tables.total.nats).any()  # paths that speak against keep their sign


def by_products(net: nn.Sequential, x: Tensor, steps: int = 512) -> np.ndarray:
    """``[feature, first, second, output]``: a move times the slopes of links, by midpoints in float64.

    Some steps are run at once, on an axis before that of the rows.
    """
    net, x = net.double(), x.double()
    outputs = net(x).detach()
    decided = decided_by(Decision(Scale.LOGIT, 2, True), outputs, None, 0.2, None)
    sample = Sample.of(decided, outputs, 8, 7, np.random.default_rng(0))
    value = value_on_the_way(sample, decided, outputs)
    here, there = x[torch.from_numpy(sample.rows)][:, None], x[torch.from_numpy(sample.backgrounds.index)]
    first, second, third = (net[place].weight.detach() for place in (0, 2, 4))
    total = torch.zeros(3, 4, 3, 2, dtype=torch.float64)
    for some in ((torch.arange(steps, dtype=torch.float64) + 0.5) / steps).split(64):
        stops = some[:, None, None, None]
        before = net[0](there + stops * (here - there)).detach().requires_grad_()
        hidden = net[2](net[1](before)).detach().requires_grad_()
        output = net[4](net[3](hidden)).detach().requires_grad_()
        (one,) = torch.autograd.grad(net[1](before).sum(), before)
        (two,) = torch.autograd.grad(net[3](hidden).sum(), hidden)
        (slope,) = torch.autograd.grad(value(output), output)
        total += torch.einsum(
            "rbi,ki,srbk,lk,srbl,ol,srbo->iklo", (here - there) / steps, first, one, second, two, third, slope
        )
    net.float()
    return total.numpy()


def test_a_path_through_a_unit_whose_outflow_cancels_is_evaluated() -> None:
    """The mean outflow of a unit is near 0: its shares have no bound, and a product of slopes needs none."""
    generator = torch.Generator().manual_seed(7)
    signal, noise = torch.randn(2, 300, generator=generator)
    x = torch.stack([signal + noise, noise], dim=1)
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Identity(), nn.Linear(2, 2, bias=False), nn.Tanh())
    net = nn.Sequential(*net, nn.Linear(2, 1))
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(2))
        net[2].weight.copy_(torch.tensor([[0.5, -0.5], [0.1, 0.1]]))
        net[4].weight.copy_(torch.tensor([[1.0, 0.2]]))
    flow = nif.measure(
        net, x, nif.Currents(rows=32, backgrounds=16, steps=8), layers=["1", "3"], progress=False
    )
    found, unit = flow.paths(k=100), flow.neurons().loc[("1", "1[1]")]
    through = found[[("1", "1[1]") in path for path in found["path"]]]
    assert len(through) == 2 and np.sign(through["current"]).nunique() == 2
    assert through["current"].sum() == pytest.approx(unit["current"], abs=1e-6)
    assert abs(unit["current"]) < 0.3 * unit["absolute"]
    assert found["current"].sum() == pytest.approx(float(flow.total or 0), abs=1e-6)


def test_on_some_rows_paths_are_shares_of_the_total() -> None:
    net, x = (
        chain(3, 5, 4, 2, activation=nn.ReLU),
        torch.randn(200, 3, generator=torch.Generator().manual_seed(8)),
    )
    tables = tables_of(measured(net, x, rows=200, backgrounds=16, paths=100_000))
    paths = tables.paths
    assert paths is not None and (paths.rows, paths.backgrounds) == (64, 8)
    assert paths.nats.sum() == pytest.approx(tables.total.nats, abs=1e-6)
    known = np.zeros(5)
    np.add.at(known, paths.units[:, 1], paths.nats)
    deviations = np.zeros((10, 5))
    np.add.at(deviations, (slice(None), paths.units[:, 1]), paths.deviations)
    apart = np.abs(known - tables.units[1].nats)
    assert (apart > 1e-6).any() and (apart < 4 * np.linalg.norm(deviations, axis=0)).all()


@pytest.mark.slow
def test_paths_have_the_same_bits_in_several_processes_and_with_the_same_seed() -> None:
    net = chain(3, 5, 4, 2, activation=nn.ReLU)
    method = nif.Currents(rows=16, backgrounds=4, steps=4, by_class=False)
    one, two = (nif.measure(net, X, method, n_jobs=jobs, progress=False).currents for jobs in (None, 2))
    assert one is not None and two is not None and one.paths is not None and two.paths is not None
    for name in ("units", "nats", "deviations"):
        np.testing.assert_array_equal(getattr(one.paths, name), getattr(two.paths, name))


def test_many_paths_walk_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    net = chain(3, 5, 4, 2, activation=nn.ReLU)
    whole = tables_of(measured(net, X, **FEW)).paths
    monkeypatch.setattr("nif.measures.currents.path_sums.AT_ONCE", 3000)
    monkeypatch.setattr("nif.measures.currents.path_sums.LARGEST_LEFT", 0)
    parts = tables_of(measured(net, X, **FEW)).paths
    assert whole is not None and parts is not None
    np.testing.assert_array_equal(whole.units, parts.units)
    np.testing.assert_allclose(whole.nats, parts.nats, atol=1e-7)


def test_of_many_features_those_with_the_strongest_links_are_evaluated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = chain(3, 5, 2, activation=nn.ReLU)
    whole = tables_of(measured(net, X, **FEW)).paths
    monkeypatch.setattr("nif.measures.currents.path_sums.MOST_EVALUATED", 20)
    some = tables_of(measured(net, X, **FEW)).paths
    assert whole is not None and some is not None and (whole.evaluated, some.evaluated) == (30, 20)
    known = dict(zip(map(tuple, whole.units.tolist()), whole.nats, strict=True))
    np.testing.assert_allclose(some.nats, [known[tuple(units)] for units in some.units.tolist()], atol=1e-7)
    assert len(some.nats) and abs(some.nats[0]) == pytest.approx(abs(whole.nats[0]))


def test_paths_can_be_left_out_and_must_be_a_number() -> None:
    net = chain(3, 4, 2, activation=nn.ReLU)
    result = measured(net, X, rows=8, backgrounds=4, paths=0)
    assert result.currents is not None and result.currents.paths is None
    with pytest.raises(InputError, match="paths is -1; expected a whole number of 0 or more, or None"):
        nif.Currents(paths=-1)
    with torch.no_grad():
        net[2].weight.zero_()
    silent = measured(net, X, rows=8, backgrounds=4, paths=10)
    assert silent.currents is not None and (
        silent.currents.paths is None or not len(silent.currents.paths.nats)
    )
