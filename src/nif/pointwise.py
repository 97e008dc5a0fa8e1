r"""What one sample tells: pointwise information from tables of counts.

.. math:: i(x; y) = \log \frac{p(x, y)}{p(x) \, p(y)}, \qquad E \, i(X; Y) = I(X; Y)

Columns are cut into at most `BINS` bins of about equal mass; a value that fills more than one of them, such
as the 0 of a ReLU, is a bin of its own. The joint table is mixed with that of independent columns, which
leaves the margins as they are and every cell above 0:

.. math:: \frac{\hat p(a, b)}{p(a) p(b)} = \frac{n_{ab} / (p_a p_b) + \kappa}{N + \kappa}

with kappa half the number of cells (Jeffreys' prior).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from nif.contracts import InputError

BINS = 8
"""Bins a column is cut into, at most."""

LARGEST = 2**28
"""Cells of all tables between two layers; they take four bytes each."""

Bins = UInt8[np.ndarray, "sample _"]


@dataclass(frozen=True, eq=False)
class Columns:
    """Where each column of some reference data is cut into bins.

    Attributes:
        edges: For each column, the upper ends of its bins but the last.

    Example:
        >>> columns = Columns.of(np.array([[0.0], [0.0], [0.0], [0.0], [1.0], [2.0], [3.0], [4.0]]))
        >>> columns.bins(np.array([[0.0], [-1.0], [1.5], [9.0]])).ravel().tolist()
        [0, 0, 2, 4]
    """

    edges: tuple[Float[np.ndarray, " _"], ...]

    @classmethod
    def of(cls, reference: Float[np.ndarray, "sample column"]) -> Columns:
        """Cut by the quantiles of the reference data."""
        ends = np.quantile(reference, np.arange(1, BINS) / BINS, axis=0, method="inverted_cdf")
        # What lies above the largest value is no bin.
        return cls(
            tuple(np.unique(end[end < high]) for end, high in zip(ends.T, reference.max(axis=0), strict=True))
        )

    def bins(self, values: Float[np.ndarray, "sample column"]) -> Bins:
        """The bin of each value."""
        found = np.empty(values.shape, dtype=np.uint8)
        for place, edge in enumerate(self.edges):
            found[:, place] = np.searchsorted(edge, values[:, place], side="left")
        return found


@dataclass(frozen=True, eq=False)
class Tables:
    """Pointwise information of every column of x with every column of y, less its mean over the reference.

    Attributes:
        deviation: In nats, by column of x, column of y, bin of x, bin of y.
    """

    deviation: Float[np.ndarray, "a b bin_x bin_y"]

    @classmethod
    def of(cls, x: Bins, y: Bins) -> Tables:
        """Count the reference samples in each cell.

        Raises:
            InputError: The tables of all pairs do not fit into memory.
        """
        cells = x.shape[1] * y.shape[1] * BINS**2
        if cells > LARGEST:
            raise InputError(
                f"The tables of {x.shape[1]} x {y.shape[1]} pairs of units have {cells:,} cells; up to "
                f"{LARGEST:,} are kept. Measure the inputs in groups (input_groups=), or fewer layers."
            )
        joint = (_indicators(x).T @ _indicators(y)).reshape(x.shape[1], BINS, y.shape[1], BINS)
        joint = joint.transpose(0, 2, 1, 3)
        return cls(_deviations(joint, len(x)).astype(np.float32))

    def weighed(
        self, x: UInt8[np.ndarray, " a"], y: UInt8[np.ndarray, " b"], weight: Float[np.ndarray, "a b"]
    ) -> Float[np.ndarray, " a"]:
        """For one sample in these bins, the sum over the columns of y with these weights."""
        a, b = np.arange(len(x))[:, None], np.arange(len(y))[None, :]
        return np.einsum("ab,ab->a", self.deviation[a, b, x[:, None], y[None, :]], weight)


def _indicators(bins: Bins) -> Float[np.ndarray, "sample indicator"]:
    """1 in the column of each sample's bin."""
    return (bins[:, :, None] == np.arange(BINS)).reshape(len(bins), -1).astype(np.float32)


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
