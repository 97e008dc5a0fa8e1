"""Shapes of constant density against a count of cells."""

from __future__ import annotations

import numpy as np
import pytest

from nif.estimators.shapes import SHAPES
from nif.estimators.truths import Truth


@pytest.mark.parametrize("truth", SHAPES, ids=lambda truth: truth.name)
def test_information_of_fine_cells(truth: Truth) -> None:
    """Cells along the edge are lost: the plug-in value is a little lower, and less so with smaller cells."""
    x, y = truth.sample(1_000_000, seed=0)
    off = []
    for cells in (40, 80):
        joint = np.histogram2d(x, y, bins=cells)[0] / len(x)
        product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
        filled = joint > 0
        off.append(truth.nats - (joint[filled] * np.log(joint[filled] / product[filled])).sum())
    assert 0 < off[1] < off[0]
    assert 2 * off[1] - off[0] == pytest.approx(0, abs=0.01)
