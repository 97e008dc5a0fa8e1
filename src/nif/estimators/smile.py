"""SMILE: Donsker–Varadhan with clipped scores."""

from __future__ import annotations

from dataclasses import dataclass

from nif import bounds
from nif.estimators.variational import Variational


@dataclass(frozen=True, repr=False)
class Smile(Variational):
    r"""SMILE, cross-fitted: a classifier's scores in a clipped Donsker–Varadhan value.

    .. math:: E_{p(x, y)}[T] - \log E_{p(x) p(y)}[e^{\operatorname{clip}(T, -\tau, \tau)}]

    Args:
        clip: The :math:`\tau` of the paper: smaller is steadier and more biased. The other options are those
            of `Variational`.

    References:
        Song & Ermon (2020), https://arxiv.org/abs/1910.06222
    """

    clip: float = 5.0

    @property
    def bound(self) -> bounds.Bound:
        return bounds.smile_bound(self.clip)
