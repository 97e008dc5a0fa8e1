"""Ways that move one group of features after another, in random orders or in all of them.

The straight way leads through inputs that do not exist where features are binary or one-hot. Here every group
of features moves at once from the background to the row, and stops only there. Averaged over all orders, the
current of a group is its Shapley value of v (Shapley, 1953); hidden units and links have currents as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nif.core.errors import InputError
from nif.data.groups import Groups

PATHS = ("straight", "orders")

MOST_GROUPS = 100
"""Groups that can move one after another; each costs as much as the whole straight way."""

Share = float | Sequence[Tensor]
"""Of the way: one for all features, or one for each number of each input, ``[pair, ...]``."""


def straight(steps: int) -> Iterator[tuple[float, Iterable[Share]]]:
    """The straight way, in equal steps, with the weight 1."""
    yield 1.0, (step / steps for step in range(steps + 1))


@dataclass(frozen=True, eq=False)
class Orders:
    """Orders in which groups of features move.

    Every explained row has random orders of its own, so that they count among what the standard errors are
    made of. With few groups all orders are averaged: not one by one, as a group moves in the same way
    in all orders with the same groups before it.

    Attributes:
        shapes: Of a row of each input.
        index: Group of each feature, over all inputs.
        groups: Number of groups.
        ranks: Place of each group in the orders of each row of data; None for all orders.

    References:
        Castro, Gomez & Tejada (2009), https://doi.org/10.1016/j.cor.2008.04.004; orders in pairs, the second
        the reverse of the first: Mitchell et al. (2022), https://arxiv.org/abs/2104.12199
    """

    shapes: tuple[torch.Size, ...]
    index: Int64[np.ndarray, " feature"]
    groups: int
    ranks: Int64[np.ndarray, "order row group"] | None

    @classmethod
    def of(
        cls, inputs: Sequence[Tensor], groups: Groups | None, count: int, generator: np.random.Generator
    ) -> Orders:
        """Draw orders for each row.

        Args:
            inputs: Rows of data.
            groups: Features that move together; None for each by itself.
            count: Orders of each row. If there are no more coalitions of all groups but one, all orders.
            generator: Draws them.

        Raises:
            InputError: There are too many groups.
        """
        shapes = tuple(values.shape[1:] for values in inputs)
        features = sum(shape.numel() for shape in shapes)
        index = np.arange(features) if groups is None else groups.index
        number = features if groups is None else len(groups.names)
        if number > MOST_GROUPS:
            raise InputError(
                f"path is 'orders' and {number} features would move one after another; expected at most "
                f"{MOST_GROUPS}. Pass input_groups, or path='straight'."
            )
        if 2 ** (number - 1) <= count:
            return cls(shapes, index, number, None)
        some = np.tile(np.arange(number), (-(-count // 2), len(inputs[0]), 1))
        ranks = generator.permuted(some, axis=2)
        return cls(shapes, index, number, np.concatenate([ranks, number - 1 - ranks])[:count])

    def __len__(self) -> int:
        """How often a group moves, for each row."""
        if self.ranks is None:
            return int(self.groups * 2 ** (self.groups - 1))
        return self.groups * len(self.ranks)

    @property
    def name(self) -> str:
        """In words."""
        each = "all orders" if self.ranks is None else f"{len(self.ranks)} random orders for each row"
        return f"one of {self.groups} groups of features after another, {each}"

    def ways(self, rows: Int64[np.ndarray, " pair"], steps: int) -> Iterator[tuple[float, Iterable[Share]]]:
        """Weights that sum to 1 over all orders, and ways through shares.

        Args:
            rows: Row of data of each pair.
            steps: Of each group.
        """
        if self.ranks is None:
            yield from self._all(len(rows), steps)
            return
        for ranks in self.ranks:
            at = (stop / steps for stop in range(self.groups * steps + 1))
            yield 1 / len(self.ranks), (self._shares(np.clip(t - ranks[rows], 0, 1)) for t in at)

    def _all(self, pairs: int, steps: int) -> Iterator[tuple[float, Iterable[Share]]]:
        """Each group after each set of others, with the part of all orders in which it moves then."""
        for known in range(2**self.groups):
            before = np.array([known >> group & 1 for group in range(self.groups)], dtype=float)
            size = int(before.sum())
            for group in np.flatnonzero(before == 0):
                moved = np.eye(self.groups)[group]
                stops = (before + step / steps * moved for step in range(steps + 1))
                weight = 1 / (self.groups * math.comb(self.groups - 1, size))
                yield weight, (self._shares(np.broadcast_to(at, (pairs, self.groups))) for at in stops)

    def _shares(self, of_groups: Float[np.ndarray, "pair group"]) -> list[Tensor]:
        """For each number of each input the share of its group."""
        whole = torch.from_numpy(of_groups[:, self.index])
        parts = whole.split([shape.numel() for shape in self.shapes], dim=1)
        return [part.reshape(len(whole), *shape) for part, shape in zip(parts, self.shapes, strict=True)]
