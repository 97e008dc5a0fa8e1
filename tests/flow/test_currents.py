"""A flow of currents: its tables, its file, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nif
from nif.core.types import CurrentTables, Total, UnitCurrents
from nif.flow.flow import Flow, example
from nif.flow.strongest import strongest
from support.flows import current_flow


def units(*nats: float) -> UnitCurrents:
    """Currents that are known to a hundredth; absolute ones are larger by as much as .2."""
    values = np.array(nats)
    return UnitCurrents(values, np.full(len(nats), 0.01), np.abs(values), np.zeros(len(nats)))


@pytest.fixture
def flow() -> Flow:
    """The features carry .9 and -.1 of .8 nats, one hidden unit all of it."""
    attribution = np.array([[0.6, 0.3], [0.0, -0.1]])
    tables = CurrentTables(
        Total(0.8, 0.05),
        (units(0.9, -0.1), units(0.8, 0.0), units(0.8)),
        ("no", "yes"),
        attribution,
        np.full((2, 2), 0.01),
    )
    plain = example()
    options = {"decision": "one of 2 classes"}
    measured = replace(plain.measurement, method="Currents()", options=options)
    return replace(plain, currents=tables, measurement=measured)


def test_the_table_of_features_sums_to_the_total(flow: Flow) -> None:
    table = flow.attribution()
    assert list(table.columns) == ["no", "yes"] and list(table.index) == ["left", "right"]
    assert flow.total is not None
    assert table.to_numpy().sum() == pytest.approx(float(flow.total))


def test_shares_are_signed(flow: Flow) -> None:
    shares = flow.shares()
    assert shares["share"].to_dict() == pytest.approx({"left": 1.125, "right": -0.125})
    assert shares["stderr"].to_list() == pytest.approx([0.0125, 0.0125])


def test_units_carry_what_flows_through_them(flow: Flow) -> None:
    table = flow.neurons()
    assert table["current"].to_list() == pytest.approx([0.9, -0.1, 0.8, 0.0, 0.8])
    assert table["inflow"].to_list() == pytest.approx([0.0, 0.0, 0.8, 0.0, 0.8])
    assert table["outflow"].to_list() == pytest.approx([0.9, -0.1, 0.8, 0.0, 0.0])
    assert table["throughput"].to_list() == pytest.approx([1.125, -0.125, 1.0, 0.0, 1.0])
    assert table["silent"].to_list() == [False, False, False, True, False]
    assert table["p_value"].iloc[3] == 1 and table["p_value"].iloc[0] < 1e-6


def test_a_unit_that_is_for_and_against_is_not_silent(flow: Flow) -> None:
    assert flow.currents is not None
    hidden = flow.currents.units[1]
    mixed = replace(hidden, absolute=np.array([0.8, 0.3]))
    tables = replace(flow.currents, units=(flow.currents.units[0], mixed, flow.currents.units[2]))
    assert not replace(flow, currents=tables).by_unit.silent().any()


def test_a_file_holds_the_currents(flow: Flow, tmp_path: Path) -> None:
    path = tmp_path / "flow.safetensors"
    flow.save(path)
    loaded = nif.load(path)
    assert loaded == flow
    assert loaded.total == flow.total
    assert flow.currents is not None
    other = replace(flow, currents=replace(flow.currents, attribution_stderr=np.zeros((2, 2))))
    assert loaded != other


def test_its_text_says_what_is_decided(flow: Flow) -> None:
    assert "0.800 ± 0.050 nats about one of 2 classes\n  Currents()" in repr(flow)
    assert example().total is None


def test_its_text_says_which_measure_it_is_and_what_the_total_is(flow: Flow) -> None:
    options: dict[str, object] = {"decision": "one of 2 classes", "backgrounds": 16}
    measured = replace(flow.measurement, options=options)
    lines = repr(replace(flow, measurement=measured)).splitlines()
    assert lines[0] == "Currents of 2-2-1 units: 6 links, 1 of 5 units silent at 0.05"
    assert lines[1] == "  0.800 ± 0.050 nats about one of 2 classes; 16 backgrounds a row"
    other = replace(measured, options={**options, "total_is": "mean divergence"})
    lines = repr(replace(flow, measurement=other)).splitlines()
    assert lines[1].endswith("about one of 2 classes: mean divergence; 16 backgrounds a row")


def test_the_table_of_a_notebook_has_both_signs(flow: Flow) -> None:
    shown = flow._repr_html_()
    assert "Currents of 2-2-1 units" in shown and "nats for" in shown and "nats in" not in shown
    assert "Largest currents: left 112.5%, right -12.5%" in shown
    assert ">0.900<" in shown and ">-0.100<" in shown


def test_communities_and_graphs_have_the_links_of_either_sign() -> None:
    flow = current_flow([4, 6, 3], seed=4)
    nats = np.concatenate([links.values("nats") for links in flow.links])
    assert (nats < 0).any()
    graph = flow.to_igraph()
    assert sorted(graph.es["nats"]) == pytest.approx(sorted(nats[nats != 0]))
    absolute = replace(
        flow, links=tuple(replace(links, nats=np.abs(links.nats)) for links in flow.links), currents=None
    )
    assert flow.communities.label.tolist() == absolute.communities.label.tolist()
    assert flow.modularity == pytest.approx(absolute.modularity)
    np.testing.assert_allclose(flow.neurons()["betweenness"], absolute.neurons()["betweenness"])
    networkx = flow.to_networkx()
    for _, _, edge in networkx.edges(data=True):
        assert edge["distance"] == pytest.approx(1 / abs(edge["nats"]))


def test_the_strongest_links_of_many_have_either_sign() -> None:
    flow = current_flow([4, 6, 3], seed=4)
    nats = np.concatenate([links.values("nats") for links in flow.links])
    found = strongest(flow.links, flow.graph.sizes, 10, strength=np.abs)
    order = np.argsort(-np.abs(nats))[:10]
    np.testing.assert_allclose(found.nats, nats[order])
    assert found.of == (nats != 0).sum()
    assert found.fraction == pytest.approx(np.abs(nats[order]).sum() / np.abs(nats).sum())


def test_the_largest_currents_come_first_whatever_their_sign() -> None:
    flow = current_flow([4, 6, 3], seed=4, mixed=3.0)
    every, top = flow.edges(), flow.edges(top=20)
    expected = every.sort_values("nats", key=np.abs, ascending=False, kind="stable")[:20]
    assert top.index.tolist() == expected.index.tolist() and (top["nats"] < 0).any()
    plain = replace(flow, currents=None).edges(top=20)
    assert plain.index.tolist() == every.sort_values("nats", ascending=False).index[:20].tolist()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("attribution", np.zeros((3, 2))),
        ("attribution", np.full((2, 2), np.nan)),
        ("attribution_stderr", np.zeros(2)),
    ],
    ids=["shape", "nan", "errors"],
)
def test_arrays_that_do_not_fit_are_refused(name: str, values: np.ndarray, flow: Flow) -> None:
    assert flow.currents is not None
    with pytest.raises(nif.InputError, match=f"{name} of the currents has"):
        replace(flow, currents=replace(flow.currents, **{name: values}))
