"""Every test and example of a docstring starts from the same random state, whatever ran before it."""

from __future__ import annotations

import gc
import random
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected stays: garbage is looked for after it, without it, and less often."""
    gc.disable()
    result = yield
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()
    return result


@pytest.fixture(autouse=True)
def same_random_state() -> None:
    import numpy as np  # here, as the process that hands out the tests needs no torch
    import torch

    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the one that libraries under test draw from
    torch.default_generator.manual_seed(0)  # `torch.manual_seed` also notes the stack, for devices to come
