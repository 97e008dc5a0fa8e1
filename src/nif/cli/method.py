"""The options of `nif measure` that choose the method, and the method that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nif.cli.options import PATH, chosen

if TYPE_CHECKING:
    import pandas as pd

    from nif.measures.measure import Measure

DEFAULT = "currents"
"""The method where none is named, and no option of the other is given."""

OF_METHOD = {
    "association": ("estimator", "noise", "rows", "blocks"),
    "currents": (
        "decision",
        "target",
        "background",
        "explain",
        "backgrounds",
        "noise",
        "rows",
        "steps",
        "blocks",
    ),
}
"""Options that apply to each method; all others of `nif measure` apply to both."""

DECISIONS = ("softmax", "probabilities", "bernoulli", "value", "labels")


def _steps(_: Any, __: Any, text: str | None) -> int | str | None:
    if text is None or text == "auto":
        return text
    if not text.isdigit() or int(text) < 1:
        raise click.BadParameter(f"{text!r} is neither a whole number of 1 or more nor 'auto'.")
    return int(text)


def _target(_: Any, __: Any, text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    layer, _colon, index = text.rpartition(":")
    if not layer or not index.removeprefix("-").isdigit():
        raise click.BadParameter(f"{text!r} names no unit; expected LAYER:INDEX, such as relu2:5.")
    return layer, int(index)


OPTIONS = (
    click.option(
        "--method",
        type=click.Choice(tuple(OF_METHOD)),
        help="currents, the default: what the decision uses. association, the default with --estimator: "
        "what units tell of each other.",
    ),
    click.option(
        "--noise",
        type=float,
        help="association: deviation of the channel behind each unit, in deviations of that unit; 0 if "
        "omitted. currents: deviation of the noise of a value, in deviations of that output; 0.2 if omitted.",
    ),
    click.option(
        "--rows",
        type=click.IntRange(min=1),
        help="association: number of rows to draw at random from larger data; 100,000 if omitted. currents: "
        "number of rows to explain; 512 if omitted.",
    ),
    click.option(
        "--decision",
        type=click.Choice(DECISIONS),
        help="currents: what the outputs decide; labels asks about the column of --label. What the network "
        "computes last if omitted.",
    ),
    click.option(
        "--target",
        metavar="LAYER:INDEX",
        callback=_target,
        help="currents: a unit that is the decision in place of the output, such as relu2:5; or "
        "output:T, position T of an output that has positions.",
    ),
    click.option(
        "--background",
        type=PATH,
        help="currents: rows that stand for what is not known, as a file of the same columns; the other rows "
        "of data if omitted.",
    ),
    click.option(
        "--explain",
        type=PATH,
        help="currents: rows to explain in place of rows of data, as a file of the same columns.",
    ),
    click.option(
        "--backgrounds", type=click.IntRange(min=1), help="currents: backgrounds of each row; 32 if omitted."
    ),
    click.option(
        "--steps",
        callback=_steps,
        metavar="NUMBER|auto",
        help="currents: steps of the way from a background to a row; auto if omitted.",
    ),
    click.option(
        "--blocks",
        type=click.IntRange(min=1),
        help="Number of rows that follow each other and depend on each other, as in a time series, for the "
        "errors; rows are independent if omitted.",
    ),
    click.option("--memory", default="1GB", show_default=True, help="Limit of a block in each process."),
    click.option("--jobs", type=int, help="Processes; one with its own threads if omitted."),
)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add them to a command, in this order."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def method(name: str | None, given: Mapping[str, Any]) -> Measure:
    """The method of a name with the options that were given; without a name, the one that has the options.

    Raises:
        UsageError: An option does not apply to the method.
    """
    from nif.measures.association.association import Association
    from nif.measures.currents.currents import Currents

    known = {option: value for option, value in given.items() if value is not None}
    name = name or ("association" if "estimator" in known else DEFAULT)
    for option in known:
        if option not in OF_METHOD[name]:
            other = next(other for other in OF_METHOD if option in OF_METHOD[other])
            raise click.UsageError(f"--{option} applies to --method {other}, and the method is {name}.")
    if name == "association":
        chosen_options = {option: known[option] for option in ("noise", "rows", "blocks") if option in known}
        return Association(chosen(known.get("estimator")), **chosen_options)
    files = ("background", "explain")
    return Currents(**{option: value for option, value in known.items() if option not in files})


def rows_like(path: Path | None, features: str | None, columns: pd.DataFrame | Any) -> Any:
    """The rows of a file, with the columns of the data; None without a file.

    Args:
        path: Of the file.
        features: As for the data.
        columns: The data; a frame has columns that are looked for by name.
    """
    import pandas as pd

    from nif.cli.data import read
    from nif.core.errors import unknown

    if path is None:
        return None
    found = read(path, features).x
    if not (isinstance(columns, pd.DataFrame) and isinstance(found, pd.DataFrame)):
        return found
    for name in columns.columns:
        if name not in found.columns:
            raise unknown(f"column in {path}:", name, found.columns)
    return found[list(columns.columns)]
