"""Samplers with exactly known mutual information, for testing estimators.

References:
    Czyż et al. (2023), Beyond Normal: on the evaluation of mutual information estimators,
    https://arxiv.org/abs/2306.11078
    Gao et al. (2017), Estimating mutual information for discrete-continuous mixtures,
    https://arxiv.org/abs/1709.06212
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.integrate import quad
from scipy.special import digamma, gammaln, ndtri, rel_entr
from scipy.stats import norm, poisson

Column = Float[np.ndarray, " sample"]
Map = Callable[[Column], Column]
Draw = Callable[[int, np.random.Generator], tuple[Column, Column]]


@dataclass(frozen=True, eq=False)
class Truth:
    """A joint distribution of two numbers, with its mutual information.

    Attributes:
        name: For tables and test ids.
        nats: Exact mutual information.
        draw: Draws samples from a generator.
    """

    name: str
    nats: float
    draw: Draw

    def sample(self, samples: int, seed: int) -> tuple[Column, Column]:
        """Draw x and y together."""
        return self.draw(samples, np.random.default_rng(seed))


def correlated_normal(rho: float) -> Truth:
    r"""Two standard normal variables, :math:`I = -\tfrac12 \log(1 - \rho^2)`.

    Example:
        >>> round(correlated_normal(0.75).nats, 4)
        0.4133
    """

    def draw(samples: int, generator: np.random.Generator) -> tuple[Column, Column]:
        x, noise = generator.standard_normal((2, samples))
        return x, rho * x + math.sqrt(1 - rho**2) * noise

    return Truth(f"normal, rho {rho:.4g}", -0.5 * math.log1p(-(rho**2)), draw)


def normal_with(nats: float) -> Truth:
    """The correlated normal with this mutual information.

    Example:
        >>> round(normal_with(3.0).nats, 6)
        3.0
    """
    return correlated_normal(math.sqrt(-math.expm1(-2 * nats)))


def mapped(truth: Truth, name: str, of_x: Map, of_y: Map) -> Truth:
    """Map each side monotonically; the mutual information does not change."""

    def draw(samples: int, generator: np.random.Generator) -> tuple[Column, Column]:
        x, y = truth.draw(samples, generator)
        return of_x(x), of_y(y)

    return Truth(name, truth.nats, draw)


def uniform_with_noise(half_width: float) -> Truth:
    r"""X uniform on [0, 1], Y = X + N with N uniform on [-e, e].

    .. math:: I = \begin{cases} 1 / (4 e) & e > 1/2 \\ e - \log(2 e) & e \le 1/2 \end{cases}

    Example:
        >>> round(uniform_with_noise(0.1).nats, 4), round(uniform_with_noise(0.75).nats, 4)
        (1.7094, 0.3333)
    """
    e = half_width

    def draw(samples: int, generator: np.random.Generator) -> tuple[Column, Column]:
        x = generator.uniform(size=samples)
        return x, x + generator.uniform(-e, e, size=samples)

    return Truth(f"uniform, noise {e}", 1 / (4 * e) if e > 0.5 else e - math.log(2 * e), draw)


def student(freedom: int) -> Truth:
    r"""Bivariate Student distribution with identity dispersion: dependent through their common scale.

    .. math:: I = 2 h(t_\nu) - h(t_{\nu, 2})

    Example:
        >>> round(student(1).nats, 4)
        0.2242
    """

    def entropy(dim: int) -> float:
        half, full = freedom / 2, (freedom + dim) / 2
        normaliser = gammaln(half) - gammaln(full) + dim / 2 * math.log(freedom * math.pi)
        return float(normaliser + full * (digamma(full) - digamma(half)))

    def draw(samples: int, generator: np.random.Generator) -> tuple[Column, Column]:
        x, y = generator.standard_normal((2, samples))
        scale = np.sqrt(generator.chisquare(freedom, size=samples) / freedom)
        return x / scale, y / scale

    return Truth(f"Student, {freedom} freedom", 2 * entropy(1) - entropy(2), draw)


def discrete(joint: Float[np.ndarray, "a b"], name: str = "discrete") -> Truth:
    r"""Two variables with finitely many values, from the table of their joint probabilities.

    .. math:: I = \sum_{a, b} p_{ab} \log \frac{p_{ab}}{p_a p_b}

    Example:
        >>> round(discrete(np.array([[0.5, 0.0], [0.0, 0.5]])).nats, 4)
        0.6931
    """
    product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)

    def draw(samples: int, generator: np.random.Generator) -> tuple[Column, Column]:
        cells = generator.choice(joint.size, size=samples, p=joint.ravel())
        x, y = np.unravel_index(cells, joint.shape)
        return x.astype(np.float64), y.astype(np.float64)

    return Truth(name, float(rel_entr(joint, product).sum()), draw)


def uniform_in_cells(joint: Float[np.ndarray, "a b"], name: str = "cells") -> Truth:
    """A density with steps: constant in each cell of a square grid; the information is that of the table.

    Example:
        >>> round(uniform_in_cells(np.array([[0.5, 0.0], [0.0, 0.5]])).nats, 4)
        0.6931
    """
    table = discrete(joint / joint.sum())

    def draw(samples: int, generator: np.random.Generator) -> tuple[Column, Column]:
        x, y = table.draw(samples, generator)
        return x + generator.uniform(size=samples), y + generator.uniform(size=samples)

    return Truth(name, table.nats, draw)


def chess_board(fields: int, low: float = 0.0) -> Truth:
    """A chess board with this many fields a side and this density on every other one, relative to the rest.

    Example:
        >>> round(chess_board(4).nats, 4), round(chess_board(3).nats, 4)
        (0.6931, 0.5004)
    """
    even = np.add.outer(np.arange(fields), np.arange(fields)) % 2 == 0
    return uniform_in_cells(np.where(even, 1.0, low), f"board {fields} x {fields}, {low:g}")


def uniform_steps(values: int) -> Truth:
    r"""X one of m whole numbers, Y uniform on [X, X + 2] (Gao et al. 2017).

    .. math:: I = \log m - \frac{m - 1}{m} \log 2

    Example:
        >>> round(uniform_steps(5).nats, 4)
        1.0549
    """

    def draw(samples: int, generator: np.random.Generator) -> tuple[Column, Column]:
        x = generator.integers(0, values, size=samples).astype(np.float64)
        return x, x + generator.uniform(0, 2, size=samples)

    return Truth(f"uniform over {values} steps", math.log(values) - (values - 1) / values * math.log(2), draw)


def zero_inflated_poisson(zeros: float) -> Truth:
    r"""X exponential; Y = 0 with this probability, else Poisson with mean X (Gao et al. 2017).

    A Poisson variable can be 0 too, so that a zero does not show its origin. The value is therefore
    integrated numerically; the paper's :math:`(1 - p) I_0` holds at p = 0 only.

    Example:
        >>> round(zero_inflated_poisson(0.0).nats, 4)
        0.3012
    """
    counts = np.arange(200)
    margin = (1 - zeros) * 0.5 ** (counts + 1) + zeros * (counts == 0)

    def information_at(x: float) -> float:
        conditional = (1 - zeros) * poisson.pmf(counts, x) + zeros * (counts == 0)
        return float(math.exp(-x) * rel_entr(conditional, margin).sum())

    def draw(samples: int, generator: np.random.Generator) -> tuple[Column, Column]:
        x = generator.exponential(size=samples)
        kept = generator.uniform(size=samples) >= zeros
        return x, np.where(kept, generator.poisson(x), 0).astype(np.float64)

    return Truth(f"Poisson, {zeros:.0%} zeros", quad(information_at, 0, 60, epsabs=1e-10, limit=200)[0], draw)


def relu_pair(rho: float, zeros: float = 0.5) -> Truth:
    r"""Two ReLU units over correlated normal variables, each with this fraction of zeros.

    With a the threshold, the information is that of a mixture of an atom, two half-lines and a quadrant;
    the density parts are integrated numerically.

    Example:
        >>> [round(relu_pair(rho).nats, 4) for rho in (0.0, 0.5, 0.75, 0.9)]
        [0.0, 0.0986, 0.2815, 0.5544]
    """
    threshold = float(norm.ppf(zeros))

    def draw(samples: int, generator: np.random.Generator) -> tuple[Column, Column]:
        x, y = correlated_normal(rho).draw(samples, generator)
        return np.maximum(x - threshold, 0.0), np.maximum(y - threshold, 0.0)

    name = f"ReLU, rho {rho}" + ("" if zeros == 0.5 else f", {zeros:.0%} zeros")
    return Truth(name, _relu_information(rho, threshold), draw)


def _relu_information(rho: float, a: float) -> float:
    """Atom with atom, atom with density (twice), density with density, at threshold a."""
    if rho == 0:
        return 0.0
    spread, zero = math.sqrt(1 - rho**2), norm.cdf(a)

    def silent_at(x: float) -> float:
        return float(norm.cdf((a - rho * x) / spread))

    def both_terms(x: float) -> float:
        """Of one active side x: y silent, and y active with its inner integral in closed form."""
        silent, z = silent_at(x), (a - rho * x) / spread
        # E over active y of log p(y | x) / p(y), from the moments of a truncated normal.
        active = 1 - silent
        height = float(norm.pdf(z))
        square = active + z * height  # of the standardised residual above z
        y_square = rho**2 * x**2 * active + 2 * rho * x * spread * height + spread**2 * square
        log_ratio = -math.log(spread) * active - square / 2 + y_square / 2
        return float(norm.pdf(x)) * ((silent * math.log(silent / zero) if silent > 0 else 0.0) + log_ratio)

    def silent_x(y: float) -> float:
        """x silent and y active."""
        silent = silent_at(y)
        return float(norm.pdf(y)) * silent * math.log(silent / zero) if silent > 0 else 0.0

    both_silent = quad(lambda x: norm.pdf(x) * silent_at(x), -12, a, epsabs=1e-12)[0]
    total = both_silent * math.log(both_silent / zero**2)
    total += quad(both_terms, a, 12, epsabs=1e-12, limit=200)[0]
    total += quad(silent_x, a, 12, epsabs=1e-12, limit=200)[0]
    return float(total)


def _two_bumps(first_weight: float, first: float, second: float) -> Map:
    """From a standard normal to a mixture of two normals of variance 1, by inverting its distribution."""
    grid = np.linspace(first - 7, second + 7, 40_001)
    scores = ndtri(first_weight * norm.cdf(grid - first) + (1 - first_weight) * norm.cdf(grid - second))
    return lambda x: np.interp(x, scores, grid)


def _wiggly_x(x: Column) -> Column:
    return x + 0.4 * np.sin(x) + 0.2 * np.sin(1.7 * x + 1) + 0.03 * np.sin(3.3 * x - 2.5)


def _wiggly_y(x: Column) -> Column:
    return x - 0.4 * np.sin(0.4 * x) + 0.17 * np.sin(1.3 * x + 3.5) + 0.02 * np.sin(4.3 * x - 2.5)


def half_cube(x: np.ndarray) -> np.ndarray:
    """The power 3/2 with the sign of x."""
    return x * np.sqrt(np.abs(x))


_NORMAL = correlated_normal(0.75)

BEYOND_NORMAL: tuple[Truth, ...] = (
    _NORMAL,
    mapped(_NORMAL, "normal CDF", norm.cdf, norm.cdf),
    mapped(_NORMAL, "bimodal", _two_bumps(0.3, 0.0, 5.0), _two_bumps(0.5, -1.0, 3.0)),
    mapped(_NORMAL, "wiggly", _wiggly_x, _wiggly_y),
    mapped(_NORMAL, "half-cube", half_cube, half_cube),
    uniform_with_noise(0.1),
    uniform_with_noise(0.75),
    student(1),
    mapped(student(1), "asinh Student", np.arcsinh, np.arcsinh),
)
"""The one-by-one tasks of the benchmark 'Beyond Normal'."""

RELU_PAIRS: tuple[Truth, ...] = tuple(relu_pair(rho) for rho in (0.0, 0.5, 0.75, 0.9))
"""Pairs of ReLU units: half of the samples of each side are exactly 0."""


def _discrete(samples: int, generator: np.random.Generator) -> tuple[Column, Column]:
    x, y = generator.integers(0, 4, size=(2, samples)).astype(np.float64)
    return x, y


def _one_constant(samples: int, generator: np.random.Generator) -> tuple[Column, Column]:
    return generator.standard_normal(samples), np.full(samples, 2.0)


INDEPENDENT: tuple[Truth, ...] = (
    Truth("independent normal", 0.0, correlated_normal(0.0).draw),
    Truth("independent ReLU", 0.0, relu_pair(0.0).draw),
    Truth("independent discrete", 0.0, _discrete),
    Truth("one side constant", 0.0, _one_constant),
)
"""Pairs of independent sides."""

DISCRETE_AND_MIXED: tuple[Truth, ...] = (
    discrete(np.array([[0.4, 0.1], [0.1, 0.4]]), "two coins"),
    discrete(np.array([[0.3, 0.05, 0.0], [0.05, 0.2, 0.1], [0.0, 0.1, 0.2]]), "three by three"),
    uniform_steps(5),
    zero_inflated_poisson(0.15),
)
"""Pairs with one or two sides of finitely or countably many values."""

WITH_EDGES: tuple[Truth, ...] = (
    *(chess_board(fields) for fields in (2, 3, 4, 5, 6, 7, 8)),
    *(chess_board(fields, 0.3) for fields in (3, 4, 5)),
    *(uniform_in_cells(np.eye(blocks), f"{blocks} blocks") for blocks in (3, 5, 7)),
    *(uniform_in_cells(np.tril(np.ones((steps, steps))), f"stairs of {steps}") for steps in (3, 5)),
)
"""Densities with edges, at the quantiles of one half, a quarter and an eighth and elsewhere."""
