"""Every test and example of a docstring starts from the same random state, whatever ran before it."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def same_random_state() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the one that libraries under test draw from
    torch.manual_seed(0)
