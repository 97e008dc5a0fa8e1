"""Attributions against closed forms, the deletion test against hand counts, the table as promised."""

from __future__ import annotations

import math
import pickle
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import kendalltau, spearmanr
from torch import Tensor, nn

from nif.comparison.compare import Comparison, compare
from nif.comparison.faithfulness import deletion, ranking
from nif.comparison.libraries import integrated_gradients, shapley
from nif.comparison.methods import ATTRIBUTIONS, PUBLISHED, raw_mi
from nif.comparison.problem import ComparisonProblem, comparison_problem
from nif.core.errors import InputError
from nif.core.types import Layer, Links
from nif.estimators.binned.estimator import Binned
from nif.estimators.estimate import Estimate
from nif.flow.flow import Flow
from nif.flow.measurement import Measurement
from nif.pipeline import measure

WEIGHTS = torch.tensor([[0.0, 0.0, 0.0], [4.0, 1.0, 0.0]])  # class 1 where 4 x0 + x1 > 0; x2 is not used
QUICK = ["raw MI", "NIF", "random ranking"]


def linear(weights: torch.Tensor = WEIGHTS) -> nn.Sequential:
    """A network whose outputs are `weights @ x`, so that its attributions have closed forms."""
    layer = nn.utils.skip_init(nn.Linear, weights.shape[1], weights.shape[0])
    with torch.no_grad():
        layer.weight.copy_(weights)
        layer.bias.zero_()
    return nn.Sequential(layer)


def data(samples: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three independent normal features and the class that `linear()` gives them."""
    x = np.random.default_rng(seed).normal(size=(samples, 3))
    return x, (4 * x[:, 0] + x[:, 1] > 0).astype(np.int64)


def flow_of(nats: Any, *, terms: int = 9, features: tuple[str, ...] = ("big", "small", "unused")) -> Flow:
    """A flow of one layer of links with these weights."""
    weights = np.asarray(nats, dtype=np.float64)
    zeros = np.zeros_like(weights)
    classes = tuple(f"class {k}" for k in range(weights.shape[1]))
    return Flow(
        layers=(Layer("input", "input", features), Layer("output", "Linear", classes)),
        links=(Links(0, 1, nats=weights, stderr=zeros, p_value=zeros, relevance=weights),),
        constant=(np.zeros(len(features), dtype=bool), np.zeros(len(classes), dtype=bool)),
        measurement=Measurement("Association()", {"terms": terms}, 400, 0, 0, "0"),
    )


FLOW = flow_of([[0.5, 0.5], [0.1, 0.1], [0.0, 0.0]])


def problem(
    x: np.ndarray,
    y: np.ndarray,
    model: nn.Module | None = None,
    flow: Flow | None = None,
    estimator: Any = None,
) -> ComparisonProblem:
    flow = flow or flow_of(np.ones((x.shape[1], 2)), features=tuple(f"f{k}" for k in range(x.shape[1])))
    if model is None:
        model = linear() if x.shape[1] == 3 else linear(torch.zeros(2, x.shape[1]))
    return comparison_problem(model, flow, x, y, estimator=estimator)


def numpy_random_state() -> bytes:
    return pickle.dumps(np.random.get_state())  # noqa: NPY002 - the state the explainers could have moved


# Attributions


def test_raw_mi_of_a_feature_that_is_the_label_is_its_entropy() -> None:
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(1000) % 2)
    x = np.stack([y, rng.normal(size=1000)], axis=1).astype(np.float64)
    told, nothing = raw_mi(problem(x, y))
    assert told == pytest.approx(math.log(2), abs=0.01)
    assert nothing < 0.02


def test_raw_mi_takes_an_estimator_without_a_way_for_all_pairs() -> None:
    class Halves:
        """Half a nat for every pair; below 0 for the last."""

        def estimate(self, x: np.ndarray, y: np.ndarray, *, seed: int = 0, advance: Any = None) -> Estimate:
            assert x.shape == y.shape == (3, 400, 1)
            return Estimate.of([0.5, 0.5, -0.1], stderr=0.0, p_value=0.0, samples=400, estimator="Halves()")

    assert raw_mi(problem(*data(), estimator=Halves())).tolist() == [0.5, 0.5, 0.0]


def test_integrated_gradients_of_a_linear_network_have_a_closed_form() -> None:
    """Of output k: w_ki (x_i - mean_i)."""
    x, y = data()
    weights = torch.tensor([[1.0, -2.0, 0.0], [4.0, 1.0, 0.0]])
    distance = np.abs(x - x.mean(axis=0)).mean(axis=0)
    expected = distance * weights.abs().mean(dim=0).numpy()
    np.testing.assert_allclose(integrated_gradients(problem(x, y, linear(weights))), expected, rtol=1e-4)


def test_shapley_values_of_a_linear_network_have_a_closed_form() -> None:
    """The same closed form, up to the noise of 100 draws for each sample."""
    x, y = data()
    found = shapley(problem(x, y))
    expected = np.abs(x - x.mean(axis=0)).mean(axis=0) * np.array([2.0, 0.5, 0.0])
    np.testing.assert_allclose(found, expected, rtol=0.2)


def test_shapley_values_of_a_network_in_float64() -> None:
    """scikit-learn's networks are; shap gives float32 whatever the model wants."""
    x, y = data()
    np.testing.assert_allclose(
        shapley(problem(x, y, linear().double())), shapley(problem(x, y)), rtol=1e-4, atol=1e-7
    )


def test_explainers_leave_the_global_random_states_alone() -> None:
    x, y = data(100)
    torch_state, numpy_state = torch.random.get_rng_state(), numpy_random_state()
    shapley(problem(x, y))
    integrated_gradients(problem(x, y))
    assert torch.equal(torch_state, torch.random.get_rng_state())
    assert numpy_state == numpy_random_state()


def test_flow_attribution_is_summed_over_classes() -> None:
    table = compare(linear(), flow_of([[0.2, 0.4], [0.1, 0.1], [0.0, 0.0]]), *data(), methods=QUICK)
    np.testing.assert_allclose(table.loc["NIF", ["big", "small", "unused"]].astype(float), [0.75, 0.25, 0.0])


# Deletion test


def test_deletion_area_is_that_counted_by_hand() -> None:
    """Class = sign of x0 for x0 = ±1. Without x0 every row is class 0, right for half of the rows."""
    rng = np.random.default_rng(0)
    y = np.arange(600) % 2
    x = np.stack([2.0 * y - 1, *rng.normal(size=(2, 600))], axis=1)
    hand = problem(x, y, linear(torch.tensor([[0.0, 0, 0], [1.0, 0, 0]])))
    first = deletion(hand, np.array([1.0, 0.5, 0.1]), repeats=200)
    last = deletion(hand, np.array([0.1, 0.5, 1.0]), repeats=200)
    assert first.area == pytest.approx((0.75 + 0.5 + 0.5) / 3, abs=0.005)
    assert last.area == pytest.approx((1 + 1 + 0.75) / 3, abs=0.005)


def test_deletion_spread_is_that_of_a_share_of_rows() -> None:
    """Without x0 every row is class 0: its rows stay right, those of class 1 are wrong from then on."""
    y = np.arange(600) % 2
    x = np.stack([2.0 * y - 1, np.zeros(600), np.zeros(600)], axis=1)
    hand = problem(x, y, linear(torch.tensor([[0.0, 0, 0], [1.0, 0, 0]])))
    by_row = np.where(
        y == 0, 1.0, 1 / 6
    )  # class 0 stays right; class 1 is right before the first deletion only
    spread = deletion(hand, np.array([1.0, 0.5, 0.1]), repeats=2000).spread
    assert spread == pytest.approx(by_row.std() / math.sqrt(600), rel=0.1)


def test_ties_are_broken_at_random() -> None:
    rng = np.random.default_rng(0)
    first = [ranking(np.array([1.0, 1.0, 5.0]), rng)[:2].tolist() for _ in range(200)]
    assert {order[0] for order in first} == {2}
    assert 60 < sum(order[1] == 0 for order in first) < 140


def test_many_features_are_deleted_in_64_groups() -> None:
    x = np.random.default_rng(0).normal(size=(100, 200))
    y = (x[:, 0] > 0).astype(np.int64)
    weights = torch.zeros(2, 200)
    weights[1, 0] = 1.0
    calls = []
    model = linear(weights)
    model.register_forward_hook(lambda *_: calls.append(1))
    many = problem(x, y, model)
    calls.clear()
    deletion(many, np.linspace(1, 0, 200), repeats=3)
    assert len(calls) == 65  # and once for an order, not for a repeat


class Behind(nn.Module):
    """A network whose outputs a function transforms."""

    def __init__(self, network: nn.Module, function: Any, output: str | None = None) -> None:
        super().__init__()
        self.network, self.function, self.output = network, function, output

    def forward(self, x: Tensor) -> Any:
        values = self.function(self.network(x))
        return values if self.output is None else {"hidden": x, self.output: values}


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


@pytest.mark.parametrize("form", ONE_OUTPUT)
def test_one_output_is_a_logit_or_a_probability(form: str) -> None:
    x, y = data()
    assert problem(x, y, Behind(linear(LOGIT), ONE_OUTPUT[form])).correct(x).mean() == 1


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
    assert wanted.loc["NIF", "deletion"] < wanted.loc["random ranking", "deletion"]
    for function in forms:
        table = compare(Behind(network, function), FLOW, x, y, **options)
        pd.testing.assert_frame_equal(table, wanted, rtol=1e-4)
    table = compare(Behind(network, forms[0], "out"), FLOW, x, y, output="out", **options)
    pd.testing.assert_frame_equal(table, wanted)
    shap = [shapley(problem(x, y, Behind(network, function))) for function in (module, forms[-1])]
    np.testing.assert_allclose(*shap, rtol=1e-4)


# The table


@pytest.fixture(scope="module")
def table() -> Comparison:
    """Every row but the published flow, whose own test is below."""
    methods = [name for name in ATTRIBUTIONS if name != PUBLISHED]
    return compare(linear(), FLOW, *data(), methods=methods, repeats=50)


def test_rows_and_columns(table: Comparison) -> None:
    assert list(table.index) == ["raw MI", "NIF", "SHAP", "integrated gradients", "random ranking"]
    assert list(table.columns) == [
        *("big", "small", "unused"),
        *("ks", "ks_p_asymptotic", "ks_p_exact", "spearman", "kendall"),
        *("deletion", "deletion_spread", "deletion_rank"),
    ]


def test_attributions_sum_to_one(table: Comparison) -> None:
    np.testing.assert_allclose(table[["big", "small", "unused"]].sum(axis=1), 1.0)
    np.testing.assert_allclose(table.attributions.groupby("method")["attribution"].sum(), 1.0)


def test_right_rankings_beat_the_random_one(table: Comparison) -> None:
    for method in ("NIF", "SHAP", "integrated gradients"):
        assert table.loc[method, "deletion"] < table.loc["random ranking", "deletion"] - 0.05
    assert table.loc["random ranking", "deletion_rank"] == 5


def test_correlations_are_those_of_scipy(table: Comparison) -> None:
    wide = table[["big", "small", "unused"]]
    for method in ("NIF", "SHAP"):
        expected = spearmanr(wide.loc[method], wide.loc["raw MI"]).statistic
        assert table.loc[method, "spearman"] == pytest.approx(expected)
        expected = kendalltau(wide.loc[method], wide.loc["raw MI"]).statistic
        assert table.loc[method, "kendall"] == pytest.approx(expected)
    assert math.isnan(table.loc["random ranking", "spearman"])


def test_reference_agrees_with_itself(table: Comparison) -> None:
    assert table.loc["raw MI", ["ks", "ks_p_exact", "spearman"]].tolist() == [0.0, 1.0, 1.0]


def test_same_seed_same_table() -> None:
    first, again = (
        compare(linear(), FLOW, *data(100), methods=[*QUICK, "SHAP"], repeats=5, seed=3) for _ in range(2)
    )
    pd.testing.assert_frame_equal(first, again)


def test_many_features_stay_in_the_long_table() -> None:
    x = np.random.default_rng(0).normal(size=(100, 30))
    weights = torch.zeros(2, 30)
    weights[1, 0] = 1.0
    names = tuple(f"f{i}" for i in range(30))
    flow = flow_of(np.full((30, 2), 0.1), features=names)
    found = compare(linear(weights), flow, x, (x[:, 0] > 0).astype(np.int64), methods=QUICK, repeats=3)
    assert "f0" not in found.columns
    assert len(found.attributions) == 3 * 30


def test_flow_that_carries_nothing_names_no_feature() -> None:
    found = compare(linear(), flow_of(np.zeros((3, 2))), *data(), methods=QUICK)
    assert found.loc["NIF", ["big", "small", "unused"]].tolist() == [0.0, 0.0, 0.0]
    assert np.isfinite(found.loc["NIF", "deletion"])


def test_published_flow_that_is_given_is_used() -> None:
    published = flow_of([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    found = compare(linear(), FLOW, *data(), published=published, methods=[PUBLISHED])
    assert found.loc[PUBLISHED, ["big", "small", "unused"]].tolist() == [0.0, 0.0, 1.0]


def test_published_flow_is_measured_where_it_is_not_given() -> None:
    found = compare(linear(), FLOW, *data(60), methods=[PUBLISHED], repeats=2)
    assert np.isfinite(found.loc[PUBLISHED].astype(float)).all()


def test_published_flow_of_a_large_network_is_left_out_unless_named() -> None:
    large = flow_of([[0.5, 0.5], [0.1, 0.1], [0.0, 0.0]], terms=5_001)
    assert PUBLISHED not in compare(linear(), large, *data(100), repeats=5).index
    assert PUBLISHED in compare(linear(), large, *data(100), published=FLOW, repeats=5).index


def test_model_and_data_stay_as_they_were() -> None:
    model = linear().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    x, y = data()
    kept = x.copy(), y.copy()
    compare(model, FLOW, x, y, methods=["SHAP", "integrated gradients"], repeats=2)
    assert model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())
    assert np.array_equal(kept[0], x)
    assert np.array_equal(kept[1], y)


def test_scikit_learn_network_is_compared() -> None:
    from sklearn.neural_network import MLPClassifier

    x, y = data(200)
    fitted = MLPClassifier((4,), max_iter=20, tol=1.0, n_iter_no_change=1000, random_state=0)
    with pytest.warns(match="Maximum iterations"):
        fitted.fit(x, y)
    found = compare(fitted, flow_of([[0.5], [0.1], [0.0]]), x, y, methods=QUICK)
    assert found.loc["NIF", "deletion"] < 1


def test_progress_is_told_of_every_method() -> None:
    done: list[float] = []
    compare(linear(), FLOW, *data(100), methods=QUICK, repeats=2, advance=done.append)
    assert sum(done) == len(QUICK)


# Errors


@pytest.mark.parametrize(("library", "method"), [("shap", "SHAP"), ("captum", "integrated gradients")])
def test_missing_library_names_the_extra(library: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError, match=r"neural-information-flow\[compare\]"):
        compare(linear(), FLOW, *data(100), methods=[method])


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
        ({"y": np.array(["genuine", "forged"] * 200)}, "y is not numeric"),
        ({"methods": ["LIME"]}, "Unknown attribution 'LIME'"),
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
    x, y = data()
    parts = {"first": x[:, :1], "others": x[:, 1:].reshape(-1, 1, 2)}
    model = Pair()
    flow = measure(model, parts, Binned(), output="class", progress=False)
    methods = ["raw MI", "NIF", "SHAP", "integrated gradients"]
    table = compare(model, flow, parts, y, output="class", methods=methods, repeats=3)
    assert table.columns[:3].tolist() == list(flow.attribution().index)
    one = compare(linear(), FLOW, x, y, methods=methods, repeats=3)
    for method in ("raw MI", "SHAP", "integrated gradients"):
        assert np.allclose(table.loc[method].iloc[:3], one.loc[method].iloc[:3], atol=1e-5)
        assert table.loc[method, "deletion"] == one.loc[method, "deletion"]
    with pytest.raises(InputError, match=r"takes 2 inputs \(first, others\) and x is one; pass x as a tuple"):
        compare(model, flow, x, y, output="class")
    with pytest.raises(InputError, match="Choose one: output='class', output='sum'"):
        compare(model, flow, parts, y)


def test_words_have_no_mean_and_are_refused() -> None:
    x, y = data()
    with pytest.raises(InputError, match="an embedding, whose whole numbers have no gradient"):
        compare(nn.Sequential(nn.Embedding(3, 2), nn.Flatten(), nn.Linear(6, 2)), FLOW, x, y)
