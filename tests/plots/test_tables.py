"""Plots of tables: pruning curves, and estimators by error and time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from nif.core.errors import InputError
from support.drawings import assert_readable

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib.axes import Axes  # noqa: E402

from nif import plots  # noqa: E402


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


BAD_TABLES = {
    "no column": (plots.pruning, pruned().drop(columns="score"), "no column 'score'"),
    "no rows": (plots.pruning, pruned().head(0), "no rows"),
    "text": (plots.pruning, pruned().assign(score="high"), "'score'"),
    "NaN": (plots.pruning, pruned().assign(score=np.nan), "'score'"),
}


@pytest.mark.parametrize(("draw", "table", "message"), BAD_TABLES.values(), ids=BAD_TABLES.keys())
def test_tables_that_cannot_be_drawn_are_refused(
    draw: Callable[..., Axes], table: pd.DataFrame, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        draw(table)
