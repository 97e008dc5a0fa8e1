"""Errors of rows that depend on each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import lfilter
from torch import Tensor, nn

import nif
from nif.data.rows import Rows
from nif.measures.currents.dependent_rows import groups_of_blocks

FAST: dict[str, Any] = {"rows": 200, "backgrounds": 8, "steps": 1, "by_class": False, "paths": 0}

pytestmark = pytest.mark.filterwarnings("ignore:.*backgrounds miss the total:UserWarning")


def network() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    with torch.no_grad():
        for values in net.parameters():
            values.mul_(2.5)
    return net


def series(rows: int, seed: int) -> Tensor:
    """Autoregressive, with a slope of .9 and a deviation of 1."""
    steps = torch.randn(rows + 100, 3, generator=torch.Generator().manual_seed(seed)) * 0.19**0.5
    return torch.from_numpy(lfilter([1], [1, -0.9], steps.numpy(), axis=0)[100:])


@pytest.mark.slow
def test_errors_of_a_series_are_those_of_repeated_samples() -> None:
    net, nats, errors = network(), [], {None: [], 50: []}
    for seed in range(16):
        for blocks, known in errors.items():
            with pytest.warns() if blocks is None else np.errstate():
                flow = nif.measure(
                    net, series(800, seed), nif.Currents(blocks=blocks, **FAST), progress=False
                )
            assert flow.currents is not None
            features = flow.currents.units[0]
            known.append(features.stderr)
        nats.append(features.nats)
    spread = float(np.sqrt(np.var(nats, axis=0).mean()))
    with_blocks, without = (float(np.sqrt(np.square(errors[key]).mean())) for key in (50, None))
    assert 0.75 * spread < with_blocks < 1.5 * spread
    assert without < 0.85 * with_blocks


def test_labels_are_blocks_and_each_is_left_out_as_a_whole() -> None:
    rows = Rows((torch.zeros(60, 1),))
    labels = np.random.default_rng(0).permutation(60) % 20
    groups = groups_of_blocks(labels, rows, None)
    assert all(len(set(groups[labels == label])) == 1 for label in range(20))
    assert np.bincount(groups).tolist() == [6] * 10
    words = np.array([f"day {label:02d}" for label in labels])
    assert (groups_of_blocks(words, rows, None) == groups).all()
    assert (groups_of_blocks(6, rows, None) == np.arange(60) // 6).all()
    # Two blocks that follow each other are in one group, so that few neighbours are in two.
    assert (groups_of_blocks(3, rows, None) == np.arange(60) // 6).all()


def test_rows_that_were_drawn_keep_their_blocks() -> None:
    numbers = np.arange(0, 600, 10)
    rows = Rows((torch.zeros(60, 1),), numbers=numbers)
    assert (groups_of_blocks(60, rows, None) == numbers // 60).all()
    assert (groups_of_blocks(np.arange(600) // 60, rows, None) == numbers // 60).all()


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (0, "blocks is 0; expected 1 row or more"),
        (10, "of 6 blocks; expected 10 or more"),
        (np.arange(59), "one label for each row"),
        (np.zeros((60, 2)), "one label for each row"),
        ([*range(59), None], "and some of none"),
    ],
    ids=str,
)
def test_blocks_that_are_refused(blocks: Any, message: str) -> None:
    with pytest.raises(nif.InputError, match=message):
        nif.measure(network(), torch.randn(60, 3), nif.Currents(blocks=blocks, **FAST), progress=False)


def test_blocks_and_a_background_exclude_each_other() -> None:
    x = torch.randn(60, 3)
    method = nif.Currents(blocks=6, **FAST)
    with pytest.raises(nif.InputError, match="omit them with background="):
        nif.measure(network(), x, method, background=x, progress=False)
