"""Comparisons, masks and the larger of two numbers: a choice is a number of 0 or 1, which jumps.

A jump belongs to the difference whose sign changed; what it does to the result is that of a factor. So a
``relu`` written as ``x * (x > 0)``, as ``where`` or as ``masked_fill`` has the slopes of ``relu``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nif.measures.currents.ends import Ends, Slopes, add, as_number, move, summed_to


def compare(ends: Ends, slope: Tensor) -> Slopes:
    """``a > b`` and others: a secant of the difference, so a constant added to both changes nothing."""
    first, second = ends.operation.args[:2]
    change = move(*ends.results())
    (first0, first1), (second0, second1) = (
        tuple(map(as_number, ends.both(side))) for side in (first, second)
    )
    secant = slope * _quotient(change, (first1 - second1) - (first0 - second0))
    slopes: Slopes = {}
    for side, sign in ((first, 1), (second, -1)):
        if ends.moves(side):
            add(slopes, side.index, summed_to(sign * secant, ends.start.shape(side.index)))
    return slopes


def _quotient(change: Tensor, step: Tensor) -> Tensor:
    """Their quotient; 0 where nothing changes."""
    still = (change == 0) | (step == 0)
    return torch.where(
        still, torch.zeros_like(change), change / torch.where(still, torch.ones_like(step), step)
    )


def _chosen(ends: Ends, slope: Tensor, mask: Any, yes: Any, no: Any) -> Slopes:
    """``mask * yes + (1 - mask) * no``."""
    share = ends.middle(mask).to(slope.real.dtype)
    slopes: Slopes = {}
    for side, part in ((yes, share), (no, 1 - share)):
        if ends.moves(side):
            add(slopes, side.index, summed_to(slope * part, ends.start.shape(side.index)))
    if ends.moves(mask):
        difference = ends.middle(yes) - ends.middle(no)
        jump = ends.moved(mask.index) != 0
        effect = torch.where(jump, (slope.conj() * difference).real, torch.zeros_like(slope.real))
        add(slopes, mask.index, summed_to(effect, ends.start.shape(mask.index)))
    return slopes


def where(ends: Ends, slope: Tensor) -> Slopes | None:
    """``where(mask, a, b)``."""
    args = ends.operation.args
    return _chosen(ends, slope, *args[:3]) if len(args) == 3 else None


def masked_fill(ends: Ends, slope: Tensor) -> Slopes:
    """``masked_fill(values, mask, filling)``."""
    values, mask, filling = ends.operation.args[:3]
    return _chosen(ends, slope, mask, filling, values)


def larger(ends: Ends, slope: Tensor) -> Slopes:
    """``maximum`` and ``minimum``: half their sum and half their distance, whose secant is exact."""
    first, second = ends.operation.args[:2]
    sign = 1 if ends.operation.kind in ("maximum", "fmax") else -1
    (first0, first1), (second0, second1) = ends.both(first), ends.both(second)
    before, after = first0 - second0, first1 - second1
    half = sign * _tilt(before, after)
    slopes: Slopes = {}
    for side, share in ((first, 0.5 + half), (second, 0.5 - half)):
        if ends.moves(side):
            add(slopes, side.index, summed_to(slope * share, ends.start.shape(side.index)))
    return slopes


def _tilt(before: Tensor, after: Tensor) -> Tensor:
    """Half the secant of the absolute value, between -1/2 and 1/2."""
    step = after - before
    same = before.sign() * after.sign() > 0
    flat = same | (step == 0)
    return torch.where(
        flat,
        (before + after).sign() / 2,
        (after.abs() - before.abs()) / torch.where(flat, torch.ones_like(step), step) / 2,
    )


CHOICES: dict[str, Callable[[Ends, Tensor], Slopes | None]] = {
    **dict.fromkeys(("gt", "ge", "lt", "le", "eq", "ne"), compare),
    **dict.fromkeys(("maximum", "minimum", "fmax", "fmin"), larger),
    "where": where,
    "masked_fill": masked_fill,
}
