"""Arguments and options that several commands share, each written once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nif.core.text import visible

if TYPE_CHECKING:
    from nif.estimators.estimate import Estimator

PATH = click.Path(path_type=Path)

MODEL = click.argument("model", metavar="MODULE:FACTORY")

DATA = click.argument("data", type=PATH)

WEIGHTS = click.option(
    "--weights",
    type=PATH,
    help="State dict as .safetensors, or .pt saved by torch; without it, the weights of the factory.",
)

FEATURES = click.option(
    "--x",
    "features",
    metavar="COLUMNS",
    help="Feature columns, separated by commas; all but the label if omitted. Of an .npz the array, or one "
    "array for each input of a network that takes several, named as the inputs.",
)

OUTPUT = click.option(
    "--output",
    metavar="NAME",
    callback=lambda _, __, name: int(name) if name and name.removeprefix("-").isdigit() else name,
    help="Output to measure (name or index) if the network returns several.",
)

LABEL = click.option(
    "--label", metavar="COLUMN", help="Column of the class, or the array of an .npz; not a feature."
)

ESTIMATOR = click.option(
    "--estimator",
    metavar="NAME",
    help="mine, binned, gaussian_copula, ksg, info_nce, smile or nwj; chosen by size if omitted.",
)

SEED = click.option("--seed", type=int, default=0, show_default=True, help="Random seed.")


def echo(text: str) -> None:
    """Print lines; what a terminal would act on becomes its escape."""
    click.echo(visible(text, keep="\n"))


def out(content: str) -> Callable[[Any], Any]:
    """The option for the file that is written."""
    return click.option("-o", "--out", type=PATH, required=True, help=content)


def chosen(estimator: str | None) -> Estimator | None:
    """The estimator of that name, or None."""
    from nif.estimators.inputs import checked_estimator

    found: Estimator | None = checked_estimator(estimator)
    return found
