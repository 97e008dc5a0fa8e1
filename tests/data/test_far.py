"""Arrays in files and on clusters: the same rows as of the array itself, and no others in memory."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import nif
from nif.core.errors import InputError
from nif.data import far
from nif.data.rows import read
from nif.data.signature import Signature
from support.networks import chain

X = np.random.default_rng(0).normal(size=(1000, 4)).astype(np.float32)
Y = np.arange(1000) % 3
TWO = Signature(("left", "right"), 2)


class Far:
    """What such arrays have in common, which is no length; counts the rows of each slice."""

    def __init__(self, values: np.ndarray, chunks: Any) -> None:
        self._values, self.chunks = values, chunks
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim
        self.read: list[int] = []

    def __getitem__(self, rows: slice) -> np.ndarray:
        assert isinstance(rows, slice)
        self.read.append(len(self._values[rows]))
        return self._values[rows]


def zarr_of(values: np.ndarray, folder: Path) -> Any:
    zarr = pytest.importorskip("zarr")
    found = zarr.open(
        str(folder / "x.zarr"), mode="w", shape=values.shape, dtype=values.dtype, chunks=(64, 4)
    )
    found[:] = values
    return found


def h5py_of(values: np.ndarray, folder: Path) -> Any:
    file = pytest.importorskip("h5py").File(folder / "x.h5", "w")
    return file.create_dataset("x", data=values)


def dask_of(values: np.ndarray, _: Path) -> Any:
    return pytest.importorskip("dask.array").from_array(values, chunks=((64, 300, 636), 4))


def map_of(values: np.ndarray, folder: Path) -> Any:
    np.save(folder / "x.npy", values)
    return np.load(folder / "x.npy", mmap_mode="r")


KINDS: dict[str, Any] = {
    "equal chunks": lambda values, _: Far(values, (64, 4)),
    "chunks of their own": lambda values, _: Far(values, ((64, 300, 636), (4,))),
    "no chunks": lambda values, _: Far(values, None),
    "zarr": zarr_of,
    "h5py": h5py_of,
    "Dask": dask_of,
    "memory map": map_of,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("most", [None, 100, 5000])
def test_the_rows_are_those_of_the_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, most: int | None
) -> None:
    monkeypatch.setattr(far, "BYTES_AT_ONCE", 1000)
    found = read(KINDS[kind](X, tmp_path), max_samples=most, seed=3)
    expected = read(X, max_samples=most, seed=3)
    assert torch.equal(found.first, expected.first)
    assert (found.numbers is None) == (expected.numbers is None)
    if found.numbers is not None:
        np.testing.assert_array_equal(found.numbers, expected.numbers)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_and_several_inputs_come_beside_them(tmp_path: Path, kind: str) -> None:
    x = KINDS[kind](X, tmp_path)
    names = np.array(["a", "b", "c"])[Y]
    for data in ((x, Y), (x, pd.Series(Y)), {"x": x, "label": Y}, (x, names), [x, Y], (x, Y.tolist())):
        found = read(data, max_samples=50, seed=1)
        assert found.numbers is not None
        assert torch.equal(found.first, torch.from_numpy(X[found.numbers]))
        labels = data["label"] if isinstance(data, dict) else data[1]
        np.testing.assert_array_equal(found.labels, np.asarray(labels)[found.numbers])
    both = read({"left": X[:, :2], "right": x}, TWO, max_samples=50)
    assert torch.equal(both.inputs[1][:, :2], both.inputs[0])


def test_labels_may_be_far_themselves() -> None:
    found = read((X, Far(Y, (100,))), max_samples=20)
    np.testing.assert_array_equal(found.labels, Y[found.numbers])


def test_no_more_rows_than_those_of_a_chunk_are_read_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(far, "BYTES_AT_ONCE", 1)
    x = Far(X, (64, 4))
    read(x, max_samples=3)
    assert max(x.read) == 64
    assert len(x.read) <= 3  # chunks without a row that was drawn are not read


METHODS = (
    nif.Currents(rows=20, backgrounds=4, steps=2, by_class=False, paths=0),
    nif.Association(nif.Binned(), rows=200),
)


@cache
def nats_of_the_array() -> list[np.ndarray]:
    """Of the first links, by each method."""
    net = chain(4, 6, 3)
    return [nif.measure(net, X, method, progress=False).links[0].nats for method in METHODS]


@pytest.mark.parametrize("kind", KINDS)
def test_a_flow_has_the_same_bits(tmp_path: Path, kind: str) -> None:
    for place, expected in enumerate(nats_of_the_array()):
        flow = nif.measure(chain(4, 6, 3), KINDS[kind](X, tmp_path), METHODS[place], progress=False)
        np.testing.assert_array_equal(flow.links[0].nats, expected)


def test_what_has_no_known_number_of_rows_is_refused() -> None:
    unknown = Far(X, (64, 4))
    unknown.shape = (float("nan"), 4)
    with pytest.raises(InputError, match="compute_chunk_sizes"):
        read(unknown)
    with pytest.raises(InputError, match=r"\[999, 1000\] rows"):
        read((Far(X, (64, 4)), Y[1:]))


def test_a_frame_of_dask_is_a_sentence() -> None:
    class Frame:
        def to_dask_array(self) -> None: ...

    with pytest.raises(InputError, match=r"pass data.to_dask_array\(lengths=True\)"):
        read(Frame())
