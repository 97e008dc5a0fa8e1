"""Every test, example of a docstring and import of a test file starts from the same random state, whatever
ran or was collected before it."""

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


def pytest_collectstart(collector: pytest.Collector) -> None:
    """What a file draws when it is imported does not depend on the files before it."""
    if isinstance(collector, pytest.Module):
        seed_all()


@pytest.fixture(autouse=True)
def same_random_state() -> None:
    seed_all()


def seed_all() -> None:
    import numpy as np  # here, as the process that hands out the tests needs no torch
    import torch

    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the one that libraries under test draw from
    torch.default_generator.manual_seed(0)  # `torch.manual_seed` also notes the stack, for devices to come
