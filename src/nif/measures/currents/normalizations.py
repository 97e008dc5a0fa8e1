"""Softmax, log-sum-exp and norms: closed forms of their discrete gradients.

They are exact, and a constant that is added to all inputs of a softmax changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nif.measures.currents.ends import Ends, Slopes, add, move, summed_to
from nif.measures.currents.parts import by_parts

aten = torch.ops.aten


def logarithmic_mean(start: Tensor, end: Tensor, log_step: Tensor) -> Tensor:
    r"""``(end - start) / (log end - log start)``, as :math:`(p + q) \tanh(r / 2) / r` of the step r.

    Example:
        >>> p, q = torch.tensor([1.0]), torch.tensor([2.0])
        >>> logarithmic_mean(p, q, (q / p).log())
        tensor([1.4427])
    """
    return by_parts(_logarithmic_mean, start, end, log_step)


def _logarithmic_mean(out: Tensor, start: Tensor, end: Tensor, log_step: Tensor) -> None:
    half = log_step / 2
    torch.tanh(half, out=out).div_(half).nan_to_num_(1.0).mul_((start + end).div_(2))


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

    def shares() -> tuple[Tensor, Tensor]:
        log0, log1 = (values.log_softmax(axis) for values in ends.both(source))
        means = logarithmic_mean(*ends.results(), log1 - log0)
        total = means.sum(axis, True).clamp_min(torch.finfo(means.dtype).tiny)
        return means.div_(total), total

    of_each, total = ends.once("shares", shares)
    back = torch._softmax_backward_data(slope, of_each, axis, of_each.dtype)
    return {source.index: back.mul_(total)}


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


Moments = tuple[Tensor, Tensor]
"""Mean and inverse deviation of each row, ``[row, 1]``."""


def _normalized(
    ends: Ends,
    between: Sequence[Tensor],
    moments: Callable[[], Sequence[Moments]],
    slope: Tensor,
    weight: Tensor | None = None,
) -> Tensor:
    r"""``(x - mean) / sqrt(var + eps)`` of rows: the product rule, and the exact step of the inverse root.

    With c the sum of the centred rows at both ends, and r and s their inverse deviations, it is
    :math:`(r + s) (g - \bar g) / 2 - c \, \overline{g c} \, (r s)^2 / 2 (r + s)`: the gradient of a norm at
    :math:`2 c r s / (r + s)^2` with an inverse deviation of ``(r + s) / 2``, for which torch has a kernel.

    Args:
        ends: The operation.
        between: The rows at both ends, ``[row, number]``.
        moments: Theirs.
        slope: Behind the norm.
        weight: That multiplies each number of a row, behind the norm too.
    """

    def factors() -> tuple[Tensor, Tensor]:
        (mean0, first), (mean1, last) = moments()
        both = first + last
        scale = 2 * first * last / both.square()
        return (between[0] + between[1]).sub_(mean0 + mean1).mul_(scale), both / 2

    rows, inverse = ends.once("norm", factors)
    options = torch.zeros_like(inverse), inverse, weight, None, [True, False, False]
    slope = slope.reshape(rows.shape)
    moved: Tensor = aten.native_layer_norm_backward(slope, rows, rows.shape[-1:], *options)[0]
    return moved


def _only_values_move(ends: Ends) -> bool:
    """Whether the weight, the bias and given statistics are constant."""
    return not any(ends.moves(argument) for argument in ends.operation.args[1:5])


def layer_norm(ends: Ends, slope: Tensor) -> Slopes | None:
    """The numbers of the last axes, less their mean, over their deviation."""
    if not _only_values_move(ends):
        return None
    source, shape, weight = ends.operation.args[:3]
    weight = None if weight is None else ends.start.value(weight).flatten()
    between = [values.reshape(-1, math.prod(shape)) for values in ends.both(source)]
    moved = _normalized(ends, between, lambda: _returned_moments(ends), slope, weight)
    return {source.index: moved.reshape(slope.shape)}


def group_norm(ends: Ends, slope: Tensor) -> Slopes | None:
    """The numbers of a group of channels, less their mean, over their deviation."""
    if not _only_values_move(ends):
        return None
    source, weight, _, count, channels, _, groups = ends.operation.args[:7]
    if weight is not None:
        slope = slope * ends.start.value(weight).reshape(1, channels, *[1] * (slope.dim() - 2))
    between = [values.reshape(count * groups, -1) for values in ends.both(source)]
    moved = _normalized(ends, between, lambda: _returned_moments(ends), slope)
    return {source.index: moved.reshape(slope.shape)}


def _returned_moments(ends: Ends) -> list[Moments]:
    """As the norm has returned them, at both ends."""
    pairs = zip(ends.results(1), ends.results(2), strict=True)
    return [(mean.reshape(-1, 1), inverse.reshape(-1, 1)) for mean, inverse in pairs]


def batch_norm(ends: Ends, slope: Tensor) -> Slopes | None:
    """A scale for each channel; with statistics of the batch itself, as in an instance norm, a norm."""
    if not _only_values_move(ends):
        return None
    fixed = ends.operation.kind == "_native_batch_norm_legit_no_training"
    source, weight, _, _, variance = ends.operation.args[:5]
    shape = (1, -1) + (1,) * (slope.dim() - 2)
    if weight is not None:
        slope = slope * ends.start.value(weight).reshape(shape)
    eps = ends.operation.args[6 if fixed else 7]
    if fixed or not ends.operation.args[5]:
        return {source.index: slope * (ends.start.value(variance) + eps).rsqrt().reshape(shape)}
    by_channel = slope.movedim(1, 0)
    between = [values.movedim(1, 0).flatten(1) for values in ends.both(source)]
    moved = _normalized(ends, between, lambda: [_moments(rows, eps) for rows in between], by_channel)
    return {source.index: moved.reshape(by_channel.shape).movedim(0, 1)}


def _moments(rows: Tensor, eps: float) -> Moments:
    mean = rows.mean(-1, True)
    return mean, (rows - mean).square_().mean(-1, True).add_(eps).rsqrt_()


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
