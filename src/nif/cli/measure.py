"""The command `nif measure`."""

from __future__ import annotations

from pathlib import Path

import click

from nif.cli import options


@click.command()
@options.MODEL
@options.DATA
@options.WEIGHTS
@options.FEATURES
@options.LABEL
@options.OUTPUT
@options.ESTIMATOR
@click.option(
    "--noise",
    type=float,
    default=0.0,
    show_default=True,
    help="Standard deviation of the channel behind each unit, in deviations of that unit.",
)
@click.option(
    "--layers", metavar="NAMES", help="Modules to measure, by name; all non-linearities if omitted."
)
@click.option(
    "--reduce",
    default="mean",
    show_default=True,
    help="The value of a channel over its positions: mean, max, or positions, each a sample.",
)
@click.option(
    "--rows",
    "most",
    type=int,
    default=100_000,
    show_default=True,
    help="Number of rows to draw at random from larger data.",
)
@options.SEED
@click.option("--memory", default="1GB", show_default=True, help="Limit of a block of pairs in each process.")
@click.option("--jobs", type=int, help="Processes; one with its own threads if omitted.")
@options.out("The flow, as .safetensors.")
def measure(
    *,
    model: str,
    data: Path,
    weights: Path | None,
    features: str | None,
    label: str | None,
    output: int | str | None,
    estimator: str | None,
    noise: float,
    layers: str | None,
    reduce: str,
    most: int,
    seed: int,
    memory: str,
    jobs: int | None,
    out: Path,
) -> None:
    """Measure the information flow of a network on the rows of a file.

    The file (.csv, .npy, .npz, .parquet) holds features on the scale the network was trained on.
    """
    from nif.cli import sections
    from nif.cli.data import read
    from nif.cli.models import network
    from nif.core.files import writable
    from nif.measures.association.association import Association
    from nif.pipeline import measure as measured

    target = writable(out, ending=".safetensors")
    rows = read(data, features, label)
    flow = measured(
        network(model, weights),
        rows.x,
        Association(options.chosen(estimator), noise=noise, rows=most),
        layers=None if layers is None else layers.split(","),
        class_names=rows.classes,
        output=output,
        reduce=reduce,
        seed=seed,
        memory=memory,
        n_jobs=jobs,
    )
    flow.save(target)
    for text in (repr(flow), sections.attribution(flow), sections.layers(flow), f"Written: {target}"):
        click.echo(f"{text}\n")
