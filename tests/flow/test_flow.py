"""The tables of a flow against counts by hand, and what is no flow."""

from __future__ import annotations

import sys
from dataclasses import replace

import igraph
import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control

from nif.core.errors import InputError
from nif.core.types import LINK_ARRAYS, Layer
from nif.flow.flow import Flow
from support.flows import MEASUREMENT, flow_of, links_of, random_flow


def test_edges_list_every_link_with_its_names() -> None:
    flow = random_flow([2, 3, 2], [(0, 2)])
    edges = flow.edges()
    assert list(edges) == [
        "source_layer", "source_unit", "target_layer", "target_unit", "nats", "stderr", "p_value", "q_value",
    ]  # fmt: skip
    every = np.concatenate([found.p_value.ravel() for found in flow.links])
    np.testing.assert_array_equal(edges["q_value"], false_discovery_control(every))
    assert len(edges) == 2 * 3 + 3 * 2 + 2 * 2
    row = edges[(edges["source_unit"] == "input[1]") & (edges["target_unit"] == "relu1[2]")].iloc[0]
    assert row["nats"] == flow.links[0].nats[1, 2] and row["p_value"] == flow.links[0].p_value[1, 2]
    assert row["source_layer"] == "input" and row["target_layer"] == "relu1"


def test_neurons_have_the_columns_of_the_contract() -> None:
    table = random_flow([2, 3, 2]).neurons()
    assert table.index.names == ["layer", "unit"] and table.index.is_unique
    assert list(table) == [
        "inflow", "outflow", "throughput", "p_value", "q_value", "silent", "community", "betweenness",
    ]  # fmt: skip


# Silent units


def p_values_one_by_one(flow: Flow) -> list[float]:
    """The rule in words: the larger of Simes over links in and over links out, constant units left out."""
    values = []
    for layer, found in enumerate(flow.layers):
        for unit in range(len(found)):
            sides = []
            into = [each for each in flow.links if each.target == layer]
            out = [each for each in flow.links if each.source == layer]
            for links, is_in in ((into, True), (out, False)):
                tests = [
                    float((each.p_value[:, unit] if is_in else each.p_value[unit])[other])
                    for each in links
                    for other in range(len(flow.layers[each.source if is_in else each.target]))
                    if not flow.constant[each.source if is_in else each.target][other]
                ]
                if links:
                    sides.append(false_discovery_control(tests).min() if tests else 1.0)
            values.append(1.0 if flow.constant[layer][unit] else max(sides))
    return values


def test_p_values_are_the_larger_of_simes_in_and_out() -> None:
    flow = random_flow([3, 4, 5, 2], [(0, 2), (1, 3)], seed=9)
    flow.constant[1][:] = [True, False, True, False]
    flow.constant[0][1] = True
    table = flow.neurons()
    np.testing.assert_allclose(table["p_value"], p_values_one_by_one(flow))
    heard = ~np.concatenate(flow.constant)
    np.testing.assert_allclose(
        table["q_value"][heard], false_discovery_control(table["p_value"].to_numpy()[heard])
    )
    assert (table["q_value"][~heard] == 1).all() and table["silent"][~heard].all()


def test_only_units_that_hear_and_are_heard_are_not_silent() -> None:
    into = [[1e-6, 1e-6, 0.9, 0.9], [0.8, 0.8, 0.7, 0.6]]
    out = [[1e-6], [0.9], [1e-6], [0.7]]
    ones = np.ones((2, 4))
    flow = flow_of([links_of(ones, p_value=into), links_of(np.ones((4, 1)), 1, 2, p_value=out)], [2, 4, 1])
    assert flow.neurons()["silent"].loc["relu1"].tolist() == [False, True, True, True]
    assert flow.neurons()["silent"].loc["input"].tolist() == [False, True]
    assert flow.silent().index.tolist() == [
        ("input", "input[1]"), ("relu1", "relu1[1]"), ("relu1", "relu1[2]"), ("relu1", "relu1[3]"),
    ]  # fmt: skip


def test_a_layer_behind_constant_units_is_silent() -> None:
    flow = flow_of(
        [links_of(np.ones((2, 2))), links_of(np.ones((2, 1)), 1, 2)], [2, 2, 1], constant=[(1, 0), (1, 1)]
    )
    assert flow.neurons()["silent"].all()


def test_level_decides_who_is_silent() -> None:
    flow = flow_of([links_of([[1.0]], p_value=0.03)], [1, 1])
    assert len(flow.silent(alpha=0.05)) == 0 and len(flow.silent(alpha=0.01)) == 2
    for alpha in (0.0, 1.0, -1.0):
        with pytest.raises(InputError, match="alpha"):
            flow.silent(alpha=alpha)


def test_few_units_are_called_active_when_nothing_flows() -> None:
    active = []
    for seed in range(200):
        generator = np.random.default_rng(seed)
        links = [
            links_of(np.ones((8, 10)), 0, 1, p_value=generator.uniform(size=(8, 10))),
            links_of(np.ones((10, 4)), 1, 2, p_value=generator.uniform(size=(10, 4))),
        ]
        active.append(len(flow_of(links, [8, 10, 4]).silent()) < 22)
    assert np.mean(active) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


# Graphs


def test_graphs_hold_the_links_with_information() -> None:
    flow = random_flow([3, 4, 2], [(0, 2)])
    edges = flow.edges().query("nats > 0")
    found, other = flow.to_igraph(), flow.to_networkx()
    assert isinstance(found, igraph.Graph) and found.is_directed()
    assert found.vcount() == other.number_of_nodes() == 9
    assert found.ecount() == other.number_of_edges() == len(edges)
    assert sorted(found.es["nats"]) == sorted(edges["nats"])
    row = edges.iloc[0]
    ends = (row["source_layer"], row["source_unit"]), (row["target_layer"], row["target_unit"])
    assert other.edges[ends] == {"nats": row["nats"], "distance": 1 / row["nats"]}
    assert other.nodes[ends[0]] == flow.neurons().loc[ends[0]].to_dict()
    assert found.vs[0]["layer"] == "input" and found.vs[0]["unit"] == "input[0]"


def test_units_of_one_name_stay_apart_in_a_graph() -> None:
    flow = random_flow([2, 2])
    same = replace(flow, layers=(Layer("input", "input", ("x", "x")), flow.layers[1]))
    assert same.to_networkx().number_of_nodes() == 4


def test_networkx_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(InputError, match=r"neural-information-flow\[networkx\]"):
        random_flow([2, 2]).to_networkx()


# Shown


def test_repr_says_what_was_measured_and_how() -> None:
    text = repr(random_flow([4, 10, 3]))
    assert "4-10-3" in text and "70 links" in text and "of 17 units silent at 0.05" in text
    assert "Mine(), chosen automatically" in text and "400 samples" in text and "noise=0.1" in text
    assert "2 not converged" in text and len(text.splitlines()) <= 4
    given = replace(random_flow([2, 2]), measurement=replace(MEASUREMENT, options={}))
    assert "automatically" not in repr(given)


def test_html_shows_names_as_text() -> None:
    flow = random_flow([2, 3, 2])
    named = replace(flow, layers=(replace(flow.layers[0], name="<img onerror=x>"), *flow.layers[1:]))
    text = named._repr_html_()
    assert "<img" not in text and "&lt;img" in text
    table = pd.read_html(text)[0] if has_lxml() else None
    assert table is None or table["units"].tolist() == [2, 3, 2]


def has_lxml() -> bool:
    try:
        import lxml  # noqa: F401
    except ImportError:
        return False
    return True


# Equality


def test_flows_are_equal_by_their_bits() -> None:
    flow = random_flow([3, 4, 2])
    assert flow == random_flow([3, 4, 2])
    assert flow != random_flow([3, 4, 2], seed=1) and flow != "flow"
    assert flow != replace(flow, measurement=replace(MEASUREMENT, seed=1))
    assert flow != replace(flow, links=flow.links[::-1])
    other = random_flow([3, 4, 2])
    other.constant[1][0] = True
    assert flow != other


# What is no flow


def changed(**arrays: object) -> Flow:
    flow = random_flow([2, 3, 2])
    return replace(flow, links=(replace(flow.links[0], **arrays), flow.links[1]))


FULL = np.zeros((2, 3))
BAD = {
    "nothing": (lambda: Flow((), (), (), MEASUREMENT), "given 0 layers"),
    "one layer": (lambda: replace(random_flow([2, 2]), layers=random_flow([2, 2]).layers[:1]), "given 1 lay"),
    "no links": (lambda: replace(random_flow([2, 2]), links=()), "0 sets of links"),
    "NaN": (lambda: changed(nats=np.full((2, 3), np.nan)), "6 NaN or infinite"),
    "infinite error": (lambda: changed(stderr=FULL + np.inf), "stderr .* infinite"),
    "negative error": (lambda: changed(stderr=FULL - 1), "stderr .* from -1 to -1; expected 0 to"),
    "p above 1": (lambda: changed(p_value=FULL + 1.1), "p_value .* from 1.1 to 1.1; expected 0 to 1"),
    "turned": (lambda: changed(**dict.fromkeys(LINK_ARRAYS, FULL.T)), r"shape \(3, 2\); expected \(2, 3\)"),
    "backward": (lambda: changed(source=2, target=1), "from layer 2 to layer 1"),
    "onto itself": (lambda: changed(source=1, target=1), "from layer 1 to layer 1"),
    "to nowhere": (lambda: changed(target=3), "one of the 3 layers"),
    "linked twice": (lambda: flow_of([links_of([[1.0]]), links_of([[1.0]])], [1, 1]), "more than once"),
    "flags of another width": (
        lambda: replace(random_flow([2, 2]), constant=(np.zeros(3, bool), np.zeros(2, bool))),
        "one flag for each unit",
    ),
    "flags for another number of layers": (
        lambda: replace(random_flow([2, 2]), constant=(np.zeros(2, bool),)),
        "one flag for each unit",
    ),
    "two layers of one name": (
        lambda: replace(random_flow([2, 2]), layers=(Layer("a", "x", ("1", "2")),) * 2),
        "Two layers are named 'a'",
    ),
    "a picture of another size": (
        lambda: replace(
            random_flow([2, 2]), layers=(Layer("a", "x", ("1", "2"), (2, 2)), Layer("b", "x", ("1", "2")))
        ),
        r"2 units and the shape \(2, 2\)",
    ),
    "a layer without units": (
        lambda: replace(random_flow([2, 2]), layers=(Layer("a", "x", ()), Layer("b", "x", ("1", "2")))),
        "has no units",
    ),
}


@pytest.mark.parametrize(("make", "said"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_a_flow_is_refused(make: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()  # type: ignore[operator]
