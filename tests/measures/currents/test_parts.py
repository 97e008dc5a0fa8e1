"""Formulas that are computed a part of the numbers at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nif.measures.currents import parts
from nif.measures.currents.parts import by_parts, rows_times


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


def test_products_of_parts_of_the_rows_are_the_product(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("WHOLE", 100), ("PART", 50), ("FEWEST_ROWS", 10)):
        monkeypatch.setattr(parts, name, value)
    rows, matrix = torch.randn(3, 97, 8), torch.randn(5, 8).T
    assert torch.allclose(rows_times(rows[0], matrix), rows[0] @ matrix, atol=1e-6)
    assert torch.allclose(
        torch.vmap(lambda of_one: rows_times(of_one, matrix))(rows), rows @ matrix, atol=1e-6
    )
