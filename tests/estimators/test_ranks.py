"""The bias of ranks, against the known information of normal pairs."""

from __future__ import annotations

import numpy as np
import pytest

import nif
from nif.estimators.ranks import normal_scores, rank_bias


def of_normal_pairs(rho: float, rows: int, repeats: int) -> nif.estimators.estimate.Estimate:
    drawn = np.random.default_rng(0).normal(size=(2, repeats, rows, 1))
    return nif.GaussianCopula().estimate(drawn[0], rho * drawn[0] + np.sqrt(1 - rho**2) * drawn[1])


@pytest.mark.parametrize("rows", [60, 500])
@pytest.mark.parametrize("rho", [0.5, 0.9, 0.97, 0.99])
def test_the_bias_of_ranks_is_corrected(rho: float, rows: int) -> None:
    estimate = of_normal_pairs(rho, rows, repeats=400)
    off, deviation = estimate.nats.mean() + 0.5 * np.log1p(-(rho**2)), estimate.nats.std()
    assert abs(off) < 0.2 * deviation  # three standard errors of the mean, and the fit
    assert np.mean(estimate.stderr) == pytest.approx(deviation, rel=0.25)
    if rho >= 0.97:
        assert off - rank_bias(np.array(rho), rows) < -0.35 * deviation


def test_no_bias_with_complete_ties_or_perfect_correlation() -> None:
    assert not rank_bias(np.array([0.0, 0.9]), 500, untied=np.array([1.0, 0.0])).any()
    assert np.isfinite(rank_bias(np.array([1 - 1e-12, -1 + 1e-12]), 50)).all()
    coins = np.random.default_rng(0).integers(0, 2, (1, 100, 1)).astype(float)
    assert nif.GaussianCopula().estimate(coins, coins).nats[0] == pytest.approx(np.log(2), abs=0.01)


def test_all_pairs_and_single_pairs_agree_with_ties_and_without() -> None:
    smooth = np.random.default_rng(0).normal(size=(300, 1)) + np.random.default_rng(1).normal(size=(300, 4))
    columns = np.concatenate([smooth, np.maximum(smooth, 0), smooth.round()], axis=1)
    together = nif.GaussianCopula().pairwise(columns, columns)
    a, b = np.triu_indices(columns.shape[1], k=1)
    apart = nif.GaussianCopula().estimate(columns.T[a][:, :, None], columns.T[b][:, :, None])
    np.testing.assert_allclose(together.nats[a, b], apart.nats, atol=1e-9)
    np.testing.assert_allclose(together.stderr[a, b], apart.stderr, atol=1e-9)


def test_equal_values_have_their_mean_rank() -> None:
    scores = normal_scores(np.array([[2.0], [0.0], [0.0], [5.0]]))
    assert scores[1] == scores[2] < scores[0] < scores[3]
