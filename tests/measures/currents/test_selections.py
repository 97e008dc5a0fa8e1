"""Maxima of windows: what each number has of the slope at its window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

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


def channels_last(x: Tensor, **options: int) -> Tensor:
    """Of images as they lie in memory where a network is converted for it."""
    return functional.max_pool2d(x.contiguous(memory_format=torch.channels_last), **options)


CASES = {
    "2d": (functional.max_pool2d, (5, 2, 8, 12), {"kernel_size": 2}),
    "2d, oblong": (functional.max_pool2d, (5, 2, 8, 12), {"kernel_size": (1, 4)}),
    "3d": (functional.max_pool3d, (3, 2, 4, 6, 6), {"kernel_size": (2, 2, 3)}),
    "1d": (functional.max_pool1d, (5, 2, 12), {"kernel_size": 3}),
    "overlapping": (functional.max_pool2d, (5, 2, 8, 12), {"kernel_size": 3, "stride": 2}),
    "padded": (functional.max_pool2d, (5, 2, 8, 12), {"kernel_size": 2, "padding": 1}),
    "channels last": (channels_last, (5, 3, 8, 12), {"kernel_size": 2}),
    "a rest": (functional.max_pool2d, (5, 2, 9, 13), {"kernel_size": 2}),
}


@pytest.mark.parametrize("step", [0.02, 1.0])
@pytest.mark.parametrize("name", CASES)
def test_a_window_whose_pick_changes_shares_by_what_each_was_larger_by(name: str, step: float) -> None:
    pool, shape, options = CASES[name]
    generator = torch.Generator().manual_seed(0)
    before, other = torch.randn(2, *shape, dtype=torch.float64, generator=generator)
    after = before + step * (other - before)

    def run(x: Tensor) -> Tensor:
        result: Tensor = pool(x, **options)
        return result

    ends = ends_of(run, before, after)
    slope = torch.randn(ends.results()[0].shape, dtype=torch.float64, generator=generator)
    (result,) = discrete_gradient(ends, [slope, None], Counter()).values()
    planes = [x.reshape(result.shape).flatten(0, 1).flatten(1) for x in (before, after)]
    picks = [index.flatten(0, 1).flatten(1) for index in ends.results(1)]
    expected = torch.zeros_like(planes[0])
    for plane, slopes in enumerate(slope.flatten(0, 1).flatten(1)):
        for window, at_window in enumerate(slopes):
            i, j = (int(index[plane, window]) for index in picks)
            apart = [float(x[plane, j] - x[plane, i]) for x in planes]
            ratio = 0.0 if i == j else (apart[0] + apart[1]) / 2 / (apart[1] - apart[0])
            expected[plane, i] += at_window * (0.5 - ratio)
            expected[plane, j] += at_window * (0.5 + ratio)
    torch.testing.assert_close(result, expected.reshape(result.shape), rtol=0, atol=1e-12)
    moved = (slope.flatten() * (run(after) - run(before)).flatten()).sum()
    torch.testing.assert_close(
        (result.flatten() * (after - before).flatten()).sum(), moved, rtol=0, atol=1e-10
    )
