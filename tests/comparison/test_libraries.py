"""SHAP, integrated gradients and SAGE of a linear network against closed forms."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest
import torch

from nif.comparison.compare import compare
from nif.comparison.libraries import integrated_gradients, sage, shapley
from nif.comparison.problem import comparison_problem
from nif.core.errors import InputError
from support.comparison_cases import FLOW, data, flow_of, linear, problem


def numpy_random_state() -> bytes:
    return pickle.dumps(np.random.get_state())  # noqa: NPY002 - the state the explainers could have moved


def test_integrated_gradients_of_a_linear_network_have_a_closed_form() -> None:
    """Of output k: w_ki (x_i - mean_i)."""
    x, y = data()
    weights = torch.tensor([[1.0, -2.0, 0.0], [4.0, 1.0, 0.0]])
    distance = np.abs(x - x.mean(axis=0)).mean(axis=0)
    expected = distance * weights.abs().mean(dim=0).numpy()
    np.testing.assert_allclose(integrated_gradients(problem(x, y, linear(weights))), expected, rtol=1e-4)


@pytest.mark.slow
def test_shapley_values_of_a_linear_network_have_a_closed_form() -> None:
    """The same closed form, up to the noise of 100 draws for each sample."""
    x, y = data()
    found = shapley(problem(x, y))
    expected = np.abs(x - x.mean(axis=0)).mean(axis=0) * np.array([2.0, 0.5, 0.0])
    np.testing.assert_allclose(found, expected, rtol=0.2)


@pytest.mark.usefixtures("few_rows_explained")
def test_shapley_values_of_a_network_in_float64() -> None:
    """scikit-learn's networks are; shap gives float32 whatever the model wants."""
    x, y = data()
    np.testing.assert_allclose(
        shapley(problem(x, y, linear().double())), shapley(problem(x, y)), rtol=1e-4, atol=1e-7
    )


def test_sage_of_a_linear_regressor_has_a_closed_form() -> None:
    """Knowing x_i lowers the squared error by its part of the variance, w_i² Var x_i."""
    x, _ = data(2000)
    weights = torch.tensor([[2.0, 1.0, 0.0]])
    flow = flow_of([[1.0], [1.0], [1.0]])
    values = sage(comparison_problem(linear(weights), flow, x, 2 * x[:, 0] + x[:, 1]))
    np.testing.assert_allclose(values, [4, 1, 0], rtol=0.2, atol=1e-6)


@pytest.mark.usefixtures("few_rows_explained")
def test_explainers_leave_the_global_random_states_alone() -> None:
    x, y = data(100)
    torch_state, numpy_state = torch.random.get_rng_state(), numpy_random_state()
    shapley(problem(x, y))
    integrated_gradients(problem(x, y))
    sage(problem(x, y))
    assert torch.equal(torch_state, torch.random.get_rng_state())
    assert numpy_state == numpy_random_state()


@pytest.mark.parametrize(
    ("library", "method"), [("shap", "SHAP"), ("captum", "integrated gradients"), ("sage", "SAGE")]
)
def test_missing_library_names_the_extra(library: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError, match=r"neural-information-flow\[compare\]"):
        compare(linear(), FLOW, *data(100), methods=[method])
