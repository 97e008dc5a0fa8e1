"""nif layers"""

from __future__ import annotations

from pathlib import Path

import click

from nif.cli import options


@click.command()
@options.MODEL
@options.DATA
@options.WEIGHTS
@options.FEATURES
@options.LABEL
@options.OUTPUT
def layers(
    *,
    model: str,
    data: Path,
    weights: Path | None,
    features: str | None,
    label: str | None,
    of_several: int | str | None,
) -> None:
    """List the layers of a network that would be measured, and which feeds which."""
    from nif.cli.data import read
    from nif.cli.models import network
    from nif.demo.tables import table
    from nif.recording import layers as found_layers

    found = found_layers(network(model, weights), read(data, features, label).x, output=of_several)
    cells = {
        "name": list(found["name"]),
        "kind": list(found["kind"]),
        "units": [str(units) for units in found["units"]],
        "shape": ["x".join(map(str, shape)) for shape in found["shape"]],
        "feeds": [", ".join(names) for names in found["feeds"]],
    }
    click.echo(table(cells, left=2))
