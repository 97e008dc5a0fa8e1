"""Shapley values, by shap."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from nif.comparison.extra import kept_in, needs_extra
from nif.comparison.subject import Subject, some_rows

ROWS_EXPLAINED = 100
BACKGROUND_ROWS = 500
DRAWS = 100


def shapley(subject: Subject) -> Float[np.ndarray, " feature"]:
    r"""Mean over samples and outputs of the absolute SHAP value, from ``shap.GradientExplainer``.

    That explainer (expected gradients) averages gradients between a sample and samples drawn from the data;
    it takes any differentiable model, at a cost that does not grow with the number of features. Up to 100
    samples are explained, with 100 draws each.

    .. math:: A_i = E_{x, k} |\phi_i^k(x)|

    References:
        Lundberg & Lee (2017), https://arxiv.org/abs/1705.07874. Expected gradients: Erion et al. (2019),
        https://arxiv.org/abs/1906.10670.
    """
    with needs_extra("shap"), kept_in():
        import shap

    x = subject.tensor(subject.x)
    background = x[some_rows(subject, BACKGROUND_ROWS)]
    explained = x[some_rows(subject, ROWS_EXPLAINED)]
    with kept_in():
        explainer = shap.GradientExplainer(_Columns(subject), background)
        values = explainer.shap_values(explained, nsamples=DRAWS, rseed=subject.seed)
    by_output = np.asarray(values, dtype=np.float64).reshape(len(explained), x.shape[1], -1)
    return np.abs(by_output).mean(axis=(0, 2))


class _Columns(nn.Module):
    """The model as shap wants it: a module with one column for each output."""

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.model = subject.model
        self.subject = subject

    def forward(self, x: Tensor) -> Tensor:
        return self.subject.outputs(self.subject.in_its_precision(x))  # shap gives float32 to every model
