"""More data sets for a choice that is made already: problems of the literature, and tables of packages.

Those with a formula are standard tests of sensitivity analysis and of classifiers, as their authors state
them, with features that mean nothing beside some. Nothing was chosen or changed after a look at them. Tables
come with `palmerpenguins` and `vega-datasets`, the extra ``tables``.

References:
    Breiman, Friedman, Olshen & Stone (1984), Classification and regression trees: *display*, *waveform*
    Thrun et al. (1991), The MONK's problems: *monk 1* to *3*
    Surjanovic & Bingham (2013), https://www.sfu.ca/~ssurjano: the physical functions
"""

from __future__ import annotations

from functools import partial

import numpy as np
from sklearn import datasets

from faithfulness_data import ROWS, Arrays, DataSet, value
from faithfulness_unseen import seed_of
from zoo_frames import TABLES

SEGMENTS = ("1110111", "0010010", "1011101", "1011011", "0111010", "1101011", "1101111", "1010010", "1111111",
            "1111011")  # fmt: skip
"""Of a display that are lit, for each digit."""


def display(generator: np.random.Generator) -> Arrays:
    """Ten digits by seven segments, each of which is wrong in a tenth of the rows, and five at random."""
    y = generator.integers(0, 10, ROWS)
    lit = np.array([[int(segment) for segment in digit] for digit in SEGMENTS])[y]
    x = np.where(generator.random(lit.shape) < 0.1, 1 - lit, lit)
    return np.hstack([x, generator.integers(0, 2, (ROWS, 5))]).astype(float), y


def waveform(generator: np.random.Generator) -> Arrays:
    """Three classes, each a mixture of two of three triangles over 21 points, with noise."""
    y, share = generator.integers(0, 3, ROWS), generator.random((ROWS, 1))
    triangles = np.maximum(6 - np.abs(np.arange(1, 22) - np.array([[11], [15], [7]])), 0)
    first, second = triangles[np.array([0, 0, 1])[y]], triangles[np.array([1, 2, 2])[y]]
    return share * first + (1 - share) * second + generator.normal(size=first.shape), y


def monk(number: int, generator: np.random.Generator) -> Arrays:
    """Six attributes of three, three, two, three, four and two values, as one-hot columns."""
    a = [generator.integers(1, values + 1, ROWS) for values in (3, 3, 2, 3, 4, 2)]
    y = {
        1: (a[0] == a[1]) | (a[4] == 1),
        2: sum((each == 1).astype(int) for each in a) == 2,
        3: ((a[4] == 3) & (a[3] == 1)) | ((a[4] != 4) & (a[1] != 3)),
    }[number]
    wrong = generator.random(ROWS) < 0.05 * (number == 3)
    columns = [np.eye(each.max())[each - 1] for each in a]
    return np.hstack(columns), (y ^ wrong).astype(np.int64)


def moons(generator: np.random.Generator) -> Arrays:
    """Two moons, and four features that mean nothing."""
    x, y = datasets.make_moons(ROWS, noise=0.2, random_state=seed_of(generator))
    return np.hstack([x, generator.normal(size=(ROWS, 4))]), y.astype(np.int64)


def circles(generator: np.random.Generator) -> Arrays:
    """Two circles, and four features that mean nothing."""
    x, y = datasets.make_circles(ROWS, noise=0.1, factor=0.5, random_state=seed_of(generator))
    return np.hstack([x, generator.normal(size=(ROWS, 4))]), y.astype(np.int64)


def blobs(generator: np.random.Generator) -> Arrays:
    """Five clouds in six dimensions, and four features that mean nothing."""
    x, y = datasets.make_blobs(ROWS, 6, centers=5, cluster_std=4.0, random_state=seed_of(generator))
    return np.hstack([x, 4 * generator.normal(size=(ROWS, 4))]), y.astype(np.int64)


def many(generator: np.random.Generator) -> Arrays:
    """Two classes of twenty features: six tell, six are sums of these, eight mean nothing."""
    x, y = datasets.make_classification(
        ROWS, 20, n_informative=6, n_redundant=6, class_sep=0.8, random_state=seed_of(generator)
    )
    return x, y.astype(np.int64)


def uncorrelated(generator: np.random.Generator) -> Arrays:
    """A line through four of ten features, with noise."""
    x, y = datasets.make_sparse_uncorrelated(ROWS, random_state=seed_of(generator))
    return value(x, y, generator, 0.0)


def line(generator: np.random.Generator) -> Arrays:
    """A line through six of twelve features, which share a few factors."""
    x, y = datasets.make_regression(
        ROWS, 12, n_informative=6, effective_rank=5, tail_strength=0.5, random_state=seed_of(generator)
    )
    return value(x / x.std(0), y, generator)


def roll(generator: np.random.Generator) -> Arrays:
    """The place along a rolled sheet in three dimensions, and three features that mean nothing."""
    x, y = datasets.make_swiss_roll(ROWS, noise=0.3, random_state=seed_of(generator))
    return value(np.hstack([x, 8 * generator.normal(size=(ROWS, 3))]), y, generator)


def ishigami(generator: np.random.Generator) -> Arrays:
    """Ishigami and Homma's function of three angles, and three features that mean nothing."""
    x = generator.uniform(-np.pi, np.pi, (ROWS, 6))
    return value(x, np.sin(x[:, 0]) * (1 + 0.1 * x[:, 2] ** 4) + 7 * np.sin(x[:, 1]) ** 2, generator)


def sobol(generator: np.random.Generator) -> Arrays:
    """Sobol's product of eight factors that count less and less."""
    x = generator.random((ROWS, 8))
    a = np.array([0, 1, 4.5, 9, 99, 99, 99, 99])
    return value(x, ((np.abs(4 * x - 2) + a) / (1 + a)).prod(1), generator)


def borehole(generator: np.random.Generator) -> Arrays:
    """The flow of water through a borehole."""
    low = np.array([0.05, 100, 63070, 990, 63.1, 700, 1120, 9855])
    x = generator.uniform(low, [0.15, 50000, 115600, 1110, 116, 820, 1680, 12045], (ROWS, 8))
    rw, r, tu, hu, tl, hl, length, kw = x.T
    log = np.log(r / rw)
    f = 2 * np.pi * tu * (hu - hl) / (log * (1 + 2 * length * tu / (log * rw**2 * kw) + tu / tl))
    return value(x, f, generator)


def circuit(generator: np.random.Generator) -> Arrays:
    """The voltage in the middle of a push-pull circuit without an output transformer."""
    x = generator.uniform([50, 25, 0.5, 1.2, 0.25, 50], [150, 70, 3, 2.5, 1.2, 300], (ROWS, 6))
    b1, b2, f, c1, c2, beta = x.T
    vb1, b = 12 * b2 / (b1 + b2), beta * (c2 + 9)
    v = (vb1 + 0.74) * b / (b + f) + 11.35 * f / (b + f) + 0.74 * f * b / ((b + f) * c1)
    return value(x, v, generator)


def piston(generator: np.random.Generator) -> Arrays:
    """The time of a cycle of a piston."""
    low = np.array([30, 0.005, 0.002, 1000, 90000, 290, 340])
    x = generator.uniform(low, [60, 0.020, 0.010, 5000, 110000, 296, 360], (ROWS, 7))
    m, s, v0, k, p0, ta, t0 = x.T
    a = p0 * s + 19.62 * m - k * v0 / s
    v = s / (2 * k) * (np.sqrt(a**2 + 4 * k * p0 * v0 / t0 * ta) - a)
    return value(x, 2 * np.pi * np.sqrt(m / (k + s**2 * p0 * v0 / t0 * ta / v**2)), generator)


def wing(generator: np.random.Generator) -> Arrays:
    """The weight of the wing of a light aircraft."""
    low = np.array([150, 220, 6, -10, 16, 0.5, 0.08, 2.5, 1700, 0.025])
    x = generator.uniform(low, [200, 300, 10, 10, 45, 1, 0.18, 6, 2500, 0.08], (ROWS, 10))
    sw, wfw, a, sweep, q, taper, tc, nz, wdg, wp = x.T
    cos = np.cos(np.deg2rad(sweep))
    f = 0.036 * sw**0.758 * wfw**0.0035 * (a / cos**2) ** 0.6 * q**0.006 * taper**0.04
    return value(x, f * (100 * tc / cos) ** -0.3 * (nz * wdg) ** 0.49 + sw * wp, generator)


def table(name: str, generator: np.random.Generator) -> Arrays:
    """A table of a package, with one-hot columns."""
    x, y = next(each for each in TABLES if each.name == name).rows()
    if y.dtype.kind in "fiu":
        return x.to_numpy(np.float64), ((y - y.mean()) / y.std()).to_numpy(np.float64)[:, None]
    return x.to_numpy(np.float64), np.unique(y.to_numpy(str), return_inverse=True)[1].astype(np.int64)


FURTHER = (
    DataSet("display", display, tuple(range(7))),
    DataSet("waveform", waveform),
    *(DataSet(f"monk {number}", partial(monk, number)) for number in (1, 2, 3)),
    DataSet("moons", moons, (0, 1)),
    DataSet("circles", circles, (0, 1)),
    DataSet("blobs", blobs, tuple(range(6))),
    DataSet("many", many),
    DataSet("uncorrelated", uncorrelated, (0, 1, 2, 3)),
    DataSet("line", line),
    DataSet("roll", roll, (0, 2)),
    DataSet("ishigami", ishigami, (0, 1, 2)),
    DataSet("sobol", sobol, (0, 1, 2, 3)),
    DataSet("borehole", borehole),
    DataSet("circuit", circuit),
    DataSet("piston", piston),
    DataSet("wing", wing),
    *(DataSet(name, partial(table, name)) for name in ("penguins", "cars", "weather")),
)
