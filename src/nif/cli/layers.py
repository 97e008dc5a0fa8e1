"""Rows to run a network on where there are no data: only what it is made of is asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor, nn

from nif.cli import options
from nif.core.errors import InputError
from nif.data.signature import EMBEDDINGS, Signature

ROWS = 2


def example(model: nn.Module, shapes: Sequence[str]) -> Any:
    """Some rows of these shapes; of the width of the first layer if there are none.

    Args:
        model: A network; whole numbers are made for one with an embedding.
        shapes: Sizes of a row of each input, separated by commas.

    Raises:
        InputError: No sizes, or none where a network does not begin with a Linear.

    Example:
        >>> example(nn.Linear(3, 1), []).shape, example(nn.Conv2d(1, 2, 3), ["1,28,28"]).shape
        (torch.Size([2, 3]), torch.Size([2, 1, 28, 28]))
    """
    whole = any(isinstance(module, EMBEDDINGS) for module in model.modules())
    rows = [_rows(sizes, whole) for sizes in map(_sizes, shapes)] or [_rows([_width(model)], whole)]
    names = Signature.of(model).names
    if len(rows) > max(1, len(names)):
        raise InputError(
            f"--shape was given {len(rows)} times; the network takes {', '.join(names) or 'one input'}. Give "
            "one for each input."
        )
    return rows[0] if len(rows) == 1 else dict(zip(names, rows, strict=False))


def _rows(sizes: Sequence[int], whole: bool) -> Tensor:
    if whole:
        return torch.zeros(ROWS, *sizes, dtype=torch.int64)
    return torch.randn(ROWS, *sizes, generator=torch.Generator().manual_seed(0))


def _sizes(shape: str) -> list[int]:
    sizes = [int(size) if size.strip().isdigit() else 0 for size in shape.split(",")]
    if 0 in sizes:
        raise InputError(f"--shape is {shape!r}; expected the sizes of a row, such as 784 or 1,28,28.")
    return sizes


def _width(model: nn.Module) -> int:
    """Inputs of the first module with weights, if it is a Linear."""
    weighted = (each for each in model.modules() if next(each.parameters(recurse=False), None) is not None)
    first = next(weighted, None)
    if isinstance(first, nn.Linear) and Signature.of(model).required == 1:
        return first.in_features
    raise InputError(
        "The shape of a row can not be told from the network; give it, such as --shape 1,28,28 (once for "
        "each input), or a file of data."
    )


@click.command()
@options.MODEL
@click.argument("data", type=click.Path(path_type=Path), required=False)
@click.option(
    "--shape",
    "shapes",
    metavar="SIZES",
    multiple=True,
    help="Of a row, such as 1,28,28, in place of data; once for each input. Not needed if the network begins "
    "with a Linear.",
)
@options.WEIGHTS
@options.FEATURES
@options.LABEL
@options.OUTPUT
def layers(
    *,
    model: str,
    data: Path | None,
    shapes: tuple[str, ...],
    weights: Path | None,
    features: str | None,
    label: str | None,
    of_several: int | str | None,
) -> None:
    """List the layers of a network that would be measured, and which feeds which."""
    from nif.cli.data import read
    from nif.cli.layers import example
    from nif.cli.models import network
    from nif.cli.text import table
    from nif.core.errors import InputError
    from nif.network.network import layers as found_layers

    if data is not None and shapes:
        raise InputError(f"Both {data} and --shape tell what a row is. Leave one out.")
    net = network(model, weights)
    given: Any = example(net, shapes) if data is None else read(data, features, label).x
    found = found_layers(net, given, output=of_several)
    cells = {
        "name": list(found["name"]),
        "kind": list(found["kind"]),
        "units": [str(units) for units in found["units"]],
        "shape": ["x".join(map(str, shape)) for shape in found["shape"]],
        "feeds": [", ".join(names) for names in found["feeds"]],
    }
    click.echo(table(cells, left=2))
