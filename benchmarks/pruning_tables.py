"""Tables of what rules of pruning lose, on the same networks."""

from __future__ import annotations

import pandas as pd
from scipy import stats

OURS = ["redundancy", "contribution", "throughput", "current"]

DEFAULT = OURS[0]

CELL = ["share", "compensation"]


def tables(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By title, from a row for each seed, fraction, compensation and rule."""
    return {
        "means and standard errors": losses(rows),
        f"points by which {DEFAULT} is ahead of each rule, on the same seeds, with 95 % intervals": behind(
            rows
        ),
        "points ahead of the best other rule, on the same seeds": ahead(rows),
        "squared change of outputs in shares of their variance, linear compensation": moves(rows),
        f"cost left, {DEFAULT} with linear compensation": costs(rows),
    }


def losses(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean loss and its standard error over seeds, by fraction and compensation (rows) and rule (columns)."""
    cells = rows.groupby([*CELL, "rule"], sort=False)["loss"].agg(["mean", "sem"])
    text = cells.apply(lambda cell: f"{cell['mean']:.2f} ± {cell['sem']:.2f}", axis=1)
    return text.unstack("rule")[list(dict.fromkeys(rows["rule"]))].fillna("")


def behind(rows: pd.DataFrame) -> pd.DataFrame:
    """Loss of each rule less that of the default, paired over seeds; above 0 the default is better.

    The last line of a compensation is of all its fractions: of the mean over these for each seed.
    """
    lines = []
    for how, of_how in rows.groupby("compensation", sort=False):
        by = of_how.pivot_table(index=["share", "seed"], columns="rule", values="loss", sort=False)
        if DEFAULT not in by:
            continue
        points = by.drop(columns=DEFAULT).sub(by[DEFAULT], axis=0)
        parts = {str(share): part.droplevel("share") for share, part in points.groupby("share")}
        parts["all"] = points.groupby("seed").mean()
        lines += [
            {"compensation": how, "share": share, **part.apply(_interval).to_dict()}
            for share, part in parts.items()
        ]
    return pd.DataFrame(lines).set_index(["compensation", "share"])


def _interval(points: pd.Series) -> str:
    """A mean with its 95 % interval."""
    half = stats.t.ppf(0.975, max(1, len(points) - 1)) * points.sem() if len(points) > 1 else float("nan")
    return f"{points.mean():+.2f} ({points.mean() - half:+.2f} {points.mean() + half:+.2f})"


def ahead(rows: pd.DataFrame) -> pd.DataFrame:
    """By how many points the best rule of ours is ahead of the best of the others, over the same seeds."""
    lines = []
    for (share, how), lost in rows[~rows["rule"].str.startswith("tp ")].groupby(CELL, sort=False):
        by_rule = lost.pivot(index="seed", columns="rule", values="loss")
        ours = by_rule.columns.isin(OURS)
        if ours.all() or not ours.any():
            continue
        own, other = (str(by_rule.loc[:, which].mean().idxmin()) for which in (ours, ~ours))
        points = (by_rule[other] - by_rule[own]).agg(["mean", "sem"])
        text = f"{points['mean']:.2f} ± {points['sem']:.2f}"
        lines.append({"share": share, "compensation": how, "ours": own, "other": other, "ahead": text})
    return pd.DataFrame(lines, columns=[*CELL, "ours", "other", "ahead"]).set_index(CELL)


def moves(rows: pd.DataFrame) -> pd.DataFrame:
    """How far the outputs move with linear compensation: the accuracy of a few thousand rows is coarser."""
    chosen = rows[rows["compensation"] == "linear"]
    return chosen.pivot_table(index="share", columns="rule", values="moved", sort=False).round(4)


def costs(rows: pd.DataFrame) -> pd.DataFrame:
    """The remaining cost of the network, as fractions, with the default rule and compensation."""
    chosen = rows[(rows["rule"] == DEFAULT) & (rows["compensation"] == "linear")]
    return chosen.groupby("share")[["parameters", "operations", "file", "time"]].mean().astype(float).round(3)
