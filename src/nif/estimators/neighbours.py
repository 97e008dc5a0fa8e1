r"""Nearest neighbours of vectors, with or without a third side that is given.

Every sample is compared with every other: in more than four dimensions a k-d tree visits nearly all of them
too, and a comparison here ends at the first column that is too far. 5,000 samples of 25 + 25 columns take
half a second.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.special import digamma

from nif.estimators.jit import compiled

Vectors = Float[np.ndarray, "sample _"]

ROUNDING = 1e-12
"""Distances that differ by less are equal: value plus radius rounds either way. Far below the gap between
normal scores; without it .008 nats are lost."""


def nothing_given(samples: int) -> Vectors:
    """A side without columns, for information that nothing is given to."""
    return np.empty((samples, 0))


def terms_given(x: Vectors, y: Vectors, z: Vectors, k: int) -> Float[np.ndarray, " sample"]:
    r"""The terms of single samples, whose mean is the information of x and y given z.

    .. math:: \psi(k_i) + \psi(n_{z,i}) - \psi(n_{xz,i}) - \psi(n_{yz,i})

    With no columns in z, n_z is N: the terms of Kraskov. Distances are the largest over all columns. If
    only one sample is at the distance of the k-th neighbour of sample i, k_i is k and n counts the samples
    that are nearer, i itself included; otherwise both count all samples up to that distance. Where the sides
    have so few values that k samples are expected of each combination, only equal samples count.

    References:
        Frenzel & Pompe (2007), eq. 5, Partial mutual information for coupling analysis of multivariate time
        series, https://doi.org/10.1103/PhysRevLett.99.204101
        Mesner & Shalizi (2020), https://arxiv.org/abs/1912.00387: all samples at the k-th distance count.

    Example:
        >>> x = np.arange(6.0)[:, None]
        >>> terms_given(x, x, nothing_given(6), k=1).round(3).tolist()
        [2.283, 0.783, 0.783, 0.783, 0.783, 2.283]
    """
    columns = np.ascontiguousarray(np.column_stack([z, x, y]).T)
    counts = np.empty((4, len(x)), dtype=np.int64)
    of_values = combinations(columns, len(x) // k) <= len(x) // k
    _count(columns, z.shape[1], z.shape[1] + x.shape[1], k, of_values, ROUNDING, counts)
    joint, given, with_x, with_y = digamma(counts)
    return joint + given - with_x - with_y


def terms_in_order(
    x: Float[np.ndarray, " sample"], y: Float[np.ndarray, " sample"], neighbours: list[int]
) -> Float[np.ndarray, "k sample"]:
    """The terms of `terms_given` of two numbers with nothing given, x in ascending order, for several k.

    A sample is compared with those on either side of it in x, until x alone is farther away than the last
    neighbour: of 1,000 independent samples with every third.

    Example:
        >>> x = np.arange(6.0)
        >>> terms_in_order(x, x, [1]).round(3).tolist()
        [[2.283, 0.783, 0.783, 0.783, 0.783, 2.283]]
    """
    counts = np.empty((3, len(neighbours), len(x)), dtype=np.int64)
    _count_in_order(x, y, np.sort(y), np.array(neighbours), ROUNDING, counts)
    joint, with_x, with_y = digamma(counts)
    return np.asarray(joint + digamma(len(x)) - with_x - with_y)


def combinations(columns: Float[np.ndarray, "column sample"], most: int) -> int:
    """Of the values of all columns; they are no longer counted once there are more than `most`.

    Example:
        >>> combinations(np.array([[1.0, 2.0, 1.0], [5.0, 5.0, 7.0]]), most=10)
        4
    """
    found = 1
    for column in columns:
        found *= len(np.unique(column))
        if found > most:
            break
    return found


@compiled
def _count(columns, first_x, first_y, k, of_values, rounding, counts):  # type: ignore[no-untyped-def]
    """Samples within the distance of the k-th neighbour: in all columns, in z, in x and z, in y and z."""
    width, samples = columns.shape
    of_z, of_x, of_y = np.empty(samples), np.empty(samples), np.empty(samples)
    nearest = np.empty(k + 2)  # a sample is its own first neighbour
    for i in range(samples):
        _distances(columns, 0, first_x, i, of_z)
        _distances(columns, first_x, first_y, i, of_x)
        _distances(columns, first_y, width, i, of_y)
        _add(of_z, of_x)
        _add(of_z, of_y)
        nearest[:] = np.inf
        for j in range(samples):
            distance = max(of_x[j], of_y[j])
            if distance < nearest[k + 1]:
                place = k + 1
                while place > 0 and nearest[place - 1] > distance:
                    nearest[place] = nearest[place - 1]
                    place -= 1
                nearest[place] = distance
        radius = 0.0 if of_values else nearest[k]
        shared = of_values or radius - nearest[k - 1] <= rounding or nearest[k + 1] - radius <= rounding
        reach = radius + rounding if shared else radius - rounding
        joint, given, with_x, with_y = 0, 0, 0, 0
        for j in range(samples):
            in_x, in_y = of_x[j] <= reach, of_y[j] <= reach
            joint += in_x & in_y
            given += of_z[j] <= reach
            with_x += in_x
            with_y += in_y
        counts[0, i] = joint if shared else k
        counts[1, i], counts[2, i], counts[3, i] = given, with_x, with_y


@compiled
def _count_in_order(x, y, ordered_y, neighbours, rounding, counts):  # type: ignore[no-untyped-def]
    """Samples within the distance of each k-th neighbour: in both, in x, and in y."""
    samples, last = x.size, neighbours.max() + 1
    nearest = np.empty(last + 1)
    for i in range(samples):
        nearest[:] = np.inf
        nearest[0] = 0.0  # a sample is its own first neighbour
        left, right = i - 1, i + 1
        while left >= 0 or right < samples:
            before = x[i] - x[left] if left >= 0 else np.inf
            after = x[right] - x[i] if right < samples else np.inf
            if min(before, after) > nearest[last]:
                break
            j = left if before <= after else right
            distance = max(min(before, after), abs(y[j] - y[i]))
            if j < i:
                left -= 1
            else:
                right += 1
            place = last
            while distance < nearest[place]:
                nearest[place] = nearest[place - 1]
                place -= 1
            if place < last:
                nearest[place + 1] = distance
        for which in range(neighbours.size):
            k = neighbours[which]
            radius = nearest[k]
            shared = radius - nearest[k - 1] <= rounding or nearest[k + 1] - radius <= rounding
            reach = radius + rounding if shared else radius - rounding
            first, end = _inward(x, i, left + 1, right, reach)
            counts[0, which, i] = _within_reach(y, i, first, end, reach) if shared else k
            counts[1, which, i] = end - first
            counts[2, which, i] = np.searchsorted(ordered_y, y[i] + reach, "right") - np.searchsorted(
                ordered_y, y[i] - reach
            )


@compiled
def _inward(x, i, first, end, reach):  # type: ignore[no-untyped-def]
    """Where the samples within reach in x begin and end, from a guess."""
    while first > 0 and x[first - 1] >= x[i] - reach:
        first -= 1
    while x[first] < x[i] - reach:
        first += 1
    while end < x.size and x[end] <= x[i] + reach:
        end += 1
    while x[end - 1] > x[i] + reach:
        end -= 1
    return first, end


@compiled
def _within_reach(y, i, first, end, reach):  # type: ignore[no-untyped-def]
    """How many of these samples are within reach in y too."""
    found = 0
    for j in range(first, end):
        found += abs(y[j] - y[i]) <= reach
    return found


@compiled
def _distances(columns, start, stop, i, found):  # type: ignore[no-untyped-def]
    """From sample i to all, the largest over some columns; written so that it runs in lanes."""
    found[:] = 0.0
    for column in range(start, stop):
        values, own = columns[column], columns[column, i]
        for j in range(values.size):
            distance = abs(values[j] - own)
            found[j] = distance if distance > found[j] else found[j]


@compiled
def _add(of_z, found):  # type: ignore[no-untyped-def]
    """Distances that also hold in z."""
    for j in range(found.size):
        found[j] = of_z[j] if of_z[j] > found[j] else found[j]
