"""What stands in the place of an estimator and is none; types are not checked at run time here."""

from __future__ import annotations

import numpy as np
import pytest

import nif


@pytest.mark.parametrize("given", ["binned", nif.Binned, 3], ids=repr)
def test_what_is_no_estimator_is_refused(given: object) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    for ask in (
        lambda: nif.estimate(x[:, 0], x[:, 1], estimator=given),
        lambda: nif.pairwise(x, estimator=given),
    ):
        with pytest.raises(nif.InputError, match=r"expected one such as nif.Mine\(\)"):
            ask()
