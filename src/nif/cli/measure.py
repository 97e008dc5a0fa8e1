"""The command `nif measure`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nif.cli import method as methods
from nif.cli import options


@click.command()
@options.MODEL
@options.DATA
@options.WEIGHTS
@options.FEATURES
@options.LABEL
@options.OUTPUT
@methods.options
@options.ESTIMATOR
@click.option(
    "--layers", metavar="NAMES", help="Modules to measure, by name; all non-linearities if omitted."
)
@click.option(
    "--reduce",
    default="mean",
    show_default=True,
    help="The value of a channel over its positions: mean, max, or positions, each a sample.",
)
@options.SEED
@click.option(
    "--checkpoint",
    type=options.PATH,
    metavar="FILE",
    help="Keep finished blocks in this file; the same command goes on there after a crash, and removes it.",
)
@options.out("The flow, as .safetensors.")
def measure(
    *,
    model: str,
    data: Path,
    weights: Path | None,
    features: str | None,
    label: str | None,
    output: int | str | None,
    method: str | None,
    background: Path | None,
    explain: Path | None,
    layers: str | None,
    reduce: str,
    seed: int,
    checkpoint: Path | None,
    out: Path,
    **given: Any,
) -> None:
    """Measure the information flow of a network on the rows of a file.

    The file (.csv, .npy, .npz, .parquet) holds features on the scale the network was trained on.
    """
    from nif.cli import sections
    from nif.cli.data import read, with_labels
    from nif.cli.models import network
    from nif.core.checkpoint import opened
    from nif.core.files import writable
    from nif.flow.headline import headline
    from nif.pipeline import measure as measured

    memory, jobs = given.pop("memory"), given.pop("jobs")
    chosen = methods.method(method, {**given, "background": background, "explain": explain})
    if given["decision"] == "labels" and label is None:
        raise click.UsageError("--decision labels asks about labels; name their column with --label.")
    if given["decision"] == "labels" and explain is not None:
        raise click.UsageError(
            "--explain has no labels, which --decision labels asks about; omit one of them."
        )
    target = writable(out, ending=".safetensors")
    rows, model_of_file = read(data, features, label), network(model, weights)
    with opened(checkpoint) as kept:
        flow = measured(
            model_of_file,
            with_labels(rows, model_of_file) if given["decision"] == "labels" else rows.x,
            chosen,
            background=methods.rows_like(background, features, rows.x),
            explain=methods.rows_like(explain, features, rows.x),
            layers=None if layers is None else layers.split(","),
            class_names=rows.classes,
            output=output,
            reduce=reduce,
            seed=seed,
            memory=memory,
            n_jobs=jobs,
            checkpoint=kept,
        )
        flow.save(target)
        if kept is not None:  # not before the flow is in its file
            kept.remove()
    for text in (headline(flow), repr(flow), *sections.measured(flow), f"Written: {target}"):
        options.echo(f"{text}\n")
