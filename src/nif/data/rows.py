"""Read rows: what a user passes becomes checked tensors, with the labels and feature names that it has.

Each kind of data has a reader, a function that returns a `Source`, and an entry in
`nif.data.readers.READERS`. Sampling and checks are then the same for all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from nif.core.errors import InputError
from nif.core.progress import progress as progress_bar
from nif.core.random import same_random_state
from nif.data.groups import groups
from nif.data.readers import READERS
from nif.data.sampling import Pool, Reservoir
from nif.data.signature import Signature
from nif.data.table import Rows, Source

__all__ = ["READERS", "Rows", "read"]

BATCH = 1024
"""Rows that are checked at a time."""


def read(
    data: Any,
    signature: Signature | None = None,
    *,
    max_samples: int | None = None,
    seed: int = 0,
    feature_names: Iterable[Any] | None = None,
    input_groups: Any = None,
    progress: bool = False,
) -> Rows:
    """Read rows of a Tensor, ndarray, DataFrame, Dataset or DataLoader, and their labels.

    A DataLoader is read once, in its own order; its generators and the global random state are restored. At
    most `max_samples` rows are in memory at a time beside those that the data themselves hold.

    Args:
        data: Also ``(x, y)``; for a model with several inputs a tuple of arrays, or a mapping from the
            parameters of its ``forward`` to arrays; a data module of Lightning, of which the rows of
            validation are read, else those of training; or any iterable of batches, such as a generator,
            which can be read once. `Rows` are not read again.
        signature: The inputs that the model takes; a single one if None.
        max_samples: Number of rows to draw at random from data that have more; None keeps all.
        seed: Random seed of that draw.
        feature_names: One name for each feature or group, in place of the data's own.
        input_groups: Features to measure together; see `nif.data.groups.groups`.
        progress: Show a bar while batches are read, in a terminal, after two seconds.

    Raises:
        InputError: The data are of another type, not numeric, empty, of one dimension, NaN or infinite, or
            their batches do not have one obvious input.

    Example:
        >>> import pandas as pd
        >>> read(pd.DataFrame({"height": [1.7, 1.6], "weight": [64.0, 58.0]})).feature_names
        ('height', 'weight')
    """
    if max_samples is not None and not (isinstance(max_samples, Integral) and max_samples >= 1):
        raise InputError(f"max_samples is {max_samples!r}; expected 1 or more rows, or None for all.")
    signature = signature or Signature()
    rows = data
    if not isinstance(data, Rows):
        rows = data = signature.prepared(data)
    if not isinstance(data, Rows):
        # Loaders and augmentations draw from the random state.
        with torch.inference_mode(False), same_random_state():
            rows = _drawn(_source(data, signature), Reservoir(max_samples, seed), progress)
        for values in rows.inputs:
            _check_finite(values, rows.feature_names)
    if input_groups is not None:
        if len(rows.inputs) > 1:
            raise InputError("input_groups cannot be combined with several inputs.")
        found = groups(input_groups, tuple(rows.first.shape[1:]), rows.feature_names, rows.first)
        rows = replace(rows, groups=found, feature_names=None)
    if feature_names is None:
        return rows
    given = (feature_names,) if isinstance(feature_names, str) else tuple(map(str, feature_names))
    return replace(rows, feature_names=given)


def _source(data: Any, signature: Signature) -> Source:
    for reader in READERS:
        if (source := reader(data, signature)) is not None:
            return source
    raise InputError(
        f"The data are of type {type(data).__name__}; expected a Tensor, ndarray, DataFrame, Dataset or "
        "DataLoader, or an iterable of batches."
    )


def _drawn(source: Source, reservoir: Reservoir, progress: bool) -> Rows:
    """All rows of a source, or the ones that the reservoir keeps."""
    index, pool, parts = None, Pool(reservoir), []
    if source.indexed and source.length is not None:
        kept = reservoir.kept(source.length)
        index = None if len(kept) == source.length else kept
    with (
        _equal_shapes(),
        contextlib.closing(source.batches(index)) as batches,
        progress_bar("reading", total=source.length, shown=progress) as advance,
    ):
        rows = None
        for rows in batches:
            parts.append(rows) if source.indexed else pool.add(_columns(rows))
            advance(len(rows))
        if rows is None:
            raise InputError("The data yield no batch; expected at least one row.")
        if len(parts) == 1:
            return replace(rows, numbers=index)
        joined = zip(*map(_columns, parts), strict=True)
        columns = list(map(torch.cat, joined)) if source.indexed else pool.columns()
    numbers = index if source.indexed else pool.numbers
    inputs = tuple(columns[: len(rows.inputs)])
    labels = None if rows.labels is None else columns[-1].numpy()
    return replace(rows, inputs=inputs, labels=labels, numbers=numbers)


def _columns(rows: Rows) -> list[Tensor]:
    return [*rows.inputs, *([] if rows.labels is None else [torch.from_numpy(rows.labels)])]


@contextlib.contextmanager
def _equal_shapes() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"Batches have different shapes ({error}); expected rows of equal shape.") from error


def _check_finite(values: Tensor, names: tuple[str, ...] | None) -> None:
    # A sum is finite if all its terms are; only otherwise is the first that is not worth a search.
    if not values.is_floating_point() or torch.isfinite(values.sum()):
        return
    for first in range(0, len(values), BATCH):
        bad = ~torch.isfinite(values[first : first + BATCH].flatten(1))
        if bad.any():
            row, column = torch.nonzero(bad)[0].tolist()
            name = f"column {names[column]!r}" if names else f"column {column}"
            raise InputError(
                f"The data have NaN or infinite values, the first in row {first + row}, {name}. "
                "Remove or impute them."
            )
