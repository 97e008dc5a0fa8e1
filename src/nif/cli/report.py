"""The command `nif report`."""

from __future__ import annotations

from pathlib import Path

import click

from nif.cli import options


@click.command()
@click.argument("flow", type=options.PATH)
@options.out("Where to write the page (.html); beside the flow, under its name, if omitted.", required=False)
@options.ASSOCIATION
@click.option(
    "--pruned",
    type=options.PATH,
    help="File written by nif prune for this flow; the page then shows the removed units and the cost.",
)
@click.option("--data", metavar="NAME", help="Name of the data, for the title.")
@options.BITS
def report(
    *,
    flow: Path,
    out: Path | None,
    association: Path | None,
    pruned: Path | None,
    data: str | None,
    bits: bool,
) -> None:
    """Write a flow as one HTML page that works offline."""
    from nif.core.files import writable
    from nif.core.progress import progress
    from nif.flow.file import load
    from nif.pruning.result import read_record

    target = None if out is None else writable(out, ending=".html")
    with progress("reading", total=None) as shown:
        shown.stage(flow.name)
        found, known = load(flow), None if association is None else load(association)
    target = target or writable(flow.with_suffix(".html"), ending=".html")
    found.report(
        target,
        pruned=None if pruned is None else read_record(pruned),
        association=known,
        data=data,
        unit="bits" if bits else "nats",
    )
    options.echo(f"Written: {target}")
