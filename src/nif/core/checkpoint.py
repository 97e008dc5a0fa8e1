"""Finished parts of long work, kept in one file, so that the work goes on where a crash ended it.

The file is a mark, then records, each appended whole: lengths and checksums, the facts as JSON, and arrays in
the safetensors format, so that nothing of it is ever executed. A process that is killed leaves at most the
last record unfinished, which is dropped. The first record says what the work is; the file of other work is
refused. A later record of the same name replaces an earlier one, and the file is written anew once more than
half of it is replaced.
"""

from __future__ import annotations

import json
import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from nif.core.errors import InputError
from nif.core.files import refuse_read_only, whole_file

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MARK = b"nif-part"
"""What the file begins with."""

HEAD = struct.Struct("<QQII")
"""Of a record: the lengths of its facts and of its arrays, their checksum, and that of these three."""

WORK = "work"
"""Name of the first record, which says what the work is."""

LITTLE = 2**26
"""Bytes of replaced records for which the file is not written anew."""

AT_ONCE = 2**20
"""Bytes that are read at a time to check them."""

FINGERPRINT = 32
"""Letters of what stands for a large value; no sentence shows them."""

DTYPES = {"<f8": "F64", "<f4": "F32", "<f2": "F16", "<i8": "I64", "<i4": "I32", "|i1": "I8", "|b1": "BOOL"}
"""Types of arrays by numpy's names, as safetensors calls them."""

_opened: set[Path] = set()
"""Files that this process goes on with: a lock keeps only others from them."""

_lock_of_opened = threading.Lock()

Arrays = Mapping[str, np.ndarray]
Facts = Mapping[str, Any]
Part = tuple[dict[str, np.ndarray], dict[str, Any]]
"""Arrays and facts of a record."""


@dataclass(frozen=True)
class _Place:
    """Where a record is in the file, and its facts."""

    first: int
    arrays: int
    end: int
    facts: dict[str, Any]


class Checkpoint:
    """The file of some work; `opened` opens it.

    Attributes:
        path: Of the file.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self._file = file
        self._places: dict[str, _Place] = {}
        self._stages = 0
        self._read()

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def stage(self, name: str) -> Stage:
        """A part of the work with records of its own; work of one kind begins its stages in one order."""
        self._stages += 1
        return Stage(self, f"{self._stages} {name}")

    def names(self, begin: str) -> list[str]:
        """Names of the records that begin so, in the order in which they were first put."""
        return [name for name in self._places if name.startswith(begin)]

    def get(self, name: str) -> Part:
        """The last record of this name."""
        place = self._places[name]
        self._file.seek(place.arrays)
        try:
            arrays = load(self._file.read(place.end - place.arrays))
            return {key: arrays[key] for key in place.facts["arrays"]}, place.facts
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise _unusable(self.path, str(error)) from error

    def put(self, name: str, arrays: Arrays, facts: Facts | None = None) -> None:
        """Append a record, whose arrays keep their order; it is on the disk when this returns."""
        self._append({**(facts or {}), "name": name, "arrays": list(arrays)}, _safetensors(arrays))
        replaced = self._file.tell() - len(MARK) - sum(p.end - p.first for p in self._places.values())
        if replaced > max(LITTLE, self._file.tell() // 2):
            self._write_anew()

    def remove(self) -> None:
        """Remove the file: the work is complete."""
        self.path.unlink(missing_ok=True)

    def check(self, work: Mapping[str, str]) -> None:
        """Begin the file of some work, or compare it with the work of the file.

        Raises:
            InputError: The file is of other work; says what differs.
        """
        if WORK not in self._places:
            self.put(WORK, {}, {"of": dict(work)})
        known = self._places[WORK].facts.get("of")
        if not isinstance(known, dict):
            raise _unusable(self.path, "it does not say what it is of")
        differs = [
            _shown(key, known.get(key), work.get(key))
            for key in {**known, **work}
            if known.get(key) != work.get(key)
        ]
        if differs:
            raise InputError(
                f"The checkpoint {self.path} is of other work: {', '.join(differs)}. Pass the same again to "
                "go on with it, or the name of a new file."
            )

    def _append(self, facts: dict[str, Any], parts: Sequence[Any]) -> None:
        text = json.dumps(facts).encode()
        size, total = sum(len(part) for part in parts), 0
        for part in (text, *parts):
            total = zlib.crc32(part, total)
        lengths = struct.pack("<QQI", len(text), size, total)
        first = self._file.seek(0, os.SEEK_END)
        try:
            for part in (lengths, struct.pack("<I", zlib.crc32(lengths)), text, *parts):
                self._file.write(part)
            _to_disk(self._file)
        except OSError as error:  # such as of a full disk
            raise InputError(
                f"The checkpoint {self.path} cannot be written ({error}); what it holds so far can be used "
                "once there is room."
            ) from error
        arrays = first + HEAD.size + len(text)
        self._places[facts["name"]] = _Place(first, arrays, arrays + size, facts)

    def _read(self) -> None:
        """Find the records; an unfinished last one is cut off."""
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(0)
        if not MARK.startswith(self._file.read(len(MARK))):
            raise _unusable(self.path, "it begins otherwise")
        end = len(MARK)
        while end + HEAD.size <= size:
            place = self._place(end, size)
            if place is None:
                break
            self._places[place.facts["name"]] = place
            end = place.end
        self._file.truncate(0 if size < len(MARK) else end)
        if size < len(MARK):
            self._file.seek(0)
            self._file.write(MARK)

    def _place(self, first: int, size: int) -> _Place | None:
        """The record that begins here; None if its end is missing."""
        self._file.seek(first)
        head = self._file.read(HEAD.size)
        facts, arrays, checksum, own = HEAD.unpack(head)
        if zlib.crc32(head[:-4]) != own:
            raise _unusable(self.path, f"the record at byte {first} is damaged")
        end = first + HEAD.size + facts + arrays
        if end > size:
            return None
        text = self._file.read(facts)
        total, left = zlib.crc32(text), arrays
        while left:
            part = self._file.read(min(left, AT_ONCE))
            total, left = zlib.crc32(part, total), left - len(part)
        try:
            known = json.loads(text) if total == checksum else None
        except (ValueError, RecursionError):
            known = None
        if not (isinstance(known, dict) and isinstance(known.get("name"), str)):
            raise _unusable(self.path, f"the record at byte {first} is damaged")
        return _Place(first, end - arrays, end, known)

    def _write_anew(self) -> None:
        """Without the records that were replaced."""
        with whole_file(self.path, "The checkpoint") as beside:
            file = beside.open("r+b")
            file.write(MARK)
            for name, place in self._places.items():
                first = file.tell()
                self._file.seek(place.first)
                for start in range(place.first, place.end, AT_ONCE):
                    file.write(self._file.read(min(AT_ONCE, place.end - start)))
                moved = first - place.first
                self._places[name] = _Place(first, place.arrays + moved, place.end + moved, place.facts)
            _to_disk(file)
            _lock(file, self.path)
        self._file.close()
        self._file = file

    def close(self) -> None:
        """Close the file; it stays."""
        with suppress(OSError):  # of a full disk, which `put` has said: what it holds is on the disk
            self._file.close()


@dataclass(frozen=True)
class Stage:
    """A part of some work, whose records have a common beginning."""

    checkpoint: Checkpoint
    name: str

    def names(self) -> list[str]:
        """Names of the records of this part."""
        begin = f"{self.name}: "
        return [name.removeprefix(begin) for name in self.checkpoint.names(begin)]

    def __contains__(self, name: str) -> bool:
        return f"{self.name}: {name}" in self.checkpoint

    def get(self, name: str) -> Part:
        """See `Checkpoint.get`."""
        return self.checkpoint.get(f"{self.name}: {name}")

    def put(self, name: str, arrays: Arrays, facts: Facts | None = None) -> None:
        """See `Checkpoint.put`."""
        self.checkpoint.put(f"{self.name}: {name}", arrays, facts)


def kept(stage: Stage | None, name: str, compute: Callable[[], Sequence[np.ndarray]]) -> Sequence[np.ndarray]:
    """Arrays from the file, or computed and put there.

    Example:
        >>> kept(None, "sum", lambda: [np.ones(2) + 1])
        [array([2., 2.])]
    """
    if stage is None:
        return compute()
    if name not in stage:
        computed = compute()
        stage.put(name, {str(place): values for place, values in enumerate(computed)})
        return computed
    arrays, _ = stage.get(name)
    return [arrays[str(place)] for place in range(len(arrays))]


@contextmanager
def opened(path: str | os.PathLike[str] | Checkpoint | None) -> Iterator[Checkpoint | None]:
    """The checkpoint of a file, which is created if there is none; None for no path.

    One that is open already is passed on, and stays open.

    Raises:
        InputError: The file cannot be written, is damaged or something else, or in use by another process or
            thread.

    Example:
        >>> with opened("missing/run.nif-part"):
        ...     pass
        Traceback (most recent call last):
        nif.InputError: The checkpoint cannot be written to ...run.nif-part ...
    """
    if path is None or isinstance(path, Checkpoint):
        yield path
        return
    target = _resolved(path)
    with _alone(target):
        file, checkpoint = _file(target), None
        try:
            _lock(file, target)
            checkpoint = Checkpoint(target, file)
            yield checkpoint
        finally:
            (checkpoint or file).close()


def _resolved(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(os.path.realpath(os.fsdecode(path)))
    except (TypeError, ValueError) as error:  # such as of a number, or a name with NUL
        raise InputError(f"The checkpoint is {path!r}; expected the name of a file.") from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other threads of this process from the file."""
    with _lock_of_opened:
        if path in _opened:
            raise _in_use(path)
        _opened.add(path)
    try:
        yield
    finally:
        with _lock_of_opened:
            _opened.remove(path)


def _file(path: Path) -> BinaryIO:
    """Opened for reading and writing, created if there is none."""
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"The checkpoint {path} is no file; pass the name of one.")
        refuse_read_only(path, "The checkpoint")
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"The checkpoint cannot be written to {path} ({error}); pass a path in an existing directory."
        ) from error


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _lock(file: BinaryIO, path: Path) -> None:
    """Keep other processes from writing the file, until this one ends; children do not inherit it."""
    if fcntl is None:
        return
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        raise _in_use(path) from error
    except OSError:  # a file system without locks
        pass


def _in_use(path: Path) -> InputError:
    return InputError(
        f"Another process or thread goes on with the checkpoint {path}; pass the name of another file."
    )


def _safetensors(arrays: Arrays) -> list[Any]:
    """The arrays in that format, in parts that are no copies."""
    whole = {name: np.asarray(values, order="C") for name, values in arrays.items()}
    header, first = {}, 0
    for name, values in whole.items():
        offsets = [first, first + values.nbytes]
        header[name] = {"dtype": DTYPES[values.dtype.str], "shape": values.shape, "data_offsets": offsets}
        first += values.nbytes
    text = json.dumps(header).encode()
    return [struct.pack("<Q", len(text)), text, *(one.reshape(-1).view(np.uint8) for one in whole.values())]


def _shown(name: str, before: str | None, now: str | None) -> str:
    """What differs; large values are fingerprints, which say nothing to a reader."""
    if any(value is None or len(value) >= FINGERPRINT for value in (before, now)):
        return f"{name} differs"
    return f"{name} was {before} and is {now}"


def _unusable(path: Path, why: str) -> InputError:
    return InputError(
        f"The file {path} is no checkpoint that can be used ({why}); remove it, or pass the name of another "
        "file."
    )
