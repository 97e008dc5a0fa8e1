"""The options of all commands that measure, and the flow that they make."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nif.cli.options import ESTIMATOR, PATH, added, chosen, names

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from nif.cli.data import Data
    from nif.core.checkpoint import Checkpoint
    from nif.flow.flow import Flow
    from nif.measures.measure import Measure

DEFAULT = "currents"
"""The method where none is named, and no option of the other is given."""

KNOWN = "decision_information"

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
    KNOWN: ("decision", "target", "noise", "rows"),
}
"""Options that apply to each method; all others apply to all."""

MEMORY, REDUCE = "1GB", "mean"

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


class _Methods(click.Choice):
    """One of the methods; an estimator in place of one is told where it belongs."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return str(super().convert(value, param, ctx))
        except click.BadParameter:
            from nif.estimators.named import ESTIMATORS

            if value not in ESTIMATORS:
                raise
            self.fail(f"{value!r} is an estimator of association; pass --estimator {value}.", param, ctx)


OPTIONS = (
    click.option(
        "--method",
        type=_Methods(tuple(OF_METHOD)),
        help="currents, the default: what the decision uses. association, the default with --estimator: "
        f"what units tell of each other. {KNOWN}: what each unit alone tells of the decision.",
    ),
    click.option(
        "--noise",
        type=float,
        help="association: deviation of the channel behind each unit, in deviations of that unit; 0 if "
        "omitted. others: deviation of the noise of a value, in deviations of that output; 0.2 if omitted.",
    ),
    click.option(
        "--rows",
        type=click.IntRange(min=1),
        help="association: number of rows to draw at random from larger data; 100,000 if omitted. currents: "
        f"number of rows to explain; up to 512 if omitted. {KNOWN}: rows drawn of more; 5,000 if omitted.",
    ),
    click.option(
        "--decision",
        type=click.Choice(DECISIONS),
        help="What the outputs decide; labels asks about the column of --y, by currents. What the network "
        "computes last if omitted.",
    ),
    click.option(
        "--target",
        metavar="LAYER:INDEX",
        callback=_target,
        help="A unit that is the decision in place of the output, such as relu2:5; or "
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
        "--backgrounds",
        type=click.IntRange(min=1),
        help="currents: backgrounds of each row; up to 32 if omitted.",
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
    ESTIMATOR,
    click.option(
        "--layers", metavar="NAMES", help="Modules to measure, by name; all non-linearities if omitted."
    ),
    click.option(
        "--reduce",
        help="The value of a channel over its positions: mean, max, or positions, each a sample; mean if "
        "omitted.",
    ),
    click.option("--memory", help=f"Limit of a block in each process; {MEMORY} if omitted."),
    click.option("--jobs", type=int, help="Processes; one with its own threads if omitted."),
    click.option(
        "--scratch",
        type=PATH,
        metavar="DIR",
        help="A folder that all workers of --jobs see, as the same user: model and data are written there "
        "once, and mapped. joblib sends them if omitted.",
    ),
)


options = added(*OPTIONS)


def method(name: str | None, given: Mapping[str, Any]) -> Measure:
    """The method of a name with the options that were given; without a name, the one that has the options.

    Raises:
        UsageError: An option does not apply to the method.
    """
    from nif.measures.association.association import Association
    from nif.measures.association.with_decision import DecisionInformation
    from nif.measures.currents.currents import Currents

    known = {option: value for option, value in given.items() if value is not None}
    name = name or ("association" if "estimator" in known else DEFAULT)
    for option in known:
        if option not in OF_METHOD[name]:
            other = next(other for other in OF_METHOD if option in OF_METHOD[other])
            raise click.UsageError(f"--{option} applies to --method {other}, and the method is {name}.")
    if name == "association":
        return Association(chosen(known.pop("estimator", None)), **known)
    if name == KNOWN:
        return DecisionInformation(**known)
    files = ("background", "explain")
    return Currents(**{option: value for option, value in known.items() if option not in files})


def measured(
    model: nn.Module,
    data: Data,
    given: dict[str, Any],
    *,
    features: str | None,
    output: int | str | None,
    seed: int,
    checkpoint: Checkpoint | None = None,
) -> Flow:
    """The flow of a network on the rows of a file, by the options of a command.

    Args:
        model: The network.
        data: The rows.
        given: The options of `OPTIONS`, None where omitted.
        features: As for `nif.cli.data.read`, for the other files of rows.
        output: As for `nif.measure`, and so are `seed` and `checkpoint`.
    """
    from nif.cli.data import columns_as_features, with_labels
    from nif.pipeline import measure

    apart = ("method", "layers", "reduce", "memory", "jobs", "scratch")
    of_method = {name: value for name, value in given.items() if name not in apart}
    chosen_method = method(given["method"], of_method)
    labels = given["decision"] == "labels"
    if labels and data.y is None:
        raise click.UsageError("--decision labels asks about labels; name their column with --y.")
    if labels and given["explain"] is not None:
        raise click.UsageError(
            "--explain has no labels, which --decision labels asks about; omit one of them."
        )
    with columns_as_features(data, features):
        return measure(
            model,
            # Words too: that their order is that of the outputs is held against these.
            with_labels(data, model) if labels or data.classes else data.x,
            chosen_method,
            background=rows_like(given["background"], features, data.x),
            explain=rows_like(given["explain"], features, data.x),
            layers=names("--layers", given["layers"]),
            class_names=data.classes,
            output=output,
            reduce=given["reduce"] or REDUCE,
            seed=seed,
            memory=given["memory"] or MEMORY,
            n_jobs=given["jobs"],
            checkpoint=checkpoint,
            scratch=given["scratch"],
        )


def loaded_or_measured(
    path: Path | None, model: nn.Module, data: Data, given: dict[str, Any], **options: Any
) -> Flow:
    """The flow of a file, or without one that of these rows, see `measured`.

    Raises:
        UsageError: Options say how to measure, and the file holds what is measured already.
    """
    from nif.flow.file import load

    if path is None:
        return measured(model, data, given, **options)
    for name, value in given.items():
        if value is not None:
            raise click.UsageError(f"--{name} says how to measure, and --flow is measured; omit one of them.")
    return load(path)


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
