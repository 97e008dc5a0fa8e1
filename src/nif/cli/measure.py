"""The command `nif measure`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nif.cli import method as methods
from nif.cli import options


@click.command()
@options.network_and_rows
@methods.options
@options.SEED
@click.option(
    "--checkpoint",
    type=options.PATH,
    metavar="FILE",
    help="Keep finished blocks in this file; the same command goes on there after a crash, and removes it.",
)
@options.out("The flow, as .safetensors.")
@options.printed
def measure(
    *,
    model: str,
    data: Path,
    weights: Path | None,
    features: str | None,
    label: str | None,
    output: int | str | None,
    seed: int,
    checkpoint: Path | None,
    out: Path,
    as_json: bool,
    **given: Any,
) -> None:
    """Measure the information flow of a network on the rows of a file.

    The file (.csv, .npy, .npz, .parquet) holds features on the scale the network was trained on.
    """
    from nif.cli import as_json as objects
    from nif.cli import sections
    from nif.cli.data import read
    from nif.cli.models import network
    from nif.core.checkpoint import opened
    from nif.core.files import writable
    from nif.core.progress import progress
    from nif.flow.headline import headline

    target = writable(out, ending=".safetensors")
    rows, model_of_file = read(data, features, label), network(model, weights)
    with opened(checkpoint) as kept:
        flow = methods.measured(
            model_of_file, rows, given, features=features, output=output, seed=seed, checkpoint=kept
        )
        flow.save(target)
        if kept is not None:  # not before the flow is in its file
            kept.remove()
    options.echo_classes(label, rows.classes)
    if as_json:
        options.echo_json({**objects.flow(flow), "written": str(target)})
        return
    with progress("showing", total=None) as shown:
        shown.stage("features, layers and paths")
        texts = (headline(flow), repr(flow), *sections.measured(flow), f"Written: {target}")
    for text in texts:
        options.echo(f"{text}\n")
