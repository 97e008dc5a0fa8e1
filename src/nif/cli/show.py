"""The command `nif show`."""

from __future__ import annotations

from pathlib import Path

import click

from nif.cli import options


@click.command()
@click.argument("flow", type=options.PATH)
@click.option(
    "--minus",
    type=options.PATH,
    metavar="FLOW",
    help="Print what FLOW uses less of each feature, on the same rows, with the error of the difference.",
)
@options.ASSOCIATION
@options.printed
def show(*, flow: Path, minus: Path | None, association: Path | None, as_json: bool) -> None:
    """Print what a flow says: features with errors, layers, strongest links and paths."""
    from nif.cli import as_json as objects
    from nif.cli import sections
    from nif.core.progress import progress
    from nif.flow.file import load
    from nif.flow.headline import summary
    from nif.flow.known_and_used import known_and_used

    with progress("reading", total=None) as shown:
        shown.stage(flow.name)
        found = load(flow)
    if minus is not None:
        difference = found - load(minus)
        if as_json:
            options.echo_json({"unit": "nats", "features": objects.records(difference.reset_index())})
        else:
            options.echo(sections.difference(difference, flow.name, minus.name))
        return
    known = None if association is None else known_and_used(load(association), found)
    if as_json:
        units = {} if known is None else {"known_and_used": objects.records(known.reset_index())}
        options.echo_json(objects.flow(found) | units)
        return
    with progress("showing", total=None) as shown:
        shown.stage("features, layers, links and paths")
        last = [] if known is None else [sections.known_and_used(known)]
        texts = (summary(found), *sections.measured(found), sections.links(found), *last)
    for text in texts:
        options.echo(f"{text}\n")
