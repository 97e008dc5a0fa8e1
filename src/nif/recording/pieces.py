"""Activations on data of any size, some thousands of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nif.contracts import Recording
from nif.progress import progress as progress_bar
from nif.recording.arguments import Arguments
from nif.recording.rows import how_many, pieces
from nif.recording.sklearn_models import as_torch
from nif.recording.wrappers import unwrapped


def recorded_pieces(
    recorder: Callable[..., Recording], model: Any, data: Any, *, progress: bool = True
) -> Iterator[Recording]:
    """All rows of the data as recordings of some thousands each.

    Args:
        recorder: `nif.recording.record` of the model, with the options that say what to record.
        model: The same model; it says which parts of a row of data it takes.
        data: See `nif.recording.record`.
        progress: Show a bar with the time left, where the number of rows is known.

    Example:
        >>> from functools import partial
        >>> from torch import nn, zeros
        >>> from nif.recording import record
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> [piece.samples for piece in recorded_pieces(partial(record, net), net, zeros(20_000, 2))]
        [16384, 3616]
    """
    arguments = Arguments.of(as_torch(unwrapped(model)))
    with progress_bar("reading all rows", total=how_many(data), shown=progress) as advance:
        for piece in pieces(data, arguments=arguments):
            yield recorder(piece, max_samples=None, progress=False, fewest=1)
            advance(len(piece))
