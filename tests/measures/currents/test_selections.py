"""Maxima of windows: what each number has of the slope at its window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nif.measures.currents.discrete_gradient import discrete_gradient
from nif.measures.currents.ends import Ends
from nif.measures.currents.tape import record


def ends_of(run: Callable[[Tensor], Tensor], *values: Tensor) -> Ends:
    tapes = [record(lambda mark, x: [run(x)], [x], {}) for x in values]
    place = next(n for n, o in enumerate(tapes[0].operations) if o.kind.startswith("max_pool"))
    return Ends(*tapes, *(tape.operations[place] for tape in tapes))


CASES = {
    "2d": (functional.max_pool2d, (5, 2, 8, 12), {"kernel_size": 2}),
    "2d, oblong": (functional.max_pool2d, (5, 2, 8, 12), {"kernel_size": (1, 4)}),
    "3d": (functional.max_pool3d, (3, 2, 4, 6, 6), {"kernel_size": (2, 2, 3)}),
    "1d": (functional.max_pool1d, (5, 2, 12), {"kernel_size": 3}),
    "overlapping": (functional.max_pool2d, (5, 2, 8, 12), {"kernel_size": 3, "stride": 2}),
    "padded": (functional.max_pool2d, (5, 2, 8, 12), {"kernel_size": 2, "padding": 1}),
    "a rest": (functional.max_pool2d, (5, 2, 9, 13), {"kernel_size": 2}),
}


@pytest.mark.parametrize("step", [0.02, 1.0])
@pytest.mark.parametrize("name", CASES)
def test_windows_apart_share_as_any_windows_do(
    name: str, step: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, shape, options = CASES[name]
    generator = torch.Generator().manual_seed(0)
    before, other = torch.randn(2, *shape, dtype=torch.float64, generator=generator)
    after = before + step * (other - before)

    def run(x: Tensor) -> Tensor:
        result: Tensor = pool(x, **options)
        return result

    slope = torch.randn(run(before).shape, dtype=torch.float64, generator=generator)

    def gradient() -> tuple[Ends, Tensor]:
        ends = ends_of(run, before, after)
        given: list[Any] = [slope.reshape(ends.results()[0].shape), None]
        (result,) = discrete_gradient(ends, given, Counter()).values()
        return ends, result.reshape(shape)

    ends, fast = gradient()
    assert ("shares" in ends.kept) == (name in ("2d", "2d, oblong", "3d", "1d"))
    moved = (slope * (run(after) - run(before))).sum()
    torch.testing.assert_close((fast * (after - before)).sum(), moved, rtol=0, atol=1e-10)
    monkeypatch.setattr("nif.measures.currents.selections._windows", lambda ends, axes: None)
    torch.testing.assert_close(fast, gradient()[1], rtol=0, atol=1e-12)
