"""From the data a user has to tensors of inputs, with labels and feature names when the data carry them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from nif.core.errors import InputError
from nif.core.progress import progress as progress_bar
from nif.core.random import same_generators, same_random_state
from nif.core.types import FEWEST_SAMPLES, Advance, ignore
from nif.data.batches import label_of, named_inputs, split
from nif.data.sampling import Pool, Reservoir
from nif.data.signature import Signature

BATCH = 1024


@dataclass(frozen=True, eq=False)
class Rows:
    """Inputs of a network, in the order in which the data gave them.

    Attributes:
        inputs: All rows of the first input; the first axis is the sample.
        labels: One label for each row, when the data yielded ``(x, y)``.
        feature_names: Column names, when the data were a DataFrame.
        others: Rows of the further inputs of a model that takes several.
        names: Parameters of the model's ``forward`` that the inputs are for; none for a single input.
    """

    inputs: Shaped[Tensor, "sample ..."]
    labels: Shaped[np.ndarray, "sample ..."] | None = None
    feature_names: tuple[str, ...] | None = None
    others: tuple[Tensor, ...] = field(default=())
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def every(self) -> tuple[Tensor, ...]:
        """All inputs, in the order of `names`."""
        return (self.inputs, *self.others)


def rows(
    data: Any,
    *,
    arguments: Signature | None = None,
    max_samples: int | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Rows:
    """Read rows of a Tensor, ndarray, DataFrame, Dataset or DataLoader, and their labels.

    A DataLoader is read once, in its own order; its generators and the global random state are put back. No
    more than `max_samples` rows are in memory at a time beside those the data themselves hold.

    Args:
        data: For a model with several inputs also a tuple of arrays, or a mapping from the parameters of its
            ``forward`` to arrays. Rows that were read already stay as they are.
        arguments: The inputs that the model takes; a single one if None.
        max_samples: Keep that many rows, drawn at random from all; None keeps all.
        seed: Seeds that draw.
        progress: Show a bar while batches are read, in a terminal, after two seconds.

    Raises:
        InputError: The data are of another type, not numeric, empty, of one dimension, NaN or infinite, or
            their batches do not have one obvious input.

    Example:
        >>> rows(pd.DataFrame({"height": [1.7, 1.6], "weight": [64.0, 58.0]})).feature_names
        ('height', 'weight')
    """
    if max_samples is not None and not (isinstance(max_samples, Integral) and max_samples >= 1):
        raise InputError(
            f"max_samples is {max_samples!r}; expected a number of rows from 1 up, or None for all."
        )
    if isinstance(data, Rows):
        return data
    reservoir = Reservoir(max_samples, seed)
    # Loaders and augmentations draw from the random state.
    with (
        torch.inference_mode(False),
        same_random_state(),
        progress_bar("reading", total=known_length(data), shown=progress) as advance,
    ):
        found = _read(data, arguments or Signature(), reservoir, advance)
    _agree(found)
    for values in found.every:
        _finite(values, found.feature_names)
    return found


def known_length(data: Any) -> int | None:
    """Rows of the data, where that is known before they are read.

    Example:
        >>> [known_length(data) for data in (DataLoader(np.zeros((30, 2))), {"x": np.zeros(40)}, iter([]))]
        [30, 40, None]
    """
    if isinstance(data, DataLoader):
        data = data.dataset
    if isinstance(data, (tuple, Mapping)):
        data = next(iter(data.values() if isinstance(data, Mapping) else data), ())
    try:
        return len(data)
    except TypeError:
        return None


def _read(data: Any, arguments: Signature, reservoir: Reservoir, advance: Advance) -> Rows:
    if isinstance(data, DataLoader):
        with same_generators(data):
            return _from_batches(data, arguments, reservoir, advance)
    if isinstance(data, np.memmap) and data.ndim > 1:
        return _table(data[reservoir.kept(len(data))])  # nothing else is read of the file
    if isinstance(data, Tensor | np.ndarray | pd.DataFrame) or _is_nested_list(data):
        return _drawn(_table(data), reservoir)
    if isinstance(data, Mapping) and arguments.names:
        names, inputs = named_inputs(data, arguments)
        return _drawn(_several(names, inputs, label_of(data, arguments.names)), reservoir)
    if isinstance(data, tuple) and arguments.required == len(data) > 1:
        return _drawn(_several(arguments.names[: len(data)], data, None), reservoir)
    if isinstance(data, Dataset) or (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        return _from_dataset(data, arguments, reservoir, advance)
    raise InputError(
        f"The data are of type {type(data).__name__}; expected a Tensor, ndarray, DataFrame, "
        "Dataset or DataLoader."
    )


def _is_nested_list(data: Any) -> bool:
    return isinstance(data, list) and not (data and isinstance(data[0], (Tensor, tuple, Mapping)))


def _table(data: Any) -> Rows:
    if isinstance(data, Tensor):
        return Rows(_real(data.detach()))
    if isinstance(data, pd.DataFrame):
        return _from_frame(data)
    return Rows(_from_array(data))


def _several(names: Sequence[str], inputs: Iterable[Any], labels: Any) -> Rows:
    tensors = [_table(values).inputs for values in inputs]
    return Rows(
        tensors[0],
        None if labels is None else torch.as_tensor(labels).detach().cpu().numpy(),
        others=tuple(tensors[1:]),
        names=tuple(names),
    )


def _drawn(found: Rows, reservoir: Reservoir) -> Rows:
    """The rows that the reservoir keeps of a table that is in memory; the table itself if it keeps all."""
    _agree(found)
    kept = reservoir.kept(len(found))
    if len(kept) == len(found):
        return found
    index = torch.from_numpy(kept)
    return Rows(
        found.inputs[index.to(found.inputs.device)],
        None if found.labels is None else found.labels[kept],
        found.feature_names,
        tuple(values[index.to(values.device)] for values in found.others),
        found.names,
    )


def _real(values: Tensor) -> Tensor:
    if values.is_complex():
        raise InputError("The data are complex numbers; expected real ones, such as their magnitude.")
    # What was computed under torch.inference_mode can have no gradients, which rules of pruning take.
    return values.clone() if values.is_inference() else values


def _from_frame(frame: pd.DataFrame) -> Rows:
    text = [str(name) for name, kind in frame.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
    if text:
        raise InputError(
            f"The data have columns that are not numbers: {', '.join(text)}. Encode or drop them."
        )
    values = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    return Rows(torch.from_numpy(values.copy()), feature_names=tuple(map(str, frame.columns)))


def _from_array(data: Any) -> Tensor:
    try:
        values = np.asarray(data)
        if values.dtype.kind not in "fiub":
            values = values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"The data are not numeric ({error}); expected an array of numbers.") from error
    if values.dtype.kind == "f" and values.dtype.itemsize > 8:
        values = values.astype(np.float64)
    native = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    # An array that must not be written, such as a memory map, is copied: torch has no read-only tensors.
    return torch.from_numpy(native if native.flags.writeable else native.copy())


def _from_dataset(data: Any, arguments: Signature, reservoir: Reservoir, advance: Advance) -> Rows:
    if isinstance(data, (str, bytes, tuple, Mapping)):
        raise InputError(
            f"The data are a {type(data).__name__}; give the inputs alone, or both as torch's "
            "TensorDataset(x, y)."
        )
    if isinstance(data, list) and len(data) < FEWEST_SAMPLES:
        raise InputError(
            f"The data are a list of {len(data)} items, each of which is taken as a row; {FEWEST_SAMPLES} or "
            "more are needed. Join batches with torch.cat, or give a DataLoader."
        )
    if not isinstance(data, IterableDataset):
        kept = reservoir.kept(len(data))
        data = data if len(kept) == len(data) else Subset(data, kept.tolist())
        reservoir = Reservoir(None, seed=0)
    return _from_batches(_loader(data), arguments, reservoir, advance)


def _loader(data: Any) -> DataLoader[Any]:
    # Its own generator: a loader draws from the global random state otherwise.
    return DataLoader(data, batch_size=BATCH, generator=torch.Generator())


def _from_batches(
    batches: Iterable[Any], arguments: Signature, reservoir: Reservoir, advance: Advance = ignore
) -> Rows:
    pool, labelled = Pool(reservoir), False
    names: tuple[str, ...] = ()
    try:
        for batch in batches:
            names, inputs, label = split(batch, arguments)
            labelled = label is not None
            columns = [*inputs, torch.as_tensor(label)] if labelled else inputs
            _same_length(columns)
            pool.add([_real(column.detach()).cpu() for column in columns])
            advance(len(columns[0]))
    except (RuntimeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"The batches do not fit together ({error}); expected rows of one shape.") from error
    if not (found := pool.columns()):
        raise InputError("The data yield no batch; expected at least one row.")
    labels = found.pop().numpy() if labelled else None
    return Rows(found[0], labels, others=tuple(found[1:]), names=names)


def _same_length(columns: Sequence[Tensor]) -> None:
    lengths = [len(column) if column.ndim else 1 for column in columns]
    if len(set(lengths)) > 1:
        raise InputError(f"A batch of the data holds {lengths} rows; expected one input and one label a row.")


def _agree(found: Rows) -> None:
    for values in found.every:
        shape = tuple(values.shape)
        if len(shape) < 2 or 0 in shape:
            raise InputError(
                f"The data have shape {list(shape)}; expected [sample, feature] with at least one of each."
            )
        if len(values) != len(found):
            raise InputError(
                f"The inputs have {len(found)} and {len(values)} rows; expected the same rows in each."
            )
    if found.labels is not None and len(found.labels) != len(found):
        raise InputError(
            f"The data yield {len(found)} rows and {len(found.labels)} labels; expected one label a row."
        )


def _finite(values: Tensor, names: tuple[str, ...] | None) -> None:
    # A sum is finite if all its terms are; only otherwise is it worth to look for the first that is not.
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
