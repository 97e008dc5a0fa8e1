"""Models, features and labels that a comparison accepts, and the errors about the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from nif.comparison.compare import compare
from nif.comparison.libraries import shapley
from nif.comparison.problem import comparison_problem
from nif.core.errors import InputError
from nif.estimators.binned.estimator import Binned
from nif.measures.currents.currents import Currents
from nif.pipeline import measure
from support.comparison_cases import FLOW, QUICK, WEIGHTS, data, flow_of, linear, problem

pytestmark = pytest.mark.usefixtures("few_rows_explained")

LOGIT = torch.tensor([[4.0, 1.0, 0.0]])
ONE_OUTPUT = {
    "logit": lambda z: z,
    "module": nn.Sigmoid(),
    "function": torch.sigmoid,
    "method": lambda z: z.sigmoid(),
    "log": nn.functional.logsigmoid,
    "bfloat16": lambda z: z.sigmoid().bfloat16(),
    "flat": lambda z: z.sigmoid().squeeze(1),
}


class Behind(nn.Module):
    """A network whose outputs a function transforms."""

    def __init__(self, network: nn.Module, function: Any, output: str | None = None) -> None:
        super().__init__()
        self.network, self.function, self.output = network, function, output

    def forward(self, x: Tensor) -> Any:
        values = self.function(self.network(x))
        return values if self.output is None else {"hidden": x, self.output: values}


@pytest.mark.parametrize("form", ONE_OUTPUT)
def test_one_output_is_a_logit_or_a_probability(form: str) -> None:
    x, y = data()
    assert problem(x, y, Behind(linear(LOGIT), ONE_OUTPUT[form])).score(x).mean() == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "forms"),
    [
        (nn.Sigmoid(), [torch.sigmoid, lambda z: z.sigmoid(), lambda z: z.clone().sigmoid_()]),
        (
            nn.Softmax(1),
            [
                lambda z: z.softmax(1),
                lambda z: torch.softmax(z, 1),
                lambda z: nn.functional.softmax(z, 1),
                nn.LogSoftmax(1),
                lambda z: nn.functional.log_softmax(z, 1),
                lambda z: z.log_softmax(-1),
            ],
        ),
    ],
    ids=["sigmoid", "softmax"],
)
def test_a_function_is_compared_like_its_module(module: nn.Module, forms: list[Any]) -> None:
    """Log-probabilities too: what is explained and what is deleted are probabilities."""
    x, y = data(60)
    network = linear(LOGIT if isinstance(module, nn.Sigmoid) else WEIGHTS)
    options: dict[str, Any] = {"methods": [*QUICK, "integrated gradients"], "repeats": 5}
    wanted = compare(nn.Sequential(*network, module), FLOW, x, y, **options)
    assert wanted.loc["association", "deletion"] < wanted.loc["random ranking", "deletion"]
    for function in forms:
        table = compare(Behind(network, function), FLOW, x, y, **options)
        pd.testing.assert_frame_equal(table, wanted, rtol=1e-4)
    table = compare(Behind(network, forms[0], "out"), FLOW, x, y, output="out", **options)
    pd.testing.assert_frame_equal(table, wanted)
    shap = [shapley(problem(x, y, Behind(network, function))) for function in (module, forms[-1])]
    np.testing.assert_allclose(*shap, rtol=1e-4)


def test_scikit_learn_network_is_compared() -> None:
    from sklearn.neural_network import MLPClassifier

    x, y = data(200)
    fitted = MLPClassifier((4,), max_iter=20, tol=1.0, n_iter_no_change=1000, random_state=0)
    with pytest.warns(match="Maximum iterations"):
        fitted.fit(x, y)
    found = compare(fitted, flow_of([[0.5], [0.1], [0.0]]), x, y, methods=QUICK)
    assert found.loc["association", "deletion"] < 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.full((400, 3), np.nan)}, "NaN or infinite"),
        ({"x": data()[0][:, :2]}, "x has 2 features and the flow was measured on 3"),
        ({"y": data()[1][:-1]}, "400 samples and y has 399"),
        ({"y": data()[1] + 0.5}, "real numbers, 0.5 to 1.5; expected class indices 0 to 1"),
        ({"y": data()[1] + 5}, "labels are 5 to 6; expected class indices 0 to 1"),
        ({"y": np.zeros(400)}, "y contains a single class"),
        ({"y": np.eye(2)[data()[1]]}, "y has 2 columns"),
        (
            {"y": np.array(["genuine", "forged"] * 200)},
            r"'genuine' is no class .* one of \['class 0', 'class 1'",
        ),
        ({"replacement": "median"}, "replacement is 'median'; expected 'mean'"),
        ({"methods": ["LIME"]}, "methods names 'LIME'"),
        ({"repeats": 0}, "repeats is 0"),
        ({"model": object()}, "expected a torch.nn.Module"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_an_error(change: dict[str, Any], message: str) -> None:
    x, y = data()
    given = {"model": linear(), "flow": FLOW, "x": x, "y": y, "methods": QUICK, **change}
    model, flow, features, labels = (given.pop(name) for name in ("model", "flow", "x", "y"))
    with pytest.raises(InputError, match=message):
        compare(model, flow, features, labels, **given)


def test_names_of_classes_are_in_the_order_of_the_outputs() -> None:
    """That of the flow, which is not that of the alphabet."""
    x, y = data()
    named = flow_of([[0.5, 0.5], [0.1, 0.1], [0.0, 0.0]], classes=("zebra", "ant"))
    for names in (np.array(["zebra", "ant"])[y], pd.Series(["zebra", "ant"])[y]):
        assert comparison_problem(linear(), named, x, names).score(x).mean() == 1


def test_a_regressor_is_compared_by_its_values() -> None:
    x, _ = data(100)
    values = 2 * x[:, 0] + x[:, 1]
    flow = flow_of([[0.5], [0.1], [0.0]])
    table = compare(linear(torch.tensor([[2.0, 1.0, 0.0]])), flow, x, values, repeats=5)
    for method in ("currents", "SHAP", "integrated gradients", "SAGE"):
        assert table.loc[method, "deletion_rank"] == 1
        assert table.loc[method, "unused"] < 0.01
    with pytest.raises(InputError, match="y contains a single value"):
        compare(linear(torch.tensor([[2.0, 1.0, 0.0]])), flow, x, np.full(100, 0.5))


def test_words_have_no_mean_and_are_refused() -> None:
    x, y = data()
    with pytest.raises(InputError, match="an embedding, whose whole numbers have no gradient"):
        compare(nn.Sequential(nn.Embedding(3, 2), nn.Flatten(), nn.Linear(6, 2)), FLOW, x, y)


# Several inputs and outputs


class Pair(nn.Module):
    """`linear()`, whose features come as two inputs, with an output beside that is not compared."""

    def __init__(self) -> None:
        super().__init__()
        self.net = linear()

    def forward(self, first: Tensor, others: Tensor) -> dict[str, Tensor]:
        gives = self.net(torch.cat([first, others.flatten(1)], dim=1))
        return {"class": gives, "sum": gives.sum(1)}


def test_several_inputs_are_compared_like_one_table_of_them() -> None:
    x, y = data(100)
    parts = {"first": x[:, :1], "others": x[:, 1:].reshape(-1, 1, 2)}
    model = Pair()
    flow = measure(model, parts, Binned(), output="class", progress=False)
    methods = ["raw MI", "association", "SHAP", "integrated gradients"]
    table = compare(model, flow, parts, y, output="class", methods=methods, repeats=3)
    assert table.columns[:3].tolist() == list(flow.attribution().index)
    one = compare(linear(), FLOW, x, y, methods=methods, repeats=3)
    for method in ("raw MI", "SHAP", "integrated gradients"):
        assert np.allclose(table.loc[method].iloc[:3], one.loc[method].iloc[:3], atol=1e-5)
        assert table.loc[method, "deletion"] == one.loc[method, "deletion"]
    with pytest.raises(InputError, match=r"takes 2 inputs \(first, others\) and the data are one"):
        compare(model, flow, x, y, output="class")
    with pytest.raises(InputError, match="Choose one: output='class', output='sum'"):
        compare(model, flow, parts, y)


def test_images_are_compared_as_their_pixels() -> None:
    images = torch.randn(80, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    y = (images[:, 0, 0, 1] > 0).long()
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    net[1].weight.data = torch.tensor([[0.0] * 4, [0.0, 3.0, 0.0, 0.0]])
    flow = measure(net, images, Currents(rows=20, steps=2, paths=0), progress=False)
    table = compare(net, flow, images, y, methods=["integrated gradients", "currents"], repeats=2)
    for method in ("integrated gradients", "currents"):
        np.testing.assert_allclose(table.loc[method].iloc[:4].astype(float), [0, 1, 0, 0], atol=1e-6)
