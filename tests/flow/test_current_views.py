"""Weights, heads, differences and ranks of a flow of currents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import nif
from nif.core.errors import InputError
from nif.core.types import CurrentTables, Total, UnitCurrents
from nif.core.weights import HeadCurrents, StoredWeight
from nif.flow.current_views import carrying_weights, p_values
from nif.flow.flow import Flow, example

DEVIATIONS = np.array([[0.03, 0.03, -0.01], [-0.03, -0.03, 0.02], [0.0, 0.01, -0.01]])
"""Three estimates, each without a group of rows, of three features."""


def units(nats: list[float], deviations: np.ndarray | None = None) -> UnitCurrents:
    values = np.array(nats)
    if deviations is None:
        deviations = np.zeros((3, len(nats)))
    stderr = np.linalg.norm(deviations, axis=0)
    return UnitCurrents(values, stderr, np.abs(values), stderr, deviations)


@pytest.fixture
def flow() -> Flow:
    """Two features, two hidden units and one output; the first weight is that of the links, transposed."""
    plain = example()
    dense = StoredWeight(("second.weight", "tied.weight"), (2, 2), nats=np.array([[0.5, -0.2], [0, 0.1]]),
                         stderr=np.full((2, 2), 0.05))  # fmt: skip
    sparse = StoredWeight.of(["table.weight"], np.diag([0.3, 0.0, 0.0]), np.diag([0.1, 0.0, 0.0]))
    tables = CurrentTables(
        Total(0.8, 0.05),
        (units([0.9, -0.1], DEVIATIONS[:, :2]), units([0.8, 0.0], DEVIATIONS[:, 1:]), units([0.8])),
        ("decision",),
        np.array([[0.9], [-0.1]]),
        np.full((2, 1), 0.01),
        (StoredWeight(("first.weight",), (2, 2), links=0, transposed=True), dense, sparse),
        (HeadCurrents("attention.out_proj", np.array([0.5, 0.0]), np.array([0.1, 0.0])),),
    )
    measured = replace(plain.measurement, method="Currents()", options={"decision": "one of 2 classes"})
    return replace(plain, currents=tables, measurement=measured)


def test_weights_lie_as_their_parameters(flow: Flow) -> None:
    assert flow.weight_names == ["first.weight", "second.weight", "tied.weight", "table.weight"]
    links = flow.links[0]
    first = flow.weights("first.weight")
    for name in ("nats", "stderr", "p_value"):
        np.testing.assert_array_equal(getattr(first, name), links.dense(name).T)
    np.testing.assert_array_equal(flow.weights("tied.weight").nats, [[0.5, -0.2], [0, 0.1]])
    table = flow.weights("table.weight")
    np.testing.assert_array_equal(table.nats, np.diag([0.3, 0, 0]))
    assert (table.p_value[table.nats == 0] == 1).all() and table.p_value[0, 0] < 0.2


def test_the_strongest_weights_are_largest_either_way(flow: Flow) -> None:
    table = flow.weights("second.weight").strongest(3)
    assert table[["row", "column"]].to_numpy().tolist() == [[0, 0], [0, 1], [1, 1]]
    assert table["nats"].tolist() == [0.5, -0.2, 0.1]
    assert len(flow.weights("second.weight").strongest(100)) == 4


def test_a_parameter_without_currents_is_refused(flow: Flow) -> None:
    with pytest.raises(nif.InputError, match=r"'first.bias'.*'first.weight'.*added.*carry nothing"):
        flow.weights("first.bias")


def test_heads_are_a_table(flow: Flow) -> None:
    table = flow.heads()
    assert list(table.index) == [("attention.out_proj", 0), ("attention.out_proj", 1)]
    assert table["p_value"].tolist() == pytest.approx([0.0377, 1.0], abs=1e-4)
    assert flow.currents is not None
    assert len(replace(flow, currents=replace(flow.currents, heads=())).heads()) == 0


def test_a_difference_has_the_error_of_what_varies_together(flow: Flow) -> None:
    difference = flow.difference("left", "right")
    assert float(difference) == pytest.approx(1.0)
    assert difference.stderr == pytest.approx(0.01)  # not hypot(.042, .044): they vary together
    assert 0 < difference.p_value < 1e-3
    to_hidden = flow.difference("right", ("hidden", 0))
    assert (to_hidden.nats, to_hidden.stderr) == (pytest.approx(-0.9), 0.0)
    assert flow.difference("left", "left").p_value == 1


def with_features(nats: list[float], deviations: np.ndarray) -> Flow:
    flow = example()
    layer = replace(flow.layers[0], units=tuple("abcdefgh"[: len(nats)]))
    values, still = np.ones((len(nats), 2)), np.zeros_like(deviations)
    links = (replace_links(flow, values), flow.links[1])
    tables = CurrentTables(
        Total(1.0, 0.1),
        (units(nats, deviations), units([0.5, 0.5], still[:, :2]), units([1.0], still[:, :1])),
        ("decision",),
        np.array(nats)[:, None],
        np.zeros((len(nats), 1)),
    )
    constant = (np.zeros(len(nats), dtype=bool), *flow.constant[1:])
    return replace(flow, layers=(layer, *flow.layers[1:]), links=links, constant=constant, currents=tables)


def replace_links(flow: Flow, values: np.ndarray) -> nif.core.types.Links:
    return type(flow.links[0])(0, 1, values, values, values, values)


def test_ranks_tie_what_is_not_told_apart() -> None:
    generator = np.random.default_rng(0)
    deviations = generator.normal(size=(10, 5)) * 0.003
    table = with_features([0.5, 0.2, 0.201, 0.0, -0.3], deviations).ranks()
    assert list(table.index) == ["a", "c", "b", "d", "e"]
    assert table["rank"].tolist() == [1, 2, 2, 4, 5]
    assert table["last"].tolist() == [1, 3, 3, 4, 5]


def test_features_that_carry_nothing_share_a_rank() -> None:
    table = with_features([0.5, 0.0, 0.0], np.array([[0.01, 0, 0], [-0.01, 0, 0]] * 5)).ranks()
    assert table["rank"].tolist() == [1, 2, 2] and table["last"].tolist() == [1, 3, 3]


@pytest.mark.parametrize("alpha", [0, 1, -0.1])
def test_levels_of_ranks_are_checked(flow: Flow, alpha: float) -> None:
    with pytest.raises(nif.InputError, match="alpha is"):
        flow.ranks(alpha)


@pytest.mark.parametrize("call", [
    lambda flow: flow.weights("0.weight"),
    lambda flow: flow.heads(),
    lambda flow: flow.ranks(),
    lambda flow: flow.difference("left", "right"),
])  # fmt: skip
def test_association_has_none_of_these(call: object) -> None:
    with pytest.raises(nif.InputError, match=r"association, which has no .* nif.Currents\(\)"):
        call(example())  # type: ignore[operator]


def test_a_file_holds_weights_heads_and_deviations(flow: Flow, tmp_path: Path) -> None:
    flow.save(tmp_path / "flow.safetensors")
    loaded = nif.load(tmp_path / "flow.safetensors")
    assert loaded == flow
    for name in flow.weight_names:
        np.testing.assert_array_equal(loaded.weights(name).nats, flow.weights(name).nats)
    pd.testing.assert_frame_equal(loaded.heads(), flow.heads())
    assert loaded.difference("left", "right") == flow.difference("left", "right")
    assert flow.currents is not None
    assert loaded != replace(flow, currents=replace(flow.currents, heads=()))


def test_a_file_of_a_part_keeps_the_strongest_weights(flow: Flow, tmp_path: Path) -> None:
    flow.save(tmp_path / "flow.safetensors", keep=0.8)
    loaded = nif.load(tmp_path / "flow.safetensors")
    np.testing.assert_array_equal(loaded.weights("second.weight").nats, [[0.5, -0.2], [0, 0]])
    np.testing.assert_array_equal(loaded.weights("table.weight").nats, np.diag([0.3, 0, 0]))


def test_weights_that_carry_a_part_are_as_few_as_can_be() -> None:
    weights = [StoredWeight(("a",), (2,), nats=np.array([0.6, -0.3]), stderr=np.ones(2))]
    weights.append(StoredWeight(("b",), (1,), nats=np.array([0.1]), stderr=np.ones(1)))
    kept = carrying_weights(weights, 0.9)
    assert [weight.dense("nats").tolist() for weight in kept] == [[0.6, -0.3], [0.0]]
    assert [weight.dense("nats").tolist() for weight in carrying_weights(weights, 1.0)] == [
        [0.6, -0.3],
        [0.1],
    ]


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 9, 10, 57])
def test_p_values_are_those_of_scipy(degrees: int) -> None:
    t = np.array([0.0, 1e-9, 0.1, 1.0, 2.5, 7.0, 30.0, 1e5, np.inf])
    expected = 2 * stats.t.sf(t, degrees)
    found = p_values(np.where(t > 0, t, 1e-300), np.ones(len(t)), degrees)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-300)


def test_p_values_without_errors_prove_nothing() -> None:
    assert p_values(np.array([0.5, 0.0]), np.zeros(2), 0).tolist() == [1, 1]


class Sentences(nn.Module):
    """One block of attention and a tied weight, as a user measures it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.up, self.relu, self.down = nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return self.down(self.relu(self.up(x.mean(1))))


def test_a_measured_flow_has_all_of_them(tmp_path: Path) -> None:
    x = torch.randn(60, 3, 8, generator=torch.Generator().manual_seed(0))
    net = Sentences()
    flow = nif.measure(net, x, nif.Currents(steps=4), layers=["relu"], progress=False)
    weights = {name: value for name, value in net.named_parameters() if value.dim() > 1}
    assert flow.weight_names == list(weights)
    assert [flow.weights(name).nats.shape for name in weights] == [tuple(w.shape) for w in weights.values()]
    out = flow.weights("attention.out_proj.weight").nats
    heads = flow.heads()["nats"].to_numpy()
    np.testing.assert_allclose(heads, out.sum(0).reshape(2, 4).sum(1), rtol=1e-3, atol=1e-7)
    assert flow.ranks()["rank"].min() == 1
    flow.save(tmp_path / "flow.safetensors")
    assert nif.load(tmp_path / "flow.safetensors") == flow


# Single rows


def test_currents_of_rows_average_to_the_flow_and_sum_to_what_the_row_gives(tmp_path: Path) -> None:
    """The total of a row: the divergence of its decision from the mean decision of its backgrounds."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    x = torch.randn(80, 4)
    flow = nif.measure(net, x, nif.Currents(rows=200, backgrounds=100, steps=4), progress=False)
    features = flow.local()
    weights = features.attrs["weights"]
    assert features.index.tolist() == list(range(80)) and weights.sum() == pytest.approx(1)
    mean = weights @ features.to_numpy()
    np.testing.assert_allclose(mean, flow.neurons().loc["input", "current"], atol=1e-6)
    p = net(x).softmax(1).double().detach()
    exact = (p * (p / p.mean(0)).log()).sum(1)
    np.testing.assert_allclose(features.sum(axis=1), exact, atol=2e-4)
    for row in (0, 41):
        units = flow.local(row)["current"]
        np.testing.assert_allclose(units.loc["input"], features.loc[row])
        np.testing.assert_allclose(units.groupby("layer").sum(), exact[row], atol=2e-4)
    flow.save(tmp_path / "flow.safetensors")
    pd.testing.assert_frame_equal(nif.load(tmp_path / "flow.safetensors").local(41), flow.local(41))


def test_rows_that_were_not_explained_are_refused() -> None:
    net, x = nn.Linear(2, 2), torch.randn(90, 2)
    flow = nif.measure(net, x, nif.Currents(rows=10, backgrounds=8), progress=False)
    known = flow.local().index
    missing = min(set(range(90)) - set(known))
    assert len(known) < 20
    assert flow.rows.tolist() == known.tolist()
    with pytest.raises(InputError, match=f"Row {missing} is not among the {len(known)} explained.*explain="):
        flow.local(missing)
    with pytest.raises(InputError, match="association"):
        nif.measure(net, x, nif.Binned(), progress=False).local(0)
    with pytest.raises(InputError, match="association"):
        nif.measure(net, x, nif.Binned(), progress=False).rows  # noqa: B018
