"""InfoNCE: the contrastive bound."""

from __future__ import annotations

from dataclasses import dataclass

from nif import bounds
from nif.estimators.variational import Variational


@dataclass(frozen=True, repr=False)
class InfoNce(Variational):
    r"""The contrastive bound, cross-fitted; the options are those of `Variational`.

    .. math:: I(X; Y) \ge E\left[\log \frac{e^{T(x, y)}}{\frac{1}{K} \sum_{k=1}^{K} e^{T(x, y_k)}}\right]

    Low variance, and never more than ln(scored_shifts + 1) nats: raise `scored_shifts` for strong dependence.

    References:
        van den Oord et al. (2018), https://arxiv.org/abs/1807.03748
    """

    shifts: int = 8
    scored_shifts: int = 100

    @property
    def bound(self) -> bounds.Bound:
        return bounds.INFO_NCE
