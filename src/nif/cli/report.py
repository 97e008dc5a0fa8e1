"""nif report"""

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
    help="The page, as .html; opens offline.",
)
@click.option(
    "--pruned",
    type=click.Path(path_type=Path),
    help="What nif prune wrote for this flow; the page then shows what went, and what that costs.",
)
def report(*, flow: Path, output: Path, pruned: Path | None) -> None:
    """Write a flow as one page that opens in a browser without a network."""
    from nif.core.files import writable
    from nif.flow.file import load
    from nif.pruning.result import read_record

    target = writable(output, ending=".html")
    load(flow).report(target, pruned=None if pruned is None else read_record(pruned))
    click.echo(f"Written: {target}")
