"""The discrete gradient of any operation: which rule holds for it, and the rules for whole kinds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nif.measures.currents.choices import CHOICES
from nif.measures.currents.ends import Ends, Slopes, add, as_number, move, summed_to
from nif.measures.currents.linear import TRANSPOSES
from nif.measures.currents.normalizations import NORMALIZATIONS
from nif.measures.currents.operation import Operation, values_among
from nif.measures.currents.parts import by_parts
from nif.measures.currents.products import PRODUCTS
from nif.measures.currents.selections import SELECTIONS
from nif.measures.currents.tape import Tape
from nif.network.operators import Rule, aten_operator

GAUSS_POINTS = 3
"""Points of the mean gradient of an operation without a closed form."""

FLAT = 1e-6
"""Step, relative to the values, below which a secant is replaced by the slope between its ends."""

CANCELLED = 8
"""Rounding errors of a function, in units of its last digit, that a slope between the ends may miss."""

NO_GRADIENT = ("not implemented", "not differentiable", "not support")
"""In the errors of autograd about an operation that has none."""

ONE_RESULT = {**TRANSPOSES, **PRODUCTS, **NORMALIZATIONS, **CHOICES}
"""Rules for operators of which only the first result is used."""


def discrete_gradient(ends: Ends, given: Sequence[Tensor | None], general: Counter[str]) -> Slopes:
    """Slopes at what an operation reads, from those at its results.

    Args:
        ends: The operation at both ends.
        given: One slope for each result; None where nothing leads on from it.
        general: Counts, by operator, the uses of the rule for operators without one of their own.

    Returns:
        For each moving source a slope of its shape. The inner products of slopes and steps are equal before
        and behind the operation.

    Example:
        >>> from nif.measures.currents.tape import record
        >>> run = lambda mark, x: [x.relu()]
        >>> tapes = [record(run, [torch.tensor([x])], {}) for x in (-1.0, 3.0)]
        >>> ends = Ends(*tapes, *(tape.operations[0] for tape in tapes))
        >>> discrete_gradient(ends, [torch.ones(1)], Counter())  # 3 of the 4 that it moves
        {0: tensor([0.7500])}
    """
    slopes = _by_rule(ends, given)
    if slopes is None:
        if rule_of(ends.operation) is Rule.GENERAL:
            general[ends.operation.kind] += 1
        slopes = _general(ends, given)
    return {index: _as_source(slope, ends.start.values[index]) for index, slope in slopes.items()}


def _as_source(slope: Tensor, source: Any) -> Tensor:
    """A slope of the type of its source; of numbers that are whole, of any."""
    if slope.is_complex() and not source.dtype.is_complex:
        slope = slope.real
    floats = source.dtype.is_floating_point or source.dtype.is_complex
    return slope.to(source.dtype) if floats else slope


def _by_rule(ends: Ends, given: Sequence[Tensor | None]) -> Slopes | None:
    """Slopes by the closed form of the operator, or by the rule of its row; None where neither holds."""
    operation, first = ends.operation, given[0]
    if not operation.like(ends.last):
        return None
    slopes, rule = None, rule_of(operation)
    only_first = first is not None and all(slope is None for slope in given[1:])
    if operation.kind in SELECTIONS:
        slopes = SELECTIONS[operation.kind](ends, given)
    elif only_first and first is not None:
        if operation.kind in ONE_RESULT:
            slopes = ONE_RESULT[operation.kind](ends, first)
        if slopes is None and rule is Rule.SECANT:
            slopes = _elementwise(ends, first)
    if slopes is None and (not ends.changed or set(ends.changed) <= _data(operation)):
        if rule is Rule.LINEAR:
            slopes = _gradient_at(ends, ends.start, given, {i: ends.start.tensor(i) for i in ends.sources})
        elif rule is Rule.POLYNOMIAL and not _in_pieces(ends):
            slopes = _mean_gradient(ends, given, {i: ends.values(i) for i in ends.sources})
    return slopes


def rule_of(operation: Operation) -> Rule:
    """The rule of an operation without a closed form of its own."""
    if operation.kind == "scatter_reduce" and operation.args[4] in ("sum", "mean"):
        return Rule.LINEAR
    dtype = operation.kwargs.get("dtype")
    rounded = operation.kind == "_to_copy" and dtype is not None and not _continuous(dtype)
    return Rule.SECANT if rounded else aten_operator(operation.kind).rule


def _in_pieces(ends: Ends) -> bool:
    """Whether an image is sampled at places that move, from one pixel to another."""
    places = [value.index for value in values_among(ends.operation.args[1:2])]
    return ends.operation.kind.startswith("grid_sampler") and not set(places).isdisjoint(ends.sources)


def _continuous(dtype: torch.dtype) -> bool:
    return dtype.is_floating_point or dtype.is_complex


def _data(operation: Operation) -> set[int]:
    """Numbers of the first argument: whole numbers among the others are masks and indices."""
    return {value.index for value in values_among(operation.args[:1])}


def _elementwise(ends: Ends, slope: Tensor) -> Slopes:
    """The secant; of several sources the mean gradient, with the rest shared number by number."""
    gradients = ends.once("elementwise", lambda: _gradients(ends))
    return {i: summed_to(slope * g, ends.start.shape(i)) for i, g in gradients.items()}


def factor_of(ends: Ends) -> Tensor | None:
    """What an elementwise operation of one source multiplies slopes by; None of any other."""
    kind = ends.operation.kind
    if rule_of(ends.operation) is not Rule.SECANT or kind in ONE_RESULT or kind in SELECTIONS:
        return None
    alone = len(ends.sources) == len(ends.operation.written) == 1 and ends.operation.like(ends.last)
    if not alone or ends.start.shape(ends.sources[0]) != ends.results()[0].shape:
        return None
    return ends.once("elementwise", lambda: _gradients(ends))[ends.sources[0]]


def _gradients(ends: Ends) -> Slopes:
    """The slopes of an elementwise operation by its sources, of its own shape."""
    if ends.operation.kind == "relu":
        return {index: by_parts(_share_above, *ends.values(index)) for index in ends.sources}
    shape = ends.results()[0].shape
    wide = {i: [as_number(value).expand(shape) for value in ends.values(i)] for i in ends.sources}
    if len(wide) == 1:
        return {index: _secant(ends, index, *values) for index, values in wide.items()}
    change = move(*ends.results())
    gradients = _mean_gradient(ends, _ones(ends, change), wide)
    steps = {index: move(*values) for index, values in wide.items()}
    rest = change - sum(inner(gradients[index], step) for index, step in steps.items())
    rest = torch.where(rest.abs() > _digits(ends, change), rest, torch.zeros_like(rest))
    return _with_rest(gradients, steps, rest, lambda values: values)


def _ones(ends: Ends, change: Tensor) -> list[Tensor | None]:
    return [torch.ones_like(change), *[None] * (len(ends.operation.written) - 1)]


def _share_above(out: Tensor, before: Tensor, after: Tensor) -> None:
    """The secant of a ReLU, which is the share of the step above 0: no digits cancel."""
    length = (after - before).abs_()
    torch.maximum(before, after, out=out).div_(length).clamp_(0.0, 1.0).nan_to_num_(0.0)


def _secant(ends: Ends, source: int, before: Tensor, after: Tensor) -> Tensor:
    values = *map(as_number, ends.results()), before, after
    secant = by_parts(_quotient, *values)
    if not bool(secant.sum().isnan()):
        return secant
    alone = set(ends.operation.read) == {source}  # then the others need no gradient
    places = secant.isnan() if alone else torch.ones_like(secant, dtype=torch.bool)
    first, last, before, after = (of_one[places] for of_one in values)
    step, change = move(before, after), move(first, last)
    halfway = torch.where(before == after, before, (before + after) / 2).reshape(
        -1 if alone else secant.shape
    )
    ones = _ones(ends, change.reshape(halfway.shape))
    gradient = _gradient_at(ends, ends.start, ones, {source: halfway})[source].nan_to_num().flatten()
    digits = _digits_of(first.abs() + last.abs()) + _digits_of(gradient.abs() * (before.abs() + after.abs()))
    near = _is_flat(step, before, after) & ~((change - _product(gradient, step)).abs() > digits)  # no jump
    still = step == 0
    quotient = (change / torch.where(still, torch.ones_like(step), step)).conj()
    return secant.masked_scatter(places, torch.where(near | still, gradient, quotient))


def _quotient(out: Tensor, first: Tensor, last: Tensor, before: Tensor, after: Tensor) -> None:
    """The change of a result over the step of a source; not a number where the step is too short."""
    step = after - before
    torch.sub(last, first, out=out).div_(step).masked_fill_(_is_flat(step, before, after), math.nan)
    if out.is_complex():
        out.conj_physical_()


def _is_flat(step: Tensor, before: Tensor, after: Tensor) -> Tensor:
    return step.abs() <= FLAT * torch.maximum(before.abs(), after.abs())


def _digits(ends: Ends, change: Tensor) -> Tensor:
    """What rounding may have done to the change of the first result."""
    results = map(as_number, ends.results())
    return _digits_of(sum((result.abs() for result in results), torch.zeros((), device=change.device)))


def _digits_of(size: Tensor) -> Tensor:
    return CANCELLED * torch.finfo(size.dtype).eps * size


def _product(gradient: Tensor, step: Tensor) -> Tensor:
    return gradient.conj() * step if gradient.is_complex() else gradient * step


def inner(slope: Tensor, step: Tensor) -> Tensor:
    """Products of slopes and steps; of complex numbers, of their real and their imaginary parts."""
    product = _product(slope, step)
    return product.real if product.is_complex() else product


def _general(ends: Ends, given: Sequence[Tensor | None]) -> Slopes:
    """The mean gradient along the straight line, and the rest of the change of each row.

    Where masks or indices differ between the ends, half of the gradient is that of the operation at the
    start, half that at the end, and the rest is what their change does: it is theirs. Otherwise it is shared
    among what moves in proportion to ``|g . step|``, so that what is not used gets nothing.
    """
    values = {i: tuple(map(as_number, ends.values(i))) for i in ends.sources}
    steps = {i: move(*between) for i, between in values.items()}
    gradients = {i: torch.zeros_like(step) for i, step in steps.items()}
    gradients |= _mean_gradient(ends, given, {i: values[i] for i in values if i in ends.start.moving})
    results = zip(given, ends.operation.written, strict=True)
    changes = [(slope, ends.moved(i)) for slope, i in results if slope is not None and i is not None]
    rows = len(changes[0][1]) if changes[0][1].dim() else 1
    if any(step.dim() == 0 or len(step) != rows for step in [*steps.values(), *(c for _, c in changes)]):
        rows = 1  # rows that are not the leading axis share the rest among them

    def by_row(values: Tensor) -> Tensor:
        return values.reshape(rows, -1).sum(1)

    rest = sum((by_row(inner(slope, change)) for slope, change in changes), torch.zeros(()))
    rest = rest - sum(by_row(inner(gradients[i], step)) for i, step in steps.items())
    choices = {i: steps[i] for i in ends.changed}
    still = sum((by_row(step.abs()) for step in (choices or steps).values()), torch.zeros(())) == 0
    size = max(float(by_row(inner(slope, change).abs()).max()) for slope, change in changes)
    if rows > 1 and bool((still & (rest.abs() > _digits_of(rest.new_tensor(size)))).any()):
        rows, rest = 1, rest.sum().reshape(1)  # what moved one row was in another, as of an index
    if choices:
        spread = _along({i: torch.zeros_like(step) for i, step in choices.items()}, choices, rest, by_row)
        gradients |= spread
        rest = rest - sum(by_row(spread[i] * step) for i, step in choices.items())
    return _with_rest(gradients, steps, rest, by_row)


def _with_rest(gradients: Slopes, steps: Slopes, rest: Tensor, by_row: Callable[[Tensor], Tensor]) -> Slopes:
    """Gradients whose products with the steps also carry the rest, in proportion to their own.

    Only where all of these are 0 though the result moves, as that of a step function, it is shared in
    proportion to the squares of the steps (Gonzalez, 1996).
    """
    size = sum((by_row((gradients[i] * step).abs()) for i, step in steps.items()), torch.zeros(()))
    share = torch.where(size > 0, rest / torch.where(size > 0, size, torch.ones_like(size)), 0.0)
    corrected = {
        i: gradients[i] + gradients[i].abs() * step.sgn() * _spread(share, step) for i, step in steps.items()
    }
    still = (size == 0) & (rest != 0)
    return _along(corrected, steps, torch.where(still, rest, 0.0), by_row) if still.any() else corrected


def _along(gradients: Slopes, steps: Slopes, rest: Tensor, by_row: Callable[[Tensor], Tensor]) -> Slopes:
    """Gradients and a part along the steps that carries the rest."""
    largest = max(float(step.abs().max()) if step.numel() else 0.0 for step in steps.values()) or 1.0
    length = sum((by_row((step / largest).abs().square()) for step in steps.values()), torch.zeros(()))
    share = torch.where(length > 0, rest / torch.where(length > 0, length, torch.ones_like(length)), 0.0)
    return {i: gradients[i] + _spread(share, step) * (step / largest) / largest for i, step in steps.items()}


def _spread(by_row: Tensor, like: Tensor) -> Tensor:
    """A number for each row, in a form that multiplies a tensor of rows."""
    if by_row.shape == like.shape:
        return by_row
    return by_row.reshape(-1, *[1] * (like.dim() - 1)) if like.dim() else by_row.reshape(())


def _mean_gradient(
    ends: Ends, given: Sequence[Tensor | None], values: Mapping[int, Sequence[Tensor]]
) -> Slopes:
    """The mean over Gauss points between the ends, every source in a straight line."""
    slopes: Slopes = {}
    points, weights = np.polynomial.legendre.leggauss(GAUSS_POINTS)
    fixed = ends.operation.like(ends.last) and not ends.changed
    tapes = [ends.start] if fixed else [ends.start, ends.end]
    for tape in tapes:
        for point, weight in zip((points + 1) / 2, weights / 2 / len(tapes), strict=True):
            at = {i: before + float(point) * move(before, after) for i, (before, after) in values.items()}
            for index, gradient in _gradient_at(ends, tape, given, at).items():
                add(slopes, index, float(weight) * gradient.nan_to_num())
    return slopes


def _gradient_at(ends: Ends, tape: Tape, given: Sequence[Tensor | None], at: Slopes) -> Slopes:
    """The gradient by autograd, with the choices (masks, indices) of one of the two ends."""
    operation = _of_floats(ends.operation if tape is ends.start else ends.last)
    leaves = {index: as_number(value).detach().requires_grad_() for index, value in at.items()}
    zeros = {index: torch.zeros_like(value) for index, value in leaves.items()}
    try:
        with torch.enable_grad():
            results = operation.again(lambda i: leaves[i] if i in leaves else tape.tensor(i))
        pairs = zip(results, given, strict=True)
        live = [(result, slope) for result, slope in pairs if slope is not None and result.requires_grad]
        if not live:
            return zeros
        with torch.enable_grad():  # of a sum: torch loads sympy, in over a second, to check given slopes
            sums = [(result * _as_source(slope, result).conj()).real.sum() for result, slope in live]
        gradients = torch.autograd.grad(sums, list(leaves.values()), allow_unused=True)
    except RuntimeError as error:
        if not any(reason in str(error) for reason in NO_GRADIENT):
            raise
        return zeros  # a step function, or one of whole numbers
    by_leaf = zip(leaves, gradients, strict=True)
    return {i: zeros[i] if gradient is None else gradient for i, gradient in by_leaf}


def _of_floats(operation: Operation) -> Operation:
    """A sum of whole numbers as one of floating-point numbers, which has a gradient."""
    dtype = operation.kwargs.get("dtype")
    if dtype is None or operation.kind == "_to_copy" or _continuous(dtype):
        return operation
    return replace(operation, kwargs={**operation.kwargs, "dtype": None})


def values_read_by_rules(tape: Tape) -> set[int]:
    """The values that some rule reads; linear operations read none, products the factors."""
    reached = tape.moving | tape.dependent
    if any(o.kind == "_local_scalar_dense" and not reached.isdisjoint(o.read) for o in tape.operations):
        return set(range(len(tape.values)))  # numbers of the data may be arguments: any rule may be needed
    kept = {index for index in range(len(tape.values)) if index not in tape.moving} | set(tape.inputs)
    for operation in tape.operations:
        if reached.isdisjoint(operation.read) or _reads_nothing(tape, operation):
            continue
        kept.update(operation.read)
        if operation.kind not in _RESULTS_UNREAD or _general_may_hold(tape, operation):
            kept.update(index for index in operation.written if index is not None)
        elif "norm" in operation.kind:
            kept.update(index for index in operation.written[1:] if index is not None)  # the moments
    return kept | set(tape.outputs)


READ_NOTHING = frozenset([*TRANSPOSES, "as_strided", "as_strided_scatter"])
"""Operators whose closed form reads no values."""

_RESULTS_UNREAD = frozenset(
    ["addmm", "baddbmm", "bmm", "convolution", "div", "masked_fill", "maximum", "minimum", "mm", "mul"]
).union(["native_group_norm", "native_layer_norm", "where"])


def _reads_nothing(tape: Tape, operation: Operation) -> bool:
    own = operation.kind in ONE_RESULT or operation.kind in SELECTIONS
    if operation.kind in READ_NOTHING or (rule_of(operation) is Rule.LINEAR and not own):
        return tape.dependent.isdisjoint(set(operation.read) - _data(operation))
    given_statistics = operation.kind == "native_batch_norm" and not operation.args[5]
    given_statistics |= operation.kind == "_native_batch_norm_legit_no_training"
    return given_statistics and not _general_may_hold(tape, operation)


def _general_may_hold(tape: Tape, operation: Operation) -> bool:
    """Whether a closed form does not cover the call: a division that rounds, a norm whose weight moves."""
    rounds = operation.kwargs.get("rounding_mode") is not None
    return rounds or ("norm" in operation.kind and len(tape.moving & set(operation.read)) > 1)
