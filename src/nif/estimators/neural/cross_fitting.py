"""Combine the critics of all folds into one estimate, with a bias correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nif.core.statistics import cauchy_combination
from nif.estimators.estimate import Outcome
from nif.estimators.neural.training import Samples

VALIDATION = 0.25
"""Fraction of the training samples used for early stopping."""


@dataclass(frozen=True, eq=False)
class Folds:
    """Row numbers of each fold: for training, for early stopping, held out; at most folds - 1 are unused."""

    fit: Int[Tensor, "fold fit"]
    validation: Int[Tensor, "fold validation"]
    held_out: Int[Tensor, "fold held_out"]

    @classmethod
    def of(cls, samples: int, folds: int, generator: torch.Generator) -> Folds:
        """Split the rows at random."""
        size = samples // folds
        parts = torch.randperm(samples, generator=generator)[: size * folds].view(folds, size)
        others = torch.stack([torch.cat([parts[j] for j in range(folds) if j != k]) for k in range(folds)])
        validation = max(1, round(VALIDATION * others.shape[1]))
        return cls(fit=others[:, validation:], validation=others[:, :validation], held_out=parts)

    @property
    def count(self) -> int:
        """The number of folds."""
        return len(self.held_out)

    def take(self, samples: Samples, index: Int[Tensor, "fold row"]) -> Samples:
        """The rows of every fold, folds along the pair axis."""
        index = index.to(samples.x.device)
        return Samples(samples.x[:, index].flatten(0, 1), samples.y[:, index].flatten(0, 1))


PerCritic = Float[np.ndarray, " critic"]


@dataclass(frozen=True, eq=False)
class FoldResults:
    """The results of all critics, the folds of a pair one after another.

    Attributes:
        nats: The bound on the held-out samples.
        stderr: Of `nats`, from the sampling of the data.
        p_value: Of independence, on the same samples.
        trained: The bound on the training samples.
        rise: Growth of the bound on the validation samples over the second half of the training up to its
        best.
        converged: Whether early stopping ended the training.
    """

    nats: PerCritic
    stderr: PerCritic
    p_value: PerCritic
    trained: PerCritic
    rise: PerCritic
    converged: Bool[np.ndarray, " critic"]


def combine_folds(
    folds: int, critics: FoldResults, slow: PerCritic | float = 1.0, overlooked: PerCritic | float = 0.0
) -> tuple[np.ndarray, ...]:
    r"""Nats, standard error, p-value and outcome of each pair.

    A critic with p effective weights that is trained on n samples loses about :math:`p / 2n` nats on new
    samples and gains as much on its own. With :math:`\hat I_{new}` and :math:`\hat I_{own}` the two bounds,
    averaged over the folds,

    .. math:: \hat I = \hat I_{new} + \ell, \qquad \ell = \tfrac12 (\hat I_{own} - \hat I_{new}).

    Independent data then give 0 on average, not slightly less. A critic that is stopped early gains less than
    it loses, so that the value still errs downward: training stops when it learns as much noise in a step as
    signal, and if it learns both at one rate, what is left to learn is about the noise learnt so far, another
    :math:`\ell`; more if signal is learnt more slowly. The correction, times `slow`, and the rise r of the
    bound in the second half of the training measure how far the critic may be from the optimum; both are
    added to the sampling error:

    .. math:: s^2 = \tfrac{1}{K^2} \sum_k s_k^2 + (\text{slow} \, \ell)^2 + r^2 + o^2

    with o the mean of what each critic is known to have overlooked. A critic whose steps ran out while it
    still rose has r added to its bound as well: a distance to the optimum that falls like 1 / steps is halved
    by the second half of them.

    References:
        Akaike (1973), Information theory and an extension of the maximum likelihood principle.

    Example:
        >>> one = np.ones(2)
        >>> critics = FoldResults(0.2 * one, 0.03 * one, one, 0.3 * one, 0 * one, one > 0)
        >>> [round(float(column[0]), 3) for column in combine_folds(2, critics)[:2]]
        [0.25, 0.054]
        >>> round(float(combine_folds(2, critics, slow=2.0)[1][0]), 3)  # the root of .1^2 + .03^2 / 2
        0.102
        >>> still_rising = FoldResults(0.2 * one, 0.03 * one, one, 0.3 * one, 0.1 * one, one < 0)
        >>> combine_folds(2, still_rising)[0].round(3).tolist()
        [0.35]
    """

    def by_fold(column: np.ndarray) -> np.ndarray:
        return column.reshape(-1, folds)

    held_out = by_fold(critics.nats).mean(axis=1)
    left = by_fold(np.where(critics.converged, 0.0, critics.rise)).mean(axis=1)
    lost = (by_fold(critics.trained).mean(axis=1) - held_out) / 2
    rise = by_fold(critics.rise).mean(axis=1)
    slows, missed = (
        by_fold(np.broadcast_to(part, critics.nats.shape)).mean(axis=1) for part in (slow, overlooked)
    )
    sampling = (by_fold(critics.stderr) ** 2).sum(axis=1) / folds**2
    return (
        held_out + lost + left,
        np.sqrt(sampling + (slows * lost) ** 2 + rise**2 + missed**2),
        tippett(by_fold(critics.p_value)),
        np.where(by_fold(critics.converged).all(axis=1), Outcome.CONVERGED, Outcome.NOT_CONVERGED),
    )


def combine_divisions(found: Sequence[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    """One estimate of each pair from those of `combine_folds` for several divisions of the same rows.

    Nats and standard errors are means: the divisions share their rows, so that the sampling error stays.

    Example:
        >>> one, other = np.array([[0.2], [0.1], [0.03], [0]]), np.array([[0.4], [0.1], [0.03], [1]])
        >>> [round(float(column[0]), 3) for column in combine_divisions([tuple(one), tuple(other)])]
        [0.3, 0.1, 0.03, 1.0]
    """
    nats, stderr, p_value, outcome = (np.stack(column) for column in zip(*found, strict=True))
    p_value = cauchy_combination(np.minimum(p_value, 0.99).T)
    return nats.mean(axis=0), stderr.mean(axis=0), p_value, outcome.max(axis=0)


def tippett(p_values: Float[np.ndarray, "pair fold"]) -> Float[np.ndarray, " pair"]:
    r"""Combine the p-values of the folds of each pair by Tippett's method: from the smallest.

    .. math:: p = 1 - (1 - \min_k p_k)^K

    Exact for independent folds, and not too small for folds that agree by chance, as those of one data set
    do: a critic that learnt a chance slope in one half meets the same sign in the other half of the time.
    The same as `scipy.stats.combine_pvalues`, which combines one pair at a time before SciPy 1.14.

    References:
        Tippett (1931), The methods of statistics.

    Example:
        >>> tippett(np.array([[0.02, 0.9]])).round(4).tolist()
        [0.0396]
    """
    smallest = np.minimum(p_values.min(axis=-1), 1 - 1e-16)
    return -np.expm1(p_values.shape[-1] * np.log1p(-smallest))
