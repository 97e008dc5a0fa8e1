r"""The resolution at which a network is observed: a Gaussian channel behind every unit.

A trained network computes without noise, so a layer holds infinite information about the units it feeds. With
noise of a stated size the question has an answer: what does the layer tell of :math:`Q_k + \epsilon`?
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from nif.contracts import InputError, Recording
from nif.streams import stream


def observed(recording: Recording, noise: float, seed: int) -> tuple[Float[np.ndarray, "sample _"], ...]:
    r"""The activations as seen through the channel, :math:`Q_k + \text{noise} \cdot s_k \epsilon`.

    The input features are data and stay as they are. A constant unit stays constant.

    Args:
        recording: Activations of a network.
        noise: Standard deviation of the noise, in standard deviations :math:`s_k` of each unit.
        seed: Seeds the noise; it is drawn once for a unit and used in all its links.

    References:
        Saxe et al. (2018), On the information bottleneck theory of deep learning. Goldfeld et al. (2019),
        Estimating information flow in deep neural networks, https://arxiv.org/abs/1810.05728
    """
    if not (math.isfinite(noise) and noise >= 0):
        raise InputError(
            f"noise is {noise}; expected a number from 0 up, such as 0.1 (of each unit's deviation)."
        )
    if noise == 0:
        return recording.activations
    generator = stream(seed, "noise")
    return tuple(
        units if layer.kind == "input" else through_channel(units, noise * units.std(axis=0), generator)
        for layer, units in zip(recording.layers, recording.activations, strict=True)
    )


def through_channel(
    units: Float[np.ndarray, "sample unit"],
    deviations: Float[np.ndarray, " unit"],
    generator: np.random.Generator,
) -> Float[np.ndarray, "sample unit"]:
    """Units with Gaussian noise of these standard deviations."""
    return units + deviations * generator.standard_normal(units.shape)
