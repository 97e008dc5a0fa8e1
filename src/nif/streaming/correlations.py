r"""Information of Gaussian copulas from rows that are never held together: sums of normal scores.

`GaussianCopula` needs no more of two columns than the correlation of their normal scores. The scores take the
ranks of a value, and those are read off a sample of the rows, :math:`z = \Phi^{-1}(\hat F_m(x))`; the
correlations are sums over all N rows. Margins that come from m rows move a value by 2 to 20 % of the standard
error that m rows would have (normal and ReLU pairs, the units of small networks), which is counted:

.. math:: s^2 = s_N^2 + (0.2 \, s_m)^2, \qquad s_m = \sqrt{N / m} \; s_N

So no number of rows makes errors less than a fifth of those of the rows that are held.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from nif.contracts import Estimate, Recording
from nif.estimators.entropy import entropies_of_values
from nif.estimators.gaussian_copula import GaussianCopula
from nif.network import SeparateTerms
from nif.noise import observed
from nif.streaming.behind_noise import behind_noise

OF_MARGINS = 0.2
"""Share of the standard error of m rows that margins from m rows add."""


@dataclass(frozen=True, eq=False)
class Margins:
    """The distribution of each column, as a sample shows it.

    Attributes:
        ordered: The sample, each column in rising order, one a row.
    """

    ordered: Float[np.ndarray, "column sample"]

    @classmethod
    def of(cls, sample: Float[np.ndarray, "sample column"]) -> Margins:
        """Those of a sample."""
        return cls(np.sort(sample.T, axis=1))

    def scores(self, values: Float[np.ndarray, "row column"]) -> Float[np.ndarray, "row column"]:
        """Normal scores; of the sample itself, those of `nif.ranks.normal_scores`.

        Example:
            >>> margins = Margins.of(np.array([[10.0], [20.0], [1e9]]))
            >>> margins.scores(np.array([[5.0], [20.0], [30.0]])).round(3).ravel().tolist()
            [-0.967, 0.0, 0.431]
        """
        count = self.ordered.shape[1]
        middle = np.empty(values.shape)
        for place, (ordered, column) in enumerate(zip(self.ordered, values.T, strict=True)):
            below = np.searchsorted(ordered, column, side="left")
            upto = np.searchsorted(ordered, column, side="right")
            middle[:, place] = (below + upto) / 2
        return ndtri(np.clip(middle, 0.5, count - 0.5) / count)


@dataclass(eq=False)
class Correlations:
    """Correlations of the units of connected layers and within each, from sums over rows as they come.

    Attributes:
        samples: Rows so far.
        sums: Of each layer, the scores of its units added up, and their squares.
        products: Of each pair of layers, the products of the scores of every two units, added up.
    """

    samples: int = 0
    sums: dict[int, np.ndarray] = field(default_factory=dict)
    products: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)

    def add(self, scores: Sequence[Float[np.ndarray, "row _"]], pairs: Iterable[tuple[int, int]]) -> None:
        """Add some rows of every layer, for these pairs of layers."""
        self.samples += len(scores[0])
        for layer, values in enumerate(scores):
            self.sums[layer] = self.sums.get(layer, 0.0) + np.stack([values.sum(0), (values**2).sum(0)])
        for one, other in pairs:
            self.products[one, other] = self.products.get((one, other), 0.0) + scores[one].T @ scores[other]

    def between(self, one: int, other: int) -> Float[np.ndarray, "a b"]:
        """Of two layers; 0 for constant units."""
        means = self.products[one, other] / self.samples
        covariance = means - np.outer(self.sums[one][0], self.sums[other][0]) / self.samples**2
        return covariance / np.outer(self._deviations(one), self._deviations(other))

    def _deviations(self, layer: int) -> Float[np.ndarray, " unit"]:
        mean, square = self.sums[layer] / self.samples
        variance = square - mean**2
        return np.sqrt(np.where(variance > 1e-12, variance, np.inf))

    @classmethod
    def of(cls, recording: Recording, pieces: Iterable[Recording], noise: float, seed: int) -> Correlations:
        """Of the units behind their noise, over all pieces, with margins from a recording of some rows."""
        margins = [Margins.of(values) for values in observed(recording, noise, seed)]
        pairs = {*recording.connections, *((source, source) for source, _ in recording.connections)}
        found = cls()
        for values in behind_noise(recording, pieces, noise, seed):
            found.add([each.scores(part) for each, part in zip(margins, values, strict=True)], pairs)
        return found


@dataclass(eq=False, kw_only=True)
class CorrelatedTerms(SeparateTerms):
    """The terms of eq. 2 by `GaussianCopula`, from correlations over more rows than were recorded.

    Args:
        correlations: Over all rows.
    """

    correlations: Correlations

    @property
    def samples(self) -> int:
        """Rows that the terms rest on."""
        return self.correlations.samples

    def _of_source(self, source: int) -> Estimate:
        return self._estimate(source, source)

    def _of_units(self, source: int, target: int) -> Estimate:
        return self._estimate(source, target)

    def _estimate(self, one: int, other: int) -> Estimate:
        constant = self.recording.constant()
        degenerate = constant[one][:, None] | constant[other][None, :]
        held = self.recording.samples
        entropy = np.minimum.outer(*(entropies_of_values(self.observed[layer]) for layer in (one, other)))
        found = GaussianCopula().of_correlations(
            self.correlations.between(one, other),
            degenerate,
            self.correlations.samples,
            np.exp(entropy) / held,
            ranked=held,
        )
        self.pairs.advance(found.nats.size if one != other else len(degenerate) * (len(degenerate) - 1) // 2)
        of_margins = OF_MARGINS**2 * self.samples / held if self.samples > held else 0.0
        return replace(found, stderr=found.stderr * np.sqrt(1 + of_margins))
