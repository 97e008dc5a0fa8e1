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
@options.printed
def estimate(
    *,
    data: Path,
    left: str,
    right: str,
    given: str | None,
    estimator: str | None,
    seed: int,
    as_json: bool,
) -> None:
    """Estimate the mutual information between two columns, or two groups of columns, of a file."""
    from nif.cli import as_json as objects
    from nif.cli.data import columns
    from nif.cli.text import p_values
    from nif.core.progress import progress
    from nif.core.unit import text_unit
    from nif.estimators.arrays import estimate as estimated
    from nif.estimators.estimate import BELOW_0, DETERMINED

    known = None if given is None else columns(data, given)
    first, second = columns(data, left), columns(data, right)
    with progress("estimating", None, what=f"the information of {len(first):,} rows"):
        found = estimated(first, second, options.chosen(estimator), seed, given=known)
    if as_json:
        options.echo_json({"x": left, "y": right, "given": given, **objects.estimate(found)})
        return
    of, name = text_unit().of, text_unit().name
    low, high = map(of, found.interval())
    known_too = f" | {given}" if given else ""
    options.echo(f"I({left}; {right}{known_too}) = {of(found.nats):.4f} ± {of(found.stderr):.4f} {name}")
    options.echo(f"  95 % interval {low:.4f} to {high:.4f} {name}, p {p_values([float(found.p_value)])[0]}")
    if found.nats < 0:
        options.echo(f"  {BELOW_0}")
    if found.determined:
        options.echo(f"  {DETERMINED[0].upper()}{DETERMINED[1:]}.")
    options.echo(f"  {found.samples} samples, {found.estimator}")
