"""Arguments that are not estimators; types are not checked at run time here."""

from __future__ import annotations

import numpy as np
import pytest

import nif


@pytest.mark.parametrize("estimator", ["binned", nif.Binned, 3], ids=repr)
def test_an_object_that_is_no_estimator_is_refused(estimator: object) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    for call in (
        lambda: nif.estimate(x[:, 0], x[:, 1], estimator=estimator),
        lambda: nif.pairwise(x, estimator=estimator),
    ):
        with pytest.raises(nif.InputError, match=r"expected one such as nif.Mine\(\)"):
            call()
