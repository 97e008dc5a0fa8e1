"""Activations on data of any size, some thousands of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from nif.contracts import Recording
from nif.recording.activations import record
from nif.recording.arguments import Arguments
from nif.recording.rows import pieces
from nif.recording.sklearn_models import as_torch
from nif.recording.wrappers import unwrapped


def recorded_pieces(
    model: Any,
    data: Any,
    *,
    layers: Sequence[str] | None = None,
    device: Any = None,
    output: int | str | None = None,
    reduce: str = "mean",
    input_groups: Any = None,
) -> Iterator[Recording]:
    """All rows of the data as recordings of some thousands each; see `nif.recording.record`.

    Example:
        >>> from torch import nn, zeros
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> [piece.samples for piece in recorded_pieces(net, zeros(20_000, 2))]
        [16384, 3616]
    """
    for piece in pieces(data, arguments=Arguments.of(as_torch(unwrapped(model)))):
        yield record(
            model,
            piece,
            layers=layers,
            device=device,
            output=output,
            reduce=reduce,
            input_groups=input_groups,
            max_samples=None,
            progress=False,
            fewest=1,
        )
