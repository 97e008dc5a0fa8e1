"""Large values that all tasks need: each process is sent them once, and maps their arrays from one file."""

from __future__ import annotations

import io
import pickle
import sys
import threading
import uuid
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

import cloudpickle
import numpy as np
import torch
from torch.storage import TypedStorage, UntypedStorage

LARGE = 2**20
"""Bytes from which joblib writes an array to a file that the workers map."""

MOST_KNOWN = 2
"""Values that a process keeps."""

Value = TypeVar("Value")

_known: dict[str, Shared[Any]] = {}

_made: WeakValueDictionary[str, Shared[Any]] = WeakValueDictionary()
"""Those of this process, which Dask pickles and unpickles here too."""

_lock = threading.RLock()


class Shared(Generic[Value]):
    """A value that tasks are passed in place of the value itself.

    In the process that made it, and its threads, it is that very object. For others it is pickled once, its
    arrays and tensors apart, which joblib writes to a file for all workers; tasks that follow find it there.

    Attributes:
        value: What is shared.

    Example:
        >>> shared = Shared([np.zeros(3)])
        >>> pickle.loads(pickle.dumps(shared)).value[0].tolist()
        [0.0, 0.0, 0.0]
    """

    def __init__(self, value: Value) -> None:
        self.value = value
        self._token = uuid.uuid4().hex
        self._parts: tuple[np.ndarray, ...] | None = None
        _made[self._token] = self

    def __reduce__(self) -> tuple[Any, ...]:
        if self._parts is None:
            self._parts = _parts_of(self.value)
        return _received, (self._token, *self._parts)

    def __sizeof__(self) -> int:
        """Large, so that Dask sends it to its workers once."""
        return sys.getsizeof(self._token) + LARGE


class _Pickler(cloudpickle.Pickler):
    """Takes large arrays, and what tensors are stored in, out of the pickle."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.arrays: list[np.ndarray] = []
        self._places: dict[tuple[int, int], int] = {}

    def persistent_id(self, value: Any) -> tuple[int, torch.dtype | None] | None:
        if type(value) is np.ndarray and value.nbytes >= LARGE and not value.dtype.hasobject:
            return self._place(id(value), value), None
        if isinstance(value, TypedStorage):
            untyped = value._untyped_storage  # as torch.save does; the public names warn
            if untyped.device.type == "cpu" and untyped.nbytes() >= LARGE:
                whole = torch.empty(0, dtype=torch.uint8).set_(untyped)
                return self._place(untyped.data_ptr(), whole.numpy()), value.dtype
        return None

    def _place(self, address: int, array: np.ndarray) -> int:
        key = address, array.nbytes
        if key not in self._places:
            self._places[key] = len(self.arrays)
            self.arrays.append(array)
        return self._places[key]


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, arrays: tuple[np.ndarray, ...]) -> None:
        super().__init__(file)
        self._arrays = arrays
        self._storages: dict[int, UntypedStorage] = {}

    def persistent_load(self, known: tuple[int, torch.dtype | None]) -> Any:
        place, dtype = known
        array = self._arrays[place]
        if dtype is None:
            return array
        if place not in self._storages:
            writable = array if array.flags.writeable else array.copy()
            self._storages[place] = torch.from_numpy(writable).untyped_storage()
        return TypedStorage(wrap_storage=self._storages[place], dtype=dtype, _internal=True)


def _parts_of(value: Any) -> tuple[np.ndarray, ...]:
    """The pickle, and the large arrays of it."""
    file = io.BytesIO()
    pickler = _Pickler(file)
    pickler.dump(value)
    # Made so large that it is written to a file too, and not sent with every task.
    pickled = np.frombuffer(file.getvalue().ljust(LARGE + 1), dtype=np.uint8)
    return pickled, *pickler.arrays


def _received(token: str, pickled: np.ndarray, *arrays: np.ndarray) -> Shared[Any]:
    """What came before; unpickled otherwise."""
    with _lock:
        found = _made.get(token) or _known.get(token)
        if found is None:
            while len(_known) >= MOST_KNOWN:
                _known.pop(next(iter(_known)))
            found = Shared(_Unpickler(io.BytesIO(pickled.tobytes()), arrays).load())
            found._token, found._parts = token, (pickled, *arrays)
            _known[token] = found
        return found
