"""The command `nif show`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nif.cli import options

if TYPE_CHECKING:
    from nif.flow.flow import Flow

STRONGEST = 20
"""Links and paths of the JSON output."""


@click.command()
@click.argument("flow", type=options.PATH)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for other programs.")
def show(*, flow: Path, as_json: bool) -> None:
    """Print what a flow says: features with errors, layers, strongest links and paths."""
    from nif.cli import sections
    from nif.flow.file import load

    found = load(flow)
    if as_json:
        click.echo(json.dumps(as_object(found), allow_nan=False))
        return
    for text in (found.summary(), *sections.measured(found)):
        options.echo(f"{text}\n")


def as_object(flow: Flow) -> dict[str, Any]:
    """The tables of a flow as lists and numbers that JSON knows."""
    from nif.flow.headline import headline

    total = flow.total
    importance, paths = flow.importance().reset_index(), flow.paths(k=STRONGEST)
    paths["path"] = paths["path"].map(lambda path: list(map(list, path)))
    return {
        "headline": headline(flow),
        "unit": "nats",
        "total": None if total is None else {"nats": total.nats, "stderr": total.stderr},
        "features": _records(importance),
        "layers": _records(flow.by_unit.by_layer()),
        "links": _records(flow.edges(top=STRONGEST)),
        "paths": _records(paths.reset_index()),
        "measurement": flow.measurement.lines(),
    }


def _records(table: Any) -> list[dict[str, Any]]:
    """The rows of a table; what is not finite is null."""
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records"))
    return rows
