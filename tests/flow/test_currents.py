"""A flow of currents: its tables, its file, and what it refuses."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nif
from nif.core.types import CurrentTables, Total, UnitCurrents
from nif.flow.flow import Flow, example


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


REFUSED: dict[str, Any] = {
    "paths": lambda flow, path: flow.paths("left", "yes"),
    "report": lambda flow, path: flow.report(path / "flow.html"),
    "show": lambda flow, path: flow.show(),
    "bands": lambda flow, path: nif.plots.communities(flow),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_multiplies_links_is_refused(name: str, flow: Flow, tmp_path: Path) -> None:
    with pytest.raises(nif.InputError, match="for association only"):
        REFUSED[name](flow, tmp_path)
    assert list(tmp_path.iterdir()) == []


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
