"""Laws that every estimator in the registry obeys, and its cases with known truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import nif
from estimators.cases import CASES
from nif.estimators import ESTIMATORS
from nif.estimators.estimate import Estimate, Estimator, Outcome
from nif.estimators.truths import INDEPENDENT, Truth, correlated_normal

SLOW = {"info_nce", "smile", "nwj"}
"""Trained in PyTorch; they run fewer and shorter tests."""

OF_NUMBERS = [name for name in ESTIMATORS if name not in SLOW]

SAMPLES = 500
"""One number for most laws: the null of `Ksg` is drawn once for a number of samples, and then cached."""


def make(name: str, steps: int = 150) -> Estimator:
    return ESTIMATORS[name](steps=steps, hidden=32) if name in SLOW else ESTIMATORS[name]()  # type: ignore[call-arg]


def of(name: str, *pairs: tuple[np.ndarray, np.ndarray], steps: int = 150) -> Estimate:
    x = np.stack([pair[0] for pair in pairs])[:, :, None]
    y = np.stack([pair[1] for pair in pairs])[:, :, None]
    return make(name, steps).estimate(x, y)


def numpy_state() -> str:
    return str(np.random.get_state())  # noqa: NPY002


def test_every_estimator_has_its_cases() -> None:
    assert set(CASES) == set(ESTIMATORS)


@pytest.mark.usefixtures("few_shuffles")
@pytest.mark.parametrize(
    ("name", "truth"),
    [(name, truth) for name, (truths, _, _) in CASES.items() for truth in truths],
    ids=lambda value: value.name if isinstance(value, Truth) else value,
)
def test_truth(name: str, truth: Truth) -> None:
    _, samples, tolerance = CASES[name]
    estimate = of(name, truth.sample(samples, seed=0))
    assert estimate.nats[0] == pytest.approx(truth.nats, abs=tolerance)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_constant_side_has_exactly_zero_nats(name: str) -> None:
    varied = np.random.default_rng(0).normal(size=100)
    estimate = of(name, (varied, np.full(100, 3.0)), (np.zeros(100), varied))
    assert estimate.nats.tolist() == [0.0, 0.0]
    assert estimate.p_value.tolist() == [1.0, 1.0]
    assert (estimate.outcome == Outcome.DEGENERATE).all()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_same_seed_same_bits_and_global_random_state_untouched(name: str) -> None:
    pair = correlated_normal(0.5).sample(SAMPLES, seed=1)
    before = torch.get_rng_state().clone(), numpy_state(), torch.get_num_threads()
    first, second = of(name, pair, steps=20), of(name, pair, steps=20)
    assert first.nats.tobytes() == second.nats.tobytes()
    assert first.p_value.tobytes() == second.p_value.tobytes()
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == numpy_state()
    assert torch.get_num_threads() == before[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_NUMBERS)
def test_independent_sides_have_about_zero_nats_and_few_rejections(name: str) -> None:
    pairs = [INDEPENDENT[kind].sample(SAMPLES, seed) for kind in range(3) for seed in range(20)]
    estimate = of(name, *pairs)
    assert abs(estimate.nats.mean()) < 0.02
    assert (estimate.p_value < 0.05).sum() <= 9  # of 60; 3 are expected, more than 9 in 1 of 2,000 runs
    assert np.isfinite(estimate.nats).all()
    assert np.isfinite(estimate.stderr).all()


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_dependence_is_significant(name: str) -> None:
    assert of(name, correlated_normal(0.6).sample(SAMPLES, seed=0)).p_value[0] < 1e-3


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_symmetry(name: str) -> None:
    x, y = correlated_normal(0.75).sample(SAMPLES, seed=0)
    one, other = of(name, (x, y)), of(name, (y, x))
    assert one.nats[0] == pytest.approx(other.nats[0], abs=4 * one.stderr[0])


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_a_monotone_map_changes_nothing(name: str) -> None:
    x, y = correlated_normal(0.75).sample(SAMPLES, seed=0)
    assert of(name, (x, y)).nats[0] == pytest.approx(of(name, (np.exp(x), y**3)).nats[0], abs=1e-9)


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_data_processing_along_a_chain(name: str) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=SAMPLES)
    near = x + 0.5 * generator.normal(size=SAMPLES)
    far = near + generator.normal(size=SAMPLES)
    estimate = of(name, (x, near), (x, far))
    assert estimate.nats[1] < estimate.nats[0]


@pytest.mark.parametrize("name", ["mine", "binned", "ksg"])
def test_no_more_than_the_entropy_of_a_discrete_side(name: str) -> None:
    coin = np.random.default_rng(0).integers(0, 2, size=SAMPLES).astype(float)
    estimate = of(name, (coin, coin + 1), (coin, np.random.default_rng(1).normal(size=SAMPLES)))
    p = np.array([coin.mean(), 1 - coin.mean()])
    assert estimate.nats[0] <= -(p * np.log(p)).sum() + 1e-9
    assert estimate.nats[0] > 0.5


def test_no_more_than_the_entropy_of_one_column() -> None:
    x = np.random.default_rng(0).integers(0, 3, size=(500, 1)).astype(float)
    x = np.hstack([x, x, np.random.default_rng(1).normal(size=(500, 1))])
    entropy = -sum(p * np.log(p) for p in np.unique(x[:, 0], return_counts=True)[1] / 500)
    copula = make("gaussian_copula")
    assert nif.estimate(x[:, 0], x[:, 1], estimator=copula).nats == pytest.approx(entropy)
    assert nif.pairwise(x, x.copy(), estimator=copula).nats.max() == pytest.approx(np.log(500))


@pytest.mark.parametrize("level", [0.0, 1.0, 95, float("nan")])
def test_a_level_is_a_fraction(level: float) -> None:
    x = np.random.default_rng(0).normal(size=60)
    with pytest.raises(nif.InputError, match=r"such as 0\.95"):
        nif.estimate(x, x**2, estimator=nif.GaussianCopula()).interval(level)


@pytest.mark.parametrize("name", ["mine", "gaussian_copula", "ksg"])
def test_vectors(name: str) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(1, 600, 3))
    y = x[:, :, :1] + generator.normal(size=(1, 600, 1))
    estimate = make(name).estimate(x, y)
    assert estimate.nats[0] == pytest.approx(np.log(2) / 2, abs=0.13)
    assert estimate.p_value[0] < 0.01
