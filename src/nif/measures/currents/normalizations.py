"""Softmax, log-sum-exp and norms: closed forms of their discrete gradients.

They are exact, and a constant that is added to all inputs of a softmax changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nif.measures.currents.ends import Ends, Slopes, add, move, summed_to

SMALL = 1e-2
"""Difference of logarithms below which a series replaces the quotient."""

PART = 2**16
"""Numbers of which a formula of many steps is computed at a time; they fit a cache."""


def logarithmic_mean(start: Tensor, end: Tensor, log_step: Tensor) -> Tensor:
    """``(end - start) / (log end - log start)``.

    Example:
        >>> p, q = torch.tensor([1.0]), torch.tensor([2.0])
        >>> logarithmic_mean(p, q, (q / p).log())
        tensor([1.4427])
    """
    result = torch.empty_like(log_step, memory_format=torch.contiguous_format)
    parts = zip(*(values.reshape(-1).split(PART) for values in (result, start, end, log_step)), strict=True)
    for of_result, *part in parts:
        of_result.copy_(_logarithmic_mean(*part))
    return result


def _logarithmic_mean(start: Tensor, end: Tensor, log_step: Tensor) -> Tensor:
    small, quotient = ~(log_step.abs() > SMALL), (end - start).div_(log_step)
    correction = log_step.square().mul_(-1 / 12).add_(1).nan_to_num_(1.0)
    return torch.where(small, (start + end).div_(2).mul_(correction), quotient)


def _kept_axes(slope: Tensor, axes: Sequence[int], dims: int, keep: bool) -> Tensor:
    """The slope of a reduced value, with the axes that the reduction removed."""
    if not keep:
        for axis in sorted(axis % dims for axis in axes):
            slope = slope.unsqueeze(axis)
    return slope


def _axes(given: Sequence[int] | int | None, dims: int) -> list[int]:
    if isinstance(given, int):
        return [given]
    return list(given) if given else list(range(dims))


def log_softmax(ends: Ends, slope: Tensor) -> Slopes:
    r""":math:`g - \sum g \, L / \sum L`, with L the logarithmic means of the probabilities."""
    axis = ends.operation.args[1]

    def shares() -> Tensor:
        log0, log1 = ends.results()
        means = logarithmic_mean(log0.exp(), log1.exp(), log1 - log0)
        return means / means.sum(axis, True)

    source = ends.operation.args[0].index
    return {source: slope - ends.once("shares", shares) * slope.sum(axis, True)}


def softmax(ends: Ends, slope: Tensor) -> Slopes:
    r""":math:`g L - L \sum g L / \sum L`."""
    source, axis = ends.operation.args[:2]

    def logarithmic_means() -> tuple[Tensor, Tensor]:
        (before, after), (p0, p1) = ends.both(source), ends.results()
        means = logarithmic_mean(p0, p1, after.log_softmax(axis) - before.log_softmax(axis))
        return means, means.sum(axis, True).clamp_min(torch.finfo(means.dtype).tiny)

    means, total = ends.once("means", logarithmic_means)
    weighted = slope * means
    return {source.index: weighted - means * (weighted.sum(axis, True) / total)}


def logsumexp(ends: Ends, slope: Tensor) -> Slopes:
    r""":math:`g L / \sum L`."""
    source, axes = ends.operation.args[0], ends.operation.args[1]

    def shares() -> Tensor:
        before, after = ends.both(source)
        log0, log1 = before - before.logsumexp(axes, True), after - after.logsumexp(axes, True)
        means = logarithmic_mean(log0.exp(), log1.exp(), log1 - log0)
        return means / means.sum(axes, True)

    dims = len(ends.start.shape(source.index))
    slope = _kept_axes(slope, axes, dims, bool(ends.operation.argument(2, False)))
    return {source.index: ends.once("shares", shares) * slope}


def _normalized(
    ends: Ends, before: Tensor, after: Tensor, slope: Tensor, axes: Sequence[int], eps: float
) -> Tensor:
    """``(x - mean) / sqrt(var + eps)``: the product rule, and the exact step of the inverse root."""
    axes = list(axes)

    def factors() -> tuple[Tensor, Tensor, Tensor]:
        centred = [values - values.mean(axes, True) for values in (before, after)]
        first, last = (values.square().mean(axes, True).add(eps).rsqrt() for values in centred)
        return centred[0] + centred[1], (first + last) / 2, -((first * last) ** 2) / (first + last) / 2

    both, inverse, root = ends.once("norm", factors)
    moved = slope * inverse + both * (root * (slope * both).mean(axes, True))
    return moved - moved.mean(axes, True)


def _only_values_move(ends: Ends) -> bool:
    """Whether the weight, the bias and given statistics are constant."""
    return not any(ends.moves(argument) for argument in ends.operation.args[1:5])


def layer_norm(ends: Ends, slope: Tensor) -> Slopes | None:
    """The numbers of the last axes, less their mean, over their deviation."""
    if not _only_values_move(ends):
        return None
    source, shape, weight, _, eps = ends.operation.args[:5]
    if weight is not None:
        slope = slope * ends.start.value(weight)
    axes = tuple(range(-len(shape), 0))
    return {source.index: _normalized(ends, *ends.both(source), slope, axes, eps)}


def group_norm(ends: Ends, slope: Tensor) -> Slopes | None:
    """The numbers of a group of channels, less their mean, over their deviation."""
    if not _only_values_move(ends):
        return None
    source, weight, _, count, channels, _, groups, eps = ends.operation.args[:8]
    if weight is not None:
        slope = slope * ends.start.value(weight).reshape(1, channels, *[1] * (slope.dim() - 2))
    before, after = ends.both(source)
    cut0, cut1, cut_slope = (values.reshape(count, groups, -1) for values in (before, after, slope))
    return {source.index: _normalized(ends, cut0, cut1, cut_slope, (-1,), eps).reshape(before.shape)}


def batch_norm(ends: Ends, slope: Tensor) -> Slopes | None:
    """A scale for each channel; with statistics of the batch itself, as in an instance norm, a norm."""
    if not _only_values_move(ends):
        return None
    fixed = ends.operation.kind == "_native_batch_norm_legit_no_training"
    source, weight, _, _, variance = ends.operation.args[:5]
    shape = (1, -1) + (1,) * (slope.dim() - 2)
    if weight is not None:
        slope = slope * ends.start.value(weight).reshape(shape)
    if not fixed and ends.operation.args[5]:
        axes = (0, *range(2, slope.dim()))
        return {source.index: _normalized(ends, *ends.both(source), slope, axes, ends.operation.args[7])}
    eps = ends.operation.args[6 if fixed else 7]
    return {source.index: slope * (ends.start.value(variance) + eps).rsqrt().reshape(shape)}


def vector_norm(ends: Ends, slope: Tensor) -> Slopes | None:
    """The Euclidean norm."""
    source, order = ends.operation.args[0], ends.operation.argument(1, 2)
    if order != 2:
        return None
    before, after = ends.both(source)
    axes = _axes(ends.operation.argument(2), before.dim())
    slope = _kept_axes(slope, axes, before.dim(), bool(ends.operation.argument(3, False)))
    lengths = before.norm(dim=axes, keepdim=True) + after.norm(dim=axes, keepdim=True)
    tiny = torch.finfo(lengths.dtype).tiny
    return {source.index: slope * (before + after) / lengths.clamp_min(tiny)}


def log_of_sum(ends: Ends, slope: Tensor) -> Slopes:
    r"""``logaddexp`` and ``logaddexp2``: :math:`g L / \sum L` of the two."""
    sides = ends.operation.args[:2]

    def shares() -> list[Tensor]:
        base, results = math.log(2) if ends.operation.kind == "logaddexp2" else 1.0, ends.results()
        means = []
        for side in sides:
            log0, log1 = ((v - result) * base for v, result in zip(ends.both(side), results, strict=True))
            means.append(logarithmic_mean(log0.exp(), log1.exp(), move(log0, log1)))
        return [mean / (means[0] + means[1]) for mean in means]

    slopes: Slopes = {}
    for side, share in zip(sides, ends.once("shares", shares), strict=True):
        if ends.moves(side):
            add(slopes, side.index, summed_to(slope * share, ends.start.shape(side.index)))
    return slopes


def absolute(ends: Ends, slope: Tensor) -> Slopes | None:
    """The length of complex numbers."""
    source = ends.operation.args[0]
    before, after = ends.both(source)
    if not before.is_complex():
        return None
    lengths = before.abs() + after.abs()
    return {source.index: slope * (before + after) / lengths.clamp_min(torch.finfo(lengths.dtype).tiny)}


NORMALIZATIONS: dict[str, Callable[[Ends, Tensor], Slopes | None]] = {
    "_softmax": softmax,
    "_safe_softmax": softmax,
    "_log_softmax": log_softmax,
    "logsumexp": logsumexp,
    "native_layer_norm": layer_norm,
    "native_group_norm": group_norm,
    "native_batch_norm": batch_norm,
    "cudnn_batch_norm": batch_norm,
    "_native_batch_norm_legit_no_training": batch_norm,
    "linalg_vector_norm": vector_norm,
    "logaddexp": log_of_sum,
    "logaddexp2": log_of_sum,
    "abs": absolute,
}
