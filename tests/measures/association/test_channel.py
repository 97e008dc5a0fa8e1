"""The channel behind every unit."""

from __future__ import annotations

import numpy as np
import pytest

from nif.core.types import Layer
from nif.measures.association.channel import observed
from nif.network.recording import Recording

LAYERS = Layer("input", "input", ("a", "b")), Layer("output", "Linear", ("y", "z"))


def recorded(inputs: np.ndarray, outputs: np.ndarray) -> Recording:
    return Recording(LAYERS, ((0, 1),), activations=(inputs, outputs))


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_not_the_data_that_were_drawn_with_the_same_seed(seed: int) -> None:
    data = np.random.default_rng(seed).standard_normal((2000, 2))
    units = np.random.default_rng(99).standard_normal((2000, 2))
    noise = observed(recorded(data, units), 0.5, seed)[1] - units
    assert np.abs(np.corrcoef(data.T, noise.T)[:2, 2:]).max() < 0.1


def test_it_has_the_size_asked_for_and_leaves_features_and_constants() -> None:
    units = np.column_stack([3 * np.random.default_rng(0).standard_normal(20_000), np.full(20_000, 7.0)])
    inputs, seen = observed(recorded(units, units), 0.5, seed=0)
    assert np.array_equal(inputs, units)
    assert (seen - units)[:, 0].std() == pytest.approx(1.5, rel=0.03)
    assert np.array_equal(seen[:, 1], units[:, 1])
