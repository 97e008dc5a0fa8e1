"""Sums over rows, from which a linear map is solved without keeping the rows."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor


def _zero() -> Tensor:
    return torch.zeros((), dtype=torch.float64)


@dataclass(eq=False)
class Moments:
    """First and second moments of features x and targets y.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
        >>> moments = Moments()
        >>> moments.add(x, 3 * x + 1)
        >>> slope, shift = moments.solve(0.0)
        >>> round(slope.item(), 6), round(shift.item(), 6)
        (3.0, 1.0)
    """

    rows: int = 0
    x: Tensor = field(default_factory=_zero)
    y: Tensor = field(default_factory=_zero)
    xx: Tensor = field(default_factory=_zero)
    xy: Tensor = field(default_factory=_zero)

    def add(self, x: Float[Tensor, "row feature"], y: Float[Tensor, "row output"]) -> None:
        """Count these rows in; both in float64."""
        self.rows += len(x)
        self.x, self.y = self.x + x.sum(0), self.y + y.sum(0)
        self.xx, self.xy = self.xx + x.T @ x, self.xy + x.T @ y

    def covariance(self) -> Float[Tensor, "feature feature"]:
        """Of the features."""
        return self.xx / self.rows - torch.outer(self.x, self.x) / self.rows**2

    def solve(self, ridge: float) -> tuple[Float[Tensor, "feature output"], Float[Tensor, " output"]]:
        r"""Least squares of y on x with an intercept.

        .. math:: V = (\Sigma_{xx} + \lambda I)^{-1} \Sigma_{xy}, \qquad c = E[y] - V^T E[x]

        Args:
            ridge: In shares of the mean variance of the features; 0 takes the shortest of all solutions.

        Returns:
            Slopes and intercepts.
        """
        covariance, count = self.covariance(), len(self.x)
        between = self.xy / self.rows - torch.outer(self.x, self.y) / self.rows**2
        scale = covariance.diagonal().mean()
        covariance += ridge * scale * torch.eye(count, dtype=torch.float64, device=covariance.device)
        slope = torch.linalg.pinv(covariance, rcond=1e-12, hermitian=True) @ between
        return slope, (self.y - self.x @ slope) / self.rows
