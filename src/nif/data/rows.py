"""Read rows: what a user passes becomes checked tensors, with the labels and feature names that it has.

Each kind of data has a reader, a function that returns a `Source`, and an entry in `READERS`. Sampling and
checks are then the same for all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64, Shaped
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from nif.core.errors import InputError
from nif.core.numbers import check_same_order, real_array, real_tensor
from nif.core.progress import progress as progress_bar
from nif.core.random import same_generators, same_random_state
from nif.core.types import FEWEST_SAMPLES
from nif.data.batches import label_of, named_inputs, split
from nif.data.groups import Groups, groups
from nif.data.sampling import Pool, Reservoir
from nif.data.signature import Signature

BATCH = 1024


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of data for a network, in their order.

    Attributes:
        inputs: One tensor for each input of the network; the first axis is the sample.
        labels: One label for each row, if the data yield ``(x, y)``.
        feature_names: One for each feature or group, if the user or the data name them.
        names: The parameters of the model's ``forward`` that the inputs are for; none for a single input.
        groups: The features that are measured together; None if each is measured by itself.
        numbers: Of the rows in the data that they were drawn from; None if these are all of them.

    Raises:
        InputError: An input has no axis of features, or inputs and labels differ in length.
    """

    inputs: tuple[Shaped[Tensor, "..."], ...]
    labels: Shaped[np.ndarray, "..."] | None = None
    feature_names: tuple[str, ...] | None = None
    names: tuple[str, ...] = ()
    groups: Groups | None = None
    numbers: Int64[np.ndarray, " sample"] | None = None

    def __post_init__(self) -> None:
        for values in self.inputs:
            if values.ndim < 2 or 0 in values.shape:
                raise InputError(
                    f"The data have shape {list(values.shape)}; expected [sample, feature] with at least one "
                    "of each. Of one number a row, pass [sample, 1], such as ids[:, None]."
                )
        lengths = [len(values) for values in self.inputs]
        lengths += [] if self.labels is None else [len(self.labels)]
        if len(set(lengths)) > 1:
            raise InputError(
                f"Inputs and labels have {lengths} rows; expected one row of each input, and one label, for "
                "each sample."
            )

    def __len__(self) -> int:
        return len(self.inputs[0])

    @property
    def first(self) -> Shaped[Tensor, "sample ..."]:
        """The rows of the first input."""
        return self.inputs[0]

    def at(self, index: Int64[np.ndarray, " kept"]) -> Rows:
        """The rows at these indices.

        Example:
            >>> Rows((torch.arange(6.0).reshape(3, 2),)).at(np.array([0, 2])).first.tolist()
            [[0.0, 1.0], [4.0, 5.0]]
        """
        kept = torch.from_numpy(index)
        inputs = tuple(values[kept.to(values.device)] for values in self.inputs)
        labels, numbers = (of if of is None else of[index] for of in (self.labels, self.numbers))
        return replace(self, inputs=inputs, labels=labels, numbers=numbers)


@dataclass(frozen=True, eq=False)
class Source:
    """One kind of data, before rows are drawn.

    Attributes:
        length: Number of rows, if it is known before they are read.
        batches: Yields the rows at some indices, in rising order, or all rows for None.
        indexed: Whether rows can be chosen by index; else all are read, and some are kept.
    """

    length: int | None
    batches: Callable[[Int64[np.ndarray, " kept"] | None], Generator[Rows]]
    indexed: bool = True


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
        data: For a model with several inputs also a tuple of arrays, or a mapping from the parameters of its
            ``forward`` to arrays. `Rows` are not read again.
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
        >>> read(pd.DataFrame({"height": [1.7, 1.6], "weight": [64.0, 58.0]})).feature_names
        ('height', 'weight')
    """
    if max_samples is not None and not (isinstance(max_samples, Integral) and max_samples >= 1):
        raise InputError(f"max_samples is {max_samples!r}; expected 1 or more rows, or None for all.")
    rows = data
    if not isinstance(data, Rows):
        # Loaders and augmentations draw from the random state.
        with torch.inference_mode(False), same_random_state():
            rows = _drawn(_source(data, signature or Signature()), Reservoir(max_samples, seed), progress)
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
        "DataLoader."
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
            parts.append(_columns(rows)) if source.indexed else pool.add(_columns(rows))
            advance(len(rows))
        if rows is None:
            raise InputError("The data yield no batch; expected at least one row.")
        if len(parts) == 1:
            return replace(rows, numbers=index)
        columns = list(map(torch.cat, zip(*parts, strict=True))) if source.indexed else pool.columns()
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


# Readers


def _loader(data: Any, signature: Signature) -> Source | None:
    if not isinstance(data, DataLoader):
        return None

    def batches(_: Any) -> Generator[Rows]:
        with same_generators(data):
            yield from _in_batches(data, signature)

    return Source(_length(data.dataset), batches, indexed=False)


def _memory_map(data: Any, signature: Signature) -> Source | None:
    """A file, of which no other rows are read than those drawn."""
    if not isinstance(data, np.memmap) or data.ndim < 2:
        return None

    def batches(index: Any) -> Generator[Rows]:
        yield _table_rows(np.array(data if index is None else data[index]))

    return Source(len(data), batches)


def _table(data: Any, signature: Signature) -> Source | None:
    nested = isinstance(data, list) and not (data and isinstance(data[0], (Tensor, tuple, Mapping)))
    sparse = hasattr(data, "toarray")  # which is refused
    if not nested and not sparse and not isinstance(data, (Tensor, np.ndarray, pd.DataFrame)):
        return None
    return _in_memory(_table_rows(data))


def _tables(data: Any, signature: Signature) -> Source | None:
    """One table for each input: by the parameters of ``forward``, or in their order."""
    if isinstance(data, Mapping) and signature.names:
        names, inputs = named_inputs(data, signature)
        label = label_of(data, names)
        check_same_order(data)
    elif isinstance(data, tuple) and signature.required == len(data) > 1:
        names, inputs, label = signature.names[: len(data)], list(data), None
        check_same_order(dict(zip(names, inputs, strict=True)))
    else:
        return None
    labels = None if label is None else torch.as_tensor(label).detach().cpu().numpy()
    return _in_memory(Rows(tuple(_table_rows(values).first for values in inputs), labels, names=names))


def _dataset(data: Any, signature: Signature) -> Source | None:
    if not isinstance(data, Dataset) and not (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        return None
    if isinstance(data, (str, bytes, tuple, Mapping)):
        raise InputError(
            f"The data are a {type(data).__name__}; pass the inputs alone, or inputs and labels as torch's "
            "TensorDataset(x, y)."
        )
    if isinstance(data, list) and len(data) < FEWEST_SAMPLES:
        raise InputError(
            f"The data are a list of {len(data)} items, and each item is one row; expected {FEWEST_SAMPLES} "
            "or more. Join batches with torch.cat, or pass a DataLoader."
        )

    def batches(index: Any) -> Generator[Rows]:
        rows = data if index is None else Subset(data, index.tolist())
        # Its own generator: a loader draws from the global random state otherwise.
        loader: DataLoader[Any] = DataLoader(rows, batch_size=BATCH, generator=torch.Generator())
        return _in_batches(loader, signature)

    return Source(_length(data), batches, indexed=not isinstance(data, IterableDataset))


READERS: tuple[Callable[[Any, Signature], Source | None], ...] = (
    _loader,
    _memory_map,
    _table,
    _tables,
    _dataset,
)
"""One for each kind of data, tried in this order; a reader returns None for data of another kind."""


def _length(data: Any) -> int | None:
    try:
        return len(data)
    except TypeError:
        return None


def _in_memory(rows: Rows) -> Source:
    def batches(index: Any) -> Generator[Rows]:
        yield rows if index is None else rows.at(index)

    return Source(len(rows), batches)


def _in_batches(batches: Iterable[Any], signature: Signature) -> Generator[Rows]:
    for batch in batches:
        names, inputs, label = split(batch, signature)
        known = None if label is None else _real(torch.as_tensor(label).detach()).cpu().numpy()
        labels = None if known is None else np.atleast_1d(known)
        yield Rows(tuple(_real(values.detach()).cpu() for values in inputs), labels, names=names)


def _table_rows(data: Any) -> Rows:
    if isinstance(data, Tensor):
        return Rows((_real(data.detach()),))
    names = tuple(map(str, data.columns)) if isinstance(data, pd.DataFrame) else None
    return Rows((_array_tensor(data),), feature_names=names)


def _real(values: Tensor) -> Tensor:
    # A tensor of torch.inference_mode has no gradients, which rules of pruning need.
    return real_tensor(values.clone() if values.is_inference() else values, "The data")


def _array_tensor(data: Any) -> Tensor:
    values = real_array(data, "The data")
    if values.dtype.kind == "f" and values.dtype.itemsize > 8:
        values = values.astype(np.float64)
    native = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    # A read-only array, such as a memory map, is copied: torch has no read-only tensors.
    return torch.from_numpy(native if native.flags.writeable else native.copy())


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
