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
@options.ESTIMATOR
@options.SEED
def estimate(*, data: Path, left: str, right: str, estimator: str | None, seed: int) -> None:
    """Estimate the mutual information between two columns, or two groups of columns, of a file."""
    from nif.cli.data import columns
    from nif.cli.text import p_values
    from nif.estimators.arrays import estimate as estimated
    from nif.estimators.estimate import BELOW_0

    information = estimated(columns(data, left), columns(data, right), options.chosen(estimator), seed)
    low, high = information.interval()
    nats = f"{information.nats:.4f} ± {information.stderr:.4f} nats"
    options.echo(f"I({left}; {right}) = {nats} ({information.bits:.4f} bits)")
    options.echo(
        f"  95 % interval {low:.4f} to {high:.4f} nats, p {p_values([float(information.p_value)])[0]}"
    )
    if information.nats < 0:
        options.echo(f"  {BELOW_0}")
    options.echo(f"  {information.samples} samples, {information.estimator}")
