"""Arguments and options that several commands share, each written once."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nif.core.text import visible

if TYPE_CHECKING:
    from nif.estimators.estimate import Estimator

Command = Callable[[Callable[..., Any]], Callable[..., Any]]
"""A decorator of commands."""

PATH = click.Path(path_type=Path)

CLASSES_SHOWN = 10
"""Of the words of a label."""

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
    "--y",
    "--label",
    "label",
    metavar="COLUMN",
    help="Column of the class, or the array of an .npz; not a feature. --label is the same.",
)

FLOW = click.option(
    "--flow",
    "flow_file",
    type=PATH,
    help="File written by nif measure; measured on these rows, with the options below, if omitted.",
)

ASSOCIATION = click.option(
    "--association",
    type=PATH,
    metavar="FLOW",
    help="A flow measured with --method decision_information on the same network and rows: shown is then "
    "what each unit tells of the decision beside what of it is used.",
)

ESTIMATOR = click.option(
    "--estimator",
    metavar="NAME",
    help="mine, binned, gaussian_copula, ksg, info_nce, smile or nwj; chosen by size if omitted.",
)

SEED = click.option("--seed", type=int, default=0, show_default=True, help="Random seed.")

JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object, in nats, for other programs."
)

BITS = click.option(
    "--bits", is_flag=True, help="Show information in bits, not nats; files of flows stay in nats."
)


def added(*options: Command) -> Command:
    """A decorator that adds options to a command, in this order."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


network_and_rows = added(MODEL, DATA, WEIGHTS, FEATURES, LABEL, OUTPUT)
"""The network, and the rows that it is run on."""


def out(content: str, *, required: bool = True) -> Callable[[Any], Any]:
    """The option for the file that is written."""
    return click.option("-o", "--out", type=PATH, required=required, help=content)


def printed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--json`` and ``--bits`` to a command whose text is made while it runs; it gets `as_json`."""

    @functools.wraps(command)
    def run(*, bits: bool, as_json: bool, **given: Any) -> Any:
        from nif.core.unit import shown_in

        if bits and as_json:
            raise click.UsageError("--json prints nats; omit --bits, and divide by ln 2 = 0.693147 for bits.")
        with shown_in("bits" if bits else "nats"):
            return command(as_json=as_json, **given)

    return JSON(BITS(run))


def echo(text: str) -> None:
    """Print lines; what a terminal would act on becomes its escape."""
    click.echo(visible(text, keep="\n"))


def echo_classes(label: str | None, classes: tuple[str, ...] | None) -> None:
    """Say on stderr which output is which class, as a network may have been trained with another order."""
    if classes:
        shown = [f"{index} is {name}" for index, name in enumerate(classes[:CLASSES_SHOWN])]
        more = ", ..." if len(classes) > CLASSES_SHOWN else ""
        text = f"nif: the words of {label} are classes in alphabetical order: {', '.join(shown)}{more}"
        click.echo(visible(text), err=True)


def echo_json(content: Any) -> None:
    """Print one JSON object on a line."""
    click.echo(json.dumps(content, allow_nan=False))


def names(option: str, text: str | None) -> list[str] | None:
    """Names that are separated by commas; None without them.

    Raises:
        InputError: They are separated by something else.

    Example:
        >>> names("--layers", "relu1, relu2")
        ['relu1', 'relu2']
        >>> names("--layers", "relu1;relu2")
        Traceback (most recent call last):
        nif.InputError: --layers is 'relu1;relu2'; separate names by commas, as relu1,relu2.
    """
    from nif.core.errors import InputError

    if text is None:
        return None
    if "," not in text and ";" in text:
        raise InputError(f"{option} is {text!r}; separate names by commas, as {text.replace(';', ',')}.")
    return [name.strip() for name in text.split(",")]


def numbers(option: str, text: str) -> list[int]:
    """Whole numbers that are separated by commas.

    Raises:
        InputError: They are something else, or separated by something else.

    Example:
        >>> numbers("--hidden", "32,16")
        [32, 16]
        >>> numbers("--hidden", "32-16")
        Traceback (most recent call last):
        nif.InputError: --hidden is '32-16'; expected whole numbers separated by commas, as 32,16.
    """
    import re

    from nif.core.errors import InputError

    parts = [part.strip() for part in text.split(",")]
    if all(part.isdigit() for part in parts):
        return [int(part) for part in parts]
    meant = re.findall(r"\d+", text) if re.fullmatch(r"[\d\s,;:x×\-\[\]()]+", text) else []
    like = f"as {','.join(meant)}" if len(meant) > 1 else "such as 10,10"
    raise InputError(f"{option} is {text!r}; expected whole numbers separated by commas, {like}.")


def chosen(estimator: str | None) -> Estimator | None:
    """The estimator of that name, or None."""
    from nif.estimators.inputs import checked_estimator

    found: Estimator | None = checked_estimator(estimator)
    return found
