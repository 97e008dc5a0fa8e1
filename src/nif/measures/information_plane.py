r"""The information plane: what the layers hold of the input and of the classes, at a stated noise.

A layer T of a trained network is a function of its input X, so the mutual information of the two has no bound
where activations are real numbers. With Gaussian noise N of standard deviation s on every unit it has one:
over n rows that count alike, T + N is a mixture of n Gaussians, whose entropy lies between

.. math:: -\frac1n \sum_i \ln \frac1n \sum_j e^{-|t_i - t_j|^2 / (8 s^2)} \;\le\; I(X; T + N) \;\le\;
    -\frac1n \sum_i \ln \frac1n \sum_j e^{-|t_i - t_j|^2 / (2 s^2)}

and at most ln n. The same of the rows of each class, less from the whole, bounds I(T + N; Y).

References:
    Bounds: Kolchinsky & Tracey (2017), https://arxiv.org/abs/1706.02419. The plane: Shwartz-Ziv & Tishby
    (2017), https://arxiv.org/abs/1703.00810. What it cannot show: Saxe et al. (2018),
    https://openreview.net/forum?id=ry_WPG-A-; Goldfeld et al. (2019), https://arxiv.org/abs/1810.05728
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy.spatial.distance import pdist, squareform
from scipy.special import logsumexp

from nif.core.errors import InputError
from nif.data.rows import Rows
from nif.network.decision import Decision, Scale
from nif.network.labels import class_indices, values_of_classes
from nif.network.network import Network
from nif.network.recording import Recording

MOST_ROWS = 512
"""Rows of the mixture; more cost the square of their number."""

LOWER, UPPER = 8.0, 2.0
"""What squared distances are divided by for either bound."""


@dataclass(frozen=True)
class PlanePoint:
    """One layer at one epoch; in nats.

    Attributes:
        layer: Its name.
        input: Lower and upper bound of the information about the input.
        classes: The same about the classes.
    """

    layer: str
    input: tuple[float, float]
    classes: tuple[float, float]


@dataclass(frozen=True)
class Plane:
    """The layers behind the input at one epoch.

    Attributes:
        points: One for each.
        noise: Standard deviation of the noise, in root mean square deviations of the units of a layer.
        rows: Number of rows.
        of: ``"labels"``, or ``"decisions"`` of the network where the data have none.
    """

    points: tuple[PlanePoint, ...]
    noise: float
    rows: int
    of: str

    @classmethod
    def of_network(cls, network: Network, rows: Rows, noise: float) -> Plane:
        """Record the layers on the first rows, and bound what they hold.

        Raises:
            InputError: The outputs are values, so there are no classes.
        """
        rows = rows.at(np.arange(min(MOST_ROWS, len(rows))))
        recording = Recording.of(network, rows, fewest=2)
        decision = Decision.of(network.forward(rows), rows.inputs, network.model)
        if recording.samples != len(rows):
            raise InputError("The samples of the network are no rows, so the information plane has none.")
        known = None if rows.labels is None else _labels(decision, rows, network)
        of = "labels" if known is not None else "decisions"
        if known is None:
            if decision.scale is Scale.VALUE:
                raise InputError("The outputs are values; an information plane is about classes.")
            known = decision.classes(torch.from_numpy(np.asarray(recording.activations[-1]))).numpy()
        behind = [
            (layer.name, values)
            for layer, values in zip(recording.layers, recording.activations, strict=True)
            if layer.kind != "input"
        ]
        points = tuple(PlanePoint(name, *information(values, known, noise)) for name, values in behind)
        return cls(points, noise, len(rows), of)


def plane_of(network: Network, rows: Rows, noise: float) -> Plane | None:
    """The plane of a network; None where there are no classes."""
    try:
        return Plane.of_network(network, rows, noise)
    except InputError:
        return None


def checked_noise(noise: float | None) -> float | None:
    """Above 0, or None.

    Raises:
        InputError: It is not.
    """
    if noise is None or (np.isfinite(noise) and noise > 0):
        return noise
    raise InputError(f"plane_noise is {noise}; expected a number above 0, such as 0.1, or None.")


def _labels(decision: Decision, rows: Rows, network: Network) -> Int64[np.ndarray, " row"] | None:
    """The class of each row; None where labels are no classes."""
    try:
        known = values_of_classes(network.model, network.class_names, rows.labels)
        return class_indices(decision, rows.labels, len(rows), known)
    except InputError:
        return None


def information(
    values: Float[np.ndarray, "row unit"], classes: Int64[np.ndarray, " row"], noise: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Bounds of the information of noisy units about their row, and about its class.

    Args:
        values: Of the units.
        classes: Of the rows.
        noise: Standard deviation, in root mean square deviations of the units.

    Example:
        >>> far, classes = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1])
        >>> [[f"{nats:.2f}" for nats in bounds] for bounds in information(far, classes, 0.01)]
        [['1.39', '1.39'], ['0.69', '0.69']]
    """
    values = np.asarray(values, dtype=np.float64)
    deviation = noise * float(np.sqrt(values.var(axis=0).mean()))
    if deviation == 0:
        return (0.0, 0.0), (0.0, 0.0)
    squares = squareform(pdist(values / deviation, "sqeuclidean"))
    low, high = (entropy_above_noise(squares, by) for by in (LOWER, UPPER))
    within = np.zeros(2)
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        part = squares[np.ix_(members, members)]
        within += (
            len(members) / len(classes) * np.array([entropy_above_noise(part, by) for by in (LOWER, UPPER)])
        )
    _, counts = np.unique(classes, return_counts=True)
    most = float(np.log(len(classes)) - (counts * np.log(counts)).sum() / len(classes))
    about = np.clip([low - within[1], high - within[0]], 0.0, most)
    return (low, high), (float(about[0]), float(about[1]))


def entropy_above_noise(squares: Float[np.ndarray, "row row"], divisor: float) -> float:
    """A bound of the entropy of a mixture of unit Gaussians, less that of one, from squared distances."""
    count = len(squares)
    return float(np.log(count) - logsumexp(-squares / divisor, axis=1).mean())
