"""The command `nif prune`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nif.cli import method as methods
from nif.cli import options

pruning_options = options.added(
    click.option(
        "--remove",
        default="silent",
        show_default=True,
        metavar="WHICH",
        help="silent, most (the largest number that the tolerance allows), a fraction between 0 and 1, or "
        "none, where only heads or dimensions of keys are removed.",
    ),
    click.option("--heads", type=float, help="Fraction of all heads of attention to remove."),
    click.option("--key-dims", type=float, help="Fraction of the dimensions of keys of attention to remove."),
    click.option(
        "--round-to",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Keep widths that are multiples of this, such as 8, which processors are fast at.",
    ),
    click.option(
        "--tolerance",
        type=float,
        default=0.0,
        show_default=True,
        help="How much worse the criterion may get.",
    ),
    click.option("--criterion", help="A scorer of scikit-learn, by name; accuracy or R2 if omitted."),
    click.option(
        "--alpha", type=float, default=0.05, show_default=True, help="False discovery rate of silent units."
    ),
    click.option(
        "--rule", default="redundancy", show_default=True, help="Order of the units; see nif.pruning.rules."
    ),
    click.option(
        "--held-out",
        type=options.PATH,
        metavar="FILE",
        help="Other rows, as a file of the same columns, on which both networks are scored at the end.",
    ),
)


@click.command()
@options.network_and_rows
@pruning_options
@options.FLOW
@methods.options
@options.SEED
@options.out("Smaller weights, as .safetensors.")
@options.JSON
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
    held_out: Path | None,
    seed: int,
    out: Path,
    as_json: bool,
    **given: Any,
) -> None:
    """Remove neurons that carry no information, and report the cost.

    The criterion is the accuracy with --y, and the largest change of any output without. Load the weights
    with nif.shrink(model, path), and the list of all removed units with nif.pruning.read_record(path);
    --json prints it too.
    """
    from nif.cli import as_json as objects
    from nif.cli import sections
    from nif.cli.data import read, with_labels
    from nif.cli.models import network
    from nif.core.files import writable
    from nif.pruning.prune import prune as prune_network

    target = writable(out, ending=".safetensors")
    how = ("heads", "key_dims", "round_to", "tolerance", "criterion", "alpha", "rule")
    of_pruning = {name: given.pop(name) for name in how}
    net, rows = network(model, weights), read(data, features, label)
    others = None if held_out is None else with_labels(read(held_out, features, label), net)
    flow = methods.loaded_or_measured(
        flow_file, net, rows, given, features=features, output=output, seed=seed
    )
    options.echo_classes(label, rows.classes)
    small = prune_network(
        net,
        flow,
        with_labels(rows, net),
        remove=_which(remove),
        held_out=others,
        output=output,
        seed=seed,
        **of_pruning,
    )
    small.save(target)
    if as_json:
        options.echo_json({**objects.pruned(small), "written": str(target)})
        return
    options.echo(repr(small))
    for name, frame in (("Removed", small.removed), ("Restored", small.restored)):
        if len(frame):
            options.echo("\n" + sections.units_of_layers(name, frame))
    options.echo(f"\nWritten: {target}")


def _which(remove: str) -> str | float | None:
    try:
        return None if remove == "none" else float(remove)
    except ValueError:
        return remove
