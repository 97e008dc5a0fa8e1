"""Local search after a greedy choice: exchange a removed unit for a kept one while that costs less."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nif.network.unit_groups import UnitIds
from nif.pruning.problem import PruningProblem
from nif.pruning.rules.redundancy import Reader, readers_of
from nif.pruning.rules.rule import sum_over_layers

TRIED = 4
"""Removed units that are tried in each step, those whose return helps the most."""

MOST_FEATURES = 2_000

LEAST = 1e-6
"""Fall of the cost, as a fraction of it, that is worth an exchange."""


def exchanged(readers: list[Reader], removed: UnitIds, units: UnitIds, most: int | None = None) -> UnitIds:
    r"""The removed units after exchanges, each of which lowers what all removals together cost.

    .. math:: \operatorname{cost}(R) = \sum_{\text{readers}}
        \operatorname{tr} M \, W_R \, [(\Sigma^{-1})_{RR}]^{-1} \, W_R^\top

    Args:
        readers: The layers that read the units, before any is removed; they are not changed.
        removed: The choice to improve.
        units: All that may be removed.
        most: Number of exchanges; None: as many as there are removed units.

    References:
        OSSCAR (Meng et al., 2024), https://arxiv.org/abs/2403.12983; here for units of
        several layers at once.

    Example:
        >>> close = torch.tensor([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
        >>> layer = Reader(close.inverse(), torch.ones(1, 3, dtype=torch.float64), np.arange(3))
        >>> exchanged([layer], np.array([2]), np.arange(3)).tolist()  # its twin knows unit 0, nothing unit 2
        [0]
    """
    gone = removed.copy()
    for _ in range(len(removed) if most is None else most):
        found = next(_better(readers, gone, units), None)
        if found is None:
            return gone
        leaves, comes = found
        gone = np.append(gone[gone != leaves], comes)
    return gone


def _better(readers: list[Reader], gone: UnitIds, units: UnitIds) -> Iterator[tuple[int, int]]:
    """Pairs of a removed unit and a kept one that can take its place, the best of a few."""
    gains = sum_over_layers(gone, [_gains(reader, gone) for reader in readers])
    now = sum(reader.cost_of(gone) for reader in readers)
    pairs = []
    for back in gone[np.argsort(-gains, kind="stable")][:TRIED]:
        others = gone[gone != back]
        waiting = units[~np.isin(units, others)]
        left = [reader.without(others) for reader in readers]
        costs = sum_over_layers(waiting, [(reader.units, reader.costs()) for reader in left])
        cheapest = int(costs.argmin())
        change = costs[cheapest] - gains[np.flatnonzero(gone == back)[0]]
        if waiting[cheapest] != back and change < -LEAST * now:
            pairs.append((change, int(back), int(waiting[cheapest])))
    yield from ((back, instead) for _, back, instead in sorted(pairs))


def _gains(reader: Reader, gone: UnitIds) -> tuple[UnitIds, Float[np.ndarray, " unit"]]:
    """By how much the return of each removed unit lowers the cost in one layer."""
    places = [place for unit, place in zip(reader.units, reader.places, strict=True) if unit in gone]
    known = reader.units[np.isin(reader.units, gone)]
    if not places:
        return known, np.zeros(0)
    every = torch.cat(places)
    # What the kept units do not know of the removed ones, and how far that moves the outputs.
    unknown: Float[Tensor, "feature feature"] = torch.linalg.inv(reader.inverse[every][:, every])
    moves = reader.weight[:, every] @ unknown
    starts = np.cumsum([0, *map(len, places)])
    gains = np.zeros(len(known))
    for unit in range(len(known)):
        own: Int64[np.ndarray, " feature"] = np.arange(starts[unit], starts[unit + 1])
        across = moves[:, own]
        gains[unit] = float((across * torch.linalg.solve(unknown[own][:, own], across.T).T).sum())
    return known, gains


def with_exchanges(problem: PruningProblem, removed: UnitIds, units: UnitIds, most: int) -> UnitIds:
    """The choice of redundancy after exchanges; those that came in are last.

    Networks with a layer of more than 2,000 features keep the choice: one exchange there takes minutes.
    """
    readers = readers_of(problem, units)
    if not readers or max(len(reader.unit) for reader in readers) > MOST_FEATURES:
        return removed
    found = exchanged(readers, removed, units, most)
    return np.concatenate([removed[np.isin(removed, found)], found[~np.isin(found, removed)]])
