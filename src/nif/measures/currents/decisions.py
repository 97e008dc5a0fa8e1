"""What a network decides: a class, several yes-or-no answers, values behind noise, or labels."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nif.core.errors import InputError
from nif.measures.currents.information import Decided, Outcomes
from nif.measures.currents.targets import Target
from nif.network.decision import SUM_ROUNDING, Decision, Scale, between_0_and_1
from nif.network.forward import Inputs
from nif.network.labels import class_indices

LINEAR = ("Linear", "linear", "Conv1d", "Conv2d", "matmul", "__matmul__")
"""Kinds of layers whose outputs have no range, so that those between 0 and 1 are there by chance."""

FAR, FEW = 1e3, 64
"""Factor by which inputs are moved away from the data, and number of rows of which they are moved."""

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
        return Outcomes(weight, partial(_by_sample, self.log_probabilities))


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

    @property
    def independent(self) -> tuple[int, ...]:
        """Each output is a decision."""
        return self.columns

    def outcomes(self, outputs: Float[Tensor, "row output"], index: Tensor) -> Outcomes:
        """See `Decided`."""
        weight = self.log_probabilities(outputs).exp()
        return Outcomes(weight, partial(_by_sample, self.log_probabilities))


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

    @property
    def independent(self) -> tuple[int, ...]:
        """Each output is a decision."""
        return self.columns

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
    decision: Decision,
    outputs: Float[Tensor, "pool output"],
    chosen: Any,
    noise: float,
    labels: Any,
    class_values: Any = None,
) -> Decided:
    """The random variable that a decision names.

    Args:
        decision: What the outputs stand for, as the network computes them.
        outputs: Of all rows of data.
        chosen: None for what `decision` says; or one of the names of `nif.Currents`, or a function from
            outputs to log-probabilities.
        noise: Deviation of the noise of a value, in deviations of that output.
        labels: Class of each row, for ``"labels"``.
        class_values: The labels of the classes in order, as in ``classes_`` of scikit-learn, if known.

    Raises:
        InputError: The decision does not fit the outputs or the labels.
    """
    if callable(chosen):
        return _by_function(chosen, outputs)
    if chosen == "value" or (chosen is None and decision.scale is Scale.VALUE):
        name = "a value" if outputs.shape[1] == 1 else f"{outputs.shape[1]} values, added up"
        return Values(noise * robust_deviation(outputs), f"{name}, behind noise of {noise:g} deviations")
    if chosen == "labels":
        return _labels(decision, outputs, labels, class_values)
    if chosen is None:
        _warn_of_values(decision, labels)
    decision = _as_chosen(decision, outputs, chosen)
    if not decision.exclusive and decision.outputs > 1:
        return Bernoullis(_answers(decision), decision.outputs, f"{decision.outputs} answers, added up")
    count = max(2, decision.outputs)
    return Classes(_logs(decision), count, f"one of {count} classes ({decision})")


def warn_of_range(decision: Decision, outputs: Tensor, target: Target, inputs: Inputs, labels: Any) -> None:
    """Warn of outputs that are in the range of probabilities and are not known as such.

    A probability stays between 0 and 1 for any input; a value that is scaled to 0 to 1 leaves this range
    where the inputs are far from the data.

    Args:
        decision: As the network computes it.
        outputs: Of all rows of data.
        target: Computes the outputs. A linear layer returns no probabilities.
        inputs: The rows of data.
        labels: That come with the data; where they are real numbers, so are the outputs.
    """
    unknown = decision.scale in (Scale.VALUE, Scale.LOGIT) and target.place.kind not in LINEAR
    if unknown and between_0_and_1(outputs) and not _are_real(labels) and _stay_in_range(target, inputs):
        single = decision.outputs == 1
        instead = "pass decision='probabilities'" if single else "let torch.sigmoid compute them"
        warnings.warn(
            f"The outputs are between 0 and 1 in all rows and count as {decision}. If they are "
            f"probabilities, {instead}; if not, say so by decision={'value' if single else 'softmax'!r}, as "
            "in nif.Currents('value').",
            stacklevel=2,
        )


def _stay_in_range(target: Target, inputs: Inputs) -> bool:
    """Whether outputs are between 0 and 1 also far from the data, as far as they can be computed there."""
    few = [values[:FEW] for values in inputs]
    for factor in (FAR, -FAR):
        far = tuple(factor * values if values.is_floating_point() else values for values in few)
        try:
            outputs = target.outputs(far)
        except InputError:  # no finite numbers
            continue
        if bool((outputs < 0).any() or (outputs > 1).any()):
            return False
    return True


def _are_real(labels: Any) -> bool:
    values = np.asarray([] if labels is None else labels)
    known = values[np.isfinite(values)] if values.dtype.kind == "f" else np.zeros(0)
    return bool((known != np.floor(known)).any())


def _warn_of_values(decision: Decision, labels: Any) -> None:
    """Warn of outputs that count as classes where the labels are real numbers, and no shares of classes."""
    values = np.asarray([] if labels is None else labels)
    if not _are_real(labels):
        return
    if values.ndim > 1 and values.min() >= 0 and (np.abs(values.sum(axis=1) - 1) < SUM_ROUNDING).all():
        return
    otherwise = "'softmax'" if decision.scale is Scale.LOGIT else "'probabilities'"
    otherwise = otherwise if decision.exclusive else "'bernoulli'"
    warnings.warn(
        f"The labels are real numbers, and the outputs count as {decision}; if they are numbers, pass "
        f"decision='value', as in nif.Currents('value'), and if not, {otherwise}.",
        stacklevel=2,
    )


def _as_chosen(decision: Decision, outputs: Tensor, chosen: str | None) -> Decision:
    """The decision read as the user says."""
    probabilities = decision.scale in (Scale.PROBABILITY, Scale.LOG_PROBABILITY)
    if chosen == "softmax":
        if decision.scale is Scale.PROBABILITY or (probabilities and not decision.exclusive):
            raise InputError(
                f"decision='softmax' needs logits, but the model returns {decision}; pass 'probabilities', "
                "'bernoulli' or None."
            )
        return Decision(Scale.LOGIT, outputs.shape[1], exclusive=True)
    if chosen == "probabilities":
        _check_probabilities(outputs)
        return Decision(Scale.PROBABILITY, outputs.shape[1], exclusive=True)
    if chosen == "bernoulli":
        if probabilities and decision.exclusive:
            raise InputError(
                f"decision='bernoulli' needs independent answers, but the model returns {decision}, of which "
                "one is chosen; pass 'probabilities' or None."
            )
        return Decision(decision.scale if probabilities else Scale.LOGIT, outputs.shape[1])
    return decision


def _check_probabilities(outputs: Tensor) -> None:
    low, high = float(outputs.min()), float(outputs.max())
    if low < -SUM_ROUNDING or high > 1 + SUM_ROUNDING:
        raise InputError(
            f"decision='probabilities' needs outputs of 0 to 1, but they range from {low:.3g} to {high:.3g}; "
            "pass 'softmax' for logits."
        )
    sums = outputs.sum(1)
    worst = float(sums[(sums - 1).abs().argmax()])
    if outputs.shape[1] > 1 and abs(worst - 1) > SUM_ROUNDING:
        raise InputError(
            f"decision='probabilities' needs outputs that sum to 1, but those of a row sum to {worst:.3g}; "
            "pass 'bernoulli' for independent answers."
        )


def _labels(decision: Decision, outputs: Tensor, labels: Any, class_values: Any) -> Classes:
    """The label that comes with each row."""
    if labels is None:
        raise InputError("decision='labels' needs labels; pass data that yield (inputs, labels).")
    if decision.scale is Scale.VALUE or (decision.outputs > 1 and not decision.exclusive):
        raise InputError(
            f"decision='labels' needs probabilities of classes, but the model returns {decision}; use a "
            "model that ends in a softmax or in one sigmoid."
        )
    known = class_indices(decision, labels, len(outputs), class_values)
    if known is None:
        raise InputError(
            "decision='labels' needs labels that are classes, but they are real numbers; pass the index of "
            "the class of each row."
        )
    count = max(2, decision.outputs)
    return Classes(_logs(decision), count, f"the label, one of {count}", torch.as_tensor(known))


def _by_function(function: Callable[[Tensor], Tensor], outputs: Tensor) -> Classes:
    """Outcomes whose log-probabilities a function computes from outputs."""
    name = getattr(function, "__name__", "function")
    logs = function(outputs)
    if not isinstance(logs, Tensor) or logs.dim() != 2 or len(logs) != len(outputs):
        shape = list(logs.shape) if isinstance(logs, Tensor) else type(logs).__name__
        raise InputError(
            f"decision={name} returns {shape} for outputs of shape {list(outputs.shape)}; expected a tensor "
            "of log-probabilities [sample, outcome]."
        )
    if not torch.isfinite(logs).all():
        raise InputError(
            f"decision={name} returns NaN or infinite log-probabilities, so the information has no bound; "
            "expected finite ones, such as those of log_softmax."
        )
    sums = logs.exp().sum(1)
    worst = float(sums[(sums - 1).abs().argmax()])
    if abs(worst - 1) > SUM_ROUNDING:
        raise InputError(
            f"decision={name} returns log-probabilities whose probabilities sum to {worst:.3g} in a row; "
            "expected a sum of 1 over all outcomes."
        )
    return Classes(function, logs.shape[1], f"one of {logs.shape[1]} outcomes of {name}")


def _logs(decision: Decision) -> Callable[[Tensor], Tensor]:
    """Log-probabilities that are finite where a probability is rounded to 0."""

    def log_probabilities(outputs: Tensor) -> Tensor:
        if decision.scale is Scale.PROBABILITY:
            probabilities = decision.probabilities(outputs)
            return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()
        if decision.scale is Scale.LOG_PROBABILITY and decision.outputs == 1:
            yes = outputs.clamp_max(-torch.finfo(outputs.dtype).eps)
            return torch.cat([torch.log(-torch.expm1(yes)), yes], dim=1)
        if decision.scale is Scale.LOGIT and decision.outputs == 1:  # log-softmax is exact along the path
            return torch.nn.functional.pad(outputs, (1, 0)).log_softmax(1)
        return decision.log_probabilities(outputs)

    return log_probabilities


def _answers(decision: Decision) -> Callable[[Tensor], Tensor]:
    """Log-probabilities of no and yes of every output."""
    single = _logs(Decision(decision.scale, 1))

    def log_probabilities(outputs: Tensor) -> Tensor:
        return single(outputs.reshape(-1, 1)).reshape(len(outputs), -1)

    return log_probabilities


def of_rows(decided: Decided, index: Tensor) -> Decided:
    """The decision at some rows of data, which are numbered from 0."""
    if isinstance(decided, Classes) and decided.labels is not None:
        return replace(decided, labels=decided.labels[index.to(decided.labels.device)])
    return decided


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
