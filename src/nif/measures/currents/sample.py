"""The sample of a measurement: explained rows, their backgrounds, and the groups for the errors."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nif.core.errors import InputError
from nif.measures.currents.backgrounds import Backgrounds, Explained, similar_backgrounds
from nif.measures.currents.grouped_sums import GROUPS
from nif.measures.currents.information import Decided, own_log_likelihood

LARGEST_MISS = 0.01
"""Part of the closed form that the total may differ by before backgrounds are added."""

ROUNDING = 1e-5
"""Nats that float32 cannot resolve."""

ROUGH_POOL = 1000
"""Rows against which the information of all values is computed, to draw those that are explained."""


@dataclass(frozen=True, eq=False)
class Given:
    """Background rows that come with the data.

    Attributes:
        inputs: Rows of the pool, one tensor for each input of the network.
        outputs: At these rows.
        each: Number of backgrounds of each row of data, which are in its order; None for a pool for all.
        fixed: Whether the explained rows are chosen by the user: all of them count alike, and errors are
            those of the pool alone.
    """

    inputs: tuple[Tensor, ...]
    outputs: Float[Tensor, "pool output"]
    each: int | None = None
    fixed: bool = False

    def groups(
        self, rows: int, generator: np.random.Generator
    ) -> tuple[Int64[np.ndarray, " data"], Int64[np.ndarray, " pool"]] | None:
        """Groups by which the pool alone is left out, if the explained rows are fixed."""
        if not self.fixed:
            return None
        of_pool = 1 + generator.permutation(len(self.outputs)) % (GROUPS - 1)
        return np.zeros(rows, dtype=np.int64), of_pool


@dataclass(frozen=True, eq=False)
class Sample:
    """Explained rows, their backgrounds, and the groups that are left out for the errors.

    Attributes:
        rows: Indices of the explained rows.
        weights: Of these rows; they sum to 1.
        backgrounds: Indices in the pool, and weights.
        information: Of all rows of data about the decision, as far as it is known.
        groups: Of all rows of data.
        pool: Outputs of the pool.
        pool_groups: Of the rows of the pool.
        paired: Whether each row has backgrounds of its own.
        exact: What the total must be, in closed form over the explained rows.
    """

    rows: Int64[np.ndarray, " row"]
    weights: Float[np.ndarray, " row"]
    backgrounds: Backgrounds
    information: Float[np.ndarray, " data"]
    groups: Int64[np.ndarray, " data"]
    pool: Float[Tensor, "pool output"]
    pool_groups: Int64[np.ndarray, " pool"]
    paired: bool
    exact: float

    @classmethod
    def of(
        cls,
        decided: Decided,
        outputs: Float[Tensor, "data output"],
        most_rows: int,
        most: int,
        generator: np.random.Generator,
        given: Given | None = None,
        groups: tuple[np.ndarray, np.ndarray] | None = None,
        limit: int | None = None,
    ) -> Sample:
        """Draw them; where the total misses the closed form, with more backgrounds than `most`.

        Args:
            decided: The decision.
            outputs: Of all rows of data.
            most_rows: Rows to explain.
            most: Backgrounds of a row.
            generator: Draws them.
            given: Background rows that come with the data.
            groups: Of the rows of data and of the background rows; drawn if None.
            limit: Of the backgrounds where `most` are too few; all other rows if None.

        Raises:
            InputError: There is one row, and no background is given.
        """
        if len(outputs) < 2 and given is None:
            raise InputError("One row has no others to be compared with; pass more rows, or background=.")
        if len(outputs) == 1 and given is not None and given.each is not None:  # those of all rows
            given, most = replace(given, each=None), max(most, len(given.outputs))
        # first, so that they are the same for every network and its flows can be compared
        of_rows = generator.permutation(len(outputs)) % GROUPS if groups is None else groups[0]
        information = known(decided, outputs, generator, given)
        rows, weights = explained_rows(information, most_rows, generator)
        if given is not None and given.each is not None:
            paired, backgrounds = _against(decided, outputs, rows, given.outputs), _own(rows, given.each)
            exact = float(weights @ paired.total(backgrounds))
            of_pool = of_rows.repeat(given.each)
            return cls(rows, weights, backgrounds, information, of_rows, paired.pool, of_pool, True, exact)
        explained = Explained.of(decided, outputs, rows, None if given is None else given.outputs)
        of_pool = of_rows if given is None else generator.permutation(len(given.outputs)) % GROUPS
        of_pool = of_pool if groups is None else groups[1]
        if groups is None and len(outputs) == 1:  # the backgrounds alone are left out
            of_pool = (of_rows[0] + 1 + generator.permutation(len(explained.pool)) % (GROUPS - 1)) % GROUPS
        exact = float(weights @ explained.information())
        backgrounds = _enough(explained, weights, exact, most, limit, generator)
        return cls(rows, weights, backgrounds, information, of_rows, explained.pool, of_pool, False, exact)

    def row_totals(
        self, decided: Decided, outputs: Float[Tensor, "data output"]
    ) -> Float[np.ndarray, " row"]:
        """The total of the currents of each explained row from its backgrounds."""
        return _against(decided, outputs, self.rows, self.pool).total(self.backgrounds)

    def pilot(self, rows: int, backgrounds: int) -> Sample:
        """A part of it, on which the number of steps is chosen."""
        chosen = np.linspace(0, len(self.rows) - 1, min(rows, len(self.rows))).astype(np.int64)
        count = self.backgrounds.index.shape[1]
        some = np.linspace(0, count - 1, min(backgrounds, count)).astype(np.int64)
        log_weights, own = self.backgrounds.log_weights[np.ix_(chosen, some)], self.backgrounds.own
        log_weights = log_weights - np.logaddexp.reduce(log_weights, axis=1, keepdims=True) + math.log1p(-own)
        part = Backgrounds(self.backgrounds.index[np.ix_(chosen, some)], log_weights, own)
        weights = self.weights[chosen] / self.weights[chosen].sum()
        return replace(self, rows=self.rows[chosen], weights=weights, backgrounds=part)


def _enough(
    explained: Explained,
    weights: Float[np.ndarray, " row"],
    exact: float,
    most: int,
    limit: int | None,
    generator: np.random.Generator,
) -> Backgrounds:
    """Backgrounds with which the total is near its closed form; if the limit is too few, it is said."""
    count, allowed = most, max(LARGEST_MISS * abs(exact), ROUNDING)
    limit = explained.others if limit is None else min(max(most, limit), explained.others)
    while True:
        backgrounds = similar_backgrounds(explained, count, generator)
        miss = abs(float(weights @ explained.total(backgrounds)) - exact)
        if miss <= allowed or count >= limit:
            break
        count = min(2 * count, limit)
    used = backgrounds.index.shape[1]
    if used > most or miss > allowed:
        still = "" if miss <= allowed else f", which are {miss:.2g} nats off"
        if miss > allowed and used < explained.others:
            still += f"; more would take long, pass them as nif.Currents(backgrounds={2 * used})"
        warnings.warn(
            f"{most} backgrounds miss the total of {exact:.3g} nats; {used} are used{still}.", stacklevel=2
        )
    return backgrounds


def explained_rows(
    information: Float[np.ndarray, " data"], count: int, generator: np.random.Generator
) -> tuple[Int64[np.ndarray, " row"], Float[np.ndarray, " row"]]:
    """Rows to explain, and their weights, which sum to 1.

    All rows, if there are no more than `count`. Else rows are drawn systematically in order of information,
    half of them at random and half in proportion to its size, so that rare classes are not missed. Their
    weights are the inverse of their probabilities, corrected linearly so that the mean information is that
    of all rows.

    Args:
        information: Of each row about the decision, as far as it is known.
        count: Number of rows.
        generator: Draws them.
    """
    total = len(information)
    if total <= count:
        return np.arange(total), np.full(total, 1 / total)
    included = _inclusion(np.abs(information), count)
    shuffled = generator.permutation(total)
    order: np.ndarray = shuffled[np.argsort(information[shuffled], kind="stable")]
    ends: np.ndarray = np.cumsum(included[order])
    marks = np.arange(math.ceil(ends[-1])) + generator.random()
    chosen = np.unique(order[np.searchsorted(ends, marks[marks < ends[-1]])])
    weights = 1 / included[chosen] / np.sum(1 / included[chosen])
    centred = information[chosen] - weights @ information[chosen]
    spread = float(weights @ centred**2)
    missing = information.mean() - weights @ information[chosen]
    if spread > 0 and abs(missing) * np.abs(centred).max() < 0.5 * spread:  # no weight is halved
        weights = weights * (1 + missing / spread * centred)
    return chosen, weights / weights.sum()


def _inclusion(size: Float[np.ndarray, " data"], count: int) -> Float[np.ndarray, " data"]:
    """Probability of each row to be explained."""
    total = len(size)
    part: np.ndarray = 0.5 / total + 0.5 * (
        size / size.sum() if size.sum() > 0 else np.full(total, 1 / total)
    )
    included = np.minimum(part * count, 1.0)
    for _ in range(20):  # those that are certain leave their surplus to the others
        open_ = included < 1
        if open_.all():
            break
        surplus = count - (~open_).sum()
        included[open_] = np.minimum(part[open_] / part[open_].sum() * surplus, 1.0)
    return included


def known(
    decided: Decided,
    outputs: Float[Tensor, "data output"],
    generator: np.random.Generator,
    given: Given | None = None,
) -> Float[np.ndarray, " data"]:
    """Information that each row gives about the decision; that of values against a part of the pool only."""
    every = np.arange(len(outputs))
    if given is not None and given.each is not None:
        return _against(decided, outputs, every, given.outputs).total(_own(every, given.each))
    pool = outputs if given is None else given.outputs
    same = decided.outcomes(outputs[:1], torch.zeros(1, dtype=torch.int64)).same_for_all
    if not same and len(pool) > ROUGH_POOL:
        some = np.sort(generator.permutation(len(pool))[:ROUGH_POOL])
        pool = pool[torch.from_numpy(some).to(pool.device)]
    explained = Explained.of(decided, outputs, every, pool)
    if given is None and len(pool) < len(outputs):  # each row itself is one of the pool
        itself = own_log_likelihood(explained.outcomes, outputs) - math.log(len(outputs))
        mean = torch.logaddexp(explained.mean + math.log1p(-1 / len(outputs)), itself)
        explained = replace(explained, mean=mean)
    return explained.information()


def _against(decided: Decided, outputs: Tensor, rows: np.ndarray, pool: Tensor) -> Explained:
    """Explained rows and a pool whose mean decision is not needed."""
    here = outputs[torch.from_numpy(rows).to(outputs.device)]
    outcomes = decided.outcomes(here[:1], torch.from_numpy(rows[:1]))
    return Explained(decided, rows, here, pool, False, torch.zeros_like(outcomes.weight))


def _own(rows: Int64[np.ndarray, " row"], each: int) -> Backgrounds:
    """The backgrounds of each row that come with it."""
    index = rows[:, None] * each + np.arange(each)
    return Backgrounds(index, np.full(index.shape, -math.log(each)), 0.0)
