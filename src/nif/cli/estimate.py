"""The command `nif estimate`."""

from __future__ import annotations

from pathlib import Path

import click

from nif.cli import options


@click.command()
@options.DATA
@click.option(
    "--x", "left", required=True, metavar="COLUMNS", help="One column, or several separated by commas."
)
@click.option("--y", "right", required=True, metavar="COLUMNS", help="The other columns, in the same form.")
@click.option("--given", metavar="COLUMNS", help="What is known already: conditional mutual information.")
@options.ESTIMATOR
@options.SEED
def estimate(
    *, data: Path, left: str, right: str, given: str | None, estimator: str | None, seed: int
) -> None:
    """Estimate the mutual information between two columns, or two groups of columns, of a file."""
    from nif.cli.data import columns
    from nif.cli.text import p_values
    from nif.estimators.arrays import estimate as estimated
    from nif.estimators.estimate import BELOW_0, DETERMINED

    known = None if given is None else columns(data, given)
    sides = columns(data, left), columns(data, right)
    information = estimated(*sides, options.chosen(estimator), seed, given=known)
    low, high = information.interval()
    nats = f"{information.nats:.4f} ± {information.stderr:.4f} nats"
    known_too = f" | {given}" if given else ""
    options.echo(f"I({left}; {right}{known_too}) = {nats} ({information.bits:.4f} bits)")
    options.echo(
        f"  95 % interval {low:.4f} to {high:.4f} nats, p {p_values([float(information.p_value)])[0]}"
    )
    if information.nats < 0:
        options.echo(f"  {BELOW_0}")
    if information.determined:
        options.echo(f"  {DETERMINED[0].upper()}{DETERMINED[1:]}.")
    options.echo(f"  {information.samples} samples, {information.estimator}")
