"""The figure of known and used: where units are drawn, what is named, and that it can be read."""

from __future__ import annotations

import numpy as np
import pytest

import nif
from nif.core.errors import InputError
from nif.flow.flow import Flow
from support.drawings import assert_apart, assert_readable, texts_of
from support.flows import current_flow, with_currents
from support.known_flows import known_flow

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from nif import plots  # noqa: E402


def flows(sizes: list[int], seed: int = 0) -> tuple[Flow, Flow]:
    """Currents, and what their units tell: the first most, which is not used, and the second nothing."""
    used = current_flow(sizes, seed=seed)
    first = np.full(sizes[0], 0.2)
    first[0] = 0.0
    rest = [units.nats for units in used.currents.units[1:]] if used.currents is not None else []
    known = np.random.default_rng(seed).uniform(0.3, 0.6, sum(sizes))
    known[:2] = 0.9, 0.0
    used = with_currents(used, [first, *rest])
    return known_flow(used, known.tolist()), used


SIZES = {"small": [4, 6, 2], "wide": [64, 32, 16, 10], "deep": [5, *[6] * 9, 2]}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())
def test_the_figure_can_be_read(sizes: list[int]) -> None:
    assert_readable(plots.known_and_used(*flows(sizes)))


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())
def test_it_can_be_read_in_one_column_of_a_paper(sizes: list[int]) -> None:
    figure = pyplot.figure(figsize=(3.5, 2.8), layout="constrained")
    plots.known_and_used(*flows(sizes), ax=figure.subplots())
    assert_apart(figure)


def test_units_are_drawn_at_the_numbers_of_the_table() -> None:
    known, used = flows(SIZES["small"])
    ax = plots.known_and_used(known, used, ax=Figure().subplots())
    table = nif.known_and_used(known, used)
    drawn = np.concatenate([part.get_offsets() for part in ax.collections[:2]])
    np.testing.assert_allclose(drawn, table[["known", "used"]])
    across, upwards = (part.get_segments() for part in ax.collections[-2:])
    assert np.ptp(across[3][:, 0]) == pytest.approx(2 * 1.96 * 0.01, rel=1e-3)
    assert np.ptp(upwards[3][:, 1]) == pytest.approx(2 * 2.2622 * 0.01, rel=1e-3)  # Student, 9 degrees
    assert all("(nats)" in label for label in (ax.get_xlabel(), ax.get_ylabel()))


def test_outliers_have_a_ring_and_a_name() -> None:
    known, used = flows(SIZES["small"])
    ax = plots.known_and_used(known, used, ax=Figure(figsize=(6.4, 4.6)).subplots())
    table = nif.known_and_used(known, used)
    assert table["outlier"].iloc[:2].tolist() == ["ignored", "synergy"]
    rings = [part for part in ax.collections if part.get_label() in {"ignored", "synergy"}]
    for ring, kind in zip(rings, ("ignored", "synergy"), strict=True):
        expected = table.loc[table["outlier"] == kind, ["known", "used"]]
        np.testing.assert_allclose(ring.get_offsets(), expected)
    names = {text.get_text() for text in texts_of(ax.figure)}
    assert {"input[0]", "input[1]", "input[2]", "input[3]"} <= names
    few = plots.known_and_used(known, used, most=1, ax=Figure(figsize=(6.4, 4.6)).subplots())
    outliers = int((table["outlier"] != "").sum())
    assert f"{outliers - 1} more outlier" in few.get_xlabel()


def test_impossible_options_are_refused() -> None:
    known, used = flows(SIZES["small"])
    with pytest.raises(InputError, match="level is 1; expected a number between 0 and 1"):
        plots.known_and_used(known, used, level=1, most=3)
    with pytest.raises(InputError, match="association is a flow of currents"):
        plots.known_and_used(used, used)
