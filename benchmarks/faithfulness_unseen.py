"""Data sets for a choice that was made on those of `faithfulness_data.py`: problems of scikit-learn.

Nothing was chosen or changed after a look at them.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from sklearn import datasets

import nif
from faithfulness_data import ROWS, Arrays, DataSet, real, value


def classification(generator: np.random.Generator) -> Arrays:
    """Three classes of two clouds each; four features tell, four are sums of these, four mean nothing."""
    x, y = datasets.make_classification(
        ROWS, 12, n_informative=4, n_redundant=4, n_classes=3, random_state=seed_of(generator)
    )
    return x, y.astype(np.int64)


def hastie(generator: np.random.Generator) -> Arrays:
    """Whether ten squares add up to more than usual: all features count alike."""
    x, y = datasets.make_hastie_10_2(ROWS, random_state=seed_of(generator))
    return x, (y > 0).astype(np.int64)


def quantiles(generator: np.random.Generator) -> Arrays:
    """Four classes by the distance from the origin, in five of eight features."""
    x, y = datasets.make_gaussian_quantiles(
        n_samples=ROWS, n_features=5, n_classes=4, random_state=seed_of(generator)
    )
    return np.hstack([x, generator.normal(size=(ROWS, 3))]), y.astype(np.int64)


def impedance(generator: np.random.Generator) -> Arrays:
    """Friedman's second problem, and two features that mean nothing."""
    x, f = datasets.make_friedman2(ROWS, random_state=seed_of(generator))
    return value(np.hstack([x, generator.normal(size=(ROWS, 2))]), f, generator)


def phase(generator: np.random.Generator) -> Arrays:
    """Friedman's third problem, and two features that mean nothing."""
    x, f = datasets.make_friedman3(ROWS, random_state=seed_of(generator))
    return value(np.hstack([x, generator.normal(size=(ROWS, 2))]), f, generator)


def low_rank(generator: np.random.Generator) -> Arrays:
    """A line through three of ten features that share four factors."""
    x = datasets.make_low_rank_matrix(ROWS, 10, effective_rank=4, random_state=seed_of(generator))
    x = x / x.std(0)
    return value(x, x[:, 0] + 0.7 * x[:, 1] - 0.5 * x[:, 2], generator)


def banknote(generator: np.random.Generator) -> Arrays:
    """Genuine or not, from four features of an image; see `nif.datasets`."""
    data = nif.datasets.load("banknote")
    return data.x.astype(np.float64), data.y.astype(np.int64)


def seed_of(generator: np.random.Generator) -> int:
    """For scikit-learn."""
    return int(generator.integers(2**31))


UNSEEN = (
    DataSet("classification", classification),
    DataSet("hastie", hastie),
    DataSet("quantiles", quantiles, (0, 1, 2, 3, 4)),
    DataSet("impedance", impedance),
    DataSet("phase", phase),
    DataSet("low rank", low_rank, (0, 1, 2)),
    DataSet("banknote", banknote),
    DataSet("iris", partial(real, datasets.load_iris)),
)
