"""What outputs stand for is read off the operations that compute them, in whatever form they are written."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neural_network import MLPClassifier, MLPRegressor
from torch import Tensor, nn
from torch.nn import functional

import nif
from nif.comparison.problem import comparison_problem
from nif.core.errors import InputError
from nif.network.adapters import as_torch
from nif.network.decision import Decision, Scale
from nif.network.forward import Forward

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))

PROBABILITY, LOG, LOGIT, VALUE = Scale.PROBABILITY, Scale.LOG_PROBABILITY, Scale.LOGIT, Scale.VALUE


class Head(nn.Module):
    """A linear layer whose outputs a function makes into those of the network."""

    def __init__(self, outputs: int, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.function = nn.Linear(4, outputs), function

    def forward(self, x: Tensor) -> Any:
        return self.function(self.linear(x))


def decision(outputs: int, function: Callable[[Tensor], Any], output: int | str | None = None) -> Decision:
    return Decision.of(Forward(Head(outputs, function), output=output), (X,))


SIGMOIDS = {
    "module": nn.Sigmoid(),
    "torch": torch.sigmoid,
    "functional": functional.sigmoid,
    "method": lambda z: z.sigmoid(),
    "in place": lambda z: z.clone().sigmoid_(),
    "expit": torch.special.expit,
    "out": lambda z: torch.sigmoid(z, out=torch.empty_like(z)),
    "operator": torch.ops.aten.sigmoid.default,
    "piecewise": nn.Hardsigmoid(),
    "half": lambda z: z.sigmoid().half(),
    "bfloat16": lambda z: z.sigmoid().to(torch.bfloat16),
    "one column": lambda z: z.sigmoid()[:, 0],
    "squeezed": lambda z: torch.squeeze(z.sigmoid(), 1),
    "of two": lambda z: torch.cat([-z, z], 1).softmax(1)[:, 1],
    "complement": lambda z: 1 - torch.sigmoid(-z),
    "clamped": lambda z: z.sigmoid().clamp(1e-6, 1 - 1e-6),
    "behind dropout": lambda z: functional.dropout(z.sigmoid(), training=False),
    "exponential": lambda z: functional.logsigmoid(z).exp(),
    "detached": lambda z: z.sigmoid().detach(),
}

SOFTMAXES = {
    "module": nn.Softmax(dim=1),
    "torch": lambda z: torch.softmax(z, 1),
    "functional": lambda z: functional.softmax(z, dim=1),
    "method": lambda z: z.softmax(-1),
    "special": lambda z: torch.special.softmax(z, 1),
    "operator": lambda z: torch.ops.aten._softmax.default(z, 1, False),
    "minimum": nn.Softmin(dim=1),
    "exponential": lambda z: z.log_softmax(1).exp(),
    "bfloat16": lambda z: z.softmax(1).bfloat16(),
    "reshaped": lambda z: z.unflatten(1, (3, 1, 1)).softmax(1).flatten(1),
    "transposed": lambda z: z.T.softmax(0).T,
    "identity": nn.Sequential(nn.Softmax(1), nn.Identity(), nn.Flatten()),
    "ensemble": lambda z: torch.stack([z.softmax(1), (2 * z).softmax(1)]).mean(0),
}

LOG_SOFTMAXES = {
    "module": nn.LogSoftmax(dim=1),
    "torch": lambda z: torch.log_softmax(z, 1),
    "functional": lambda z: functional.log_softmax(z, dim=1),
    "method": lambda z: z.log_softmax(-1),
    "special": lambda z: torch.special.log_softmax(z, 1),
    "logarithm": lambda z: z.softmax(1).log(),
    "float16": lambda z: z.log_softmax(1).to(torch.float16),
}


@pytest.mark.parametrize("form", SIGMOIDS)
def test_a_sigmoid_gives_the_probability_of_class_1(form: str) -> None:
    assert decision(1, SIGMOIDS[form]) == Decision(PROBABILITY, 1)


@pytest.mark.parametrize("form", SOFTMAXES)
def test_a_softmax_gives_probabilities(form: str) -> None:
    assert decision(3, SOFTMAXES[form]) == Decision(PROBABILITY, 3, exclusive=True)


@pytest.mark.parametrize("form", LOG_SOFTMAXES)
def test_a_log_softmax_gives_log_probabilities(form: str) -> None:
    assert decision(3, LOG_SOFTMAXES[form]) == Decision(LOG, 3, exclusive=True)


@pytest.mark.parametrize(
    ("outputs", "function", "expected"),
    [
        (1, nn.LogSigmoid(), Decision(LOG, 1)),
        (1, functional.logsigmoid, Decision(LOG, 1)),
        (1, lambda z: z.sigmoid().log(), Decision(LOG, 1)),
        (3, torch.sigmoid, Decision(PROBABILITY, 3)),
        (2, lambda z: torch.stack([z[:, 0].sigmoid(), z[:, 1].sigmoid()], 1), Decision(PROBABILITY, 2)),
        (1, lambda z: torch.cat([1 - z.sigmoid(), z.sigmoid()], 1), Decision(PROBABILITY, 2, exclusive=True)),
        (6, lambda z: z.view(-1, 2, 3).softmax(2), Decision(PROBABILITY, 6)),
        (3, lambda z: z.softmax(0), Decision(PROBABILITY, 3)),
        (3, lambda z: z, Decision(LOGIT, 3, exclusive=True)),
        (3, lambda z: z.sigmoid() * 5, Decision(LOGIT, 3, exclusive=True)),
        (3, lambda z: z.softmax(1).mul_(5), Decision(LOGIT, 3, exclusive=True)),
        (1, lambda z: z, Decision(VALUE, 1)),
        (1, lambda z: z.clamp(0, 1), Decision(VALUE, 1)),
        (1, lambda z: z.squeeze(1), Decision(VALUE, 1)),
        (1, torch.tanh, Decision(VALUE, 1)),
        (1, lambda z: z * torch.cat([z, -z], 1).softmax(1)[:, :1], Decision(VALUE, 1)),
        (3, lambda z: z + 0 * z.sigmoid(), Decision(LOGIT, 3, exclusive=True)),
    ],
    ids=lambda value: str(value) if isinstance(value, Decision) else "",
)
def test_the_last_operation_decides(outputs: int, function: Any, expected: Decision) -> None:
    assert decision(outputs, function) == expected


def test_attention_is_not_mistaken_for_the_output() -> None:
    class Attention(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x @ x.mT).softmax(-1) @ x

    encoder = nn.TransformerEncoderLayer(4, 1, 8, batch_first=True)
    for model in (
        Attention(),
        nn.Sequential(Attention(), nn.Linear(4, 3)),
        nn.Sequential(encoder, Attention()),
    ):
        assert Decision.of(Forward(model), (X[:, None],)).scale is LOGIT


def test_the_selected_output_decides() -> None:
    def both(z: Tensor) -> dict[str, Tensor]:
        return {"logits": z, "probabilities": z.softmax(1), "sure": z.softmax(1).amax(1)}

    assert decision(3, both, "logits").scale is LOGIT
    assert decision(3, both, "probabilities") == Decision(PROBABILITY, 3, exclusive=True)
    assert decision(3, both, "sure").scale is VALUE
    assert decision(3, lambda z: (z, z.sigmoid()), -1).scale is PROBABILITY
    with pytest.raises(InputError, match="Choose one: output='logits'"):
        decision(3, both)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_classifier_of_scikit_learn_gives_probabilities(classes: int) -> None:
    model = MLPClassifier(hidden_layer_sizes=(3,), max_iter=1, tol=1e9, n_iter_no_change=1)
    with pytest.warns(match="Maximum iterations"):
        model.fit(X, np.arange(40) % classes)
    found = Decision.of(Forward(as_torch(model)), (X,), model)
    assert found == (Decision(PROBABILITY, 1) if classes == 2 else Decision(PROBABILITY, 3, exclusive=True))


@pytest.mark.parametrize("targets", [1, 2])
def test_a_regressor_of_scikit_learn_gives_values(targets: int) -> None:
    model = MLPRegressor(hidden_layer_sizes=(3,), max_iter=1)
    with pytest.warns(match="Maximum iterations"):
        model.fit(X, X[:, 0] if targets == 1 else X[:, :2])
    found = Decision.of(Forward(as_torch(model)), (X,), model)
    assert found == Decision(VALUE, targets)
    assert str(found) == ("a value" if targets == 1 else "2 values")


def test_the_model_stays_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(), nn.Softmax(1)).train()
    before, state = {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()
    Decision.of(Forward(model), (X,))
    assert model.training and not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (torch.sigmoid, 1),
        (functional.logsigmoid, 1),
        (lambda z: z.softmax(1), 3),
        (lambda z: z.log_softmax(1), 3),
        (lambda z: z.log_softmax(1).half(), 3),
    ],
)
def test_probabilities_are_those_of_the_logits(function: Any, inputs: int) -> None:
    logits = torch.linspace(-3, 3, 12 * inputs).reshape(12, inputs)
    wanted, made = Decision(LOGIT, inputs, inputs > 1), decision(inputs, function)
    outputs = function(logits)
    tolerance = 1e-6 if outputs.dtype == torch.float32 else 1e-2
    assert torch.equal(made.classes(outputs), wanted.classes(logits))
    assert torch.allclose(made.probabilities(outputs), wanted.probabilities(logits), atol=tolerance)
    assert torch.allclose(made.log_probabilities(outputs), wanted.log_probabilities(logits), atol=tolerance)
    assert torch.allclose(made.probabilities(outputs).sum(1), torch.ones(12), atol=tolerance)
    assert made.accuracy(outputs, wanted.classes(logits)) == 1.0


def test_log_probabilities_of_sure_logits_are_finite() -> None:
    for outputs in (1, 2):
        sure = Decision(LOGIT, outputs, outputs > 1).log_probabilities(
            torch.full((1, outputs), 500.0).cumsum(1)
        )
        assert torch.isfinite(sure).all() and sure.min() == -500


def test_several_sigmoids_are_independent_answers() -> None:
    labels = Decision(PROBABILITY, 2)
    outputs = torch.tensor([[0.9, 0.8], [0.1, 0.3]])
    assert labels.classes(outputs).tolist() == [0, 1]
    assert torch.equal(labels.probabilities(outputs), outputs)
    assert str(labels) == "2 independent probabilities"


def test_a_value_has_a_boundary_and_no_probabilities() -> None:
    value = Decision(VALUE, 1)
    assert value.classes(torch.tensor([[-0.1], [0.1], [0.9]])).tolist() == [0, 1, 1]
    for ask in (value.probabilities, value.log_probabilities):
        with pytest.raises(InputError, match="The output is a value"):
            ask(torch.zeros(1, 1))


def test_the_boundary_is_that_of_the_scale() -> None:
    outputs = torch.tensor([[0.2], [0.4], [0.6]])
    assert Decision(PROBABILITY, 1).classes(outputs).tolist() == [0, 0, 1]
    assert Decision(LOG, 1).classes(outputs.log()).tolist() == [0, 0, 1]
    assert Decision(LOGIT, 1).classes(outputs).tolist() == [1, 1, 1]
    assert Decision(LOG, 1).classes(torch.tensor([[math.log(0.5)]])).tolist() == [0]


class ByHand(nn.Module):
    """Probabilities that no softmax or sigmoid computes."""

    def __init__(self, outputs: int, kind: str) -> None:
        super().__init__()
        self.body, self.kind = nn.Linear(3, outputs), kind

    def forward(self, x: Tensor) -> Tensor:
        z = self.body(x)
        if self.kind == "softmax":
            return z.exp() / z.exp().sum(1, keepdim=True)
        if self.kind == "hazards":  # survival at each step, and death in one of them
            hazard = 1 / (1 + torch.exp(-z))
            alive = torch.cumprod(1 - hazard, 1)
            return torch.cat([1 - alive[:, :1], alive[:, :-1] - alive[:, 1:], alive[:, -1:]], 1)
        return 1 / (1 + torch.exp(-z))


@pytest.mark.parametrize("kind", ["softmax", "hazards"])
def test_numbers_that_sum_to_1_are_probabilities(kind: str) -> None:
    torch.manual_seed(0)
    model, x = ByHand(3, kind), torch.randn(60, 3)
    decision = Decision.of(Forward(model), (x,))
    assert decision.scale is Scale.PROBABILITY and decision.exclusive
    p = model(x).detach().double()
    exact = (p * (p / p.mean(0)).log()).sum(1).mean()
    flow = nif.measure(model, x, nif.Currents(rows=60, backgrounds=59, paths=0), progress=False)
    assert float(flow.total) == pytest.approx(float(exact), rel=0.02)


@pytest.mark.parametrize("outputs", [1, 3])
def test_other_numbers_between_0_and_1_are_warned_of(outputs: int) -> None:
    torch.manual_seed(0)
    model, x = ByHand(outputs, "sigmoid"), torch.randn(60, 3)
    few = nif.Currents(rows=30, backgrounds=40, paths=0)
    with pytest.warns(UserWarning, match="between 0 and 1 in all rows and count as"):
        nif.measure(model, x, few, progress=False)
    nif.measure(
        model, x, nif.Currents("value", rows=30, backgrounds=40, paths=0), progress=False
    )  # was asked
    if outputs == 1:  # labels that are no classes are of values
        nif.measure(model, (x, model(x).detach()[:, 0]), few, progress=False)


@pytest.mark.filterwarnings("error:The outputs are between 0 and 1:UserWarning")
@pytest.mark.parametrize("end", [lambda z: z / 40 + 0.5, lambda z: (z / 40 + 0.5).relu()])
def test_a_value_scaled_to_0_to_1_is_not_taken_for_a_probability(end: Callable[[Tensor], Tensor]) -> None:
    model, x = Head(1, end), torch.randn(60, 4)
    assert model(x).min() > 0 and model(x).max() < 1
    nif.measure(model, x, nif.Currents(rows=30, backgrounds=40, paths=0), progress=False)


def test_a_sigmoid_that_predicts_a_number_is_warned_of() -> None:
    model, x = Head(1, torch.sigmoid), torch.randn(60, 4)
    with pytest.warns(
        UserWarning, match="labels are real numbers, .* probability of class 1; if they are num"
    ):
        nif.measure(model, (x, x[:, 0].sigmoid()), nif.Currents(rows=30, paths=0), progress=False)


def test_negative_log_probabilities_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="are the negative of log-probabilities, so that the smallest"):
        assert str(decision(4, lambda z: -z.log_softmax(1))) == "logits of 4 classes"


@pytest.mark.filterwarnings("ignore:The outputs are between 0 and 1:UserWarning")
def test_one_number_between_0_and_1_is_a_probability_where_labels_are_classes() -> None:
    torch.manual_seed(0)
    model, x = ByHand(1, "sigmoid"), torch.randn(80, 3)
    y = (model(x)[:, 0] > 0.5).long()
    flow = nif.measure(model, (x, y), nif.Currents(rows=30, backgrounds=40, paths=0), progress=False)
    assert flow.measurement.about["value"] == 1
    assert comparison_problem(model, flow, x, y).score(x.double().numpy()).mean() == 1
    deep = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Tanh(), model)
    nn.init.zeros_(model.body.bias)
    right = (deep(x)[:, 0] > 0.5).long()
    measured = nif.measure(deep, x, nif.Binned(), progress=False)
    assert nif.prune(deep, measured, x, right, progress=False).score_before == 1
