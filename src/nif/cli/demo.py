"""The command `nif demo`."""

from __future__ import annotations

from pathlib import Path

import click

from nif.cli import options


@click.command()
@click.argument("dataset", metavar="iris|banknote|digits")
@click.option("--hidden", metavar="SIZES", help="Sizes of the hidden layers, such as 32,32,16,16.")
@click.option(
    "--tolerance",
    type=float,
    default=0.0,
    show_default=True,
    help="Largest allowed decrease of the accuracy by pruning.",
)
@options.ESTIMATOR
@options.SEED
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory for the figure, flow file, report and tables.",
)
@options.printed
def demo(
    *,
    dataset: str,
    hidden: str | None,
    tolerance: float,
    estimator: str | None,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Train a network, measure its information flow, prune it, and compare attributions."""
    from nif.cli import as_json as objects
    from nif.cli.experiment.run import EXPERIMENTS, run
    from nif.core.errors import unknown

    if dataset not in EXPERIMENTS:
        raise unknown("demo", dataset, EXPERIMENTS)
    done = run(
        EXPERIMENTS[dataset],
        hidden=None if hidden is None else options.numbers("--hidden", hidden),
        seed=seed,
        out=out,
        estimator=options.chosen(estimator),
        tolerance=tolerance,
        echo=(lambda _: None) if as_json else options.echo,
    )
    if as_json:
        options.echo_json(objects.demo(done))
