"""The command `nif compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nif.cli import method as of_measuring
from nif.cli import options


@click.command()
@options.network_and_rows
@options.FLOW
@of_measuring.options
@click.option(
    "--methods",
    metavar="NAMES",
    help="Attributions to compare, separated by commas, such as shap,ig; those that take seconds if omitted.",
)
@click.option(
    "--replacement",
    default="mean",
    show_default=True,
    help="What features are replaced by in the test of deletion: mean, or row, their values in another row.",
)
@options.SEED
@options.printed
def compare(
    *,
    model: str,
    data: Path,
    weights: Path | None,
    features: str | None,
    label: str | None,
    output: int | str | None,
    flow_file: Path | None,
    methods: str | None,
    replacement: str,
    seed: int,
    as_json: bool,
    **given: Any,
) -> None:
    """Compare what currents say of the features with SHAP, integrated gradients, SAGE and chance.

    Needs the column of labels, --y.
    """
    from nif.cli import as_json as objects
    from nif.cli import sections
    from nif.cli.data import read
    from nif.cli.models import network
    from nif.comparison.compare import compare as compared

    if label is None:
        raise click.UsageError("nif compare tests attributions by labels; name their column with --y.")
    net, rows = network(model, weights), read(data, features, label)
    flow = of_measuring.loaded_or_measured(
        flow_file, net, rows, given, features=features, output=output, seed=seed
    )
    options.echo_classes(label, rows.classes)
    table = compared(
        net,
        flow,
        rows.x,
        rows.y,
        methods=options.names("--methods", methods),
        output=output,
        replacement=replacement,
        seed=seed,
    )
    if as_json:
        options.echo_json(objects.comparison(table))
        return
    for text in (sections.shares(table), sections.agreement(table)):
        options.echo(f"{text}\n")
