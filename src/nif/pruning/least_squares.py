"""Sums over rows, from which a linear map is solved without keeping the rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

RIDGES = tuple(10 ** (half / 2) for half in range(-12, 1))
"""Ridges that are tried, as fractions of the mean variance of the features."""

SHARE_ROUNDING = 1e-10
"""Least ridge, as a fraction of the mean square of the features: smaller variances are rounding."""


@dataclass(eq=False)
class Moments:
    """First and second moments of features x and targets y.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
        >>> moments = Moments()
        >>> moments.add(x, 3 * x + 1)
        >>> slope, shift = moments.solve()
        >>> round(slope.item(), 4), round(shift.item(), 4)
        (3.0, 1.0)
    """

    rows: int = 0
    x: Any = 0.0
    y: Any = 0.0
    xx: Any = 0.0
    xy: Any = 0.0
    yy: Any = 0.0

    def add(self, x: Float[Tensor, "row feature"], y: Float[Tensor, "row output"]) -> None:
        """Count these rows in; both in float64."""
        self.rows += len(x)
        self.x, self.y = self.x + x.sum(0), self.y + y.sum(0)
        self.xx, self.xy, self.yy = self.xx + x.T @ x, self.xy + x.T @ y, self.yy + y.square().sum(0)

    def covariance(self) -> Float[Tensor, "feature feature"]:
        """Of the features."""
        return self.xx / self.rows - torch.outer(self.x, self.x) / self.rows**2

    def solve(
        self, *, centred: bool = True
    ) -> tuple[Float[Tensor, "feature output"], Float[Tensor, " output"]]:
        r"""Slopes and intercepts of a ridge regression of y on x, the ridge by generalized cross-validation.

        .. math:: V = (\Sigma_{xx} + \lambda I)^{-1} \Sigma_{xy}, \qquad c = E[y] - V^T E[x]

        The criterion is the mean square left on these rows, divided by the squared fraction of them that the
        fit does not use up. Without `centred`, moments about 0 take the place of covariances, and c is 0.

        References:
            Golub, Heath & Wahba (1979), Generalized cross-validation as a method for choosing a good ridge
            parameter, Technometrics 21.
        """
        if not centred:
            return replace(self, x=0 * self.x, y=0 * self.y).solve()
        variances, axes = torch.linalg.eigh(self.covariance())
        variances = variances.clamp_min(0)
        along = axes.T @ (self.xy / self.rows - torch.outer(self.x, self.y) / self.rows**2)
        ridges = self._ridges(variances)
        ridge = ridges[int(self._expected(ridges, variances, along.square().sum(1)).argmin())]
        slope = axes @ (along / (variances + ridge)[:, None])
        return slope, (self.y - self.x @ slope) / self.rows

    def _ridges(self, variances: Float[Tensor, " feature"]) -> Float[Tensor, " ridge"]:
        """All that are tried, none so small that it is lost in the rounding of the moments."""
        shares = torch.tensor(RIDGES, dtype=torch.float64, device=variances.device)
        count = max(1, len(variances))
        rounding = SHARE_ROUNDING * self.xx.diagonal().sum() / self.rows
        return (shares * variances.sum() + rounding) / count + torch.finfo(torch.float64).tiny

    def _expected(
        self,
        ridges: Float[Tensor, " ridge"],
        variances: Float[Tensor, " feature"],
        explained: Float[Tensor, " feature"],
    ) -> Float[Tensor, " ridge"]:
        """Squared error to be expected on new rows, for each ridge."""
        ridge = ridges[:, None]
        of_y = (self.yy - self.y.square() / self.rows).sum() / self.rows
        fitted = (explained * (variances + 2 * ridge) / (variances + ridge).square()).sum(1)
        unused = (self.rows - 1 - len(variances) + (ridge / (variances + ridge)).sum(1)) / self.rows
        return (of_y - fitted).clamp_min(0) / unused.square()
