"""nif demo"""

from __future__ import annotations

from pathlib import Path

import click

from nif.cli import options


@click.command()
@click.argument("dataset", metavar="iris|banknote|digits")
@click.option("--hidden", metavar="SIZES", help="Units of each hidden layer, such as 32,32,16,16.")
@click.option("--tolerance", type=float, default=0.0, show_default=True, help="Accuracy pruning may cost.")
@options.ESTIMATOR
@options.SEED
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory for figure, flow file, report, tables.",
)
def demo(
    *, dataset: str, hidden: str | None, tolerance: float, estimator: str | None, seed: int, out: Path | None
) -> None:
    """Train a network, measure its information flow, explain it, prune it, compare it."""
    from nif.cli.experiment.run import EXPERIMENTS, run
    from nif.core.errors import InputError

    if dataset not in EXPERIMENTS:
        raise InputError(f"No demo is called {dataset!r}; expected one of {', '.join(EXPERIMENTS)}.")
    run(
        EXPERIMENTS[dataset],
        hidden=None if hidden is None else _sizes(hidden),
        seed=seed,
        out=out,
        estimator=options.chosen(estimator),
        tolerance=tolerance,
        echo=click.echo,
    )


def _sizes(text: str) -> list[int]:
    from nif.core.errors import InputError

    try:
        return [int(size) for size in text.split(",")]
    except ValueError as error:
        raise InputError(
            f"--hidden is {text!r}; expected sizes separated by commas, such as 10,10."
        ) from error
