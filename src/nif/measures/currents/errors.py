"""Standard errors: each group of rows is left out once, as explained rows and as background rows.

A row plays both parts, so the spread over explained rows alone is too small. Without a group, the currents of
the pairs that remain are known from one integration; they are scaled to the total of the data without it,
which has a closed form. A pair of two groups is left out twice, with each of them, so what varies between
pairs alone is counted twice (Efron and Stein, 1981): it is estimated from contrasts in which every group has
both roles equally often, and taken off once.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nif.core.parallel import allowed_threads
from nif.flow.significance import p_values
from nif.measures.currents.decisions import Values, of_rows, robust_deviation
from nif.measures.currents.grouped_sums import GROUPS, GroupedSum
from nif.measures.currents.information import (
    CHUNK,
    Decided,
    Outcomes,
    mean_log_likelihood,
    own_log_likelihood,
)
from nif.measures.currents.kinds import Samples
from nif.measures.currents.sample import Sample

IN_CACHE = 2**16
"""Numbers of a large array that are computed at a time."""

SMALLEST_SHARE = 0.1
"""Part of the total that the remaining pairs must carry to be scaled to it."""


@dataclass(frozen=True, eq=False)
class Jackknife:
    """Estimates without each group of rows.

    Attributes:
        totals: The total without each group that has rows, by group.
        scales: What the sums of the remaining pairs are multiplied by.
        twice: Whether pairs are left out twice: not where one row is explained, which always stays.
    """

    totals: dict[int, float]
    scales: dict[int, float]
    twice: bool = True

    @classmethod
    def of(
        cls, totals: dict[int, float], pairs: GroupedSum, row_share: Float[np.ndarray, " group"]
    ) -> Jackknife:
        """From totals without each group, and the sums of the totals of pairs."""
        scales = {}
        for group, total in totals.items():
            kept = float(pairs.total - pairs.involving.get(group, 0.0))
            alone = 1 / max((1 - row_share[group]) * (1 - 1 / GROUPS), 1e-12)
            reliable = abs(kept) > SMALLEST_SHARE * abs(float(pairs.total))
            scales[group] = total / kept if reliable else alone
        if len(totals) < 2:
            warnings.warn(
                "One row with one background has no spread: standard errors are not known, and set to the "
                "size of each current. Pass more rows, or more backgrounds.",
                stacklevel=3,
            )
        return cls(totals, scales, bool(np.count_nonzero(row_share) > 1))

    @property
    def groups(self) -> int:
        """Number of groups with rows."""
        return len(self.totals)

    @property
    def known(self) -> bool:
        """Whether there is a spread: not of one row with one background."""
        return self.groups > 1

    def stderr(self, sums: GroupedSum) -> np.ndarray:
        """The standard error of each sum; computed for some of them at a time, as links are many.

        An unknown one is as large as the sum, so that nothing counts as shown.
        """
        if not self.known:
            return np.abs(sums.total)
        variance = np.zeros_like(sums.total, dtype=np.float64)

        def of_part(part: Any) -> None:
            whole = sums.total[part]
            mean, squares = np.zeros_like(whole), np.zeros_like(whole)
            for group, scale in self.scales.items():
                involving = sums.involving[group][part] if group in sums.involving else 0.0
                difference = (whole - involving) * scale - whole
                mean += difference / self.groups
                squares += difference**2 / self.groups
            variance[part] = np.maximum(squares - mean**2, 0.0) * (self.groups - 1)

        _for_parts(of_part, sums.total)
        variance *= 1 - (_counted_twice(sums, float(variance.sum())) if self.twice else 0.0)
        stderr: np.ndarray = np.sqrt(variance, out=variance)
        return stderr

    def deviations(self, sums: GroupedSum) -> Float[np.ndarray, "group unit"]:
        """Deviations of the estimates without each group, whose squares add up to those of `stderr`.

        The error of a difference of two sums is the norm of the difference of their deviations.
        """
        whole = sums.total
        if not self.known:
            return whole[None]
        parts = [
            (whole - sums.involving.get(group, 0.0)) * scale - whole for group, scale in self.scales.items()
        ]
        without: np.ndarray = np.stack(parts) if parts else np.zeros((0, *whole.shape))
        without = (without - without.mean(0)) * math.sqrt(max(self.groups - 1, 0) / max(self.groups, 1))
        counted = _counted_twice(sums, float(np.square(without).sum())) if self.twice else 0.0
        return without * math.sqrt(1 - counted)

    def p_value(self, nats: np.ndarray, stderr: np.ndarray) -> np.ndarray:
        """Two-sided p-value of a mean of 0, by Student's t."""
        p: np.ndarray = np.ones_like(nats)

        def of_part(part: Any) -> None:
            p[part] = p_values(nats[part], stderr[part], self.groups - 1)

        _for_parts(of_part, nats)
        return p


def _for_parts(work: Callable[[Any], None], values: np.ndarray) -> None:
    """Work on the rows of a large array, a few at a time, in as many threads as are allowed."""
    few = max(1, IN_CACHE // max(1, values[:1].size)) if values.ndim else 1
    if not values.ndim or len(values) <= few:
        work(...)
        return
    parts = (slice(first, first + few) for first in range(0, len(values), few))
    with ThreadPoolExecutor(allowed_threads()) as pool:
        for _ in pool.map(work, parts):
            pass


def _counted_twice(sums: GroupedSum, variance: float) -> float:
    """Part of the variance of several sums that is due to single pairs, at most a half."""
    if not (sums.contrasts and variance > 0):
        return 0.0
    squares = [float(np.square(contrast).sum()) for contrast in sums.contrasts.values()]
    return min(0.5, GROUPS * float(np.mean(squares)) / variance)


def spread(without: Float[np.ndarray, "group ..."]) -> np.ndarray | float:
    """Standard error from estimates without each group.

    Example:
        >>> float(spread(np.array([1.0, 3.0])))
        1.0
    """
    count = len(without)
    error: np.ndarray = np.sqrt((count - 1) / count * np.square(without - without.mean(0)).sum(0))
    return error


def total_stderr(totals: dict[int, float], samples: Samples) -> float:
    """The standard error of the total, with the bias of a few rows, which the total of all links shares.

    Explained rows are drawn and weighed so that their total is that of all rows, so its error is that of all.

    Args:
        totals: The total of explained rows without each group.
        samples: The explained rows.
    """
    if len(totals) < 2:
        return abs(samples.exact)
    of_all = np.array([total + _missing(samples, group) for group, total in totals.items()])
    bias = (len(of_all) - 1) * (of_all.mean() - samples.exact - _missing(samples))
    return math.hypot(spread(of_all), bias, _missing(samples))


def _missing(samples: Samples, group: int = -1) -> float:
    """Mean information of all rows less that of the explained ones, both without a group."""
    missing, weight = 0.0, 0.0
    for kind in samples.kinds:
        sample = kind.sample
        kept, explained = sample.groups != group, sample.groups[sample.rows] != group
        if explained.any():
            of_kind = kind.share * sample.weights[explained].sum()
            mean = np.average(sample.information[sample.rows][explained], weights=sample.weights[explained])
            missing += of_kind * (sample.information[kept].mean() - mean)
            weight += of_kind
    return float(missing / weight)


def totals_without(
    decided: Decided, outputs: Float[Tensor, "data output"], samples: Samples
) -> dict[int, float]:
    """The total without each group of rows, in closed form: the mean over the kinds that are left."""
    totals: dict[int, float] = {}
    weights: dict[int, float] = {}
    alone = len(np.unique(samples.groups)) == 1  # the backgrounds alone are left out
    left_out = np.unique(samples.pool_groups if alone else samples.groups).tolist()
    slopes = torch.zeros(outputs.shape[1], device=outputs.device, dtype=torch.float64)
    for kind in samples.kinds:
        index = torch.from_numpy(kind.members).to(outputs.device)
        of_kind, here, sample = of_rows(decided, index), outputs[index], kind.sample
        groups = sample.groups[sample.rows]
        for group, total in _totals_of_kind(of_kind, here, sample, left_out).items():
            weight = kind.share * float(sample.weights[groups != group].sum())
            totals[group] = totals.get(group, 0.0) + weight * total
            weights[group] = weights.get(group, 0.0) + weight
        if isinstance(decided, Values) and not sample.paired:
            slopes += kind.share * _noise_slopes(decided, here, sample)
    means = {group: totals[group] / weights[group] for group in sorted(totals)}
    if not isinstance(decided, Values):
        return means
    deviation = robust_deviation(outputs)
    for group in means:
        kept = outputs[torch.from_numpy(samples.groups != group)]
        change = (robust_deviation(kept) / deviation).log() if len(kept) else torch.zeros_like(deviation)
        means[group] += float((slopes * change.nan_to_num(0, 0, 0)).sum())
    return means


def _totals_of_kind(
    decided: Decided, outputs: Float[Tensor, "data output"], sample: Sample, left_out: Sequence[int]
) -> dict[int, float]:
    """The total of one kind of rows without some groups, each by itself, if rows are left."""
    groups, pool_groups = sample.groups[sample.rows], sample.pool_groups
    sizes = np.bincount(pool_groups, minlength=GROUPS)
    totals = {group: 0.0 for group in left_out if sizes[group] < len(sample.pool) and (groups != group).any()}
    kept_weight = {group: sample.weights[groups != group].sum() for group in totals}
    if sample.paired:
        own = sample.row_totals(decided, outputs) * sample.weights
        return {group: float(own[groups != group].sum() / kept_weight[group]) for group in totals}
    for part, outcomes, own in _parts(decided, outputs, sample):
        of_groups = _likelihood_of_groups(outcomes, sample.pool, pool_groups)
        for group in totals:
            others = torch.cat([of_groups[:group], of_groups[group + 1 :]]).logsumexp(0)
            rise = _rise(outcomes, own, others - math.log(len(sample.pool) - sizes[group])).sum(1)
            kept = groups[part] != group
            totals[group] += float((sample.weights[part] * rise.numpy(force=True))[kept].sum())
    return {group: float(total / kept_weight[group]) for group, total in totals.items()}


def _noise_slopes(
    decided: Values, outputs: Float[Tensor, "data output"], sample: Sample
) -> Float[Tensor, " output"]:
    """Change of the total by the logarithm of the noise of each output, which follows its deviation."""
    totals = []
    for factor in (1.0, 1.02):
        wider = Values(decided.deviation * factor, decided.name)
        total = torch.zeros(len(outputs[0]), device=outputs.device, dtype=torch.float64)
        for part, outcomes, own in _parts(wider, outputs, sample):
            here = outputs[torch.from_numpy(sample.rows[part])]
            rise = _rise(outcomes, own, mean_log_likelihood(wider, here, sample.pool)).to(total)
            total += (torch.from_numpy(sample.weights[part]).to(total) @ rise).reshape(len(total), -1).sum(1)
        totals.append(total)
    return (totals[1] - totals[0]) / math.log(1.02)


def _parts(
    decided: Decided, outputs: Float[Tensor, "data output"], sample: Sample
) -> Iterator[tuple[slice, Outcomes, Tensor]]:
    """Rows, as many as fit in memory with all of the pool; their outcomes and own likelihood."""
    index = torch.from_numpy(sample.rows).to(outputs.device)
    outcomes = decided.outcomes(outputs[index[:1]], index[:1])
    step = max(1, CHUNK // (len(sample.pool) * outcomes.weight.shape[1]))
    step = len(index) if outcomes.same_for_all else step
    for first in range(0, len(index), step):
        part = slice(first, first + step)
        outcomes = decided.outcomes(outputs[index[part]], index[part])
        yield part, outcomes, own_log_likelihood(outcomes, outputs[index[part]])


def _rise(outcomes: Outcomes, own: Tensor, mean: Tensor) -> Float[Tensor, "row outcome"]:
    return torch.where(outcomes.weight > 0, outcomes.weight * (own - mean), 0.0)


def _likelihood_of_groups(
    outcomes: Outcomes, outputs: Float[Tensor, "pool output"], groups: Int64[np.ndarray, " pool"]
) -> Float[Tensor, "group _ outcome"]:
    """The logarithm of the summed likelihood of each outcome over the rows of each group."""
    rows = 1 if outcomes.same_for_all else len(outcomes.weight)
    likelihood = outcomes.log_likelihood(outputs.expand(rows, *outputs.shape))
    of_groups = []
    for group in range(GROUPS):
        members = torch.from_numpy(np.flatnonzero(groups == group)).to(outputs.device)
        of_groups.append(likelihood.index_select(1, members).logsumexp(1))
    return torch.stack(of_groups)
