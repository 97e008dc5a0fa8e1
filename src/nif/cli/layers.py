"""The command `nif layers`."""

from __future__ import annotations

from pathlib import Path

import click

from nif.cli import options


@click.command()
@options.MODEL
@click.argument("data", type=options.PATH, required=False)
@click.option(
    "--shape",
    "shapes",
    metavar="SIZES",
    multiple=True,
    help="Shape of a row, such as 1,28,28, instead of data; once for each input. Not needed if the network "
    "begins with a Linear layer.",
)
@options.WEIGHTS
@options.FEATURES
@options.LABEL
@options.OUTPUT
@options.JSON
def layers(
    *,
    model: str,
    data: Path | None,
    shapes: tuple[str, ...],
    weights: Path | None,
    features: str | None,
    label: str | None,
    output: int | str | None,
    as_json: bool,
) -> None:
    """List the layers of a network that would be measured, and the layers that each one feeds."""
    from nif.cli import as_json as objects
    from nif.cli.data import columns_as_features, example, read
    from nif.cli.models import network
    from nif.cli.text import table
    from nif.core.errors import InputError
    from nif.network import layers as layers_of

    if data is not None and shapes:
        raise InputError(f"Pass either {data} or --shape, not both.")
    net = network(model, weights)
    if data is None:
        frame = layers_of(net, example(net, shapes), output=output)
    else:
        rows = read(data, features, label)
        with columns_as_features(rows, features):
            frame = layers_of(net, rows.x, output=output)
    if as_json:
        options.echo_json(objects.records(frame))
        return
    frame["shape"] = ["x".join(map(str, shape)) for shape in frame["shape"]]
    frame["feeds"] = [", ".join(names) for names in frame["feeds"]]
    options.echo(table(frame.to_dict("list"), left=2))
