"""Every decision against an exact value, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid
from torch import Tensor

from nif import InputError
from nif.measures.currents.backgrounds import Explained
from nif.measures.currents.decisions import decided_by, robust_deviation
from nif.network.decision import Decision, Scale

LOGITS = Decision(Scale.LOGIT, 2, exclusive=True)
VALUE = Decision(Scale.VALUE, 1)


def total(decision: Decision, outputs: Tensor, chosen=None, *, noise: float = 0.2, labels=None) -> float:
    """The closed form over all rows."""
    decided = decided_by(decision, outputs, chosen, noise, labels)
    return float(Explained.of(decided, outputs, np.arange(len(outputs))).information().mean())


def entropy(*probabilities: float) -> float:
    return -sum(p * math.log(p) for p in probabilities if p > 0)


P = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
BY_HAND = entropy(0.55, 0.45) - (entropy(0.9, 0.1) + entropy(0.2, 0.8)) / 2


@pytest.mark.parametrize("chosen", [None, "softmax", lambda outputs: outputs.log_softmax(1)])
def test_two_classes_by_hand(chosen) -> None:
    assert total(LOGITS, P.log() + 3.0, chosen) == pytest.approx(BY_HAND, abs=1e-6)


def test_probabilities_are_taken_as_they_are() -> None:
    assert total(Decision(Scale.PROBABILITY, 2, True), P) == pytest.approx(BY_HAND, abs=1e-6)
    assert total(LOGITS, P, "probabilities") == pytest.approx(BY_HAND, abs=1e-6)


@pytest.mark.parametrize(
    "decision, outputs",
    [
        (Decision(Scale.PROBABILITY, 1), P[:, 1:]),
        (Decision(Scale.LOG_PROBABILITY, 1), P[:, 1:].log()),
        (Decision(Scale.LOGIT, 1), P[:, 1:].logit()),
    ],
)
def test_one_output_stands_for_two_classes(decision: Decision, outputs: Tensor) -> None:
    assert total(decision, outputs) == pytest.approx(BY_HAND, abs=1e-6)
    assert total(decision, outputs, "bernoulli") == pytest.approx(BY_HAND, abs=1e-6)


def test_answers_add_up() -> None:
    probabilities = torch.tensor([[0.9, 0.5], [0.2, 0.7], [0.4, 0.1]])
    by_hand = sum(
        entropy(float(p.mean()), 1 - float(p.mean())) - np.mean([entropy(float(q), 1 - float(q)) for q in p])
        for p in probabilities.T
    )
    answers = Decision(Scale.PROBABILITY, 2)
    assert total(answers, probabilities) == pytest.approx(by_hand, abs=1e-6)
    assert total(LOGITS, probabilities.logit(), "bernoulli") == pytest.approx(by_hand, abs=1e-6)
    decided = decided_by(answers, probabilities, None, 0.2, None)
    assert decided.name == "2 answers, added up"
    assert decided.columns == decided.independent == (0, 0, 1, 1)


@pytest.mark.parametrize("noise", [0.1, 0.2, 1.0])
def test_a_gaussian_value_has_the_capacity_of_its_channel(noise: float) -> None:
    values = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(500) + 0.5) / 500)[:, None]
    exact = 0.5 * math.log1p(1 / noise**2)
    assert total(VALUE, 3 * values + 5, noise=noise) == pytest.approx(exact, rel=0.01)
    two = torch.cat([values, -7 * values], dim=1)
    assert total(Decision(Scale.VALUE, 2), two, noise=noise) == pytest.approx(2 * exact, rel=0.01)


def test_two_values_by_a_fine_integral() -> None:
    deviation = math.sqrt(0.5) * 0.8
    y = np.linspace(-8, 9, 200_001)
    densities = [
        np.exp(-0.5 * ((y - mean) / deviation) ** 2) / deviation / math.sqrt(2 * math.pi) for mean in (0, 1)
    ]
    mixture = np.mean(densities, axis=0)
    of_mixture = -trapezoid(mixture * np.log(mixture), y)
    exact = of_mixture - 0.5 * math.log(2 * math.pi * math.e * deviation**2)
    assert total(VALUE, torch.tensor([[0.0], [1.0]]), noise=0.8) == pytest.approx(exact, abs=1e-4)


def test_information_about_labels_may_be_negative() -> None:
    mean = P.mean(0)
    exact = np.mean([math.log(0.9 / mean[0]), math.log(0.8 / mean[1])])
    assert total(LOGITS, P.log(), "labels", labels=[0, 1]) == pytest.approx(exact, abs=1e-6)
    assert total(LOGITS, P.log(), "labels", labels=[1, 0]) < 0


@pytest.mark.parametrize("scale", [Scale.PROBABILITY, Scale.LOGIT])
def test_saturated_probabilities_have_the_entropy_of_the_classes(scale: Scale) -> None:
    outputs = torch.eye(4)[torch.arange(40) % 4] * (1.0 if scale is Scale.PROBABILITY else 1e4)
    assert total(Decision(scale, 4, True), outputs) == pytest.approx(math.log(4), abs=1e-5)
    wrong = (torch.arange(40) + 1) % 4
    assert math.isfinite(total(Decision(scale, 4, True), outputs, "labels", labels=wrong))


@pytest.mark.parametrize("decision", [LOGITS, Decision(Scale.VALUE, 2), Decision(Scale.LOGIT, 2)])
def test_constant_outputs_decide_nothing(decision: Decision) -> None:
    outputs = torch.tensor([[0.3, 1e8]]).repeat(60, 1)
    assert total(decision, outputs) == pytest.approx(0.0, abs=1e-5)


def test_the_scale_of_noise_is_robust() -> None:
    normal = torch.randn(5000, 1, generator=torch.Generator().manual_seed(0))
    heavy = normal.clone()
    heavy[:50] *= 1e5
    assert float(robust_deviation(heavy)) == pytest.approx(float(robust_deviation(normal)), rel=0.1)
    assert robust_deviation(torch.full((9, 1), 0.1)).tolist() == [1.0]
    assert robust_deviation(torch.full((1, 1), 0.1)).tolist() == [1.0]
    assert robust_deviation((normal > 2).float()) > 0  # the quartiles are equal


def nan(outputs: Tensor) -> Tensor:
    return outputs.log_softmax(1) * torch.nan


def impossible(outputs: Tensor) -> Tensor:
    return outputs.softmax(1).round().log()


PROBABILITIES, ANSWERS = Decision(Scale.PROBABILITY, 2, True), Decision(Scale.PROBABILITY, 2)


@pytest.mark.parametrize(
    "decision, outputs, chosen, labels, message",
    [
        (LOGITS, P, "labels", None, "needs labels"),
        (LOGITS, P, "labels", [0.2, 0.7], "real numbers"),
        (LOGITS, P, "labels", ["a", "b"], "labels are text, such as 'a'"),
        (LOGITS, P, "labels", [0, 2], "class indices 0 to 1"),
        (VALUE, P[:, :1], "labels", [0, 1], "returns a value"),
        (ANSWERS, P, "labels", [0, 1], "2 independent probabilities"),
        (LOGITS, P + 1, "probabilities", None, "range from 1.1 to 1.9"),
        (LOGITS, P / 2, "probabilities", None, "sum to 0.5"),
        (PROBABILITIES, P, "softmax", None, "needs logits"),
        (ANSWERS, P, "softmax", None, "needs logits"),
        (PROBABILITIES, P, "bernoulli", None, "independent answers"),
        (LOGITS, P, nan, None, "no bound"),
        (LOGITS, P * 99, impossible, None, "no bound"),
        (LOGITS, P, lambda outputs: outputs, None, "sum to"),
        (LOGITS, P, lambda outputs: outputs.sum(), None, r"returns \[\] for outputs of shape \[2, 2\]"),
        (LOGITS, P, lambda outputs: 1.0, None, "returns float"),
    ],
)
def test_what_does_not_fit_is_refused(decision, outputs, chosen, labels, message) -> None:
    with pytest.raises(InputError, match=message) as error:
        decided_by(decision, outputs, chosen, 0.2, labels)
    assert str(error.value).count(". ") == 0  # one sentence


def test_real_labels_of_outputs_that_count_as_logits_are_pointed_out() -> None:
    """A regressor of two outputs looks like a classifier of two classes; soft labels of classes do not."""
    outputs = P.log()
    for labels in (torch.tensor([[0.3, -1.2], [2.5, 0.1]]), np.array([0.5, np.nan]), [1.5, 2.0]):
        with pytest.warns(UserWarning, match=r"labels are real numbers.* pass decision='value'"):
            decided_by(LOGITS, outputs, None, 0.2, labels)
    for labels in (P, np.array([[0.0, 1.0], [1.0, 0.0]]), [1.0, 0.0], [1, 0], ["a", "b"], None):
        decided_by(LOGITS, outputs, None, 0.2, labels)  # a warning would be an error
    values = torch.tensor([[0.3, -1.2], [2.5, 0.1]])
    for decision, chosen in ((LOGITS, "value"), (LOGITS, "softmax"), (Decision(Scale.VALUE, 2), None)):
        decided_by(decision, outputs, chosen, 0.2, values)
