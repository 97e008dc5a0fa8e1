"""Attribution, its error, throughput and strongest paths against paths enumerated one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nif.core.errors import InputError
from nif.core.types import Layer
from nif.flow import paths
from nif.flow.flow import Flow
from nif.flow.paths import Dag
from support.flows import flow_of, links_of, random_flow
from support.naive_paths import all_paths, attribution, mass_through

SHAPES = {
    "one layer of links": ([3, 2], []),
    "chain": ([4, 3, 5, 2], []),
    "residual": ([3, 4, 4, 2], [(1, 3)]),
    "every layer to every later one": ([2, 3, 2, 3, 2], [(0, 2), (0, 3), (0, 4), (1, 3), (1, 4), (2, 4)]),
    "one unit a layer": ([1, 1, 1], [(0, 2)]),
}


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys())
def flow(request: pytest.FixtureRequest) -> Flow:
    sizes, skips = request.param
    return random_flow(sizes, skips, seed=len(sizes))


@pytest.mark.parametrize("clip", [True, False], ids=["clipped", "signed"])
def test_attribution_is_the_sum_over_all_paths(flow: Flow, clip: bool) -> None:
    np.testing.assert_allclose(
        flow.attribution(clip=clip).to_numpy(), attribution(flow, clip=clip), rtol=0, atol=1e-10
    )


def test_order_of_the_links_does_not_matter(flow: Flow) -> None:
    backward = replace(flow, links=flow.links[::-1])
    np.testing.assert_allclose(backward.attribution(), flow.attribution(), rtol=1e-14)
    np.testing.assert_allclose(backward.attribution_stderr(), flow.attribution_stderr(), rtol=1e-14)
    np.testing.assert_allclose(backward.neurons()["throughput"], flow.neurons()["throughput"], rtol=1e-14)


def test_rows_are_features_and_columns_classes() -> None:
    table = random_flow([3, 4, 2]).attribution()
    assert list(table.index) == ["input[0]", "input[1]", "input[2]"] and table.index.name == "feature"
    assert list(table.columns) == ["output[0]", "output[1]"] and table.columns.name == "class"


def test_features_of_several_inputs_stand_one_after_the_other() -> None:
    one, two = links_of([[0.5], [0.2]], 0, 2), links_of([[0.3]], 1, 2)
    last = links_of([[2.0]], 2, 3)
    layers = (
        Layer("left", "input", ("a", "b")),
        Layer("right", "input", ("c",)),
        Layer("relu", "ReLU", ("r",)),
        Layer("output", "Linear", ("y",)),
    )
    flags = tuple(np.zeros(len(layer), dtype=bool) for layer in layers)
    both = Flow(layers, (one, two, last), flags, random_flow([1, 1]).measurement)
    assert both.attribution()["y"].to_dict() == {"a": 1.0, "b": 0.4, "c": 0.6}
    assert both.attribution_stderr().shape == (3, 1)
    shares = both.neurons()["throughput"]
    assert shares["left"].sum() + shares["right"].sum() == pytest.approx(1)
    assert shares["relu"].tolist() == [1.0]


# Standard error


def perturbed(dag: Dag, generator: np.random.Generator) -> Dag:
    links = [replace(found, nats=generator.normal(found.nats, found.stderr)) for found in dag.links]
    return Dag(dag.sizes, tuple(links), dag.features)


@pytest.mark.slow
@pytest.mark.parametrize("clip", [True, False], ids=["clipped", "signed"])
def test_standard_error_is_the_spread_under_the_errors_of_the_links(clip: bool) -> None:
    flow = random_flow([3, 5, 4, 2], [(0, 2), (1, 3)], seed=2, stderr=0.002)
    generator = np.random.default_rng(0)
    drawn = (perturbed(flow.graph, generator) for _ in range(1500))
    draws = np.stack([paths.attribution(dag, clip=clip) for dag in drawn])
    found = flow.attribution_stderr(clip=clip).to_numpy()
    np.testing.assert_allclose(found, draws.std(axis=0), rtol=0.06)


@pytest.mark.slow
def test_intervals_cover_the_true_attribution() -> None:
    truth = random_flow([4, 6, 3], [(0, 2)], seed=3, stderr=0.02).graph
    generator = np.random.default_rng(1)
    inside, attribution = [], paths.attribution(truth, clip=False)
    for _ in range(750):
        seen = perturbed(truth, generator)
        error = paths.attribution(seen, clip=False) - attribution
        inside.append(np.abs(error) <= 1.96 * paths.attribution_stderr(seen, clip=False))
    assert 0.93 < np.mean(inside) < 0.97


# Throughput


def test_throughput_is_the_share_of_all_paths_through_a_unit(flow: Flow) -> None:
    total = attribution(flow).sum()
    table = flow.neurons()
    for layer, found in enumerate(flow.layers):
        for unit, name in enumerate(found.units):
            share = mass_through(flow, (layer, unit)) / total
            assert table.loc[(found.name, name), "throughput"] == pytest.approx(share, abs=1e-12)


def test_shares_of_each_layer_of_a_chain_sum_to_one() -> None:
    shares = random_flow([4, 6, 5, 3]).neurons()["throughput"]
    np.testing.assert_allclose(shares.groupby("layer").sum(), 1.0)


def test_few_links_among_many_units_give_what_a_full_table_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    weights = [generator.exponential(size=(40, 40)) * (generator.random((40, 40)) < 0.03) for _ in range(3)]
    flow = flow_of([links_of(nats, layer, layer + 1) for layer, nats in enumerate(weights)], [40] * 4)
    sparse = flow.attribution(), flow.attribution_stderr(), flow.neurons()["throughput"]
    monkeypatch.setattr(paths, "SPARSE", 0.0)
    full = replace(flow)
    dense = full.attribution(), full.attribution_stderr(), full.neurons()["throughput"]
    for found, expected in zip(sparse, dense, strict=True):
        assert np.count_nonzero(expected) > 0
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_shares_of_a_very_deep_network_have_errors() -> None:
    """Its attributions are too small to be squared."""
    deep = 100
    nats = np.full((2, 2), 0.01)
    first = links_of([[0.03, 0.01], [0.01, 0.01]])
    links = [first, *(links_of(nats, layer, layer + 1, stderr=0.0) for layer in range(1, deep))]
    whole = Dag.of(flow_of(links, [2] * (deep + 1)).layers, links)
    shallow = Dag.of(flow_of(links[:2], [2] * 3).layers, links[:2])
    error = paths.shares_stderr(whole)
    np.testing.assert_allclose(paths.shares(whole), paths.shares(shallow))
    np.testing.assert_allclose(error, paths.shares_stderr(shallow))
    assert (error > 0.01).all()


@pytest.mark.parametrize("scale", [2.0**-400, 2.0**150])
def test_errors_of_shares_do_not_depend_on_the_scale_of_a_layer(flow: Flow, scale: float) -> None:
    last = len(flow.layers) - 1
    scaled = [
        replace(one, nats=one.nats * scale, stderr=one.stderr * scale) if one.target == last else one
        for one in flow.links
    ]
    with np.errstate(all="raise", under="ignore"):
        found = paths.shares_stderr(Dag.of(flow.layers, scaled))
    np.testing.assert_allclose(found, paths.shares_stderr(Dag.of(flow.layers, flow.links)), rtol=1e-12)


def test_nats_far_below_their_errors_have_shares_of_large_errors() -> None:
    """What fuzzing found: squares of 1 / nats overflowed."""
    flow = random_flow([3, 4, 3, 2], [(0, 2)], seed=0)
    tiny = [replace(one, nats=one.nats * 1e-300) if one.target == 3 else one for one in flow.links]
    with np.errstate(all="raise", under="ignore"):
        found = paths.shares_stderr(Dag.of(flow.layers, tiny))
    assert np.isfinite(found).all()
    assert (found > 1e290).all()


def test_nothing_passes_where_no_link_is_positive() -> None:
    silent = flow_of([links_of([[-0.1], [0.0]])], [2, 1])
    assert silent.neurons()["throughput"].tolist() == [0.0, 0.0, 0.0]
    assert silent.attribution().to_numpy().tolist() == [[0.0], [0.0]]
    assert len(silent.paths("input[0]", "output[0]")) == 0


# Strongest paths


@pytest.mark.parametrize("k", [1, 3, 1000])
def test_strongest_paths_are_the_first_of_all_paths(flow: Flow, k: int) -> None:
    last = len(flow.layers) - 1
    for feature, name in enumerate(flow.layers[0].units):
        for label, other in enumerate(flow.layers[-1].units):
            expected = all_paths(flow, (0, feature), (last, label))
            found = flow.paths(name, other, k=k)
            assert len(found) == min(k, len(expected))
            assert found.attrs["products"] == [product for product, _ in expected[:k]]
            assert found["path"].tolist() == [named(flow, places) for _, places in expected[:k]]


def named(flow: Flow, places: tuple[tuple[int, int], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((flow.layers[layer].name, flow.layers[layer].units[unit]) for layer, unit in places)


def test_paths_between_hidden_units_and_their_shares() -> None:
    flow = random_flow([3, 4, 4, 4, 2], [(1, 3)], seed=5)
    every = all_paths(flow, (1, 2), (3, 1))
    found = flow.paths(("relu1", 2), ("relu3", "relu3[1]"), k=2)
    np.testing.assert_allclose(found["share"], [p / sum(q for q, _ in every) for p, _ in every[:2]])
    assert list(found.index) == [1, 2]


def test_of_equal_paths_the_first_units_come_first() -> None:
    flow = flow_of([links_of(np.full((1, 6), 0.5)), links_of(np.full((6, 1), 0.5), 1, 2)], [1, 6, 1])
    middle = [path[1][1] for path in flow.paths("input[0]", "output[0]", k=4)["path"]]
    assert middle == ["relu1[0]", "relu1[1]", "relu1[2]", "relu1[3]"]


BAD = {
    "misspelt": (("inptu[0]", "output[0]", 1), "Did you mean 'input[0]'"),
    "unknown layer": ((("relu", 0), "output[0]", 1), "There is no layer 'relu'. Did you mean 'relu1'"),
    "unknown unit of a layer": ((("relu1", "relu1[9]"), "output[0]", 1), "no unit 'relu1[9]'. Did you"),
    "index too large": ((("relu1", 9), "output[0]", 1), "has 3 units; there is no unit 9"),
    "backward": (("output[0]", "input[0]", 1), "paths lead to a later layer"),
    "no paths asked for": (("input[0]", "output[0]", 0), "k is 0; expected a whole number of 1 or more"),
}


@pytest.mark.parametrize(("asked", "said"), BAD.values(), ids=BAD.keys())
def test_units_that_cannot_be_meant_are_refused(asked: tuple, said: str) -> None:
    source, target, k = asked
    with pytest.raises(InputError) as refused:
        random_flow([2, 3, 2]).paths(source, target, k=k)
    assert said in str(refused.value)


def test_a_name_in_several_layers_or_twice_in_one_must_be_told_apart() -> None:
    flow = random_flow([2, 2, 2])
    layers = tuple(replace(layer, units=("same", "same")) for layer in flow.layers)
    same = replace(flow, layers=layers)
    with pytest.raises(InputError, match=r"2 units named 'same'; name one as \('input', 0\)"):
        same.paths("same", ("output", 0))
    hidden = replace(flow, layers=(flow.layers[0], replace(flow.layers[1], units=("h", "x")), flow.layers[2]))
    assert len(hidden.paths("h", "output[0]", k=5)) <= 1
