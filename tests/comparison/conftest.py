"""What the tests of this directory share."""

from __future__ import annotations

import pytest


@pytest.fixture
def few_rows_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer than elsewhere, as most of these tests explain rows more than once."""
    monkeypatch.setattr("nif.comparison.libraries.ROWS_EXPLAINED", 5)
