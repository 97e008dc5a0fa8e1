"""Plots of tables: pruning curves, and estimators by error and time."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from drawings import assert_readable, texts_of
from nif.core.errors import InputError

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib.axes import Axes  # noqa: E402

from nif import plots  # noqa: E402
from nif.plots.estimator_comparison import frontier  # noqa: E402


def pruned() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        (rule, share, 0.97 - loss * share**3 + 0.01 * rng.normal())
        for rule, loss in (("redundancy", 0.1), ("magnitude", 0.4), ("random", 0.6))
        for share in (0.1, 0.5, 0.9)
        for _ in range(4)
    ]
    return pd.DataFrame(rows, columns=["rule", "removed", "score"])


def test_a_curve_is_the_mean_over_seeds_with_its_error() -> None:
    results = pruned()
    ax = plots.pruning(results, before=0.97)
    line, _, (bars,) = ax.containers[1].lines
    seeds = results.query("rule == 'magnitude'").groupby("removed")["score"]
    np.testing.assert_allclose(np.asarray(line.get_ydata(), float), seeds.mean())
    half = [float(np.ptp(segment[:, 1])) / 2 for segment in bars.get_segments()]
    np.testing.assert_allclose(half, seeds.std() / 2)
    assert_readable(ax)


def test_estimators_stand_at_their_time_and_error_and_names_apart() -> None:
    rng = np.random.default_rng(0)
    rows = [
        (f"Estimator{i}()", s, e * sign)
        for i, (s, e) in enumerate(10 ** rng.uniform(-2, -1, (12, 2)))
        for sign in (-1, 1)
    ]
    ax = plots.estimators(pd.DataFrame(rows, columns=["estimator", "seconds", "error"]))
    np.testing.assert_allclose(ax.collections[0].get_offsets(), np.abs([row[1:] for row in rows[::2]]))
    names = [text for text in texts_of(ax.figure) if text.get_text().startswith("Estimator")]
    assert len(names) == 12
    boxes = [text.get_window_extent() for text in names]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_the_frontier_is_what_nothing_beats() -> None:
    found = np.random.default_rng(0).uniform(size=(40, 2))
    best = frontier(found)
    for row in range(40):
        beaten = ((found <= found[row]).all(axis=1) & (found < found[row]).any(axis=1)).any()
        assert (row in best) == (not beaten)


BAD_TABLES = {
    "no column": (plots.pruning, pruned().drop(columns="score"), "no column 'score'"),
    "no rows": (plots.pruning, pruned().head(0), "no rows"),
    "text": (plots.pruning, pruned().assign(score="high"), "'score'"),
    "NaN": (plots.pruning, pruned().assign(score=np.nan), "'score'"),
    "no time": (
        plots.estimators,
        pd.DataFrame({"estimator": ["a"], "seconds": [0.0], "error": [0.1]}),
        "seconds that a pair took",
    ),
}


@pytest.mark.parametrize(("draw", "table", "message"), BAD_TABLES.values(), ids=BAD_TABLES.keys())
def test_tables_that_can_not_be_drawn_are_refused(
    draw: Callable[..., Axes], table: pd.DataFrame, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        draw(table)
