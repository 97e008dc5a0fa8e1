"""What most tests of estimators do not look at, made cheap."""

from __future__ import annotations

import pytest


@pytest.fixture
def few_shuffles(monkeypatch: pytest.MonkeyPatch) -> None:
    """The null of `Ksg` for numbers from 20,000 shuffled samples or `permutations`, which is 3 s less.

    What asks for it looks at values, or at errors of which the null is a small part.
    """
    monkeypatch.setattr("nif.estimators.ksg.SHUFFLED_SAMPLES", 20_000)
