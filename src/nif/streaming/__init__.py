"""Links that rest on all rows of data that are never held together.

Some rows are held, drawn at random; they tell how the units are distributed. The data are then read once
more, and what an estimator needs of all rows is gathered, piece by piece: sums for `GaussianCopula`, the cell
of each value for `Binned`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from nif.contracts import Estimator, Recording
from nif.estimators.gaussian_copula import GaussianCopula
from nif.network import SeparateTerms
from nif.streaming.cell_file import CellFile, cells_of
from nif.streaming.correlations import CorrelatedTerms, Correlations
from nif.streaming.tables import TabledTerms

Gathered = Correlations | CellFile


@contextmanager
def gathered(
    estimator: Estimator, recording: Recording, pieces: Iterable[Recording], noise: float, seed: int
) -> Iterator[Gathered]:
    """What the estimator needs of all rows; what it takes on disk is gone with the block.

    Args:
        estimator: `GaussianCopula` or `Binned`.
        recording: Of the rows that are held.
        pieces: Of all rows, some at a time.
        noise: In standard deviations of each unit.
        seed: Seeds the noise, and the quarters of the rows.

    Raises:
        InputError: There is no room on disk.
    """
    if isinstance(estimator, GaussianCopula):
        yield Correlations.of(recording, pieces, noise, seed)
        return
    with cells_of(recording, pieces, noise, seed) as cells:
        yield cells


def over_all(found: Gathered, terms: SeparateTerms) -> SeparateTerms:
    """Terms of the rows that are held, made to rest on all rows."""
    same = terms.recording, terms.observed, terms.decomposition, terms.noise, terms.pairs
    if isinstance(found, Correlations):
        return CorrelatedTerms(*same, correlations=found)
    return TabledTerms(*same, cells=found)
