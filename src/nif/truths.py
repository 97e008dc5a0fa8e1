"""Samplers that know their mutual information exactly: what estimators are held against.

References:
    Czyż et al. (2023), Beyond Normal: on the evaluation of mutual information estimators,
    https://arxiv.org/abs/2306.11078
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.integrate import quad
from scipy.special import digamma, gammaln
from scipy.stats import norm

Column = Float[np.ndarray, " sample"]
Draw = Callable[[int, np.random.Generator], tuple[Column, Column]]


@dataclass(frozen=True, eq=False)
class Truth:
    """A joint distribution of two numbers with its mutual information.

    Attributes:
        name: For tables and test ids.
        nats: Exact mutual information.
        draw: Draws samples from a generator.
    """

    name: str
    nats: float
    draw: Draw

    def sample(self, samples: int, seed: int) -> tuple[Column, Column]:
        """Draw x and y together.

        Example:
            >>> x, y = correlated_normal(0.5).sample(100, seed=0)
            >>> x.shape
            (100,)
        """
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
    """The correlated normal that has this much information.

    Example:
        >>> round(normal_with(3.0).nats, 6)
        3.0
    """
    return correlated_normal(math.sqrt(-math.expm1(-2 * nats)))


def mapped(truth: Truth, name: str, change: Callable[[Column], Column]) -> Truth:
    """Both sides through one monotone map: the information stays."""

    def draw(samples: int, generator: np.random.Generator) -> tuple[Column, Column]:
        x, y = truth.draw(samples, generator)
        return change(x), change(y)

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
    r"""Bivariate Student distribution with identity dispersion: dependent through its common scale.

    .. math:: I = 2 h(t_\nu) - h(t_{\nu, 2})

    Example:
        >>> round(student(1).nats, 4)
        0.2242
    """

    def entropy(dim: int) -> float:
        half, all_ = freedom / 2, (freedom + dim) / 2
        normaliser = gammaln(half) - gammaln(all_) + dim / 2 * math.log(freedom * math.pi)
        return float(normaliser + all_ * (digamma(all_) - digamma(half)))

    def draw(samples: int, generator: np.random.Generator) -> tuple[Column, Column]:
        x, y = generator.standard_normal((2, samples))
        scale = np.sqrt(generator.chisquare(freedom, size=samples) / freedom)
        return x / scale, y / scale

    return Truth(f"Student, {freedom} freedom", 2 * entropy(1) - entropy(2), draw)


def relu_pair(rho: float, zeros: float = 0.5) -> Truth:
    r"""Two ReLU units over correlated normal variables, each with this share of zeros.

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

    def silent_given(x: float) -> float:
        return float(norm.cdf((a - rho * x) / spread))

    def both_terms(x: float) -> float:
        """Of one active side x: y silent, and y active with its inner integral in closed form."""
        silent, z = silent_given(x), (a - rho * x) / spread
        # E over active y of log p(y | x) / p(y), from the moments of a truncated normal.
        active = 1 - silent
        height = float(norm.pdf(z))
        square = active + z * height  # of the standardised residual above z
        y_square = rho**2 * x**2 * active + 2 * rho * x * spread * height + spread**2 * square
        log_ratio = -math.log(spread) * active - square / 2 + y_square / 2
        return float(norm.pdf(x)) * ((silent * math.log(silent / zero) if silent > 0 else 0.0) + log_ratio)

    both_silent = quad(lambda x: norm.pdf(x) * silent_given(x), -12, a, epsabs=1e-12)[0]
    one_active = quad(lambda x: norm.pdf(x) * (1 - silent_given(x)), -12, a, epsabs=1e-12)[0]

    def silent_x(y: float) -> float:
        """x silent and y active."""
        silent = silent_given(y)
        return float(norm.pdf(y)) * silent * math.log(silent / zero) if silent > 0 else 0.0

    total = both_silent * math.log(both_silent / zero**2)
    total += quad(both_terms, a, 12, epsabs=1e-12, limit=200)[0]
    total += quad(silent_x, a, 12, epsabs=1e-12, limit=200)[0]
    assert abs(both_silent + one_active - zero) < 1e-9
    return float(total)


def _bimodal(x: Column) -> Column:
    """Inverse distribution function of two normal bumps, over the normal distribution function."""
    grid = np.linspace(-12, 12, 20_001)
    cumulated = 0.3 * norm.cdf(grid, 0, 1) + 0.7 * norm.cdf(grid, 5, 0.5)
    return np.interp(norm.cdf(x), cumulated, grid)


def _wiggly(x: Column) -> Column:
    return x + 0.4 * np.sin(x) + 0.2 * np.sin(1.7 * x + 1) + 0.03 * np.sin(3.3 * x - 2.5)


_NORMAL = correlated_normal(0.75)

BEYOND_NORMAL: tuple[Truth, ...] = (
    _NORMAL,
    mapped(_NORMAL, "normal CDF", norm.cdf),
    mapped(_NORMAL, "bimodal", _bimodal),
    mapped(_NORMAL, "wiggly", _wiggly),
    mapped(_NORMAL, "half-cube", lambda x: x * np.sqrt(np.abs(x))),
    uniform_with_noise(0.1),
    uniform_with_noise(0.75),
    student(1),
    mapped(student(1), "asinh Student", np.arcsinh),
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
"""Sides that know nothing of one another."""
