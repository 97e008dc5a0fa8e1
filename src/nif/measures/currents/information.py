"""What a network decides, and the information that partial knowledge of a row gives about it.

.. math:: v(z) = \\sum_y p(y \\mid x) \\, \\log \\sum_b w_b \\, p(y \\mid z_b)

With nothing known, at the background rows, it is the negative cross entropy with the mean decision; with all
known the negative entropy of the decision at x. The rise averages to :math:`I(X; Y)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nif.network.decision import Decision, Scale

NODES = 9
"""Gauss-Hermite nodes of a value seen through noise."""

CHUNK = 2**24
"""Numbers of a table of rows and pool rows that are computed at a time."""


class Decided(Protocol):
    """A random variable that the outputs of a network determine: its outcomes have probabilities.

    Outcomes are numbered over all independent decisions, such as the outputs of a multi-label model; the
    information about each decision is added up.

    Attributes:
        name: In words.
        columns: For each outcome, the class or output that its information is shown under.
        independent: For each outcome, the number of its decision.
    """

    @property
    def name(self) -> str: ...

    @property
    def columns(self) -> tuple[int, ...]: ...

    @property
    def independent(self) -> tuple[int, ...]: ...

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


@dataclass(frozen=True, eq=False)
class Classes:
    """A class, drawn from the probabilities of the network; or the label that comes with a row.

    Attributes:
        log_probabilities: From outputs ``[sample, output]`` to ``[sample, class]``.
        count: Number of classes.
        name: In words.
        labels: Class of each row of data, where the decision is the label.
    """

    log_probabilities: Callable[[Tensor], Tensor]
    count: int
    name: str
    labels: Tensor | None = None

    @property
    def columns(self) -> tuple[int, ...]:
        """Each class by itself."""
        return tuple(range(self.count))

    @property
    def independent(self) -> tuple[int, ...]:
        """One decision."""
        return (0,) * self.count

    def outcomes(self, outputs: Float[Tensor, "row output"], index: Tensor) -> Outcomes:
        """See `Decided`."""
        weight = self.log_probabilities(outputs).exp()
        if self.labels is not None:
            known = self.labels[index.to(self.labels.device)].to(weight.device)
            weight = torch.nn.functional.one_hot(known, self.count).to(weight.dtype)
        return Outcomes(weight, self._likelihood)

    def _likelihood(self, outputs: Tensor) -> Tensor:
        return _by_sample(self.log_probabilities, outputs)


@dataclass(frozen=True, eq=False)
class Bernoullis:
    """Independent answers, yes or no; one for each output of a multi-label network.

    Attributes:
        log_probabilities: From outputs ``[sample, output]`` to the log-probabilities of no and of yes,
            ``[sample, 2 output]``, in this order for each output.
        count: Number of outputs.
        name: In words.
    """

    log_probabilities: Callable[[Tensor], Tensor]
    count: int
    name: str

    @property
    def columns(self) -> tuple[int, ...]:
        """Both answers of an output together."""
        return tuple(number // 2 for number in range(2 * self.count))

    independent = columns

    def outcomes(self, outputs: Float[Tensor, "row output"], index: Tensor) -> Outcomes:
        """See `Decided`."""
        weight = self.log_probabilities(outputs).exp()
        return Outcomes(weight, lambda outputs: _by_sample(self.log_probabilities, outputs))


@dataclass(frozen=True, eq=False)
class Values:
    """The outputs, each seen through Gaussian noise, at the nodes of a Gauss-Hermite quadrature.

    Attributes:
        deviation: Standard deviation of the noise of each output.
        name: In words.
    """

    deviation: Float[Tensor, " output"]
    name: str

    @property
    def columns(self) -> tuple[int, ...]:
        """All nodes of an output together."""
        return tuple(number // NODES for number in range(len(self.deviation) * NODES))

    independent = columns

    def outcomes(self, outputs: Float[Tensor, "row output"], index: Tensor) -> Outcomes:
        """See `Decided`."""
        points, weights = np.polynomial.hermite_e.hermegauss(NODES)
        deviation = self.deviation.to(outputs)
        nodes = outputs[:, :, None] + deviation[:, None] * outputs.new_tensor(points)
        weight = outputs.new_tensor(weights / weights.sum()).expand(nodes.shape).flatten(1)

        def log_likelihood(others: Tensor) -> Tensor:
            distance = (nodes[:, None] - others[..., None]) / deviation[:, None]
            return -0.5 * distance.square().flatten(2)

        return Outcomes(weight, log_likelihood, same_for_all=False)


def _by_sample(log_probabilities: Callable[[Tensor], Tensor], outputs: Tensor) -> Tensor:
    """Log-probabilities of outputs ``[row, background, output]``."""
    rows, backgrounds = outputs.shape[:2]
    return log_probabilities(outputs.reshape(rows * backgrounds, -1)).reshape(rows, backgrounds, -1)


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
    outcomes = decided.outcomes(outputs[:1], index[:1])
    step = 1 if outcomes.same_for_all else max(1, CHUNK // (len(pool) * outcomes.weight.shape[1]))
    parts = []
    for first in range(0, 1 if outcomes.same_for_all else len(outputs), step):
        part = decided.outcomes(outputs[first : first + step], index[first : first + step])
        likelihood = part.log_likelihood(pool.expand(len(part.weight), *pool.shape))
        parts.append(likelihood.logsumexp(1) - math.log(len(pool)))
    return torch.cat(parts)


def own_log_likelihood(
    outcomes: Outcomes, outputs: Float[Tensor, "row output"]
) -> Float[Tensor, "row outcome"]:
    """The log-likelihood of each outcome at its own row."""
    return outcomes.log_likelihood(outputs[:, None])[:, 0]


def exact_information(
    decided: Decided, index: Tensor, outputs: Float[Tensor, "pool output"]
) -> Float[Tensor, " row"]:
    """Information about the decision that each of some rows gives, in closed form over all rows.

    Its mean over all rows is :math:`I(X; Y)`: what the total of the currents must be.

    Args:
        decided: The decision.
        index: Of the rows.
        outputs: Of all rows of data.
    """
    rows = outputs[index]
    outcomes = decided.outcomes(rows, index)
    rise = own_log_likelihood(outcomes, rows) - mean_log_likelihood(decided, rows, outputs)
    return torch.where(outcomes.weight > 0, outcomes.weight * rise, 0.0).sum(1)


def decided_by(
    decision: Decision, outputs: Float[Tensor, "pool output"], chosen: Any, noise: float, labels: Any
) -> Decided:
    """The random variable that a decision names.

    Args:
        decision: What the outputs stand for, as the network computes them.
        outputs: Of all rows of data.
        chosen: None for what `decision` says; or one of the names of `nif.Currents`, or a function from
            outputs to log-probabilities.
        noise: Deviation of the noise of a value, in deviations of that output.
        labels: Class of each row, for ``"labels"``.
    """
    if callable(chosen):
        count = int(chosen(outputs[:1]).shape[1])
        return Classes(chosen, count, f"{count} outcomes of {getattr(chosen, '__name__', 'a function')}")
    if chosen == "value" or (chosen is None and decision.scale is Scale.VALUE):
        name = "a value" if outputs.shape[1] == 1 else f"{outputs.shape[1]} values, added up"
        deviation = noise * robust_deviation(outputs)
        deviation = torch.where(deviation > 0, deviation, 1.0)  # of a constant output nothing is known
        return Values(deviation, f"{name}, behind noise of {noise:g} deviations")
    if chosen == "softmax":
        decision = Decision(Scale.LOGIT, outputs.shape[1], exclusive=True)
    if chosen == "bernoulli" or (chosen is None and not decision.exclusive and decision.outputs > 1):
        return Bernoullis(_answers(decision), decision.outputs, f"{decision.outputs} answers, added up")
    count = max(2, decision.outputs)
    if chosen == "labels":
        known = torch.as_tensor(decision.class_indices(labels, len(outputs)))
        return Classes(_logs(decision), count, f"the label, one of {count}", known)
    return Classes(_logs(decision), count, f"one of {count} classes ({decision})")


def _logs(decision: Decision) -> Callable[[Tensor], Tensor]:
    """Log-probabilities that are finite where a probability is rounded to 0."""

    def log_probabilities(outputs: Tensor) -> Tensor:
        if decision.scale is Scale.PROBABILITY:
            probabilities = decision.probabilities(outputs)
            return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()
        return decision.log_probabilities(outputs)

    return log_probabilities


def _answers(decision: Decision) -> Callable[[Tensor], Tensor]:
    """Log-probabilities of no and yes of every output."""
    single = _logs(Decision(decision.scale, 1))

    def log_probabilities(outputs: Tensor) -> Tensor:
        return single(outputs.reshape(-1, 1)).reshape(len(outputs), -1)

    return log_probabilities


def robust_deviation(outputs: Float[Tensor, "row output"]) -> Float[Tensor, " output"]:
    """Standard deviation of each output; from its quartiles where the tails are heavy.

    Example:
        >>> robust_deviation(torch.tensor([[0.0], [1.0], [2.0]]))
        tensor([1.])
    """
    deviation = outputs.std(0) if len(outputs) > 1 else torch.zeros_like(outputs[0])
    quartiles = torch.quantile(outputs, outputs.new_tensor([0.25, 0.75]), dim=0)
    robust = (quartiles[1] - quartiles[0]) / 1.349
    heavy = (robust > 0) & (deviation > 2 * robust)
    return torch.where(heavy, robust, deviation)
