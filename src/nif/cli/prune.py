"""The command `nif prune`."""

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
@click.option(
    "--flow",
    "flow_file",
    type=options.PATH,
    help="File written by nif measure; measured on these rows if not given.",
)
@click.option(
    "--remove",
    default="silent",
    show_default=True,
    metavar="WHICH",
    help="silent, most (the largest number that the tolerance allows), or a fraction between 0 and 1.",
)
@click.option(
    "--tolerance", type=float, default=0.0, show_default=True, help="How much worse the criterion may get."
)
@click.option(
    "--alpha", type=float, default=0.05, show_default=True, help="False discovery rate of silent units."
)
@click.option(
    "--rule", default="redundancy", show_default=True, help="Order of the units; see nif.pruning.rules."
)
@options.SEED
@options.out("Smaller weights, as .safetensors.")
def prune(
    *,
    model: str,
    data: Path,
    weights: Path | None,
    features: str | None,
    label: str | None,
    output: int | str | None,
    flow_file: Path | None,
    remove: str,
    tolerance: float,
    alpha: float,
    rule: str,
    seed: int,
    out: Path,
) -> None:
    """Remove neurons that carry no information, and report the cost.

    The criterion is the accuracy with --label, and the largest change of any output without. Load the weights
    with nif.shrink(model, path).
    """
    from nif.cli.data import read, with_labels
    from nif.cli.models import network
    from nif.core.files import writable
    from nif.flow.file import load
    from nif.pipeline import measure
    from nif.pruning.prune import prune as prune_network

    target = writable(out, ending=".safetensors")
    net, rows = network(model, weights), read(data, features, label)
    flow = measure(net, rows.x, output=output, seed=seed) if flow_file is None else load(flow_file)
    small = prune_network(
        net,
        flow,
        with_labels(rows, net),
        remove=_which(remove),
        tolerance=tolerance,
        alpha=alpha,
        rule=rule,
        output=output,
        seed=seed,
    )
    small.save(target)
    options.echo(repr(small))
    for name, frame in (("Removed", small.removed), ("Restored", small.restored)):
        if len(frame):
            options.echo(f"\n{name}:\n{frame.to_string(index=False)}")
    options.echo(f"\nWritten: {target}")


def _which(remove: str) -> str | float:
    try:
        return float(remove)
    except ValueError:
        return remove
