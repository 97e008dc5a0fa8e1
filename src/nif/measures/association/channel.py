"""The Gaussian channel behind every unit, and the information that passes it."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from nif.core.errors import InputError
from nif.core.random import stream
from nif.estimators.estimate import Estimate, Outcome
from nif.network.recording import Recording


def observed(recording: Recording, noise: float, seed: int) -> tuple[Float[np.ndarray, "sample _"], ...]:
    r"""The activations through the channel, :math:`Q_k + \text{noise} \cdot s_k \epsilon`.

    The input features are data and stay as they are. A constant unit stays constant.

    Args:
        recording: Activations of a network.
        noise: Standard deviation of the noise, in standard deviations :math:`s_k` of each unit.
        seed: Random seed of the noise, which is drawn once for a unit and used in all its links.

    References:
        Saxe et al. (2018), On the information bottleneck theory of deep learning. Goldfeld et al. (2019),
        Estimating information flow in deep neural networks, https://arxiv.org/abs/1810.05728
    """
    if noise == 0:
        return recording.activations
    generator = stream(seed, "noise")
    return tuple(
        units
        if layer.kind == "input"
        else units + noise * units.std(axis=0) * generator.standard_normal(units.shape)
        for layer, units in zip(recording.layers, recording.activations, strict=True)
    )


CELLS_PER_DEVIATION = 16
"""Grid cells in one standard deviation of the noise: the grid's own error is then below 1e-4 nats."""

REACH = 6.0
"""Standard deviations of noise beyond the data that the grid covers."""


def channel_information(units: Float[np.ndarray, "sample unit"], noise: float) -> Estimate:
    r"""I(X; Q_k + noise) of each unit in nats, where the layer X determines Q_k without noise.

    The density of the noisy unit is the mixture of the samples' Gaussians. Its entropy is too small by half
    the mean squared relative error of the density, to first order, which is added.

    Args:
        units: Activations of the units, before noise.
        noise: Standard deviation of the noise, in standard deviations of each unit; above 0.

    Returns:
        One value for each unit. The p-value of a unit that varies is 0: the layer determines it.

    Raises:
        InputError: The noise is not above 0; the information is then infinite.

    References:
        Saxe et al. (2018), On the information bottleneck theory of deep learning, sec. 2.

    Example:
        >>> unit = np.random.default_rng(0).normal(size=(20_000, 1))
        >>> bool(abs(channel_information(unit, noise=1.0).nats[0] - math.log(2) / 2) < 0.01)
        True
    """
    if not noise > 0:
        raise InputError(
            f"noise is {noise}; the information of a layer about a unit that it determines is finite only "
            "with noise above 0. Use noise=0.1."
        )
    estimates = [_of_unit(column, noise) for column in units.T]
    nats, stderr = np.array(estimates).reshape(-1, 2).T
    constant = np.ptp(units, axis=0) == 0
    return Estimate.of(
        nats,
        stderr=stderr,
        p_value=np.where(constant, 1.0, 0.0),
        outcome=np.where(constant, Outcome.DEGENERATE, Outcome.CONVERGED),
        samples=len(units),
        estimator=f"channel_information(noise={noise})",
    )


def _of_unit(column: Float[np.ndarray, " sample"], noise: float) -> tuple[float, float]:
    if np.ptp(column) == 0:
        return 0.0, 0.0
    spread, samples = noise * column.std(), len(column)
    cell = spread / CELLS_PER_DEVIATION
    start = column.min() - REACH * spread
    count = math.ceil((np.ptp(column) + 2 * REACH * spread) / cell) + 2
    mass = _shared_between_cells((column - start) / cell, count) / samples
    density = _smoothed(mass, CELLS_PER_DEVIATION) / cell
    # Variance of the density at each place, over the samples: the mean square of a sample's own Gaussian.
    squared = _smoothed(mass, CELLS_PER_DEVIATION / math.sqrt(2)) / cell / (2 * spread * math.sqrt(math.pi))
    seen = density > 0
    entropy = -(density[seen] * np.log(density[seen])).sum() * cell
    missing = ((squared[seen] / density[seen]).sum() * cell - 1) / (2 * samples)
    place = np.arange(count) * cell + start
    surprise = -np.log(np.interp(column, place, density))
    noise_entropy = 0.5 * math.log(2 * math.pi * math.e * spread**2)
    return float(entropy + missing - noise_entropy), float(surprise.std() / math.sqrt(samples))


def _smoothed(mass: Float[np.ndarray, " cell"], cells: float) -> Float[np.ndarray, " cell"]:
    return gaussian_filter1d(mass, cells, mode="constant", truncate=REACH)


def _shared_between_cells(position: np.ndarray, count: int) -> Float[np.ndarray, " cell"]:
    """Unit masses, each split between its two neighbouring cells in proportion."""
    below = np.floor(position).astype(np.int64)
    above = position - below
    return np.bincount(below, 1 - above, count) + np.bincount(below + 1, above, count)
