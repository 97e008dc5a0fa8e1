"""The information about a decision that partial knowledge of a row gives.

.. math:: v(z) = \\sum_y p(y \\mid x) \\, \\log \\sum_b w_b \\, p(y \\mid z_b)

With nothing known, at the background rows, it is the negative cross entropy with the mean decision; with all
known the negative entropy of the decision at x. The rise averages to :math:`I(X; Y)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

CHUNK = 2**20
"""Numbers of a table of rows and pool rows that are computed at a time; they fit a cache."""


@runtime_checkable
class Decided(Protocol):
    """A random variable that the outputs of a network determine: its outcomes have probabilities.

    Outcomes are numbered over all independent decisions, such as the outputs of a multi-label model; the
    information about each decision is added up.
    """

    @property
    def name(self) -> str:
        """In words."""
        ...

    @property
    def columns(self) -> tuple[int, ...]:
        """For each outcome, the class or output that its information is shown under."""
        ...

    @property
    def independent(self) -> tuple[int, ...]:
        """For each outcome, the number of its decision."""
        ...

    def outcomes(self, outputs: Float[Tensor, "row output"], index: Tensor) -> Outcomes:
        """The outcomes at some rows, whose indices in the data are `index`."""
        ...


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The outcomes of a decision at some rows.

    Attributes:
        weight: Probability of each outcome at its own row.
        log_likelihood: From outputs ``[row, background, output]`` to the log-likelihood of the outcomes of
            each row, ``[row, background, outcome]``, up to a constant for each outcome.
        same_for_all: Whether all rows have the same outcomes, such as classes.
    """

    weight: Float[Tensor, "row outcome"]
    log_likelihood: Callable[[Tensor], Tensor]
    same_for_all: bool = True


def information(
    outcomes: Outcomes,
    outputs: Float[Tensor, "row background output"],
    log_weights: Float[Tensor, "row background"],
    own: Float[Tensor, "row outcome"] | None,
) -> Float[Tensor, "row outcome"]:
    """The logarithm of the mean likelihood of each outcome, over the backgrounds and the row itself.

    Args:
        outcomes: Of the rows.
        outputs: At the background rows, or on the way from them.
        log_weights: Logarithms of the weights of the backgrounds.
        own: Log-likelihood at the row itself, plus the logarithm of its weight; None if it has none.

    Returns:
        Its mean over outcomes by `Outcomes.weight` is v.
    """
    likelihood = outcomes.log_likelihood(outputs) + log_weights[:, :, None]
    others = likelihood.logsumexp(1)
    return others if own is None else torch.logaddexp(others, own)


def mean_log_likelihood(
    decided: Decided, outputs: Float[Tensor, "row output"], pool: Float[Tensor, "pool output"]
) -> Float[Tensor, "_ outcome"]:
    """The logarithm of the mean likelihood of each outcome over all rows of the pool, in closed form.

    Returns:
        One row for each row of outputs, or a single one where all have the same outcomes.
    """
    index = torch.arange(len(outputs))
    first = decided.outcomes(outputs[:1], index[:1])
    if first.same_for_all:
        return first.log_likelihood(pool[None]).logsumexp(1) - math.log(len(pool))
    parts = []
    for part in index.split(max(1, CHUNK // (len(pool) * first.weight.shape[1]))):
        outcomes = decided.outcomes(outputs[part.to(outputs.device)], part)
        likelihood = outcomes.log_likelihood(pool.expand(len(part), *pool.shape))
        parts.append(likelihood.logsumexp(1) - math.log(len(pool)))
    return torch.cat(parts)


def own_log_likelihood(
    outcomes: Outcomes, outputs: Float[Tensor, "row output"]
) -> Float[Tensor, "row outcome"]:
    """The log-likelihood of each outcome at its own row."""
    return outcomes.log_likelihood(outputs[:, None])[:, 0]
