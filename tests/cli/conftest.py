"""What tests of the demo do not look at, made cheap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest


@pytest.fixture(scope="module")
def short_published() -> Iterator[None]:
    """The critics of the published method take 10 steps: no test looks at the digits that they lead to."""
    import nif
    from nif.cli.experiment import run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "PUBLISHED", replace(run.PUBLISHED, estimator=nif.SharedMine(steps=10)))
        yield
