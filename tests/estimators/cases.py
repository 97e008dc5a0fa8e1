"""Truths for each estimator, with the number of samples and the tolerance."""

from __future__ import annotations

from nif.estimators.truths import (
    DISCRETE_AND_MIXED,
    RELU_PAIRS,
    Truth,
    correlated_normal,
    normal_with,
    student,
    uniform_with_noise,
)

NORMAL, WIDE, STUDENT = correlated_normal(0.75), uniform_with_noise(0.75), student(1)
ANY_SHAPE: tuple[Truth, ...] = (NORMAL, WIDE, STUDENT, *RELU_PAIRS, *DISCRETE_AND_MIXED)

CASES: dict[str, tuple[tuple[Truth, ...], int, float]] = {
    "mine": (ANY_SHAPE, 4_000, 0.05),
    "binned": ((*ANY_SHAPE, normal_with(2.0)), 4_000, 0.03),
    "gaussian_copula": ((NORMAL,), 4_000, 0.04),
    "ksg": (ANY_SHAPE, 4_000, 0.06),
    "info_nce": ((NORMAL,), 2_000, 0.09),
    "smile": ((NORMAL,), 2_000, 0.09),
    "nwj": ((NORMAL,), 2_000, 0.12),
}
"""Estimator: truths, samples, largest error in nats."""
