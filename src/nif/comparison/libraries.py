"""Attributions by other libraries: integrated gradients by captum, Shapley values by shap, SAGE by sage.

The first two explain the outputs of the network, log-probabilities as probabilities; SAGE explains its loss.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from nif.comparison.problem import ComparisonProblem, some_rows
from nif.core.errors import optional_import
from nif.core.random import isolated_library

ROWS_INTEGRATED = 500
STEPS = 50
ROWS_AT_ONCE = 20_000


def integrated_gradients(problem: ComparisonProblem) -> Float[np.ndarray, " feature"]:
    r"""Mean over samples and outputs of the absolute integrated gradient, from the mean sample.

    Up to 500 samples are explained, in 50 steps each.

    .. math::
        A_i = E_{x, k} \Big| (x_i - \bar x_i) \int_0^1 \partial_i f_k(\bar x + t (x - \bar x)) dt \Big|

    References:
        Sundararajan, Taly & Yan (2017), https://arxiv.org/abs/1703.01365
    """
    with optional_import("Comparing with captum", "compare"):
        from captum.attr import IntegratedGradients

    method = IntegratedGradients(problem.explained)
    rows = problem.tensor(problem.x)
    mean = rows.mean(dim=0, keepdim=True)
    x = rows[some_rows(problem, ROWS_INTEGRATED)]
    with torch.no_grad():
        outputs = problem.outputs(mean).shape[1]
    total = sum(
        method.attribute(x, mean, target=k, n_steps=STEPS, internal_batch_size=ROWS_AT_ONCE).abs().mean(dim=0)
        for k in range(outputs)
    )
    return np.asarray(total, dtype=np.float64) / outputs


ROWS_EXPLAINED = 100
BACKGROUND_ROWS = 500
DRAWS = 100


def shapley(problem: ComparisonProblem) -> Float[np.ndarray, " feature"]:
    r"""Mean over samples and outputs of the absolute SHAP value, from ``shap.GradientExplainer``.

    That explainer (expected gradients) averages gradients between a sample and samples drawn from the data;
    it takes any differentiable model, at a cost that does not grow with the number of features. Up to 100
    samples are explained, with 100 draws each.

    .. math:: A_i = E_{x, k} |\phi_i^k(x)|

    References:
        Lundberg & Lee (2017), https://arxiv.org/abs/1705.07874. Expected gradients: Erion et al. (2019),
        https://arxiv.org/abs/1906.10670.
    """
    with optional_import("Comparing with shap", "compare"), isolated_library():
        import shap

    x = problem.tensor(problem.x)
    background = x[some_rows(problem, BACKGROUND_ROWS)]
    explained = x[some_rows(problem, ROWS_EXPLAINED)]
    with isolated_library():
        explainer = shap.GradientExplainer(_Columns(problem), background, batch_size=DRAWS)
        values = explainer.shap_values(explained, nsamples=DRAWS, rseed=problem.seed)
    by_output = np.asarray(values, dtype=np.float64).reshape(len(explained), x.shape[1], -1)
    return np.abs(by_output).mean(axis=(0, 2))


REPLACEMENT_ROWS = 64
PERMUTATIONS = 512


def sage(problem: ComparisonProblem) -> Float[np.ndarray, " feature"]:
    r"""Part of each feature in the fall of the loss, by ``sage.PermutationEstimator``; 0 where it raises it.

    The loss is cross-entropy, or the squared error of values. Features that are not known are replaced by
    their values in 64 rows; 512 permutations of the features are drawn.

    References:
        Covert, Lundberg & Lee (2020), https://arxiv.org/abs/2004.00668
    """
    with optional_import("Comparing with SAGE", "compare"), isolated_library():
        import sage as library

    def outputs(x: np.ndarray) -> np.ndarray:
        values = problem.outputs(problem.tensor(x))
        if problem.of_values:
            return values[:, 0].double().numpy()
        probabilities = problem.decision.probabilities(values).double()
        return (probabilities / probabilities.sum(1, keepdim=True)).numpy()

    with torch.no_grad(), isolated_library():
        known = problem.x[some_rows(problem, REPLACEMENT_ROWS).numpy()]
        imputer = library.MarginalImputer(outputs, known)
        loss = "mse" if problem.of_values else "cross entropy"
        estimator = library.PermutationEstimator(imputer, loss, random_state=problem.seed)
        values = estimator(
            problem.x,
            problem.y,
            batch_size=PERMUTATIONS // 8,
            n_permutations=PERMUTATIONS,
            detect_convergence=False,
            bar=False,
        ).values
    return np.maximum(np.asarray(values, dtype=np.float64), 0.0)


class _Columns(nn.Module):
    """The model as shap needs it: a module with one column for each output."""

    def __init__(self, problem: ComparisonProblem) -> None:
        super().__init__()
        self.model = problem.model
        self.problem = problem

    def forward(self, x: Tensor) -> Tensor:
        return self.problem.explained(self.problem.tensor(x))  # shap passes float32 to every model
