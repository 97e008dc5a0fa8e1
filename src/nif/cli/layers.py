"""nif layers"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nif.cli import options


@click.command()
@options.MODEL
@click.argument("data", type=click.Path(path_type=Path), required=False)
@click.option(
    "--shape",
    "shapes",
    metavar="SIZES",
    multiple=True,
    help="Of a row, such as 1,28,28, in place of data; once for each input. Not needed if the network begins "
    "with a Linear.",
)
@options.WEIGHTS
@options.FEATURES
@options.LABEL
@options.OUTPUT
def layers(
    *,
    model: str,
    data: Path | None,
    shapes: tuple[str, ...],
    weights: Path | None,
    features: str | None,
    label: str | None,
    of_several: int | str | None,
) -> None:
    """List the layers of a network that would be measured, and which feeds which."""
    from nif.cli.data import read
    from nif.cli.example import example
    from nif.cli.models import network
    from nif.contracts import InputError
    from nif.demo.tables import table
    from nif.recording import layers as found_layers

    if data is not None and shapes:
        raise InputError(f"Both {data} and --shape tell what a row is. Leave one out.")
    net = network(model, weights)
    given: Any = example(net, shapes) if data is None else read(data, features, label).x
    found = found_layers(net, given, output=of_several)
    cells = {
        "name": list(found["name"]),
        "kind": list(found["kind"]),
        "units": [str(units) for units in found["units"]],
        "shape": ["x".join(map(str, shape)) for shape in found["shape"]],
        "feeds": [", ".join(names) for names in found["feeds"]],
    }
    click.echo(table(cells, left=2))
