"""Sums of groups: parts that are missing, and sums that are added a tile at a time."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
import torch
from torch import Tensor

from nif.measures.currents.errors import Jackknife
from nif.measures.currents.grouped_sums import GROUPS, GroupedSum

TOTALS = {group: 1.0 + 0.01 * group for group in range(GROUPS)}


def parts(seed: int) -> list[Tensor]:
    return list(torch.randn(GROUPS, 6, 3, generator=torch.Generator().manual_seed(seed)))


def assert_same(one: GroupedSum, other: GroupedSum) -> None:
    np.testing.assert_array_equal(one.total, other.total)
    assert one.contrasts.keys() == other.contrasts.keys()
    for mine, others in ((one.involving, other.involving), (one.contrasts, other.contrasts)):
        for key, part in mine.items():
            np.testing.assert_array_equal(part, others.get(key, np.zeros_like(part)))


@pytest.mark.parametrize("large", [True, False])
def test_a_part_that_is_missing_is_one_of_zeros(large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if large:
        for limit in ("LARGE", "FULL_CONTRASTS"):
            monkeypatch.setattr(f"nif.measures.currents.grouped_sums.{limit}", 10)
    full, missing = GroupedSum(), GroupedSum()
    for group in (4, 2):
        of_group = [part * (number in (1, 4, 7)) for number, part in enumerate(parts(group))]
        full.add(group, of_group)
        missing.add(group, [part if part.any() else None for part in of_group])
    assert sorted(missing.involving) == [1, 2, 4, 7]
    assert_same(full, missing)


def test_tiles_that_are_added_one_by_one_have_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, limit in {"LARGE": 10, "FULL_CONTRASTS": 10, "SMALL": 1}.items():
        monkeypatch.setattr(f"nif.measures.currents.grouped_sums.{name}", limit)
    at_once, tiles = GroupedSum(), GroupedSum()
    for group in range(3):
        at_once.add(group, parts(group))
        for tile in itertools.product((slice(0, 4), slice(4, 8)), (slice(0, 2), slice(2, 4))):
            tiles.add(group, [part[tile] for part in parts(group)], tile, (6, 3))
    assert_same(at_once, tiles)


@pytest.mark.parametrize(("full", "kept"), [(2**14, 9), (1, 1)])
def test_sums_are_those_of_their_definition(full: int, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cosines over ten classes of pairs, in each of which every group has both roles once."""
    monkeypatch.setattr("nif.measures.currents.grouped_sums.FULL_CONTRASTS", full)
    found, pairs = GroupedSum(), torch.stack([torch.stack(parts(group)) for group in range(GROUPS)]).numpy()
    for group in range(GROUPS):
        found.add(group, parts(group))
    np.testing.assert_allclose(found.total, pairs.sum((0, 1)), rtol=1e-5, atol=1e-5)
    for group, part in found.involving.items():
        either = pairs[group].sum(0) + pairs[:, group].sum(0) - pairs[group, group]
        np.testing.assert_allclose(part, either, rtol=1e-5, atol=1e-5)
    each = np.arange(GROUPS)
    of_class = [pairs[each, (number - each) % GROUPS].sum(0) for number in each]
    assert sorted(found.contrasts) == list(range(1, kept + 1))
    for number, contrast in found.contrasts.items():
        cosines = np.sqrt(2 / GROUPS) * np.cos(np.pi * number * (each + 0.5) / GROUPS)
        np.testing.assert_allclose(contrast, np.tensordot(cosines, of_class, 1), rtol=1e-4, atol=1e-5)


def test_the_errors_of_a_current_that_is_shared_are_its_own_times_the_share() -> None:
    out, share = GroupedSum(), np.array([0.5, -0.25, 0.75])
    for group in range(GROUPS):
        out.add(group, [part.sum(1).abs() for part in parts(group)])
    whole = out.map(lambda units: units.sum())
    jackknife = Jackknife.of({g: t * float(whole.total) for g, t in TOTALS.items()}, whole, np.full(10, 0.1))
    table = jackknife.stderr(out.map(lambda units: units[:, None] * share))
    np.testing.assert_allclose(table, np.outer(jackknife.stderr(out), np.abs(share)), rtol=1e-10)


def test_errors_of_many_numbers_are_those_of_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = GroupedSum()
    for group in range(GROUPS):
        sums.add(group, parts(group))
    jackknife = Jackknife(TOTALS, dict.fromkeys(range(GROUPS), 1.1))
    stderr = jackknife.stderr(sums)
    p = jackknife.p_value(sums.total, stderr)
    assert (stderr > 0).all() and (p < 1).all()
    monkeypatch.setattr("nif.measures.currents.errors.IN_CACHE", 6)
    np.testing.assert_array_equal(jackknife.stderr(sums), stderr)
    np.testing.assert_array_equal(jackknife.p_value(sums.total, stderr), p)


def test_processes_send_each_other_the_parts_that_are_not_zero() -> None:
    sums = GroupedSum()
    sums.add(3, [None, torch.ones(100, 100, dtype=torch.float64)])
    sent = pickle.dumps(sums)
    kept = [sums.total, *sums.involving.values(), *sums.contrasts.values()]
    assert sorted(sums.involving) == [1, 3]
    assert len(sent) < 1.1 * sum(part.nbytes for part in kept)
    back = pickle.loads(sent)
    for one in (sums, back):
        one.add(5, [torch.ones(100, 100, dtype=torch.float64)])
    assert_same(sums, back)
