"""The answer of a flow in a sentence, and in a few lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtrit

from nif.core.html import short
from nif.core.types import CurrentTables
from nif.core.unit import text_unit
from nif.flow.currents import of_features

if TYPE_CHECKING:
    from nif.flow.flow import Flow

MOST_NAMED = 3
"""Features that the sentence names."""

MUCH = 2 / 3
"""Share of the whole that is enough for it."""

AGAINST = "A negative share speaks against the decision; all shares sum to 100 %."

ERRORS = "± is one standard error, of other rows; the interval holds the share in 95 of 100 cases."

SHOWN = 10
"""Features of the summary."""


def quantile(currents: CurrentTables | None, level: float = 0.95) -> float:
    """Standard errors on each side of an interval; by Student's t of currents, which rest on few groups."""
    if currents is None:
        return float(ndtri((1 + level) / 2))
    return float(stdtrit(currents.degrees, (1 + level) / 2)) if currents.degrees > 0 else np.inf


def headline(flow: Flow) -> str:
    """Which features carry most, of how much, and how many neurons carry nothing.

    Example:
        >>> from nif.flow.flow import example
        >>> headline(example())
        'left carries 100 % ± 0 % of the attribution by association; none of 2 neurons is silent.'
    """
    total = flow.total
    if total is not None and abs(total.nats) <= quantile(flow.currents) * total.stderr:
        return f"The total of {total} cannot be distinguished from 0: nothing is shown to decide."
    if total is not None and total.nats < 0:
        return (
            f"The total of {total} is below 0: the outputs are further from the labels than a guess. "
            "Are the classes numbered as in training?"
        )
    importance = flow.importance()
    if not importance["share"].any():
        return "No path from a feature to an output carries information."
    count = _number_with(MUCH, importance["share"])
    whole = "the attribution by association"
    if total is not None:
        whole = f"the {text_unit().of(total.nats):.2f} {text_unit().name} that decide"
    if count > MOST_NAMED:
        half = _number_with(0.5, importance["share"])
        most = f"{_names(importance, 1)} most, {percent(*_together(flow, 1))}"
        which = f"{half} of {len(importance)} features carry half of {whole}, {most}"
    else:
        carry = "carries" if count == 1 else "carry"
        part, error = _together(flow, count)
        which = f"{_names(importance, count)} {carry} {percent(part, error)} of {whole}"
        which += " (others speak against the decision)" if part > 1.005 else ""
    return f"{which}; {_silent(flow)}."


def percent(share: float, stderr: float | None) -> str:
    """A share with its standard error, to the digits that the error leaves.

    Example:
        >>> percent(0.712, 0.031), percent(0.0524, 0.0028), percent(0.3, None)
        ('71 % ± 3 %', '5.2 % ± 0.3 %', '30 %')
    """
    digits = digits_of(stderr)
    error = "" if stderr is None else f" ± {100 * stderr:.{digits}f} %"
    return f"{100 * share:.{digits}f} %{error}"


def digits_of(stderr: float | None) -> int:
    """Digits of a percentage behind the point that the standard error of the share leaves."""
    return 0 if not stderr else (stderr < 0.0095) + (stderr < 0.00095)


def summary(flow: Flow) -> str:
    """The sentence, the features with the largest shares, and how they were measured."""
    table = flow.importance()[:SHOWN].join(flow.shares()["stderr"])
    width = max([7, *(len(short(str(name), 32)) for name in table.index)])
    digits = max([1, *map(digits_of, table["stderr"])])
    rows = [
        f"{short(str(name), 32):<{width}} {row['share']:>8.{digits}%} {row['stderr']:>9.{digits}%}   "
        f"{row['low']:>7.{digits}%} to {row['high']:.{digits}%}"
        for name, row in table.iterrows()
    ]
    head = f"{'feature':<{width}} {'share':>8} {'± stderr':>9}   95 % interval"
    more = flow.graph.feature_count - len(table)
    left_out = [f"… {more} more features: flow.importance()"] if more > 0 else []
    against = [AGAINST] if (table["share"] < 0).any() else []
    return "\n".join([headline(flow), "", head, *rows, *left_out, ERRORS, *against, "", repr(flow)])


def _number_with(part: float, shares: pd.Series) -> int:
    """The fewest features that have a part of the whole."""
    size = shares.abs().to_numpy()
    return int(np.searchsorted(np.cumsum(size), part * size.sum())) + 1


def _names(importance: pd.DataFrame, count: int) -> str:
    """The first features, listed."""
    names = [short(str(name), 32) for name in importance.index[:count]]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _together(flow: Flow, count: int) -> tuple[float, float | None]:
    """The share of the first features together and its standard error; None where it is not known."""
    shares = flow.shares()
    order = np.argsort(-shares["share"].abs().to_numpy(), kind="stable")[:count]
    share = float(shares["share"].to_numpy()[order].sum())
    if count == 1:
        return share, float(shares["stderr"].to_numpy()[order[0]])
    tables = flow.currents
    known = None if tables is None else of_features(tables, flow.graph.features, "deviations")
    if tables is None or known is None or tables.total.nats == 0:
        return share, None
    return share, float(np.linalg.norm(known[:, order].sum(axis=1))) / abs(tables.total.nats)


def silent_neurons(flow: Flow) -> tuple[int, int]:
    """Silent hidden units, and all of them."""
    table = flow.by_unit.by_layer()
    hidden = [place for place, layer in enumerate(flow.layers[:-1]) if layer.kind != "input"]
    return int(table["silent"].iloc[hidden].sum()), int(table["units"].iloc[hidden].sum())


def _silent(flow: Flow) -> str:
    """How many hidden units carry nothing."""
    count, whole = silent_neurons(flow)
    of = f"{whole} neurons"
    if not whole:
        return "it has no hidden neurons"
    return f"{count} of {of} {'is' if count == 1 else 'are'} silent" if count else f"none of {of} is silent"
