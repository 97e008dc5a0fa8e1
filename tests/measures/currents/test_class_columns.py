"""Columns of classes: few walks give what a walk for each class gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from nif.measures.currents import class_columns
from nif.measures.currents.class_columns import Walks
from nif.measures.measure import Measured
from support.currents import measured, total, trained, units
from support.networks import chain

X = torch.randn(300, 5, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long() + 2 * (X[:, 1] * X[:, 2] > 0).long() + 4 * (X[:, 3] > 1).long()


def columns(net: nn.Module, **options: Any) -> tuple[np.ndarray, Measured]:
    result = measured(net, X, by_class=True, rows=60, backgrounds=8, steps=4, **options)
    assert result.currents is not None
    return result.currents.attribution, result


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of walks of each block."""
    counts: list[int] = []
    of = Walks.of.__func__  # type: ignore[attr-defined]

    def counting(cls: type[Walks], weight: Tensor, *, all_walk: bool = False) -> Walks:
        walks: Walks = of(cls, weight, all_walk=all_walk)
        counts.append(len(walks.columns))
        return walks

    monkeypatch.setattr(Walks, "of", classmethod(counting))
    return counts


def with_all_walks(net: nn.Module, **options: Any) -> tuple[np.ndarray, Measured]:
    of = Walks.of.__func__  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Walks, "of", classmethod(lambda cls, weight, all_walk=False: of(cls, weight, all_walk=True))
        )
        return columns(net, **options)


@pytest.mark.parametrize(("negligible", "error"), [(1e-5, 1e-4), (class_columns.NEGLIGIBLE, 1e-3)])
@pytest.mark.parametrize("fitted", [True, False])
def test_few_walks_give_the_columns_of_a_walk_for_each_class(
    fitted: bool, negligible: float, error: float, counted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_columns, "NEGLIGIBLE", negligible)
    net = chain(5, 24, 16, 8)
    net = trained(net, X, Y) if fitted else net
    few, result = columns(net)
    assert max(counted) < 8
    assert not fitted or negligible < 1e-4 or min(counted) < 7
    every, again = with_all_walks(net)
    np.testing.assert_allclose(few, every, atol=error * total(again))
    np.testing.assert_allclose(few.sum(1), units(result)[0], atol=1e-6 * total(result))


def test_of_two_classes_one_walks_and_of_labels_none(counted: list[int]) -> None:
    two, _ = columns(chain(5, 12, 2))
    assert set(counted) == {1}
    np.testing.assert_allclose(two, with_all_walks(chain(5, 12, 2))[0], atol=1e-7)
    counted.clear()
    labelled = measured(
        chain(5, 12, 8), TensorDataset(X, Y), by_class=True, decision="labels", rows=60, backgrounds=8
    )
    assert set(counted) == {0}
    assert labelled.currents is not None
    assert labelled.currents.attribution.shape == (5, 8)


def test_independent_answers_walk_by_themselves() -> None:
    weight = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    walks = Walks.of(weight, all_walk=True)
    assert walks.rest is None
    assert walks.columns.sort(0).values.tolist() == [[0, 0], [1, 1], [2, 2]]


def test_a_class_without_weight_has_nothing_of_the_rest() -> None:
    walks = Walks.of(torch.tensor([[0.7, 0.3, 0.0], [0.0, 1.0, 0.0]]))
    assert walks.rest is not None
    assert (walks.rest[:, 2] == 0).all()
    torch.testing.assert_close(walks.rest.sum(1), torch.ones(2))
