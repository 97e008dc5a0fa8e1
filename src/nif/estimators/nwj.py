"""The f-divergence bound of Nguyen, Wainwright and Jordan."""

from __future__ import annotations

from dataclasses import dataclass

from nif import bounds
from nif.estimators.variational import Variational


@dataclass(frozen=True, repr=False)
class Nwj(Variational):
    r"""The NWJ bound, cross-fitted; the options are those of `Variational`.

    .. math:: I(X; Y) \ge E_{p(x, y)}[T] - e^{-1} E_{p(x) p(y)}[e^T]

    Looser than `Mine` for the same critic; its gradient needs no moving average.

    References:
        Nguyen, Wainwright & Jordan (2010), https://arxiv.org/abs/0809.0853
    """

    @property
    def bound(self) -> bounds.Bound:
        return bounds.NWJ
