"""One reader for each kind of data: tables in memory, files, data sets, loaders and other batches."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from nif.core.errors import InputError
from nif.core.numbers import check_same_order, real_array, real_tensor
from nif.core.random import same_generators
from nif.core.types import FEWEST_SAMPLES
from nif.data.batches import GRAPH, TABLES, Split, split
from nif.data.far import is_far, rows_of
from nif.data.signature import Signature
from nif.data.table import Rows, Source

BATCH = 1024
"""Rows of a data set that are read at a time."""

LOADERS = ("val_dataloader", "train_dataloader", "test_dataloader")
"""Of a data module: rows that the network was not trained on come first."""

EDGES = ("edge_", "edges", "adj")
"""How the names of parameters begin that say which rows belong together."""


def _loader(data: Any, signature: Signature) -> Source | None:
    if not isinstance(data, DataLoader):
        return None

    def batches(_: Any) -> Generator[Rows]:
        with same_generators(data):
            yield from _in_batches(data, signature)

    return Source(_length(data.dataset), batches, indexed=False)


def _data_module(data: Any, signature: Signature) -> Source | None:
    """The rows of a LightningDataModule, or of anything with its methods."""
    if not hasattr(data, "setup") or not any(hasattr(data, name) for name in LOADERS):
        return None
    module, failed = copy.copy(data), None  # setup stores data sets in it
    try:
        module.setup("fit")
    except Exception as error:  # the user's code, which may raise anything
        failed = error
    for name in LOADERS:
        try:
            loader = getattr(module, name)()
        except Exception as error:  # Lightning has a method that raises for each that is not written
            failed = failed or error
            continue
        loader = loader[0] if isinstance(loader, (list, tuple)) and len(loader) == 1 else loader
        source = _loader(loader, signature)
        if source is not None:
            return source
    raise InputError(
        f"The data module {type(data).__name__} yields no single DataLoader ({failed}); call its "
        "prepare_data() before, or pass one of its DataLoaders."
    )


def _in_chunks(data: Any, signature: Signature) -> Source | None:
    """Arrays in files or on a cluster, alone or beside others: no other rows are kept than those drawn."""
    parts = dict(data) if isinstance(data, Mapping) else {0: data}
    if isinstance(data, (tuple, list)):  # of rows, it is longer
        parts = dict(enumerate(data[: signature.required + len(signature.optional) + 1]))
    if not any(map(is_far, parts.values())):
        return None

    def batches(index: Any) -> Generator[Rows]:
        taken = {key: rows_of(part, index) for key, part in parts.items()}
        in_order = taken[0] if is_far(data) else tuple(taken.values())
        yield _rows(split(taken if isinstance(data, Mapping) else in_order, signature))

    lengths = {part.shape[0] for part in parts.values() if isinstance(part, TABLES) or is_far(part)}
    if len(lengths) > 1:
        raise InputError(f"Inputs and labels have {sorted(lengths)} rows; expected one row of each.")
    return Source(int(lengths.pop()), batches)


def _tables(data: Any, signature: Signature) -> Source | None:
    """What is in memory: one table, several in a tuple or mapping, and labels."""
    if isinstance(data, PackedSequence):
        raise InputError(
            "The data are a PackedSequence; pass pad_packed_sequence(data) and pack it in forward."
        )
    if isinstance(data, list):
        data = tuple(data) if _are_tables(data, signature) else data
        nested = isinstance(data, list) and not (data and isinstance(data[0], (Tensor, tuple, Mapping)))
        data = np.asarray(real_array(data, "The data")) if nested else data
    if hasattr(data, "toarray") or (isinstance(data, Tensor) and data.layout != torch.strided):
        _array(data)  # refuses what is sparse
    if isinstance(data, pd.DataFrame) and signature.required > 1 and {*signature.needed} <= {*data.columns}:
        data = dict(data.items())
    if isinstance(data, (*TABLES, tuple, Mapping)) or hasattr(data, "edge_index"):
        return _in_memory(_rows(split(data, signature)))
    return None


def _are_tables(data: list[Any], signature: Signature) -> bool:
    """Whether a list is short and of long tables, as ``[x, y]`` is, and not of rows."""
    most = signature.required + len(signature.optional) + 1
    if len(data) > most or not all(isinstance(part, TABLES) and part.ndim for part in data):
        return False
    lengths = {len(part) for part in data}
    return len(lengths) == 1 and min(lengths) >= FEWEST_SAMPLES > len(data)


def _dataset(data: Any, signature: Signature) -> Source | None:
    if not isinstance(data, Dataset) and not (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        return None
    if isinstance(data, (str, bytes)):
        raise InputError(
            f"The data are a {type(data).__name__}; pass what it names, such as pandas.read_csv(...)."
        )
    if isinstance(data, list) and len(data) < FEWEST_SAMPLES:
        raise InputError(
            f"The data are a list of {len(data)} items, and each item is one row; expected {FEWEST_SAMPLES} "
            "or more. Join batches with torch.cat, or pass iter(data)."
        )

    def batches(index: Any) -> Generator[Rows]:
        rows = data if index is None else Subset(data, index.tolist())
        # Its own generator: a loader draws from the global random state otherwise.
        loader: DataLoader[Any] = DataLoader(rows, batch_size=BATCH, generator=torch.Generator())
        return _in_batches(loader, signature)

    return Source(_length(data), batches, indexed=not isinstance(data, IterableDataset))


def _iterable(data: Any, signature: Signature) -> Source | None:
    """Batches, from a generator or a loader of another library."""
    if not isinstance(data, Iterable) or isinstance(data, (set, frozenset)):
        return None

    def batches(_: Any) -> Generator[Rows]:
        for batch in data:
            first = batch[0] if isinstance(batch, tuple) and batch else batch
            if isinstance(first, Tensor) and first.ndim < 2 and first.is_floating_point():
                raise InputError(
                    f"An item of the data has shape {list(first.shape)}; expected batches "
                    "[sample, feature]. Of single rows, pass list(data)."
                )
            yield from _in_batches([batch], signature)

    return Source(None, batches, indexed=False)


READERS: tuple[Callable[[Any, Signature], Source | None], ...] = (
    _loader,
    _data_module,
    _in_chunks,
    _tables,
    _dataset,
    _iterable,
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
        rows = _rows(split(batch, signature))
        if rows.labels is not None and rows.labels.dtype.kind in "OUS":
            raise InputError(
                "The labels of a batch are text; expected numbers, such as the index of each class."
            )
        yield replace(rows, inputs=tuple(values.cpu() for values in rows.inputs))


def _rows(parts: Split) -> Rows:
    """Checked tensors of what is for what."""
    names = parts.names or ("x",) * len(parts.inputs)
    check_same_order({**dict(zip(names, parts.inputs, strict=True)), "y": parts.label})
    tables = [_tensor(values) for values in parts.inputs]
    _check_no_graph(names, tables)
    flat = tuple(number for number, values in enumerate(tables) if values.ndim == 1)
    return Rows(
        tuple(values[:, None] if values.ndim == 1 else values for values in tables),
        _labels(parts.label),
        _feature_names(names, parts.inputs),
        names=parts.names,
        constants=parts.constants,
        flat=flat,
    )


def _feature_names(names: Sequence[str], tables: Sequence[Any]) -> tuple[str, ...] | None:
    """Names of all columns, if all tables have some."""
    found: list[str] = []
    for name, values in zip(names, tables, strict=True):
        if isinstance(values, pd.DataFrame):
            columns = map(str, values.columns)
            found += columns if len(tables) == 1 else (f"{name}.{column}" for column in columns)
        elif len(tables) == 1 and isinstance(values, pd.Series) and values.name is not None:
            found.append(str(values.name))
        elif len(tables) > 1 and np.ndim(values) == 1:
            found.append(name)
        else:
            return None
    return tuple(found)


def _check_no_graph(names: Sequence[str], tables: Sequence[Tensor]) -> None:
    for name, values in zip(names, tables, strict=True):
        pairs = values.ndim == 2 and len(values) == 2 < len(tables[0]) and not values.is_floating_point()
        of_each_row = values.ndim > 2 and len(values) == len(tables[0])  # every row is a graph of its own
        if len(tables) > 1 and (pairs or (name.startswith(EDGES) and not of_each_row)):
            raise InputError(GRAPH.format(f"{name!r} of shape {list(values.shape)} connects rows"))


def _labels(label: Any) -> np.ndarray | None:
    if label is None:
        return None
    if isinstance(label, Tensor):
        known = real_tensor(label.detach(), "The labels").cpu()
        return np.atleast_1d((known.float() if known.dtype == torch.bfloat16 else known).numpy())
    values = np.atleast_1d(np.asarray(label))
    if values.dtype.kind in "OUS" and any(isinstance(value, str) for value in values.flat):
        return values
    return np.array(real_array(label, "The labels"), ndmin=1)  # a copy: that of a Series is read-only


def _tensor(values: Any) -> Tensor:
    if not isinstance(values, Tensor):
        return _array(values)
    # A tensor of torch.inference_mode has no gradients, which rules of pruning need.
    detached = values.detach()
    return real_tensor(detached.clone() if detached.is_inference() else detached, "The data")


def _array(data: Any) -> Tensor:
    if isinstance(data, Tensor):
        return real_tensor(data, "The data")
    values = real_array(data, "The data")
    if values.dtype.kind == "f" and values.dtype.itemsize > 8:
        values = values.astype(np.float64)
    if isinstance(data, pd.DataFrame) and _is_whole(data):
        values = values.astype(np.int64)
    native = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    # A read-only array, such as a memory map, is copied: torch has no read-only tensors.
    return torch.from_numpy(native if native.flags.writeable else native.copy())


def _is_whole(frame: pd.DataFrame) -> bool:
    """Whether all columns are whole numbers, which embeddings look up."""
    kinds = frame.dtypes
    return all(map(pd.api.types.is_integer_dtype, kinds)) and not frame.isna().to_numpy().any()
