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
def report(*, flow: Path, output: Path) -> None:
    """Write a flow as one page that opens in a browser without a network."""
    from nif.cli.outputs import writable
    from nif.storage import load

    target = writable(output, ending=".html")
    load(flow).report(target)
    click.echo(f"Written: {target}")
