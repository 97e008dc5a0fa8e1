r"""Information of two sides given a third.

.. math:: I(X; Y \mid Z) = I(X; Y, Z) - I(X; Z)

`Ksg` counts neighbours in all three at once. Its bias is that of as many samples of the Gaussian copula with
the same correlations, which is subtracted unless values repeat; half of it, what wider neighbourhoods show to
be missing besides, and a jackknife are the standard error. Other estimators take the difference of two
estimates from the same rows and folds. Their errors are correlated; how much is taken from the two pointwise
informations of a Gaussian copula, whose correlation r over the rows gives :math:`s^2 = s_1^2 + s_2^2 - 2 r
s_1 s_2`. For critics the second term has a shuffled y beside z, so that both are of as many columns, and both
are estimated twice: their spreads are added to the error, or a part of the two errors where that is more.

The p-value is that of neighbours in either case: x is shuffled among rows of nearly the same z, so that its
relation to z remains and that to y given z is lost. `GaussianCopula` has a test of its own.

References:
    Frenzel & Pompe (2007), eq. 5, https://doi.org/10.1103/PhysRevLett.99.204101
    Runge (2018), Conditional independence testing based on a nearest-neighbor estimator of conditional mutual
    information, https://arxiv.org/abs/1709.01447 (local permutations: its algorithm 1)
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from nif.core.errors import InputError
from nif.core.random import stream
from nif.estimators.binned import Binned
from nif.estimators.determined import determined, determines
from nif.estimators.entropy import constant_pairs, entropy_of_values, with_constant_pairs
from nif.estimators.estimate import Estimate, Estimator, Outcome
from nif.estimators.gaussian_copula import GaussianCopula, cosines, orthonormal
from nif.estimators.jit import compiled
from nif.estimators.ksg import DRAWS_OF_MEAN, NULL_OF_VECTORS, Ksg, Null, neighbours_of_vectors
from nif.estimators.neighbours import Vectors, terms_given
from nif.estimators.neural.variational import Variational
from nif.estimators.ranks import normal_scores, standard_scores
from nif.estimators.wilks import Independent

NEAR = 5
"""Rows of nearly the same z among which x is shuffled (Runge's k_perm)."""

GROUPS = 30
"""Of rows, for the jackknife."""

DRAWS_OF_BIAS = 10
"""Of the Gaussian copula, for the bias of neighbours."""

BIAS_UNCERTAINTY = 0.5
"""Fraction of that bias that is its standard error: the density is not that of the copula."""

WIDER = 4
"""Times the neighbours, to see how much of the information is lost in wide neighbourhoods."""

FLAT = 1e-3
"""Variance of a direction of the normal scores below which the bias is unknown."""

RUNS = 2
"""Of both estimates, whose spreads show what the training of critics adds to the error of a difference."""

TRAINING = 0.03
"""Part of both squared errors that training adds at least: two runs may happen to agree."""

FOLDS = 4
"""Of both estimates, where the estimator chooses: it may choose differently for numbers and for vectors."""


def information_given(estimator: Estimator, x: Vectors, y: Vectors, z: Vectors, seed: int) -> Estimate:
    """Estimate I(X; Y | Z) of one pair; see `nif.estimate`.

    Raises:
        InputError: The estimator does not take vectors; or it takes a difference, and x and z have a linear
            direction in common that is not a column of x.
    """
    z = z[:, np.ptp(z, axis=0) > 0]
    if not z.shape[1]:
        return estimator.estimate(x[None], y[None], seed=seed).map(lambda values: values[0])
    if isinstance(estimator, Binned):
        raise InputError(
            f"{estimator!r} is for pairs of numbers, and given= adds more. Use nif.Ksg() or nif.Mine()."
        )
    name = f"{estimator!r}, given {z.shape[1]} column{'s' if z.shape[1] > 1 else ''}"
    x, y = (side[:, [not determines(z, column[:, None]) for column in side.T]] for side in (x, y))
    constant = constant_pairs(x[None], y[None])  # also of no columns
    if constant[0]:  # given z, nothing is left to know about a side
        nothing = with_constant_pairs(constant, *np.empty((3, 0)), samples=len(x), estimator=name)
        return nothing.map(lambda values: values[0])
    beside = np.column_stack([y, z])
    known_in_part = determined(x, z) and not determines(beside, x)
    if isinstance(estimator, Ksg) and (known_in_part or not determined(x, beside)):
        nats, null = _with_null(estimator, x, y, z, seed)
        too_much, missing = _bias_of_neighbours(estimator, x, y, z, seed)
        stderr = math.hypot(_jackknife(estimator, x, y, z, seed), BIAS_UNCERTAINTY * too_much, missing)
        found = nats - too_much, stderr, null.p_value(nats), Outcome.CONVERGED
    else:
        found = _difference(estimator, x, y, z, seed)
    nats, stderr, p_value, outcome = found
    most = min(map(entropy_of_values, (x, y)))
    return Estimate.of(
        min(nats, most), stderr=stderr, p_value=p_value, samples=len(x), estimator=name, outcome=outcome
    )


def _difference(
    estimator: Any, x: Vectors, y: Vectors, z: Vectors, seed: int
) -> tuple[float, float, float, Outcome]:
    """Nats, standard error, p-value and outcome from I(X; Y, Z) and I(X; Z)."""
    trained = isinstance(estimator, Variational)
    estimator = replace(estimator, folds=estimator.folds or FOLDS) if trained else estimator
    runs = [
        [
            estimator.estimate(x[None], side[None], seed=number).map(lambda values: values[0])
            for side in (np.column_stack([y, z]), _as_wide(y, z, number) if trained else z)
        ]
        for number in range(seed, seed + (RUNS if trained else 1))
    ]
    both, alone = runs[0]
    if alone.nats >= both.nats and determined(x, z) and determined(x, np.column_stack([y, z])):
        raise InputError(
            "x and given have a direction in common, so that the information of both is infinite, and its "
            "difference unknown. Use nif.Ksg(), or remove that direction from x."
        )
    nats = np.array([[one.nats, other.nats] for one, other in runs])
    squares = np.mean([[one.stderr**2, other.stderr**2] for one, other in runs], axis=0)
    of_rows = squares.sum() - 2 * _correlation_of_errors(x, y, z) * math.sqrt(squares.prod())
    spread = nats.var(axis=0, ddof=1).sum() / RUNS if trained else 0.0
    of_training = max(spread, TRAINING * squares.sum()) if trained else 0.0
    difference, stderr = float((nats[:, 0] - nats[:, 1]).mean()), math.sqrt(of_rows + of_training)
    if isinstance(estimator, GaussianCopula):
        p_value = _gaussian_p_value(x, y, z)
    else:
        of_neighbours, null = _with_null(Ksg(), x, y, z, seed)
        p_value = null.p_value(of_neighbours)
    outcomes = {int(part.outcome) for run in runs for part in run}
    if both.outcome == Outcome.DETERMINED or Outcome.NOT_CONVERGED not in outcomes:
        return difference, stderr, p_value, Outcome(int(both.outcome))
    return difference, stderr, p_value, Outcome.NOT_CONVERGED


def _as_wide(y: Vectors, z: Vectors, seed: int) -> Vectors:
    """z beside y in another order, of which x tells nothing: critics are then of the same kind as of both."""
    return np.column_stack([y[stream(seed, "unrelated").permutation(len(y))], z])


def _with_null(estimator: Ksg, x: Vectors, y: Vectors, z: Vectors, seed: int) -> tuple[float, Null]:
    """The value of neighbours, and its distribution where x is shuffled among rows of nearly the same z."""
    sides, k = [normal_scores(side) for side in (x, y, z)], neighbours_of_vectors(len(x), estimator.k)
    generator = stream(seed, "null given z")

    def shuffled(rows: Int[np.ndarray, " row"], draws: int) -> Null:
        left, right, given = (side[rows] for side in sides)
        orders = (local_order(given, generator) for _ in range(draws))
        return Null.of([terms_given(left[order], right, given, k) for order in orders])

    few = generator.permutation(len(x))[:NULL_OF_VECTORS]
    null = shuffled(few, estimator.permutations).scaled(math.sqrt(len(few) / len(x)))
    if len(few) < len(x):
        mean = shuffled(np.arange(len(x)), DRAWS_OF_MEAN).mean
        null = null._replace(mean=mean, draws_of_mean=DRAWS_OF_MEAN)
    left, right, given = sides
    return float(terms_given(left, right, given, k).mean()), null


def _jackknife(estimator: Ksg, x: Vectors, y: Vectors, z: Vectors, seed: int) -> float:
    """Standard error of the value of neighbours, each group of rows left out once.

    The spread of the terms of single rows is too small by a third: neighbours share their rows.
    """
    sides, k = [normal_scores(side) for side in (x, y, z)], neighbours_of_vectors(len(x), estimator.k)
    group = stream(seed, "groups given z").permutation(len(x)) % GROUPS
    kept = [[side[group != left_out] for side in sides] for left_out in range(GROUPS)]
    values = np.array([terms_given(left, right, given, k).mean() for left, right, given in kept])
    return math.sqrt((GROUPS - 1) * values.var())


def _bias_of_neighbours(estimator: Ksg, x: Vectors, y: Vectors, z: Vectors, seed: int) -> tuple[float, float]:
    r"""What is too much of the value, and how much besides may be missing; 0 where values repeat.

    The first is the bias of as many samples of the Gaussian copula with these correlations. In many columns
    neighbourhoods are wide: with three given, a fifth of the information is lost at 300 rows. What else is
    lost shows in four times as many neighbours, :math:`\hat I_k - \hat I_{4k}`, beyond the same difference
    of the copula. In d columns the square of the width of a neighbourhood grows with :math:`k^{2 / d}`.
    """
    together, ends = np.column_stack([x, y, z]), (x.shape[1], x.shape[1] + y.shape[1])
    untied = all(len(np.unique(column)) == len(column) for column in together.T)
    scores, k = normal_scores(together), neighbours_of_vectors(len(x), estimator.k)
    correlations = np.corrcoef(scores, rowvar=False)
    if not untied or np.linalg.eigvalsh(correlations)[0] < FLAT or WIDER * k >= len(x):
        return 0.0, 0.0
    factor, generator = np.linalg.cholesky(correlations), stream(seed, "bias given z")

    def near_and_far(scores: Vectors) -> Float[np.ndarray, "2"]:
        left, right, given = np.split(scores, ends, axis=1)
        exact = _gaussian_information(left, right, given)
        return np.array([terms_given(left, right, given, count).mean() - exact for count in (k, WIDER * k)])

    drawn = (normal_scores(generator.standard_normal(scores.shape) @ factor.T) for _ in range(DRAWS_OF_BIAS))
    of_copula = np.mean([near_and_far(draw) for draw in drawn], axis=0)
    near, far = near_and_far(scores) - of_copula
    return float(of_copula[0]), max(0.0, float(near - far)) / (WIDER ** (2 / together.shape[1]) - 1)


def _gaussian_information(x: Vectors, y: Vectors, z: Vectors) -> float:
    """Of normal samples: x and y given z, from their covariances."""

    def volume(*sides: Vectors) -> float:
        return float(np.linalg.slogdet(np.atleast_2d(np.cov(np.column_stack(sides), rowvar=False)))[1])

    return (volume(x, z) + volume(y, z) - volume(z) - volume(x, y, z)) / 2


def local_order(z: Vectors, generator: np.random.Generator) -> Int[np.ndarray, " sample"]:
    """For each row one of the rows nearest in z, each used once where possible.

    Example:
        >>> z = np.repeat(np.arange(10.0), 20)[:, None]
        >>> order = local_order(z, np.random.default_rng(0))
        >>> bool((z[order] == z).mean() > 0.95)  # equal values are the nearest
        True
    """
    apart = z + 1e-9 * generator.standard_normal(z.shape)  # equal values are at no distance: any of them
    near = cKDTree(apart).query(apart, k=min(NEAR, len(z)), p=np.inf)[1]
    found = np.empty(len(z), dtype=np.int64)
    _choose(generator.permuted(near, axis=1), generator.permutation(len(z)), found)
    return found


@compiled
def _choose(near, order, found):  # type: ignore[no-untyped-def]
    """In this order of the rows, the first near one that is not used yet, or else the last."""
    used = np.zeros(len(near), dtype=np.bool_)
    for row in order:
        for candidate in near[row]:
            found[row] = candidate
            if not used[candidate]:
                break
        used[found[row]] = True


def _gaussian_p_value(x: Vectors, y: Vectors, z: Vectors) -> float:
    """Wilks' test of the scores' partial correlations, as of `GaussianCopula` with the columns of z lost."""
    left, right, given = map(standard_scores, (x, y, z))
    base = orthonormal(given)
    bases = [orthonormal(side - base @ (base.T @ side)) for side in (left, right)]
    null = Independent(len(x) - base.shape[1], *(side.shape[1] for side in bases))
    return float(null.p_value(-0.5 * np.log1p(-(cosines(*bases) ** 2)).sum()))


def _correlation_of_errors(x: Vectors, y: Vectors, z: Vectors) -> float:
    """Over the rows, of the pointwise informations I(x; y, z) and I(x; z) of a Gaussian copula."""
    left, right, given = map(standard_scores, (x, y, z))

    def length(*sides: np.ndarray) -> Float[np.ndarray, " row"]:
        """Mahalanobis' squared length of each row."""
        return np.square(orthonormal(np.column_stack(sides))).sum(axis=1)

    both = length(right, given) - length(left, right, given) + length(left)
    alone = length(given) - length(left, given) + length(left)
    spreads = both.std() * alone.std()
    covariance = float(np.mean((both - both.mean()) * (alone - alone.mean())))
    return float(np.clip(covariance / spreads, 0.0, 1.0)) if spreads > 0 else 0.0
