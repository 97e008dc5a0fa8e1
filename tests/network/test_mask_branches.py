"""Branches on a mask are silent where they lead to the same layers, and only there."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import nif

ROWS, LENGTH = 60, 5


class Masked(nn.Module):
    """A mean over what a mask keeps, behind a branch."""

    def __init__(self, branch: Callable[[Masked, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.relu, self.other, self.out = (
            nn.Linear(LENGTH, 4),
            nn.ReLU(),
            nn.Tanh(),
            nn.Linear(4, 2),
        )
        self.branch = branch

    def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        return self.out(self.branch(self, x, attention_mask))


def applied(net: Masked, x: Tensor, mask: Tensor) -> Tensor:
    return net.relu(net.first(x if mask.all() else x * mask))


def another_layer(net: Masked, x: Tensor, mask: Tensor) -> Tensor:
    return net.relu(net.first(x)) if mask.all() else net.other(net.first(x * mask))


def by_the_data(net: Masked, x: Tensor, mask: Tensor) -> Tensor:
    return net.relu(net.first(x * mask * (2 if mask.all() or x.sum() > 1e9 else 1)))


def by_both(net: Masked, x: Tensor, mask: Tensor) -> Tensor:
    return net.relu(net.first(x if (x * mask).sum() > 1e9 else x * mask))


def data(padded: bool) -> dict[str, Tensor]:
    mask = torch.ones(ROWS, LENGTH)
    mask[:, 3:] = 0.0 if padded else 1.0
    return {
        "x": torch.randn(ROWS, LENGTH, generator=torch.Generator().manual_seed(0)),
        "attention_mask": mask,
    }


@pytest.mark.parametrize("padded", [False, True])
def test_a_mask_that_is_applied_or_not_is_silent(padded: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = nif.layers(Masked(applied), data(padded))
    assert frame["name"].tolist()[-2:] == ["relu", "output"]


@pytest.mark.parametrize("branch", [another_layer, by_the_data, by_both])
def test_other_branches_are_said(branch: Callable[[Masked, Tensor, Tensor], Tensor]) -> None:
    for padded in (True,) if branch is by_the_data else (False, True):
        with pytest.warns(UserWarning, match="chooses its path by the data"):
            nif.layers(Masked(branch), data(padded))


def test_bert_with_a_mask_is_silent() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    net = transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
        )
    ).eval()
    ids = torch.randint(0, 20, (ROWS, LENGTH), generator=torch.Generator().manual_seed(0))
    for padded in (False, True):
        given = {"input_ids": ids, "attention_mask": data(padded)["attention_mask"].long()}
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "The model chooses its path")
            assert len(nif.layers(net, given)) > 2
