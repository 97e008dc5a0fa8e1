"""What independent Gaussian sides show of information by chance: Wilks' distribution, by its cumulants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import betainc, digamma, gammaincc, polygamma

from nif.core.errors import InputError


@dataclass(frozen=True)
class Independent:
    r"""The information of independent Gaussian sides, as computed from the covariances of their samples.

    It is :math:`-\tfrac12 \log \Lambda`, where Wilks' :math:`\Lambda` is a product of independent beta
    variables, one for each column of the smaller side, so that its cumulants are exact. Bartlett's
    chi-squared variable is that of many more samples than columns: of 20 + 20 columns and 60 samples it
    rejects 18 % where it should 5 %.

    Attributes:
        samples: Their number.
        dim_x: Columns of a side that are linearly independent.
        dim_y: Those of the other.

    Raises:
        InputError: There are as many columns as samples, so that each sample is known from them.

    References:
        Anderson (2003), An Introduction to Multivariate Statistical Analysis, 3rd edition, section 8.4

    Example:
        >>> null = Independent(1000, 2, 3)
        >>> round(null.mean, 5), float(null.p_value(0.01).round(4))
        (0.00301, 0.0029)
    """

    samples: int
    dim_x: int
    dim_y: int

    def __post_init__(self) -> None:
        columns = self.dim_x + self.dim_y
        if columns >= self.samples:
            raise InputError(
                f"A Gaussian copula of {self.dim_x} + {self.dim_y} linearly independent columns needs more "
                f"than {columns} samples; {self.samples} were given. Pass more samples or fewer columns, or "
                "use another estimator, such as nif.Mine()."
            )

    @property
    def mean(self) -> float:
        """In nats."""
        first, both = self._shapes
        return float((digamma(both) - digamma(first)).sum()) / 2

    @property
    def variance(self) -> float:
        """In squared nats."""
        first, both = self._shapes
        return float((polygamma(1, first) - polygamma(1, both)).sum()) / 4

    def p_value(self, nats: float | Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Probability of as much or more: exact where a side is one column.

        Else it is that of a shifted gamma variable with the same three cumulants.
        """
        first, both = self._shapes
        if not (self.dim_x and self.dim_y):
            return np.ones_like(nats, dtype=np.float64)
        if len(first) == 1:
            return np.asarray(betainc(first[0], (both - first)[0], np.exp(-2 * np.asarray(nats))))
        third = float((polygamma(2, both) - polygamma(2, first)).sum()) / 8
        shape = 4 * self.variance**3 / third**2
        return np.asarray(
            gammaincc(shape, np.maximum(shape + (nats - self.mean) * 2 * self.variance / third, 0))
        )

    @property
    def _shapes(self) -> tuple[Float[np.ndarray, " beta"], Float[np.ndarray, " beta"]]:
        """First parameters of the beta variables, and the sums of both."""
        few, many = sorted((self.dim_x, self.dim_y))
        both = (self.samples - 1 - np.arange(few)) / 2
        return both - many / 2, both
