"""Large values that all tasks need: each process is sent them once, and maps their arrays from one file."""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar
from weakref import WeakValueDictionary

import cloudpickle
import numpy as np

from nif.core.errors import InputError

LARGE = 2**20
"""Bytes from which joblib writes an array to a file that the workers map."""

MOST_KNOWN = 2
"""Values that a process keeps."""

NOT_FOUND = (
    "Worker processes cannot import what they were sent, such as the class of an estimator; define it in a "
    "module that they can import, or pass n_jobs=1."
)

Value = TypeVar("Value")

_known: dict[str, Shared[Any]] = {}

_made: WeakValueDictionary[str, Shared[Any]] = WeakValueDictionary()
"""Those of this process, which Dask pickles and unpickles here too."""

_lock = threading.RLock()


class Files(NamedTuple):
    """What is shared, in files that all processes see.

    Attributes:
        folder: Where they are.
        files: Number of them: the pickle, and one for each large array of it.
        digest: Of the pickle, which is loaded only if it is the one that was written.
    """

    folder: str
    files: int
    digest: str


class Shared(Generic[Value]):
    """A value that tasks are passed in place of the value itself.

    In the process that made it, and its threads, it is that very object. For others it is pickled once, its
    arrays and tensors apart, which joblib writes to a file for all workers; tasks that follow find it there.
    With a folder it is written there at once, and tasks carry no more than its path.

    Args:
        value: What is shared.
        folder: That all processes see, and that nobody else writes to.

    Raises:
        InputError: The folder cannot be written, or is not seen by the process that needs the value.

    Example:
        >>> shared = Shared([np.zeros(3)])
        >>> pickle.loads(pickle.dumps(shared)).value[0].tolist()
        [0.0, 0.0, 0.0]
    """

    def __init__(self, value: Value, folder: Path | None = None) -> None:
        self._token = uuid.uuid4().hex
        self._value: Value | None = value
        self._parts: tuple[np.ndarray, ...] | None = None
        self._files = None if folder is None else _written(value, folder / self._token)
        _made[self._token] = self

    @property
    def in_files(self) -> bool:
        """Whether tasks carry no more than a path."""
        return self._files is not None

    @property
    def value(self) -> Value:
        """What is shared."""
        with _lock:
            if self._value is None and self._files is not None:
                self._value = _loaded(_mapped(self._files))
            return self._value  # type: ignore[return-value] # None is a value too

    def sent(self) -> Sent:
        """What a cluster sends to its workers once, apart from the tasks."""
        if self._parts is None:
            self._parts = _parts_of(self._value)
        return Sent(self._token, self._parts)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._files is not None:
            return _elsewhere, (self._token, self._files)
        sent = self.sent()
        return _received, (sent.token, *sent.parts)


@dataclass(frozen=True, eq=False)
class Sent:
    """What is shared, in parts that any process can unpickle."""

    token: str
    parts: tuple[np.ndarray, ...]

    def received(self) -> Shared[Any]:
        """What is shared, on a worker."""
        return _received(self.token, *self.parts)


class _Pickler(cloudpickle.Pickler):
    """Takes large arrays, and what tensors are stored in, out of the pickle."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.arrays: list[np.ndarray] = []
        self._places: dict[tuple[int, int], int] = {}

    def persistent_id(self, value: Any) -> tuple[int, Any] | None:
        if type(value) is np.ndarray and value.nbytes >= LARGE and not value.dtype.hasobject:
            return self._place(id(value), value), None
        torch = sys.modules.get("torch")  # workers whose tasks need none start without it
        if torch is not None and isinstance(value, torch.storage.TypedStorage):
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
        self._storages: dict[int, Any] = {}

    def persistent_load(self, known: tuple[int, Any]) -> Any:
        place, dtype = known
        array = self._arrays[place]
        if dtype is None:
            return _writable(array)
        import torch
        from torch.storage import TypedStorage

        if place not in self._storages:
            self._storages[place] = torch.from_numpy(_writable(array)).untyped_storage()
        return TypedStorage(wrap_storage=self._storages[place], dtype=dtype, _internal=True)


def _writable(array: np.ndarray) -> np.ndarray:
    """A copy of what a cluster keeps for all of its processes."""
    return array if array.flags.writeable else array.copy()


def _parts_of(value: Any) -> tuple[np.ndarray, ...]:
    """The pickle, and the large arrays of it."""
    file = io.BytesIO()
    pickler = _Pickler(file)
    pickler.dump(value)
    # Made so large that it is written to a file too, and not sent with every task.
    pickled = np.frombuffer(file.getvalue().ljust(LARGE + 1), dtype=np.uint8)
    return pickled, *pickler.arrays


def _written(value: Any, folder: Path) -> Files:
    """Write a value into a new folder."""
    parts = _parts_of(value)
    try:
        folder.mkdir(mode=0o700)
        for number, part in enumerate(parts):
            np.save(_file(folder, number), part, allow_pickle=False)
    except OSError as error:  # such as of a full disk
        raise InputError(f"What processes share cannot be written to scratch= ({error}).") from error
    return Files(str(folder), len(parts), _digest(parts[0]))


def _mapped(files: Files) -> tuple[np.ndarray, ...]:
    """The parts of what is shared, of which only what is used is read; copied where it is written to."""
    places = [_file(Path(files.folder), number) for number in range(files.files)]
    try:
        parts = tuple(np.load(place, mmap_mode="c", allow_pickle=False) for place in places)
    except (OSError, ValueError) as error:
        raise InputError(
            f"A worker process cannot read {files.folder} ({error}); pass as scratch= a folder that all "
            "workers see, as the same user."
        ) from error
    if _digest(parts[0]) != files.digest:
        raise InputError(f"{places[0]} is not what was written there; pass a scratch= that is yours alone.")
    return parts


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number}.npy"


def _digest(pickled: np.ndarray) -> str:
    return hashlib.sha256(pickled.tobytes()).hexdigest()


def _loaded(parts: tuple[np.ndarray, ...]) -> Any:
    try:
        return _Unpickler(io.BytesIO(parts[0].tobytes()), parts[1:]).load()
    except (ImportError, AttributeError) as error:
        raise InputError(NOT_FOUND) from error


def _received(token: str, *parts: np.ndarray) -> Shared[Any]:
    """What came before; unpickled otherwise."""
    with _lock:
        found = _found(token)
        if found is None:
            found = _kept(token, Shared(_loaded(parts)))
            found._parts = parts
        return found


def _elsewhere(token: str, files: Files) -> Shared[Any]:
    """What came before; otherwise what reads the files when it is asked for its value."""
    with _lock:
        found = _found(token)
        if found is None:
            found = _kept(token, Shared(None))
            found._files = files
        return found


def _found(token: str) -> Shared[Any] | None:
    return _made.get(token) or _known.get(token)


def _kept(token: str, shared: Shared[Any]) -> Shared[Any]:
    """Known from now on, in place of the one that has been known longest."""
    while len(_known) >= MOST_KNOWN:
        _known.pop(next(iter(_known)))
    shared._token = token
    _known[token] = shared
    return shared
