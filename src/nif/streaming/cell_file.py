"""The cells of all rows, one byte for each value, in a temporary file: memory does not grow with the rows."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from nif.compiled import compiled
from nif.contracts import InputError, Recording
from nif.estimators.binned import QUARTERS
from nif.estimators.halving import DEEPEST, Parts, halved
from nif.noise import observed
from nif.streaming.behind_noise import behind_noise
from nif.streams import stream

CELLS = 1 << DEEPEST
"""Cells of a column, before it is known for how many of them the rows suffice."""

ROWS_AT_ONCE = 2**16
"""Rows of a column that are read at a time."""

Neighbours = tuple[int, slice]
"""A layer and some of its units that follow each other."""


class Cuts(NamedTuple):
    """Where a sample halves the columns of a layer, and so on, down to the cells.

    Attributes:
        ends: Of each column, the largest value in each cell but the last; cells that are empty are left out.
        numbers: Of each column, the cells that are not empty.
    """

    ends: tuple[Float[np.ndarray, " _"], ...]
    numbers: tuple[UInt8[np.ndarray, " _"], ...]

    @classmethod
    def of(cls, sample: Float[np.ndarray, "sample column"]) -> Cuts:
        """Those of `nif.estimators.halving.halved`."""
        sizes = halved(sample, DEEPEST).parts.sizes[:, CELLS:]
        numbers = [np.flatnonzero(of_column) for of_column in sizes]
        last = [
            np.cumsum(of_column[own]) - 1 for of_column, own in zip(sizes, numbers, strict=True)
        ]  # the place of the largest value
        ordered = np.sort(sample, axis=0).T
        ends = tuple(column[places[:-1]] for column, places in zip(ordered, last, strict=True))
        return cls(ends, tuple(own.astype(np.uint8) for own in numbers))

    def cells(self, values: Float[np.ndarray, "row column"]) -> UInt8[np.ndarray, "column row"]:
        """The cell of each value; what lies between two cells belongs to the upper one.

        Example:
            >>> cuts = Cuts.of(np.array([[0.0], [0.0], [0.0], [2.0], [4.0]]))
            >>> cuts.cells(np.array([[-1.0], [0.0], [0.1], [2.0], [3.0], [99.0]])).tolist()
            [[0, 0, 128, 128, 192, 192]]
        """
        found = np.empty((values.shape[1], len(values)), dtype=np.uint8)
        for place, (ends, numbers) in enumerate(zip(self.ends, self.numbers, strict=True)):
            found[place] = numbers[np.searchsorted(ends, values[:, place], side="left")]
        return found


class CellFile:
    """The cells of the units of all layers, in four quarters of the rows drawn at random.

    Piece by piece of the rows, and in it quarter by quarter, the columns follow each other.

    Args:
        file: Where they are written. It has no buffer, which a full disk would leave to the end.
        widths: Units of each layer.
    """

    def __init__(self, file: io.FileIO, widths: Sequence[int]) -> None:
        self._file = file
        self._one_at_a_time = Lock()
        self._before = np.cumsum([0, *widths])
        self._pieces: list[list[tuple[int, int]]] = [[] for _ in range(QUARTERS)]
        self._sizes = [np.zeros((QUARTERS, width, CELLS), dtype=np.int64) for width in widths]

    @property
    def samples(self) -> int:
        """Rows so far."""
        return sum(rows for pieces in self._pieces for _, rows in pieces)

    def add(self, cells: Sequence[UInt8[np.ndarray, "_ row"]], generator: np.random.Generator) -> None:
        """Write some rows of every layer; the generator draws the quarter of each."""
        quarters = generator.permutation(np.arange(cells[0].shape[1]) % QUARTERS)
        for quarter in range(QUARTERS):
            rows = np.flatnonzero(quarters == quarter)
            self._pieces[quarter].append((self._file.tell(), len(rows)))
            for of_layer, sizes in zip(cells, self._sizes, strict=True):
                own = np.ascontiguousarray(of_layer[:, rows])
                self._write(own.reshape(-1).data)
                _count_each(own, sizes[quarter])

    def _write(self, left: memoryview) -> None:
        while left:
            left = left[self._file.write(left) :]

    def parts(self, layer: int, depth: int) -> list[Parts]:
        """How many rows of each quarter lie in each part of the units of a layer."""
        joined = self._sizes[layer].reshape(QUARTERS, -1, 1 << depth, CELLS >> depth).sum(axis=-1)
        return [Parts.of_cells(sizes) for sizes in joined]

    def read(self, quarter: int, sides: Sequence[Neighbours]) -> Iterator[list[UInt8[np.ndarray, "_ row"]]]:
        """All rows of a quarter, so many at a time, of some units of each of some layers."""
        found: list[list[np.ndarray]] = [[] for _ in sides]
        held = 0
        for start, rows in self._pieces[quarter]:
            for side, neighbours in zip(found, sides, strict=True):
                side.append(self._read_some(start, rows, neighbours))
            held += rows
            if held >= ROWS_AT_ONCE:
                yield [np.concatenate(side, axis=1) for side in found]
                found, held = [[] for _ in sides], 0
        if held:
            yield [np.concatenate(side, axis=1) for side in found]

    def _read_some(self, start: int, rows: int, neighbours: Neighbours) -> UInt8[np.ndarray, "unit row"]:
        layer, units = neighbours
        width = units.stop - units.start
        with self._one_at_a_time:
            self._file.seek(start + int(self._before[layer] + units.start) * rows)
            found = self._file.read(width * rows)
        return np.frombuffer(found, dtype=np.uint8).reshape(width, rows)


@compiled
def _count_each(cells, sizes):  # type: ignore[no-untyped-def]
    for column in range(len(cells)):
        for row in range(cells.shape[1]):
            sizes[column, cells[column, row]] += 1


@contextmanager
def cells_of(
    recording: Recording, pieces: Iterable[Recording], noise: float, seed: int
) -> Iterator[CellFile]:
    """The cells of all pieces, cut where a recording of some rows is; the file is gone with the block.

    Raises:
        InputError: The file can not be written.
    """
    cuts = [Cuts.of(values) for values in observed(recording, noise, seed)]
    generator = stream(seed, "quarters of pieces")
    with tempfile.TemporaryFile(prefix="nif", buffering=0) as file:
        found = CellFile(file, [len(layer) for layer in recording.layers])
        for values in behind_noise(recording, pieces, noise, seed):
            cells = [each.cells(part) for each, part in zip(cuts, values, strict=True)]
            try:
                found.add(cells, generator)
            except OSError as error:
                raise InputError(
                    f"The cells of all rows can not be written to {tempfile.gettempdir()} ({error}); they "
                    "take a byte for each unit and row. Set TMPDIR to a larger disk, or leave stream out."
                ) from error
        yield found
