"""The command `nif report`."""

from __future__ import annotations

from pathlib import Path

import click

from nif.cli import options


@click.command()
@click.argument("flow", type=options.PATH)
@options.out("Where to write the page (.html).")
@click.option(
    "--pruned",
    type=options.PATH,
    help="File written by nif prune for this flow; the page then shows the removed units and the cost.",
)
def report(*, flow: Path, out: Path, pruned: Path | None) -> None:
    """Write a flow as one HTML page that works offline."""
    from nif.core.files import writable
    from nif.flow.file import load
    from nif.pruning.result import read_record

    target = writable(out, ending=".html")
    load(flow).report(target, pruned=None if pruned is None else read_record(pruned))
    options.echo(f"Written: {target}")
