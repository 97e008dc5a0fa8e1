"""Standard errors: each group of rows is left out once, as explained rows and as background rows.

A row plays both parts, so the spread over explained rows alone is too small. Without a group, the currents of
the pairs that remain are known from one integration; they are scaled to the total of the data without it,
which has a closed form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy import stats
from torch import Tensor

from nif.measures.currents.information import CHUNK, Decided, own_log_likelihood
from nif.measures.currents.path_integral import GROUPS, GroupedSum
from nif.measures.currents.sample import Sample

SMALLEST_SHARE = 0.1
"""Part of the total that the remaining pairs must carry to be scaled to it."""


@dataclass(frozen=True, eq=False)
class Jackknife:
    """Estimates without each group of rows.

    Attributes:
        totals: The total without each group that has rows, by group.
        scales: What the sums of the remaining pairs are multiplied by.
    """

    totals: dict[int, float]
    scales: dict[int, float]

    @classmethod
    def of(
        cls, totals: dict[int, float], pairs: GroupedSum, row_share: Float[np.ndarray, " group"]
    ) -> Jackknife:
        """From totals without each group, and the sums of the totals of pairs."""
        scales = {}
        for group, total in totals.items():
            kept = float(np.asarray(pairs.total) - np.asarray(pairs.involving.get(group, 0.0)))
            alone = 1 / max((1 - row_share[group]) * (1 - 1 / GROUPS), 1e-12)
            reliable = abs(kept) > SMALLEST_SHARE * abs(float(np.asarray(pairs.total)))
            scales[group] = total / kept if reliable else alone
        return cls(totals, scales)

    @property
    def groups(self) -> int:
        """Number of groups with rows."""
        return len(self.totals)

    def without(self, sums: GroupedSum) -> np.ndarray:
        """The estimates without each group, ``[group, ...]``."""
        whole = np.asarray(sums.total)
        return np.stack(
            [(whole - sums.involving.get(group, 0.0)) * scale for group, scale in self.scales.items()]
        )

    def stderr(self, sums: GroupedSum) -> np.ndarray:
        """The standard error of each sum; computed group by group, as links are many."""
        whole = np.asarray(sums.total)
        mean, squares = np.zeros_like(whole), np.zeros_like(whole)
        for group, scale in self.scales.items():
            difference = (whole - sums.involving.get(group, 0.0)) * scale - whole
            mean += difference / self.groups
            squares += difference**2 / self.groups
        variance: np.ndarray = np.maximum(squares - mean**2, 0.0)
        return np.sqrt(variance * (self.groups - 1))

    def total_stderr(self) -> float:
        """The standard error of the total."""
        return spread(np.array(list(self.totals.values())))

    def p_value(self, nats: np.ndarray, stderr: np.ndarray) -> np.ndarray:
        """Two-sided p-value of a mean of 0, by Student's t."""
        z = np.divide(np.abs(nats), stderr, out=np.zeros_like(nats), where=stderr > 0)
        p: np.ndarray = 2 * stats.t.sf(z, self.groups - 1)
        return np.where((stderr == 0) & (nats != 0), 0.0, p)


def spread(without: Float[np.ndarray, "group ..."]) -> np.ndarray | float:
    """Standard error from estimates without each group.

    Example:
        >>> float(spread(np.array([1.0, 3.0])))
        1.0
    """
    count = len(without)
    error: np.ndarray = np.sqrt((count - 1) / count * np.square(without - without.mean(0)).sum(0))
    return error


def totals_without(
    decided: Decided, outputs: Float[Tensor, "data output"], sample: Sample
) -> dict[int, float]:
    """The total without each group of rows, in closed form."""
    rows, weights, groups = sample.rows, sample.weights, sample.groups
    index = torch.from_numpy(rows).to(outputs.device)
    sizes = np.bincount(sample.pool_groups, minlength=GROUPS)
    members = np.bincount(groups, minlength=GROUPS) > 0
    present = [
        group
        for group in range(GROUPS)
        if members[group] and sizes[group] < len(sample.pool) and (groups[rows] != group).any()
    ]
    if sample.paired:
        own = sample.row_totals(decided, outputs)
        keeps = {group: groups[rows] != group for group in present}
        return {g: float(weights[kept] @ own[kept] / weights[kept].sum()) for g, kept in keeps.items()}
    totals = dict.fromkeys(present, 0.0)
    outcomes = decided.outcomes(outputs[index[:1]], index[:1])
    step = max(1, CHUNK // (len(sample.pool) * outcomes.weight.shape[1]))
    step = len(rows) if outcomes.same_for_all else step
    for first in range(0, len(rows), step):
        part = index[first : first + step]
        outcomes = decided.outcomes(outputs[part], part)
        own = own_log_likelihood(outcomes, outputs[part])
        of_groups = _likelihood_of_groups(outcomes, sample.pool, sample.pool_groups)
        for group in present:
            others = torch.cat([of_groups[:group], of_groups[group + 1 :]]).logsumexp(0)
            rise = own - (others - math.log(len(sample.pool) - sizes[group]))
            row_rise = torch.where(outcomes.weight > 0, outcomes.weight * rise, 0.0).sum(1).numpy(force=True)
            kept = groups[rows[first : first + step]] != group
            totals[group] += float((weights[first : first + step] * row_rise)[kept].sum())
    return {g: total / weights[groups[rows] != g].sum() for g, total in totals.items()}


def _likelihood_of_groups(outcomes, outputs, groups):  # type: ignore[no-untyped-def]
    rows = 1 if outcomes.same_for_all else len(outcomes.weight)
    likelihood = outcomes.log_likelihood(outputs.expand(rows, *outputs.shape))
    of_groups = []
    for group in range(GROUPS):
        members = torch.from_numpy(np.flatnonzero(groups == group)).to(outputs.device)
        of_groups.append(likelihood.index_select(1, members).logsumexp(1))
    return torch.stack(of_groups)
