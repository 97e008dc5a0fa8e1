"""Products of large weights wait for all steps of a block, and keep none of the tapes they were read from."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import nn

from nif.measures.currents import weights
from nif.measures.currents.block_sums import BlockSums, Sums
from nif.measures.currents.tape import Tape
from support.currents import measured


def tapes_at_the_end(monkeypatch: pytest.MonkeyPatch, large: int) -> list[int]:
    """Tapes that exist when a block is finished."""
    found, finish = [], BlockSums.finish

    def counted(self: BlockSums, sums: Sums) -> None:
        gc.collect()
        found.append(sum(isinstance(one, Tape) for one in gc.get_objects()))
        assert bool(self._late) == (large == 0)
        finish(self, sums)

    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    with monkeypatch.context() as patch:
        patch.setattr(weights, "LARGE", large)
        patch.setattr(BlockSums, "finish", counted)
        measured(net, torch.randn(30, 4), steps=5)
    return found


def test_products_that_wait_keep_no_tape(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tapes_at_the_end(monkeypatch, 0) == tapes_at_the_end(monkeypatch, 2**20)
