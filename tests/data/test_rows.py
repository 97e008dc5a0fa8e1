"""Rows: one case for each kind of data, and a sample that does not depend on how the data come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_sequence
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from nif.core.errors import InputError
from nif.data.rows import READERS, Rows, read
from nif.data.signature import Signature

X = torch.randn(3000, 4, generator=torch.Generator().manual_seed(0))
ONE, TWO = Signature(("x",), 1), Signature(("left", "right"), 2)


class Yields(IterableDataset):  # type: ignore[type-arg]
    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __iter__(self) -> Any:
        return iter(self.x)


def mapped(x: Tensor, folder: Path) -> Any:
    np.save(folder / "x.npy", x.numpy())
    return np.load(folder / "x.npy", mmap_mode="r")


KINDS: dict[str, Any] = {
    "Tensor": lambda x, _: x,
    "ndarray": lambda x, _: x.numpy(),
    "memory map": mapped,
    "nested list": lambda x, _: x.tolist(),
    "DataFrame": lambda x, _: pd.DataFrame(x.numpy()),
    "mapping": lambda x, _: {"x": x.numpy(), "label": np.arange(len(x))},
    "Dataset": lambda x, _: TensorDataset(x, torch.arange(len(x))),
    "list of rows": lambda x, _: list(x),
    "IterableDataset": lambda x, _: Yields(x),
    "DataLoader": lambda x, _: DataLoader(TensorDataset(x, torch.arange(len(x))), batch_size=7),
    "DataLoader of a stream": lambda x, _: DataLoader(Yields(x), batch_size=64),
    "(x, y)": lambda x, _: (x.numpy(), np.arange(len(x))),
    "[x, y]": lambda x, _: [pd.DataFrame(x.numpy()), pd.Series(np.arange(len(x)))],
    "generator": lambda x, _: (rows for rows in x.split(50)),
    "generator of pairs": lambda x, _: zip(x.split(70), torch.arange(len(x)).split(70), strict=True),
    "data module": lambda x, _: Module(x),
}

LABELLED = {"mapping", "Dataset", "DataLoader", "(x, y)", "[x, y]", "generator of pairs", "data module"}


class Module:
    """Has the methods of a LightningDataModule; raises before it is set up."""

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def setup(self, stage: str) -> None:
        assert stage == "fit"
        self.known = TensorDataset(self.x, torch.arange(len(self.x)))

    def train_dataloader(self) -> Any:
        return DataLoader(TensorDataset(-self.x, torch.arange(len(self.x))), batch_size=64)

    def val_dataloader(self) -> Any:
        return [DataLoader(self.known, batch_size=64)]


@pytest.mark.parametrize("most", [None, 300])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_the_same_rows(kind: str, most: int | None, tmp_path: Path) -> None:
    expected, rows = (
        read(X, max_samples=most, seed=5),
        read(KINDS[kind](X, tmp_path), ONE, max_samples=most, seed=5),
    )
    np.testing.assert_allclose(rows.first.numpy(), expected.first.numpy(), rtol=1e-6)
    assert len(rows) == (most or len(X))
    if rows.labels is not None:
        torch.testing.assert_close(X[rows.labels], rows.first, check_dtype=False)
    assert (rows.labels is not None) == (kind in LABELLED)


def test_there_is_a_case_for_every_reader() -> None:
    first = {
        next(reader for reader in READERS if reader(KINDS[kind](X, Path("/tmp")), ONE) is not None)
        for kind in KINDS
        if kind != "memory map"
    }
    assert len(first) == len(READERS) - 1  # a memory map has a test of its own


@pytest.mark.parametrize("make", [dict, tuple], ids=["mapping", "tuple"])
def test_several_inputs_are_drawn_together(make: Any) -> None:
    both = {"left": X, "right": 2 * X[:, :1]}
    rows = read(both if make is dict else tuple(both.values()), TWO, max_samples=100)
    assert rows.names == ("left", "right") and len(rows) == 100
    assert torch.equal(2 * rows.inputs[0][:, :1], rows.inputs[1])
    with pytest.raises(InputError, match=r"have \[3000, 10\] rows"):
        read((X, X[:10]), TWO)


def test_a_table_is_not_copied_and_rows_are_not_read_again() -> None:
    rows = read(X)
    assert rows.first.data_ptr() == X.data_ptr()
    assert read(rows) is rows
    named = read(rows, feature_names="abcd")
    assert named.feature_names == ("abcd",) and named.first is rows.first


def test_groups_belong_to_one_input() -> None:
    images = torch.zeros(60, 1, 4, 4)
    groups = read(images, input_groups=2).groups
    assert groups is not None and len(groups.names) == 4
    with pytest.raises(InputError, match="cannot be combined with several inputs"):
        read((X, X), TWO, input_groups=2)


def test_batches_of_different_shapes_are_refused() -> None:
    batches = [torch.zeros(5, 4), torch.zeros(5, 3)]
    with pytest.raises(InputError, match="Batches have different shapes"):
        read(DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    ragged = [torch.zeros(4 + index % 2) for index in range(60)]
    with pytest.raises(InputError, match="Batches have different shapes"):
        read(ragged)
    for rows in (iter(X), zip(X, range(len(X)), strict=True)):
        with pytest.raises(InputError, match=r"shape \[4\]; expected batches .* Of single rows, pass list"):
            read(rows)
    with pytest.raises(InputError, match="a PackedSequence; pass pad_packed_sequence"):
        read(pack_sequence([X[:3], X[:2]]))
    with pytest.raises(InputError, match="list of 2 items, and each item is one row"):
        read(batches)
    with pytest.raises(InputError, match=r"shape \[60\]"):
        Rows((torch.zeros(60),))


class Rare(Dataset):  # type: ignore[type-arg]
    """A data set that counts the rows it was asked for."""

    asked = 0

    def __len__(self) -> int:
        return 5000

    def __getitem__(self, index: int) -> Tensor:
        self.asked += 1
        return torch.full((4,), float(index))


def test_a_sample_is_the_same_however_the_data_come() -> None:
    table = torch.arange(5000.0)[:, None].expand(-1, 4)
    known = read(table, max_samples=300, seed=3).first
    rare = Rare()
    assert torch.equal(known, read(rare, max_samples=300, seed=3).first) and rare.asked == 300
    for size in (1, 64, 1000):
        streamed = read(DataLoader(Yields(table), batch_size=size), max_samples=300, seed=3)
        assert torch.equal(known, streamed.first)
    assert len(torch.unique(known[:, 0])) == 300 and torch.equal(known, known.sort(dim=0).values)
    assert not torch.equal(known, read(table, max_samples=300, seed=4).first)


@pytest.mark.slow
def test_every_row_is_as_likely_to_be_sampled() -> None:
    """Chi-squared of how often each of 20 rows is among 5, over 4,000 seeds: 19 degrees of freedom."""
    table = torch.arange(20.0)[:, None]
    drawn = torch.cat([read(table, max_samples=5, seed=seed).first for seed in range(4000)])
    counts = torch.bincount(drawn.flatten().long(), minlength=20).double()
    # Without replacement a count varies less than a Poisson one, by (1 - 5/20) 20/19.
    statistic = ((counts - 1000) ** 2 / 1000).sum() / (0.75 * 20 / 19)
    assert 5 < float(statistic) < 44  # p = .999 and .001


def test_labels_that_a_model_may_take_are_labels() -> None:
    """A model of transformers takes labels, to compute its loss."""
    signature = Signature(("input_ids", "attention_mask", "labels"), 1)
    ids, labels = torch.arange(600).reshape(100, 6), np.arange(100)
    data = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    batches = [{name: torch.as_tensor(values[row]) for name, values in data.items()} for row in range(100)]
    for given in (data, batches):
        rows = read(given, signature)
        assert rows.names == ("input_ids", "attention_mask")
        assert rows.labels is not None
        assert rows.labels.tolist() == labels.tolist()
    needed = Signature(("x", "target"), 2)
    assert read({"x": ids, "target": ids}, needed).names == ("x", "target")


def test_tables_of_arrow_are_frames() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table({"a": [1.0, 2.0, 3.0], "b": [4, 5, 6]})
    rows, with_labels = read(table), read((table, pyarrow.array([0, 1, 1])))
    assert rows.feature_names == with_labels.feature_names == ("a", "b")
    assert rows.first.tolist() == [[1, 4], [2, 5], [3, 6]]
    with pytest.raises(InputError, match="NaN or infinite values, the first in row 1, column 'b'"):
        read(pyarrow.table({"a": [1.0, 2.0], "b": [4, None]}))
    with pytest.raises(InputError, match="not numbers: b"):
        read(pyarrow.table({"a": [1.0, 2.0], "b": ["x", "y"]}))
