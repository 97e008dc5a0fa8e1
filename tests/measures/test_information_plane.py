"""The information plane: bounds that hold, against mixtures whose entropy is known or sampled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from torch import nn

from nif.core.errors import InputError
from nif.data.rows import Rows
from nif.measures.information_plane import Plane, checked_noise, information, plane_of
from nif.network.network import Network


def sampled(values: np.ndarray, deviation: float, draws: int = 50_000) -> float:
    """I(X; T + N) of rows that count alike: the mean of log p(t | x) / p(t) over draws of noise."""
    generator = np.random.default_rng(0)
    row = generator.integers(len(values), size=draws)
    noisy = values[row] + deviation * generator.normal(size=(draws, values.shape[1]))
    squares = np.square(noisy[:, None] - values[None]).sum(-1) / (2 * deviation**2)
    own = squares[np.arange(draws), row]
    return float((np.log(len(values)) - own - logsumexp(-squares, axis=1)).mean())


@pytest.mark.parametrize("noise", [0.05, 0.2, 1.0])
def test_the_information_about_the_input_is_between_the_bounds(noise: float) -> None:
    values = np.random.default_rng(1).normal(size=(20, 3))
    deviation = noise * float(np.sqrt(values.var(axis=0).mean()))
    classes = np.arange(20) % 2
    (low, high), _ = information(values, classes, noise)
    truth = sampled(values, deviation)
    assert low - 0.01 <= truth <= high + 0.01
    assert high <= np.log(20) + 1e-12


@pytest.mark.parametrize("noise", [0.1, 0.5, 2.0])
def test_that_about_the_classes_is_the_whole_less_that_within_them(noise: float) -> None:
    values = np.random.default_rng(2).normal(size=(24, 2)) + np.repeat([[0.0], [3.0]], 12, axis=0)
    classes = np.repeat([0, 1], 12)
    deviation = noise * float(np.sqrt(values.var(axis=0).mean()))
    within = np.mean([sampled(values[classes == label], deviation) for label in (0, 1)])
    truth = sampled(values, deviation) - float(within)
    low, high = information(values, classes, noise)[1]
    assert low - 0.02 <= truth <= high + 0.02 and 0 <= low <= high <= np.log(2) + 1e-12


def test_limits_far_apart_and_all_equal() -> None:
    classes = np.array([0, 0, 0, 1])
    far = information(np.arange(4.0)[:, None], classes, 1e-3)
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    np.testing.assert_allclose(far, [[np.log(4)] * 2, [entropy] * 2], atol=1e-9)
    assert information(np.ones((4, 2)), classes, 0.1) == ((0.0, 0.0), (0.0, 0.0))


def test_scale_of_the_units_does_not_matter() -> None:
    values, classes = np.random.default_rng(3).normal(size=(30, 4)), np.arange(30) % 3
    np.testing.assert_allclose(information(values, classes, 0.2), information(1e6 * values, classes, 0.2))


def test_of_a_network_with_labels_and_without() -> None:
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)).train(), torch.randn(600, 3)
    labels = (x[:, 0] > 0).long().numpy()
    network = Network.of(net)
    found = Plane.of_network(network, Rows((x,), labels), 0.1)
    assert [point.layer for point in found.points] == ["1", "output"]
    assert (found.rows, found.noise, found.of) == (512, 0.1, "labels") and net.training
    hidden = net[1](net[0](x[:512])).detach().numpy()
    expected = information(hidden, labels[:512], 0.1)
    np.testing.assert_allclose((found.points[0].input, found.points[0].classes), expected, rtol=1e-4)
    assert Plane.of_network(network, Rows((x,)), 0.1).of == "decisions"


def test_values_have_no_plane_and_noise_is_above_zero() -> None:
    net, x = nn.Linear(2, 1), torch.randn(60, 2)
    assert plane_of(Network.of(net), Rows((x,)), 0.1) is None
    assert checked_noise(None) is None and checked_noise(0.3) == 0.3
    with pytest.raises(InputError, match=r"plane_noise is 0; expected a number above 0"):
        checked_noise(0)
