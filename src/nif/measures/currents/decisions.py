"""What a network decides: a class, several yes-or-no answers, values behind noise, or labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nif.measures.currents.information import Decided, Outcomes
from nif.network.decision import Decision, Scale

NODES = 9
"""Gauss-Hermite nodes of a value seen through noise."""


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
        return Values(noise * robust_deviation(outputs), f"{name}, behind noise of {noise:g} deviations")
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
    """Standard deviation of each output; from its quartiles where the tails are heavy; 1 for a constant.

    Example:
        >>> robust_deviation(torch.tensor([[0.0], [1.0], [2.0]]))
        tensor([1.])
    """
    values = outputs.double().numpy(force=True)
    deviation = values.std(0, ddof=min(1, len(values) - 1))
    low, high = np.quantile(values, [0.25, 0.75], axis=0)
    robust = (high - low) / 1.349
    deviation = np.where((robust > 0) & (deviation > 2 * robust), robust, deviation)
    rounding = 4 * np.finfo(np.float32).eps * np.abs(values).max(0)
    return outputs.new_tensor(np.where(deviation > rounding, deviation, 1.0))
