"""Formulas that are computed a part of the numbers at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nif.measures.currents import parts
from nif.measures.currents.parts import by_parts


def tilted(out: Tensor, first: Tensor, last: Tensor) -> None:
    torch.sub(last, first, out=out).div_((first.abs() + last.abs()).sqrt_())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64])
def test_parts_have_the_bits_of_the_whole(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    first, last = torch.randn(2, 7, 13, dtype=dtype)
    whole = by_parts(tilted, first, last)
    asked: list[int] = []

    def noted(out: Tensor, *given: Tensor) -> None:
        asked.append(out.numel())
        tilted(out, *given)

    monkeypatch.setattr(parts, "WHOLE", 20)
    monkeypatch.setattr(parts, "PART", 10)
    assert torch.equal(by_parts(noted, first, last), whole)
    assert asked == [10] * 9 + [1]
    assert torch.equal(by_parts(tilted, first.T, last.T), whole.T)


def test_the_result_is_of_the_wider_type() -> None:
    first, last = torch.randn(5), torch.randn(5, dtype=torch.float64)
    assert by_parts(tilted, first, last).dtype == torch.float64
