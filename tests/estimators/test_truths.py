"""The exact values, by independent methods."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from nif.estimators.truths import BEYOND_NORMAL, RELU_PAIRS, relu_pair, student


def test_the_nine_tasks_have_the_published_values() -> None:
    expected = [0.4133] * 5 + [1.7094, 0.3333, 0.2242, 0.2242]
    assert [round(task.nats, 4) for task in BEYOND_NORMAL] == expected
    assert len({task.name for task in BEYOND_NORMAL}) == 9


def test_the_relu_pairs_have_the_published_values() -> None:
    assert [round(pair.nats, 4) for pair in RELU_PAIRS] == [0.0, 0.0986, 0.2815, 0.5544]


@pytest.mark.parametrize(("rho", "zeros"), [(0.5, 0.5), (0.75, 0.9)])
def test_relu_information_is_the_mean_log_density_ratio(rho: float, zeros: float) -> None:
    truth, samples = relu_pair(rho, zeros), 400_000
    threshold = norm.ppf(zeros)
    x, y = truth.sample(samples, seed=0)
    both = multivariate_normal([0, 0], [[1, rho], [rho, 1]])
    spread = np.sqrt(1 - rho**2)
    x_on, y_on = x > 0, y > 0
    u, v = x + threshold, y + threshold
    ratio = np.log(both.cdf([threshold, threshold]) / zeros**2) * np.ones(samples)
    only_x, only_y, on = x_on & ~y_on, ~x_on & y_on, x_on & y_on
    ratio[only_x] = np.log(norm.cdf((threshold - rho * u[only_x]) / spread) / zeros)
    ratio[only_y] = np.log(norm.cdf((threshold - rho * v[only_y]) / spread) / zeros)
    points = np.column_stack([u[on], v[on]])
    ratio[on] = both.logpdf(points) - norm.logpdf(points).sum(axis=1)
    assert truth.nats == pytest.approx(ratio.mean(), abs=4 * ratio.std() / np.sqrt(samples))


def test_student_information_falls_with_freedom() -> None:
    assert student(1).nats > student(2).nats > student(50).nats > 0


@pytest.mark.parametrize("task", BEYOND_NORMAL, ids=lambda task: task.name)
def test_samplers_are_seeded(task) -> None:  # type: ignore[no-untyped-def]
    first, second = task.sample(50, 1), task.sample(50, 1)
    assert (first[0] == second[0]).all()
    assert not (first[0] == task.sample(50, 2)[0]).all()
