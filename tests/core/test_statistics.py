"""Adjusted p-values: those of SciPy, bit for bit."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from nif.core.statistics import benjamini_hochberg


@pytest.mark.parametrize("tests", [0, 1, 2, 7, 1000])
def test_adjusted_p_values_are_those_of_scipy(tests: int) -> None:
    generator = np.random.default_rng(tests)
    for p_values in (generator.random(tests), generator.random(tests).round(1), generator.random(tests) ** 9):
        before = p_values.copy()
        assert benjamini_hochberg(p_values).tobytes() == false_discovery_control(p_values).tobytes()
        assert p_values.tobytes() == before.tobytes()
