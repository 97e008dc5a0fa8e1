"""Blocks of rows: several groups, or several steps, in one give the sums that each gives by itself."""

from collections.abc import Callable
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.measures.currents import path_integral, steps
from nif.measures.currents.backgrounds import Backgrounds
from nif.measures.currents.block_sums import BlockSums
from nif.measures.currents.blocks import Block, blocks
from nif.measures.currents.grouped_sums import GROUPS
from nif.measures.currents.moves import Moves, Way
from nif.measures.currents.size import Size
from nif.network.forward import Forward
from support.networks import ViT
from support.sequence_models import LENGTH, WORDS


def _sample(rows: int, groups: np.ndarray, size: Size) -> list[Block]:
    index = np.random.default_rng(0).integers(0, rows, (rows, 4))
    backgrounds = Backgrounds(index, np.zeros(index.shape), 0.0)
    weights = np.full(rows, 1 / rows)
    return list(blocks(np.arange(rows), weights, backgrounds, groups, size))


@pytest.mark.parametrize("most_groups", [1, 3, 10])
@pytest.mark.parametrize(("pairs", "together"), [(1, 0), (12, 0), (12, 40), (40, 12), (10_000, 10_000)])
def test_every_row_is_in_one_block_beside_its_group(pairs: int, together: int, most_groups: int) -> None:
    groups = np.random.default_rng(1).permutation(57) % 10
    found = _sample(57, groups, Size(pairs, together, most_groups))
    assert sorted(np.concatenate([block.rows for block in found])) == list(range(57))
    for block in found:
        assert (block.groups == groups[block.rows]).all()
        assert (np.diff(block.groups) >= 0).all()
        assert len(np.unique(block.groups)) <= most_groups
        assert block.backgrounds.size <= max(pairs, together, 4)
        assert block.backgrounds.size <= together or len(np.unique(block.groups)) == 1


def test_slices_of_pairs_are_of_two_groups() -> None:
    (block,) = _sample(20, np.arange(20) % 3, Size(1000, 1000, 10))
    of_rows, of_backgrounds = (
        block.groups.repeat(4)[block.order],
        block.background_groups.ravel()[block.order],
    )
    parts = [slice(*edges) for edges in zip(block.bounds, block.bounds[1:], strict=False)]
    assert block.bounds[-1] == 80
    for group, of_group in block.by_group(parts):
        for other, part in enumerate(of_group):
            assert (of_rows[part] == group).all()
            assert (of_backgrounds[part] == other).all()


def test_absolute_currents_of_rows_leave_a_group_out_in_both_roles() -> None:
    (block,) = _sample(20, np.arange(20) % 3, Size(1000, 1000, 10))
    units = torch.randn(80, 2, generator=torch.Generator().manual_seed(0))
    rows = torch.from_numpy(block.order // 4)
    known = SimpleNamespace(
        block=block, bounds=block.bounds.tolist(), feature_groups=None, inputs=0, _first_step=slice(None)
    )
    found = BlockSums._absolute(known, 0, units, rows)  # type: ignore[arg-type]
    others = block.background_groups.ravel()[block.order]
    for group in range(GROUPS + 1):  # the last leaves out none
        expected = np.zeros(2)
        for row in np.flatnonzero(block.groups != group):
            kept = (rows.numpy() == row) & (others != group)
            expected += np.abs(units.numpy()[kept].sum(axis=0))
        np.testing.assert_allclose(found[group], expected, atol=1e-5)


def cnn() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 3))


NETWORKS: dict[str, Callable[[], tuple[nn.Module, torch.Tensor]]] = {
    "mlp": lambda: (nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)), torch.randn(40, 5)),
    "cnn": lambda: (cnn(), torch.randn(30, 1, 6, 6)),
    "transformer": lambda: (ViT(), torch.randn(30, 1, 8, 8)),
}


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_several_groups_in_a_block_give_the_same_flow(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, x = NETWORKS[network]()
    method = nif.Currents(backgrounds=12, steps=2, paths=5)
    several = nif.measure(model, x, method, seed=0)
    monkeypatch.setattr(steps, "MOST_SUMS", 0)
    assert_same(several, nif.measure(model, x, method, seed=0))


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [2**17, 2**14])
@pytest.mark.parametrize("network", NETWORKS)
def test_several_steps_at_once_give_the_same_flow(
    network: str, numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model, x = NETWORKS[network]()
    method = nif.Currents(rows=12, backgrounds=5, steps=6, paths=5)
    monkeypatch.setattr(path_integral, "MOST_AT_ONCE", numbers)
    runs = Mock(side_effect=path_integral.record)
    monkeypatch.setattr(path_integral, "record", runs)
    together, count = nif.measure(model, x, method, seed=0), runs.call_count
    monkeypatch.setattr(path_integral, "SMALL_STEP", 0)
    assert_same(together, nif.measure(model, x, method, seed=0))
    assert runs.call_count - count > count


def assert_same(several: nif.Flow, alone: nif.Flow) -> None:
    """Up to rounding."""
    for mine, other in zip(several.links, alone.links, strict=True):
        np.testing.assert_allclose(mine.nats, other.nats, atol=2e-6)
    assert several.currents is not None
    assert alone.currents is not None
    for name in ("attribution", "attribution_stderr"):
        mine, other = (getattr(flow.currents, name) for flow in (several, alone))
        np.testing.assert_allclose(mine, other, rtol=2e-3, atol=2e-6)
    for some, others in zip(several.currents.units, alone.currents.units, strict=True):
        for name, values in vars(some).items():
            np.testing.assert_allclose(values, getattr(others, name), rtol=2e-3, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("time_first", [True, False])
def test_each_pair_has_its_own_share_only_where_tokens_stand_pair_by_pair(time_first: bool) -> None:
    """As many tokens as rows: the shape does not tell which axis is which."""

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.out = nn.Embedding(WORDS, 3), nn.Linear(3, 2)

        def forward(self, ids: Tensor) -> Tensor:
            words = self.embed(ids.T).sum(0) if time_first else self.embed(ids).sum(1)
            result: Tensor = self.out(words)
            return result

    torch.manual_seed(0)
    call, ids = Forward(Tokens().eval()), torch.randint(WORDS, (LENGTH, LENGTH))
    moves = Moves.of(call, (ids,), (ids,))
    shares = Way(moves, [ids.flip(0)], [ids], call).shares(np.linspace(0, 1, LENGTH))
    if time_first:
        assert shares is None
    else:
        assert shares is not None
        assert [part.shape for part in shares] == [(LENGTH, 1, 1)]
