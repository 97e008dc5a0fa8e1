"""What of the data is for what: inputs by their parameters, labels, and arguments that are no rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from nif.core.errors import InputError
from nif.data.rows import read
from nif.data.signature import Signature

X = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
Y, IDS = torch.arange(60) % 3, torch.arange(60) % 7


class Optional(nn.Module):
    def forward(self, x: Tensor, extra: Tensor | None = None, *, scale: float = 1.0) -> Any:
        """Never run."""


class Keywords(nn.Module):
    def forward(self, *, own: Tensor, other: Tensor) -> Any:
        """Never run."""


class Late(nn.Module):
    def forward(self, x: Tensor, mask: Tensor | None = None, *, other: Tensor) -> Any:
        """Never run."""


class Annotated(nn.Module):
    def forward(self, batch: dict[str, Tensor]) -> Any:
        """Never run."""


class Reads(nn.Module):
    def forward(self, features):  # type: ignore[no-untyped-def]
        return features["own"] + features["other"]


class AnyName(nn.Module):
    def forward(self, **parts: Tensor) -> Any:
        """Never run."""


def test_signatures() -> None:
    late = Signature.of(Late())
    assert late.needed == ("x", "other") and late.optional == ("mask",)
    assert Signature.of(Keywords()).by_keyword and not late.by_keyword
    assert Signature.of(Annotated()).mapping and Signature.of(Annotated()).keys == ()
    assert Signature.of(Reads()).keys == ("own", "other")
    assert Signature.of(AnyName()).any_name
    plain = Signature.of(nn.Linear(2, 3))
    assert not (plain.mapping or plain.by_keyword or plain.any_name)


def test_an_optional_input_may_be_left_out_or_given() -> None:
    signature = Signature.of(Optional())
    for given in ((X, Y), TensorDataset(X, Y)):
        rows = read(given, signature)
        assert rows.names == () and rows.labels is not None and rows.labels.tolist() == Y.tolist()
    for given in ((X, 2 * X, Y), DataLoader(TensorDataset(X, 2 * X, Y), batch_size=9)):
        rows = read(given, signature)
        assert rows.names == ("x", "extra") and torch.equal(rows.inputs[1], 2 * X)
        assert rows.labels is not None and rows.labels.tolist() == Y.tolist()


def test_a_table_that_may_be_an_input_is_not_taken_for_labels_without_a_word() -> None:
    for given in ((X, X), TensorDataset(X, X)):
        with pytest.warns(UserWarning, match="taken as labels. If it is the input 'extra'"):
            read(given, Signature.of(Optional()))
    assert read((X, X)).labels is not None  # no other input: values of a regression


def test_several_optional_inputs_are_given_by_name() -> None:
    signature = Signature(("x", "a", "b"), 1, optional=("a", "b"))
    with pytest.raises(InputError, match="3 parts, for 'x' and maybe 'a', 'b'"):
        read((X, X, X), signature)
    assert read((X, X, X, Y), signature).names == ("x", "a", "b")
    assert read({"x": X, "b": X, "y": Y}, signature).names == ("x", "b")


def test_inputs_by_keyword_only() -> None:
    signature = Signature.of(Keywords())
    for given in ((X, X[:, :2], Y), {"other": X[:, :2], "own": X, "y": Y}):
        rows = read(given, signature)
        assert rows.names == ("own", "other") and [values.shape[1] for values in rows.inputs] == [4, 2]
    assert read(X, Signature(("x",), 1, by_keyword=True)).names == ("x",)


def test_arguments_that_are_no_rows_are_constants() -> None:
    signature = Signature(("x", "scale", "mode", "extra"), 3, optional=("extra",))
    rows = read({"x": X, "scale": 2.0, "mode": "fast", "extra": None, "y": Y}, signature)
    assert rows.names == ("x",) and len(rows.inputs) == 1
    assert rows.constants == {"scale": 2.0, "mode": "fast", "extra": None}
    assert read((X, torch.tensor(2.0), True), signature).constants["mode"] is True
    # A mapping of one table and a number lost the number.
    assert read({"x": X, "scale": 2.0}, Signature(("x", "scale"), 1)).constants == {"scale": 2.0}
    with pytest.raises(InputError, match="have no rows: x"):
        read({"x": 1.0}, Signature(("x",), 1))


def test_one_number_a_row_becomes_a_column() -> None:
    signature = Signature(("user", "item"), 2)
    frame = pd.DataFrame({"item": IDS, "user": Y, "rating": np.arange(60.0)})
    for given in ((Y, IDS), {"item": IDS, "user": Y}, TensorDataset(Y, IDS, Y), frame):
        rows = read(given, signature)
        assert rows.flat == (0, 1) and rows.names == ("user", "item")
        assert torch.equal(rows.inputs[0], Y[:, None]) and torch.equal(rows.inputs[1], IDS[:, None])
    assert read((Y, IDS), signature).feature_names == ("user", "item")
    assert read(pd.Series(np.arange(60.0), name="age")).feature_names == ("age",)


def test_a_mapping_is_one_input_of_a_model_that_reads_it() -> None:
    batch = {"own": X, "other": 2 * X, "id": IDS, "y": Y}
    rows = read(batch, Signature.of(Reads()))
    assert rows.names == ("own", "other") and rows.labels is not None
    assert read(batch, Signature.of(Annotated())).names == ("own", "other", "id")
    assert read({"own": X, "y": Y}, Signature.of(AnyName())).names == ("own",)
    # A model may take a mapping or a tensor.
    assert read(X, Signature.of(Reads())).names == ()
    with pytest.raises(InputError, match="the model takes 'own', 'other'"):
        read({"own": X}, Signature.of(Reads()))


def test_lists_of_numbers_are_collated() -> None:
    """A data set of tokenizers holds lists; torch collates them to one tensor for each position."""
    items = [
        {"input_ids": row, "label": int(row[0] % 2), "text": "a b"} for row in IDS.reshape(-1, 1).tolist()
    ]
    rows = read(items, Signature(("input_ids", "mask"), 1, optional=("mask",)))
    assert torch.equal(rows.first, IDS[:, None])
    assert rows.labels is not None and rows.labels.tolist() == [row % 2 for row in IDS.tolist()]


def test_whole_columns_stay_whole() -> None:
    frame = pd.DataFrame({"a": Y.numpy(), "b": IDS.numpy()})
    assert read(frame).first.dtype == torch.int64
    assert read(frame.astype("Int16")).first.dtype == torch.int64
    assert read(frame.astype({"a": float})).first.dtype == torch.float64


class Graph:
    x, edge_index = X, torch.zeros(2, 30, dtype=torch.int64)


@pytest.mark.parametrize(
    "data",
    [(X, Graph.edge_index), {"x": X, "edge_index": Graph.edge_index}, Graph(), [Graph(), Graph()].__iter__()],
    ids=["tuple", "mapping", "object", "loader"],
)
def test_a_graph_is_refused_as_what_it_is(data: Any) -> None:
    with pytest.raises(InputError, match=r"are a graph: .*edge_index.* nodes are no independent rows"):
        read(data, Signature(("x", "edge_index"), 2))


def test_what_cannot_be_read() -> None:
    with pytest.raises(InputError, match="csr_array, which is sparse"):
        read((csr_array(X.numpy()), Y))
    with pytest.raises(InputError, match="sparse or nested"):
        read((X.to_sparse(), Y))
    with pytest.raises(InputError, match=r"takes 2 inputs \(a, b\) and the data are one"):
        read(X, Signature(("a", "b"), 2))
    with pytest.raises(InputError, match=r"shape \[4\]; expected batches"):
        read(row for row in X)
    with pytest.raises(InputError, match="labels of a batch are text"):
        read([(X, ["a"] * 60)].__iter__())
    with pytest.raises(InputError, match="yields no single DataLoader"):
        read(type("Empty", (), {"setup": None, "train_dataloader": None})())


class Pair(nn.Module):
    def forward(self, x: Tensor, ids: Tensor) -> Any:
        """Never run."""


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("model", [Pair, Annotated])
def test_a_mapping_of_inputs_may_stand_beside_labels(model: type[nn.Module], loaded: bool) -> None:
    rows = [({"x": x, "ids": number}, y) for x, number, y in zip(X, IDS, Y, strict=True)]
    data = DataLoader(rows, 20) if loaded else ({"x": X, "ids": IDS}, Y)
    found = read(data, Signature.of(model()))
    assert [values.shape for values in found.inputs] == [(60, 4), (60, 1)]
    assert torch.equal(found.inputs[0], X) and (found.inputs[1][:, 0] == IDS).all()
    assert found.labels is not None
    np.testing.assert_array_equal(found.labels, Y)
