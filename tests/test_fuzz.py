"""Files that were changed at random are refused in a sentence, or can be used by everything.

`make fuzz` runs a million.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from support.fuzz import Finding, run, seeds

CASES, SHARE = 1000, 25


@pytest.mark.slow
def test_changed_files_are_refused_or_can_be_used(tmp_path: Path) -> None:
    valid = seeds()
    outcomes = [run(case, valid, tmp_path, SHARE) for case in range(CASES)]
    assert [outcome for outcome in outcomes if isinstance(outcome, Finding)] == []
    assert min(Counter(outcomes)[known] for known in ("refused", "read", "used")) >= 5
