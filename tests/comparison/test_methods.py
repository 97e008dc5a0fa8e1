"""Attributions against closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from nif.comparison.compare import compare
from nif.comparison.methods import raw_mi
from nif.estimators.estimate import Estimate
from support.comparison_cases import QUICK, data, flow_of, linear, problem


def test_raw_mi_of_a_feature_that_is_the_label_is_its_entropy() -> None:
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(1000) % 2)
    x = np.stack([y, rng.normal(size=1000)], axis=1).astype(np.float64)
    told, nothing = raw_mi(problem(x, y))
    assert told == pytest.approx(math.log(2), abs=0.01)
    assert nothing < 0.02


def test_raw_mi_takes_an_estimator_without_a_way_for_all_pairs() -> None:
    class Halves:
        """Half a nat for every pair; below 0 for the last."""

        def estimate(self, x: np.ndarray, y: np.ndarray, *, seed: int = 0, advance: Any = None) -> Estimate:
            assert x.shape == y.shape == (3, 400, 1)
            return Estimate.of([0.5, 0.5, -0.1], stderr=0.0, p_value=0.0, samples=400, estimator="Halves()")

    assert raw_mi(problem(*data(), estimator=Halves())).tolist() == [0.5, 0.5, 0.0]


def test_flow_attribution_is_summed_over_classes() -> None:
    table = compare(linear(), flow_of([[0.2, 0.4], [0.1, 0.1], [0.0, 0.0]]), *data(), methods=QUICK)
    np.testing.assert_allclose(
        table.loc["association", ["big", "small", "unused"]].astype(float), [0.75, 0.25, 0.0]
    )
