r"""Pairs of numbers with a density that is constant on a shape and 0 elsewhere: nothing but edges.

.. math:: I = h(X) + h(Y) - \log(\text{area})
"""

from __future__ import annotations

import math

import numpy as np
from scipy.integrate import quad

from nif.estimators.truths import Column, Truth, uniform_with_noise


def triangle() -> Truth:
    r"""Two uniform numbers in order, :math:`I = 1 - \log 2`.

    Example:
        >>> round(triangle().nats, 4)
        0.3069
    """

    def draw(samples: int, generator: np.random.Generator) -> tuple[Column, Column]:
        low, high = np.sort(generator.uniform(size=(2, samples)), axis=0)
        return low, high

    return Truth("triangle", 1 - math.log(2), draw)


def diamond() -> Truth:
    r"""Uniform where :math:`|x| + |y| < 1`, whose margins are triangular: :math:`I = 1 - \log 2`."""

    def draw(samples: int, generator: np.random.Generator) -> tuple[Column, Column]:
        a, b = generator.uniform(-0.5, 0.5, size=(2, samples))
        return a + b, a - b

    return Truth("diamond", 1 - math.log(2), draw)


def ring(inner: float) -> Truth:
    r"""Uniform between two circles, of radius `inner` and 1; a disk, :math:`I = \log \pi - 1`, if it is 0.

    Example:
        >>> round(ring(0.0).nats, 4), round(ring(0.5).nats, 4)
        (0.1447, 0.456)
    """
    area = math.pi * (1 - inner**2)

    def surprise(x: float) -> float:
        """Of the margin at x, weighted by its density."""
        height = 2 * (math.sqrt(1 - x * x) - (math.sqrt(inner**2 - x * x) if x < inner else 0.0)) / area
        return -height * math.log(height) if height > 0 else 0.0

    def draw(samples: int, generator: np.random.Generator) -> tuple[Column, Column]:
        radius = np.sqrt(generator.uniform(inner**2, 1, size=samples))
        angle = generator.uniform(0, 2 * math.pi, size=samples)
        return radius * np.cos(angle), radius * np.sin(angle)

    margin = 2 * quad(surprise, 0, 1, points=[inner], epsabs=1e-10, limit=200)[0]
    return Truth(f"ring, inner radius {inner}" if inner else "disk", 2 * margin - math.log(area), draw)


SHAPES: tuple[Truth, ...] = (uniform_with_noise(0.5), triangle(), diamond(), ring(0.0), ring(0.5), ring(0.8))
"""The first is the window: y uniform around a uniform x, half a nat."""
