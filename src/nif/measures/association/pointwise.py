r"""Pointwise information of one sample, from tables of counts.

.. math:: i(x; y) = \\log \frac{p(x, y)}{p(x) \\, p(y)}, \\qquad E \\, i(X; Y) = I(X; Y)

Columns are cut into bins of about equal mass; a value that fills more than one of them, such as the 0 of a
ReLU, is a bin of its own. A column seen through a noisy channel is in several bins, with the chance of each.
The joint table is mixed with that of independent columns, which leaves the margins as they are and every cell
above 0:

.. math:: \frac{\\hat p(a, b)}{p(a) p(b)} = \frac{n_{ab} / (p_a p_b) + \\kappa}{N + \\kappa}

with kappa half the number of cells (Jeffreys' prior).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, UInt8
from scipy.special import ndtr

from nif.core.errors import InputError

FEWEST, MOST = 4, 16
"""Bins a column is cut into."""

LARGEST = 2**28
"""Cells of all tables between two layers; they take four bytes each."""

Bins = UInt8[np.ndarray, "sample _"]
"""The bin of each value."""

Chances = Float32[np.ndarray, "sample column bin"]
"""Of each value behind its channel, to be in each bin."""


def bins_for(samples: int) -> int:
    r"""Bins a column, :math:`N^{0.3}`.

    With more the table follows chance, with fewer it does not follow the density. Of normal pairs with
    correlations of .3 to .95 and 200 to 20,000 samples, this number is nearest to the true log ratio, or next
    to it.

    Example:
        >>> [bins_for(samples) for samples in (100, 500, 1_000, 5_000, 100_000)]
        [4, 6, 8, 13, 16]
    """
    return int(np.clip(round(samples**0.3), FEWEST, MOST))


@dataclass(frozen=True, eq=False)
class Columns:
    """Bins of each column of some reference data.

    Attributes:
        edges: For each column, the upper ends of its bins except the last.

    Example:
        >>> columns = Columns.of(np.array([[0.0], [0.0], [0.0], [0.0], [1.0], [2.0], [3.0], [4.0]]), bins=8)
        >>> columns.bins(np.array([[0.0], [-1.0], [1.5], [9.0]])).ravel().tolist()
        [0, 0, 2, 4]
    """

    edges: tuple[Float[np.ndarray, " _"], ...]

    @classmethod
    def of(cls, reference: Float[np.ndarray, "sample column"], bins: int | None = None) -> Columns:
        """Cut by the quantiles of the reference data, into as many bins as they fill if None is given."""
        count = bins_for(len(reference)) if bins is None else bins
        ends = np.quantile(reference, np.arange(1, count) / count, axis=0, method="inverted_cdf")
        # What lies above the largest value is no bin.
        return cls(
            tuple(np.unique(end[end < high]) for end, high in zip(ends.T, reference.max(axis=0), strict=True))
        )

    def bins(self, values: Float[np.ndarray, "sample column"]) -> Bins:
        """The bin of each value."""
        bins = np.empty(values.shape, dtype=np.uint8)
        for place, edge in enumerate(self.edges):
            bins[:, place] = np.searchsorted(edge, values[:, place], side="left")
        return bins

    def chances(
        self, values: Float[np.ndarray, "sample column"], noise: Float[np.ndarray, " column"]
    ) -> Chances:
        r"""Chance of each bin for each value plus Gaussian noise, :math:`\Phi((e_k - v) / s)` up to its end.

        Args:
            values: Before the channel.
            noise: Standard deviation of the noise of each column; without any, one bin is certain.
        """
        most = max(len(edge) for edge in self.edges) + 1
        below = np.ones((*values.shape, most), dtype=np.float32)
        for place, (edge, deviation) in enumerate(zip(self.edges, noise, strict=True)):
            above = edge - values[:, place, None]
            below[:, place, : len(edge)] = ndtr(above / deviation) if deviation > 0 else above >= 0
        return np.diff(below, axis=2, prepend=np.float32(0))


@dataclass(frozen=True, eq=False)
class Tables:
    """Pointwise information of every column of x with every column of y, less its mean over the reference.

    Attributes:
        deviation: In nats, by column of x, column of y, bin of x, bin of y.
    """

    deviation: Float[np.ndarray, "a b bin_x bin_y"]

    @classmethod
    def of(cls, x: Bins | Chances, y: Bins | Chances) -> Tables:
        """Count the reference samples in each cell.

        Raises:
            InputError: The tables of all pairs do not fit into memory.
        """
        left, right = _chances(x), _chances(y)
        shape = left.shape[1], left.shape[2], right.shape[1], right.shape[2]
        if (cells := math.prod(shape)) > LARGEST:
            raise InputError(
                f"The tables of {shape[0]} x {shape[2]} pairs of units have {cells:,} cells; up to "
                f"{LARGEST:,} are kept. Measure the inputs in groups (input_groups=), or fewer layers."
            )
        joint = (left.reshape(len(x), -1).T @ right.reshape(len(y), -1)).reshape(shape).transpose(0, 2, 1, 3)
        return cls(_deviations(joint, len(x)).astype(np.float32))

    def weighed(
        self,
        x: UInt8[np.ndarray, " a"] | Float32[np.ndarray, "a bin_x"],
        y: UInt8[np.ndarray, " b"] | Float32[np.ndarray, "b bin_y"],
        weight: Float[np.ndarray, "a b"],
    ) -> Float[np.ndarray, " a"]:
        """For one sample in these bins, the sum over the columns of y with these weights."""
        if x.ndim == y.ndim == 1:
            a, b = np.arange(len(x))[:, None], np.arange(len(y))[None, :]
            return np.einsum("ab,ab->a", self.deviation[a, b, x[:, None], y[None, :]], weight)
        of_x = np.einsum("abij,bj,ab->ai", self.deviation, y, weight, optimize=True)
        return np.einsum("ai,ai->a", of_x, x)


def _chances(bins: Bins | Chances) -> Chances:
    """1 in the column of each sample's bin, where it is certain."""
    if bins.ndim == 3:
        return bins
    return (bins[:, :, None] == np.arange(int(bins.max()) + 1)).astype(np.float32)


def _deviations(
    joint: Float[np.ndarray, "a b bin_x bin_y"], samples: int
) -> Float[np.ndarray, "a b bin_x bin_y"]:
    """Log density ratios of tables of counts, less their mean over the samples; 0 where nothing was seen."""
    product = joint.sum(axis=3, keepdims=True) * joint.sum(axis=2, keepdims=True) / samples**2
    seen = product > 0
    prior = seen.sum(axis=(2, 3), keepdims=True) / 2
    ratio = np.divide(joint, product, out=np.full_like(joint, samples), where=seen)
    logs = np.log((ratio + prior) / (samples + prior))
    return np.where(seen, logs - (joint * logs).sum(axis=(2, 3), keepdims=True) / samples, 0.0)
