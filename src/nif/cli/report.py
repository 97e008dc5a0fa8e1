"""The command `nif report`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("flow", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    "output",
    type=click.Path(path_type=Path),
    required=True,
    help="Where to write the page (.html).",
)
@click.option(
    "--pruned",
    type=click.Path(path_type=Path),
    help="File written by nif prune for this flow; the page then shows the removed units and the cost.",
)
def report(*, flow: Path, output: Path, pruned: Path | None) -> None:
    """Write a flow as one HTML page that works offline."""
    from nif.core.files import writable
    from nif.flow.file import load
    from nif.pruning.result import read_record

    target = writable(output, ending=".html")
    load(flow).report(target, pruned=None if pruned is None else read_record(pruned))
    click.echo(f"Written: {target}")
