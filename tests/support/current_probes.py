"""Small functions, a few for every rule of discrete gradients, and the walk back over one step of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nif.measures.currents.discrete_gradient import values_read_by_rules
from nif.measures.currents.structure import Structure
from nif.measures.currents.tape import Tape, record
from nif.measures.currents.walk import Walk

ROWS, IMAGE, TOKENS, LINE, VOLUME = (4, 6), (2, 4, 6, 6), (2, 5, 8), (2, 4, 9), (2, 2, 4, 4, 4)


@dataclass(frozen=True, eq=False)
class Step:
    """The walk back over one step of a function."""

    start: Tape
    end: Tape
    slopes: Tensor
    change: float
    size: float
    carried: Tensor
    general: Counter[str] = field(default_factory=Counter)

    @property
    def imbalance(self) -> float:
        """What is missing, relative to what moves."""
        return abs(float(self.carried.sum()) - self.change) / max(self.size, 1e-30)


def step_of(
    run: Callable[[Tensor], Any], start: Tensor, end: Tensor, parameters: Mapping[str, Tensor] | None = None
) -> Step:
    """Walk back over the step between two inputs, from random slopes at the results."""
    tapes = []
    kept: set[int] | None = None
    for values in (start, end):
        tape = record(
            lambda mark, x: [one + 0.0 for one in tensors(run(x))], [values.clone()], parameters or {}
        )
        kept = values_read_by_rules(tape) if kept is None else kept
        tape.forget(kept)
        tapes.append(tape)
    assert tapes[0].like(tapes[1])
    generator = torch.Generator().manual_seed(0)
    seeds, change, size = {}, 0.0, 0.0
    for number in dict.fromkeys(tapes[0].outputs):
        before, after = (tape.values[number] for tape in tapes)
        seed = torch.rand(before.shape, generator=generator, dtype=torch.float64).to(before.dtype) + 0.5
        step = torch.where(before == after, torch.zeros_like(before), after - before)
        seeds[number] = seed
        change += float((seed * step).double().sum())
        size += float((seed * step).double().abs().sum())
    walk = Walk(tapes[0], tapes[1])
    slopes = walk.back(seeds)[tapes[0].inputs[0]].expand(start.shape)
    carried = slopes * (end - start)
    size += float(carried.double().abs().sum())
    return Step(tapes[0], tapes[1], slopes, change, size, carried.double(), walk.general)


def tensors(returned: Any) -> list[Tensor]:
    """The floating-point tensors among what a function returns."""
    several = returned if isinstance(returned, tuple | list) else [returned]
    return [one for one in several if isinstance(one, Tensor) and one.is_floating_point()]


def constant(like: Tensor, *shape: int, seed: int = 0) -> Tensor:
    """Random numbers that do not move."""
    numbers = np.random.default_rng(seed).standard_normal(shape)
    return torch.from_numpy(numbers).to(like.dtype)


def _kernel(function: Callable[..., Tensor], *shape: int, **options: Any) -> Callable[[Tensor], Tensor]:
    return lambda x: function(x, constant(x, *shape), **options)


def _written(write: Callable[[Tensor], Any]) -> Callable[[Tensor], Tensor]:
    """A function that writes into a copy of what it is given."""

    def run(x: Tensor) -> Tensor:
        copy = x * 1.0
        write(copy)
        return copy

    return run


def _into_view(x: Tensor) -> Tensor:
    copy = x * 1.0
    first, second = copy.chunk(2, 1)
    first += second
    second.mul_(first)
    return copy


def _into_transposed(x: Tensor) -> Tensor:
    base = (x * 1.0).t()
    base[1:4] *= 2
    base[0] += base[2]
    return base.sigmoid()


def _into_gap(x: Tensor) -> Tensor:
    part = (x * 1.0)[:, ::2]
    part[:, 1] += 1
    part[:, 0].mul_(part[:, 1])
    return part * part


def _into_zeros(x: Tensor) -> Tensor:
    result = x.new_zeros(x.shape)
    result[:, :3] = x[:, 3:].exp()
    result[:, 3:] = x[:, :3] * 2
    return result


def _view_before_write(x: Tensor) -> Tensor:
    base = x * 1.0
    view = base.view(2, -1)
    base.relu_()
    return view * view


def _alpha(x: Tensor) -> Tensor:
    return torch.add(x, x.sin(), alpha=0.3)


def _mask_of_infinity(x: Tensor) -> Tensor:
    mask = torch.ones(x.shape[-1], x.shape[-1], dtype=torch.bool).triu(1)
    return (x.mT @ x).masked_fill(mask, -torch.inf).softmax(-1)


def _attention_to_the_best(x: Tensor) -> Tensor:
    scores = x @ x.mT
    best = scores.topk(2).values[..., -1:]
    sparse = scores.masked_fill(scores < best, -torch.inf).softmax(-1)
    same = torch.where(scores < best, torch.tensor(-torch.inf, dtype=x.dtype), scores).log_softmax(-1).exp()
    return (sparse + same) @ x


LINEAR: dict[str, tuple[Callable[[Tensor], Any], Sequence[int]]] = {
    "add": (lambda x: x + constant(x, 6), ROWS),
    "add alpha": (_alpha, ROWS),
    "add broadcast": (lambda x: x[:1] + x, ROWS),
    "sub": (lambda x: 3 - x - x.mean(), ROWS),
    "rsub": (lambda x: torch.rsub(x, x.sum(1, True)), ROWS),
    "neg": (lambda x: -x, ROWS),
    "views": (lambda x: x.view(2, 2, 6).permute(2, 0, 1).reshape(3, 8).transpose(0, 1).unsqueeze(1), ROWS),
    "expand": (lambda x: x[:, None].expand(4, 3, 6), ROWS),
    "repeat": (lambda x: x.repeat(2, 3), ROWS),
    "repeat_interleave": (lambda x: x.repeat_interleave(2, 1), ROWS),
    "tile": (lambda x: x.tile(2), ROWS),
    "slice": (lambda x: x[1:, ::2], ROWS),
    "select": (lambda x: x[:, 3], ROWS),
    "index": (lambda x: x[:, [0, 0, 3]], ROWS),
    "index with mask": (lambda x: x[:, torch.tensor([True, False] * 3)], ROWS),
    "index_select": (lambda x: x.index_select(1, torch.tensor([1, 1, 5])), ROWS),
    "take_along_dim": (lambda x: x.take_along_dim(torch.tensor([[0], [1], [1], [3]]), 1), ROWS),
    "take": (lambda x: x.take(torch.tensor([0, 7, 7])), ROWS),
    "masked_select": (lambda x: x.masked_select(torch.tensor([True, False] * 3)), ROWS),
    "masked_scatter": (lambda x: x.masked_scatter(torch.tensor([True, False] * 3), x.sin()), ROWS),
    "cat": (lambda x: torch.cat([x, x * 2, constant(x, 4, 2)], 1), ROWS),
    "stack": (lambda x: torch.stack([x, x + 1], 1), ROWS),
    "split": (lambda x: x.split([1, 2, 3], 1), ROWS),
    "chunk": (lambda x: x.chunk(3, 1), ROWS),
    "tensor_split": (lambda x: x.tensor_split(4, 1), ROWS),
    "unbind": (lambda x: x.unbind(1), ROWS),
    "sum": (lambda x: (x.sum(), x.sum(1), x.mean(0, True)), ROWS),
    "nansum": (lambda x: (x.nansum(1), x.nanmean(1)), ROWS),
    "cumsum": (lambda x: x.cumsum(1), ROWS),
    "diff": (lambda x: x.diff(dim=1), ROWS),
    "flip": (lambda x: x.flip(1), ROWS),
    "roll": (lambda x: x.roll(2, 1), ROWS),
    "rot90": (lambda x: x.rot90(), ROWS),
    "tril": (lambda x: x.tril() + x.triu(1), ROWS),
    "diagonal": (lambda x: (x.diagonal(), torch.diag_embed(x), x[0].diag(), x[:, :4].trace()), ROWS),
    "unfold": (lambda x: x.unfold(1, 3, 2), ROWS),
    "im2col": (lambda x: F.fold(F.unfold(x, 3, padding=1), (6, 6), 3, padding=1), IMAGE),
    "scatter": (lambda x: torch.zeros_like(x).scatter(1, torch.tensor([[0, 2]] * 4), x), ROWS),
    "scatter_add": (lambda x: torch.zeros_like(x).scatter_add(1, torch.tensor([[0, 0]] * 4), x), ROWS),
    "index_add": (lambda x: torch.zeros_like(x).index_add(1, torch.tensor([0, 0, 2, 3, 4, 5]), x), ROWS),
    "index_copy": (lambda x: x.sin().index_copy(1, torch.tensor([1, 0]), x[:, :2]), ROWS),
    "index_fill": (lambda x: x.index_fill(1, torch.tensor([1]), 2.0), ROWS),
    "index_put": (lambda x: x.index_put((torch.tensor([1, 0]),), x[:2] * 2), ROWS),
    "scatter_reduce": (
        lambda x: torch.zeros_like(x).scatter_reduce(1, torch.tensor([[0, 0, 1]] * 4), x[:, :3], "sum"),
        ROWS,
    ),
    "segments": (lambda x: x.select_scatter(x[:, 0] * 2, 1, 3).slice_scatter(x[:, :2], 1, 4, 6), ROWS),
    "diagonal_scatter": (lambda x: x.diagonal_scatter(x[:, 0], 0), ROWS),
    "pad": (lambda x: F.pad(x, (1, 2), value=3.0), ROWS),
    "pad 1d": (
        lambda x: [F.pad(x, (2, 1), mode=mode) for mode in ("reflect", "replicate", "circular")],
        LINE,
    ),
    "pad 2d": (
        lambda x: [F.pad(x, (2, 1, 1, 1), mode=m) for m in ("reflect", "replicate", "circular")],
        IMAGE,
    ),
    "pad 3d": (
        lambda x: [F.pad(x, (1, 1) * 3, mode=m) for m in ("reflect", "replicate", "circular")],
        VOLUME,
    ),
    "avg_pool": (lambda x: (F.avg_pool2d(x, 2), F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)), IMAGE),
    "avg_pool1d": (lambda x: (F.avg_pool1d(x, 2), F.adaptive_avg_pool1d(x, 4)), LINE),
    "avg_pool3d": (lambda x: (F.avg_pool3d(x, 2), F.adaptive_avg_pool3d(x, 2)), VOLUME),
    "adaptive_avg_pool2d": (lambda x: (F.adaptive_avg_pool2d(x, 4), F.adaptive_avg_pool2d(x, 1)), IMAGE),
    "interpolate 1d": (
        lambda x: [F.interpolate(x, scale_factor=2, mode=m) for m in ("nearest", "nearest-exact", "linear")],
        LINE,
    ),
    "interpolate 2d": (
        lambda x: [
            F.interpolate(x, size=(9, 4), mode=mode)
            for mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area")
        ],
        IMAGE,
    ),
    "interpolate smooth": (
        lambda x: [F.interpolate(x, size=(4, 4), mode=m, antialias=True) for m in ("bilinear", "bicubic")],
        IMAGE,
    ),
    "interpolate 3d": (
        lambda x: [
            F.interpolate(x, scale_factor=1.5, mode=m) for m in ("nearest", "nearest-exact", "trilinear")
        ],
        VOLUME,
    ),
    "grid_sample": (lambda x: F.grid_sample(x, constant(x, 2, 3, 3, 2).tanh(), align_corners=False), IMAGE),
    "pixel_shuffle": (lambda x: (F.pixel_shuffle(x, 2), F.pixel_unshuffle(x, 2)), IMAGE),
    "channel_shuffle": (lambda x: F.channel_shuffle(x, 2), IMAGE),
    "dtypes": (lambda x: x.double().float().to(x.dtype) if x.dtype == torch.float32 else x.clone(), ROWS),
    "fourier": (lambda x: torch.fft.irfft(torch.fft.rfft(x) * constant(x, 4)), ROWS),
    "fourier 2d": (lambda x: (torch.fft.fft2(x).real, torch.fft.fftshift(torch.fft.ifft2(x)).imag), IMAGE),
    "complex": (lambda x: torch.view_as_real(torch.complex(x, x.sin()).conj().resolve_conj()), ROWS),
    "einsum": (lambda x: torch.einsum("btc,dc->dbt", x, constant(x, 3, 8)), TOKENS),
    "tensordot": (lambda x: torch.tensordot(x, constant(x, 8, 5, 2), ([2, 1], [0, 1])), TOKENS),
    "moved axes": (lambda x: x.movedim(0, -1).swapaxes(0, 1).flatten().unflatten(0, (8, 10)).mT, TOKENS),
    "meshgrid": (lambda x: torch.meshgrid(x[0], x[1], indexing="ij"), ROWS),
    "atleast": (lambda x: torch.block_diag(x, x * 2), ROWS),
    "kron": (lambda x: torch.kron(x, constant(x, 2, 2)), ROWS),
    "copy": (lambda x: torch.empty_like(x).copy_(x), ROWS),
    "dropout in eval": (lambda x: F.dropout(x, 0.5, False), ROWS),
    "mv": (
        lambda x: (x.mv(constant(x, 6)), x[0].dot(constant(x, 6)), torch.addmv(x[:, 0], x, constant(x, 6))),
        ROWS,
    ),
    "in place": (_written(lambda x: x.add_(1).mul_(2)), ROWS),
    "in place, view": (_written(lambda x: x[:, 0].add_(x[:, 1])), ROWS),
    "in place, zeros": (_into_zeros, ROWS),
    "in place, fill": (_written(lambda x: (x[:, 0].fill_(3.0), x[:, 1].zero_())), ROWS),
    "in place, scatter": (_written(lambda x: x.index_add_(0, torch.tensor([0]), x[1:2] * 2)), ROWS),
}
"""Linear in what moves."""


def _each(*functions: Callable[[Tensor], Any]) -> Callable[[Tensor], list[Any]]:
    return lambda x: [function(x) for function in functions]


ELEMENTWISE: dict[str, tuple[Callable[[Tensor], Any], Sequence[int]]] = {
    **{
        name: (getattr(F, name), ROWS)
        for name in [
            "relu",
            "relu6",
            "elu",
            "selu",
            "celu",
            "gelu",
            "silu",
            "mish",
            "softplus",
            "softsign",
            "tanhshrink",
            "hardtanh",
            "hardswish",
            "hardsigmoid",
            "hardshrink",
            "softshrink",
            "leaky_relu",
            "logsigmoid",
            "sigmoid",
            "tanh",
        ]
    },
    **{
        name: (getattr(torch, name), ROWS)
        for name in [
            "exp",
            "exp2",
            "expm1",
            "sin",
            "cos",
            "tan",
            "sinh",
            "cosh",
            "atan",
            "asinh",
            "erf",
            "erfc",
            "square",
            "abs",
            "sgn",
            "sign",
            "round",
            "floor",
            "ceil",
            "trunc",
            "frac",
            "nan_to_num",
            "deg2rad",
            "sinc",
        ]
    },
    **{
        name: (lambda x, name=name: getattr(torch, name)(x.abs() + 1.1), ROWS)
        for name in [
            "log",
            "log2",
            "log10",
            "log1p",
            "sqrt",
            "rsqrt",
            "reciprocal",
            "acosh",
            "lgamma",
            "digamma",
        ]
    },
    **{
        name: (lambda x, name=name: getattr(torch, name)(x.tanh() * 0.9), ROWS)
        for name in ["asin", "acos", "atanh", "erfinv"]
    },
    "special": (
        lambda x: (
            torch.special.ndtr(x),
            torch.logit(x.sigmoid()),
            torch.special.i0(x),
            torch.special.entr(x.exp()),
        ),
        ROWS,
    ),
    "gelu, tanh": (lambda x: F.gelu(x, approximate="tanh"), ROWS),
    "softplus, beta": (lambda x: F.softplus(x, 5), ROWS),
    "threshold": (lambda x: F.threshold(x, 0.1, -3.0), ROWS),
    "prelu": (lambda x: F.prelu(x, constant(x, 6).abs()), ROWS),
    "rrelu": (F.rrelu, ROWS),
    "clamp": (lambda x: (x.clamp(-0.5, 0.5), x.clamp_min(0.1), x.clamp_max(0.2), x.clip(max=0.0)), ROWS),
    "pow": (lambda x: (x**2, x**3, 2**x, (x.abs() + 0.1) ** 0.5, (x.abs() + 0.1) ** x), ROWS),
    "where": (lambda x: torch.where(torch.tensor([True, False] * 3), x, x.sin()), ROWS),
    "masked_fill": (lambda x: x.masked_fill(torch.tensor([True, False] * 3), -torch.inf).softmax(1), ROWS),
    "atan2": (
        lambda x: (torch.atan2(x, x.exp()), torch.hypot(x, x.cos() + 2), torch.xlogy(x, x.exp())),
        ROWS,
    ),
    "remainder": (lambda x: (x.remainder(0.7), x.fmod(0.7), torch.remainder(x, x.exp())), ROWS),
    "floor_divide": (lambda x: (x // 0.3, torch.div(x, 0.3, rounding_mode="trunc")), ROWS),
    "lerp": (lambda x: (x.lerp(x.sin(), 0.3), torch.lerp(x, x.sin(), x.sigmoid())), ROWS),
    "addcmul": (lambda x: (torch.addcmul(x, x.sin(), x, value=0.5), torch.addcdiv(x, x, x.exp())), ROWS),
    "logaddexp": (lambda x: (torch.logaddexp(x, 2 * x), torch.logaddexp2(x, x[:, :1])), ROWS),
    "maximum": (lambda x: (torch.maximum(x, x.flip(1)), torch.minimum(x, x[:, :1]), x.fmax(x.flip(0))), ROWS),
    "clamp by tensors": (lambda x: x.clamp(x.flip(1) - 1, x.flip(0) + 1), ROWS),
    "copysign": (lambda x: (torch.copysign(x.exp(), x), torch.heaviside(x, x)), ROWS),
    "in place": (_written(lambda x: nn.ReLU(inplace=True)(x).add_(1).sigmoid_()), ROWS),
    "in place, chunks": (_into_view, ROWS),
    "in place, transposed": (_into_transposed, ROWS),
    "in place, gaps": (_into_gap, ROWS),
    "in place, older view": (_view_before_write, ROWS),
    "complex abs": (lambda x: torch.complex(x, x.sin()).abs(), ROWS),
    "spectrum": (lambda x: torch.fft.rfft(x).abs(), ROWS),
    "angle": (lambda x: torch.complex(x + 5, x.sin()).angle(), ROWS),
    "polar": (lambda x: torch.polar(x.exp(), x).imag, ROWS),
}
"""Each number by itself."""

COMPARISONS: dict[str, tuple[Callable[[Tensor], Any], Sequence[int]]] = {
    "relu by mask": (lambda x: x * (x > 0), ROWS),
    "relu by float": (lambda x: x * (x > 0).to(x.dtype), ROWS),
    "relu by where": (lambda x: torch.where(x > 0, x, 0.0), ROWS),
    "relu by masked_fill": (lambda x: x.masked_fill(x < 0, 0.0), ROWS),
    "relu by index": (_written(lambda x: x.__setitem__(x < 0, 0.0)), ROWS),
    "two": (lambda x: torch.where(x > x.flip(1), x.exp(), x.sin()), ROWS),
    "comparisons": (
        _each(
            *[
                lambda x, f=f: f(x, 0.2 * x.flip(1)).to(x.dtype)
                for f in (torch.gt, torch.ge, torch.lt, torch.le, torch.eq, torch.ne)
            ]
        ),
        ROWS,
    ),
    "logic": (lambda x: ((x > 0) & (x.flip(1) > 0) | ~(x.roll(1, 1) < 1)).to(x.dtype), ROWS),
    "logical": (lambda x: torch.logical_xor(x > 0, x.flip(1) > 0).logical_not().to(x.dtype), ROWS),
    "count": (lambda x: (x > 0).sum(1).to(x.dtype) * x[:, 0], ROWS),
    "mean over mask": (lambda x: (x * (x > 0)).sum(1) / (x > 0).sum(1).clamp(min=1), ROWS),
    "whole numbers": (lambda x: (x * 3).long().to(x.dtype) * x, ROWS),
    "argmax one-hot": (lambda x: F.one_hot(x.argmax(1), 6).to(x.dtype) * x, ROWS),
    "straight through": (
        lambda x: torch.zeros_like(x).scatter(1, x.argmax(1, True), 1.0) * x.softmax(1),
        ROWS,
    ),
    "table": (lambda x: F.embedding((x * 2).round().long() + 9, constant(x, 19, 3)), ROWS),
    "table by index": (lambda x: constant(x, 19)[(x * 2).round().long() + 9], ROWS),
    "gather": (lambda x: x.exp().gather(1, (x.roll(1, 1) > 0).long()), ROWS),
    "gather argmax": (lambda x: x.sin().gather(1, x.argmax(1, True)), ROWS),
    "index_select": (lambda x: x.exp().index_select(1, x[0].argsort()), ROWS),
    "index": (lambda x: x.exp()[torch.arange(4), x.argmin(1)], ROWS),
    "experts": (lambda x: x.softmax(1).topk(2).values * x.topk(2).indices.to(x.dtype), ROWS),
    "take_along_dim": (lambda x: x.exp().take_along_dim(x.argsort(1), 1), ROWS),
    "searchsorted": (lambda x: torch.bucketize(x, constant(x, 5).sort().values).to(x.dtype), ROWS),
    "scatter": (lambda x: torch.zeros_like(x).scatter_add(1, (x > 0).long(), x), ROWS),
    "attention to the best": (_attention_to_the_best, TOKENS),
    "argsort": (lambda x: x.argsort(1).to(x.dtype), ROWS),
    "any": (lambda x: ((x > 1).any(1).to(x.dtype), (x > -1).all(1).to(x.dtype)), ROWS),
}
"""Masks, indices and whole numbers that depend on the data."""

PRODUCTS: dict[str, tuple[Callable[[Tensor], Any], Sequence[int]]] = {
    "mul": (lambda x: x * x.exp(), ROWS),
    "mul itself": (lambda x: x * x, ROWS),
    "mul broadcast": (lambda x: x * x[:1] * 2 * constant(x, 6), ROWS),
    "div": (lambda x: (x / x.exp(), 1 / x.exp(), x / 3, x / x.sum(1, True).exp()), ROWS),
    "mm": (lambda x: (x @ x.t(), x @ constant(x, 6, 3), constant(x, 3, 4) @ x), ROWS),
    "bmm": (lambda x: (x @ x.mT, x @ constant(x, 8, 3), x @ x[0].t(), constant(x, 5) @ x), TOKENS),
    "addmm": (lambda x: torch.addmm(x[:, :4], x, x.t(), beta=0.5, alpha=2), ROWS),
    "addmm row": (lambda x: torch.addmm(x[0, :4], x, x.t()), ROWS),
    "baddbmm": (lambda x: torch.baddbmm(x[:, :, :5], x, x.mT, beta=0.5, alpha=2), TOKENS),
    "addbmm": (lambda x: torch.addbmm(x[0, :, :5], x, x.mT), TOKENS),
    "linear": (lambda x: F.linear(x, constant(x, 3, 8), constant(x, 3)), TOKENS),
    "linear, moving weight": (lambda x: F.linear(x, x[0]), TOKENS),
    "bilinear": (lambda x: F.bilinear(x, x.sin(), constant(x, 3, 6, 6)), ROWS),
    "einsum": (lambda x: torch.einsum("bqc,bkc,bvc->bqk", x, x.sin(), x.cos()), TOKENS),
    "dot": (
        lambda x: (x[0].dot(x[1]), x.mv(x[0]), torch.outer(x[0], x[1]), torch.addr(x, x[:, 0], x[0])),
        ROWS,
    ),
    "cross": (lambda x: torch.linalg.cross(x[:, :3], x[:, 3:]), ROWS),
    "complex": (lambda x: (torch.complex(x, x.sin()) * torch.complex(x.cos(), x)).imag, ROWS),
    "complex div": (lambda x: (torch.complex(x, x.sin()) / torch.complex(x.exp(), x)).real, ROWS),
    "complex mm": (
        lambda x: torch.view_as_real(torch.complex(x, x.sin()) @ torch.complex(x, x.cos()).mH),
        ROWS,
    ),
    "filter": (lambda x: torch.fft.ifft(torch.fft.fft(x) * torch.fft.fft(x.sin())).real, ROWS),
    "conv1d": (_kernel(F.conv1d, 3, 4, 3, padding=1), LINE),
    "conv1d grouped": (_kernel(F.conv1d, 4, 2, 3, groups=2, dilation=2), LINE),
    "conv2d": (_kernel(F.conv2d, 3, 4, 3, 3, stride=2, padding=1), IMAGE),
    "conv2d depthwise": (_kernel(F.conv2d, 4, 1, 3, 3, groups=4), IMAGE),
    "conv2d same": (_kernel(F.conv2d, 3, 4, 3, 3, padding="same"), IMAGE),
    "conv2d dilated": (_kernel(F.conv2d, 3, 4, 2, 2, dilation=2), IMAGE),
    "conv3d": (_kernel(F.conv3d, 3, 2, 2, 2, 2), VOLUME),
    "conv_transpose1d": (_kernel(F.conv_transpose1d, 4, 3, 3, stride=2, output_padding=1), LINE),
    "conv_transpose2d": (_kernel(F.conv_transpose2d, 4, 3, 3, 3, stride=2, padding=1), IMAGE),
    "conv_transpose2d grouped": (_kernel(F.conv_transpose2d, 4, 2, 3, 3, groups=2, dilation=2), IMAGE),
    "conv_transpose3d": (_kernel(F.conv_transpose3d, 2, 3, 2, 2, 2), VOLUME),
    "conv2d unbatched": (lambda x: F.conv2d(x[0], constant(x, 3, 4, 3, 3), constant(x, 3)), IMAGE),
    "conv2d, moving kernel": (lambda x: F.conv2d(x, x[:, :, :3, :3]), IMAGE),
    "conv2d, moving bias": (lambda x: F.conv2d(x, constant(x, 3, 4, 3, 3), x[0, 0, 0, :3]), IMAGE),
    "conv2d, only the kernel": (lambda x: F.conv2d(constant(x, 2, 4, 9, 9), x), IMAGE),
    "prod": (lambda x: (x.prod(1), x.prod(0, True)), ROWS),
    "cumprod": (lambda x: x.cumprod(1), ROWS),
    "cdist": (lambda x: torch.cdist(x, constant(x, 3, 6)), ROWS),
    "glu": (F.glu, ROWS),
    "embedding_bag": (
        lambda x: F.embedding_bag(
            torch.arange(24).view(4, 6), constant(x, 24, 3), per_sample_weights=x, mode="sum"
        ),
        ROWS,
    ),
    "attention": (lambda x: F.scaled_dot_product_attention(x, x.sin(), x.cos()), TOKENS),
    "attention, causal": (lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True), TOKENS),
    "attention, masked": (
        lambda x: F.scaled_dot_product_attention(
            x, x, x, attn_mask=torch.tensor([True, True, False, True, True])
        ),
        TOKENS,
    ),
    "attention, added mask": (
        lambda x: F.scaled_dot_product_attention(
            x, x, x, attn_mask=constant(x, 5, 5).masked_fill(torch.ones(5, 5).triu(1) > 0, -torch.inf)
        ),
        TOKENS,
    ),
}
"""Factors that move."""

NORMALIZATIONS: dict[str, tuple[Callable[[Tensor], Any], Sequence[int]]] = {
    "softmax": (lambda x: (x.softmax(1), x.softmax(0), F.softmin(x, 1)), ROWS),
    "log_softmax": (lambda x: x.log_softmax(1), ROWS),
    "logsumexp": (lambda x: (x.logsumexp(1), x.logsumexp((0, 1), True), x.logsumexp(-1, True)), ROWS),
    "softmax with mask": (_mask_of_infinity, TOKENS),
    "softmax, saturated": (lambda x: (100 * x).softmax(1), ROWS),
    "log_softmax, saturated": (lambda x: (100 * x).log_softmax(1), ROWS),
    "logcumsumexp": (lambda x: x.logcumsumexp(1), ROWS),
    "layer_norm": (lambda x: F.layer_norm(x, (8,), constant(x, 8), constant(x, 8)), TOKENS),
    "layer_norm, moving weight": (lambda x: F.layer_norm(x, (8,), x[0, 0], x[1, 1]) * 2, TOKENS),
    "batch_norm, moving weight": (
        lambda x: F.batch_norm(x, constant(x, 4), constant(x, 4).exp(), x[0, :, 0, 0]) * 2,
        IMAGE,
    ),
    "layer_norm, two axes": (lambda x: F.layer_norm(x, (5, 8)), TOKENS),
    "rms_norm": (lambda x: F.rms_norm(x, (8,), constant(x, 8)), TOKENS),
    "group_norm": (lambda x: F.group_norm(x, 2, constant(x, 4), constant(x, 4)), IMAGE),
    "instance_norm": (lambda x: F.instance_norm(x, weight=constant(x, 4)), IMAGE),
    "instance_norm, own statistics": (
        lambda x: F.instance_norm(x, constant(x, 4), constant(x, 4).exp(), use_input_stats=False),
        IMAGE,
    ),
    "batch_norm": (lambda x: F.batch_norm(x, constant(x, 4), constant(x, 4).exp(), constant(x, 4)), IMAGE),
    "batch_norm of the batch": (lambda x: F.batch_norm(x, None, None, training=True), ROWS),
    "local_response_norm": (lambda x: F.local_response_norm(x, 3), IMAGE),
    "normalize": (lambda x: (F.normalize(x, dim=1), F.normalize(x, p=1, dim=1)), ROWS),
    "norms": (lambda x: [torch.linalg.vector_norm(x, p, 1) for p in (1, 2, 3, torch.inf)] + [x.norm()], ROWS),
    "cosine": (lambda x: F.cosine_similarity(x, x.sin(), dim=1), ROWS),
    "pairwise": (lambda x: F.pairwise_distance(x, x.flip(1)), ROWS),
    "var": (lambda x: (x.var(1), x.std(0), *torch.var_mean(x, 1), x.var(), x.std()), ROWS),
    "losses": (
        lambda x: (F.mse_loss(x, x.flip(1)), F.l1_loss(x, constant(x, 4, 6)), F.smooth_l1_loss(x, x.flip(0))),
        ROWS,
    ),
    "cross_entropy": (lambda x: F.cross_entropy(x, torch.tensor([0, 3, 5, 1])), ROWS),
    "gumbel": (lambda x: F.softmax((x + constant(x, 4, 6)) / 0.1, -1), ROWS),
    "det": (lambda x: (x[:, :4] @ x[:, :4].t() + 9 * torch.eye(4, dtype=x.dtype)).logdet(), ROWS),
}
"""Numbers along axes that share a scale."""

SELECTIONS: dict[str, tuple[Callable[[Tensor], Any], Sequence[int]]] = {
    "max": (lambda x: (x.max(), x.min(), x.max(1).values, x.min(0, True).values), ROWS),
    "amax": (lambda x: (x.amax(1), x.amin((0, 1)), x.amax(), x.amax(-1, True), x.amax((1, 2), True)), TOKENS),
    "aminmax": (lambda x: (*torch.aminmax(x, dim=1), *torch.aminmax(x)), ROWS),
    "median": (lambda x: (x.median(), x.median(1).values, x.nanmedian(1).values), ROWS),
    "kthvalue": (lambda x: x.kthvalue(2, 1).values, ROWS),
    "mode": (lambda x: x.mode(1).values, ROWS),
    "sort": (lambda x: (x.sort(1).values, x.sort(dim=0, descending=True).values, x.msort()), ROWS),
    "topk": (lambda x: (x.topk(2).values, x.topk(2, dim=0, largest=False).values), ROWS),
    "quantile": (lambda x: x.quantile(0.3, dim=1), ROWS),
    "cummax": (lambda x: (x.cummax(1).values, x.cummin(1).values), ROWS),
    "max_pool1d": (
        lambda x: (F.max_pool1d(x, 2), F.max_pool1d(x, 3, 1, 1, 1), F.adaptive_max_pool1d(x, 4)),
        LINE,
    ),
    "max_pool2d": (
        lambda x: (F.max_pool2d(x, 2), F.max_pool2d(x, 3, 2, 1), F.adaptive_max_pool2d(x, 4)),
        IMAGE,
    ),
    "max_pool3d": (lambda x: (F.max_pool3d(x, 2), F.adaptive_max_pool3d(x, 3)), VOLUME),
    "max_pool with indices": (lambda x: F.max_pool2d(x, 2, return_indices=True), IMAGE),
    "max_unpool": (lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2), IMAGE),
    "lp_pool": (lambda x: (F.lp_pool2d(x.abs(), 2, 2), F.lp_pool1d(x.abs()[0], 3, 2)), IMAGE),
    "maxout": (lambda x: x.view(4, 3, 2).amax(-1), ROWS),
    "segment max": (
        lambda x: torch.zeros_like(x).scatter_reduce(1, torch.tensor([[0, 0, 1]] * 4), x[:, :3], "amax"),
        ROWS,
    ),
    "gather": (lambda x: x.gather(1, torch.tensor([[0, 0], [1, 2], [5, 5], [3, 0]])), ROWS),
}
"""Numbers that are picked."""

TABLES = {
    "linear": LINEAR,
    "elementwise": ELEMENTWISE,
    "comparison": COMPARISONS,
    "product": PRODUCTS,
    "normalization": NORMALIZATIONS,
    "selection": SELECTIONS,
}
PROBES = {f"{table}: {name}": probe for table, probes in TABLES.items() for name, probe in probes.items()}


def ends(
    shape: Sequence[int], dtype: torch.dtype, *, seed: int = 0, length: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Two inputs; a third of the numbers does not move, some of the others hardly."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(*shape, generator=generator, dtype=torch.float64)
    step = torch.randn(*shape, generator=generator, dtype=torch.float64) * length
    kind = torch.rand(*shape, generator=generator)
    step = torch.where(kind < 0.33, torch.zeros_like(step), torch.where(kind > 0.95, step * 1e-9, step))
    return start.to(dtype), (start + step).to(dtype)


Hidden = dict[str, Tensor]


def unit_currents(
    model: nn.Module,
    names: Sequence[str],
    start: Tensor,
    end: Tensor,
    steps: int,
    decide: Callable[[Tensor], Tensor],
) -> Hidden:
    """The current of every number of some modules' outputs, by row, along the straight line."""
    totals: Hidden = {}
    before: Tape | None = None
    for step in range(steps + 1):
        after = _marked(model, names, start + step / steps * (end - start), decide)
        if before is not None:
            assert before.like(after) and before.marks is not None
            structure = Structure.of(before, {before.marks[name]: place for place, name in enumerate(names)})
            walk = Walk(before, after, structure)
            output = before.outputs[0]
            walk.back({output: torch.ones_like(before.values[output])})
            for (place, _), current in walk.layers.items():
                totals[names[place]] = totals.get(names[place], 0) + current
        before = after
    return totals


def _marked(model: nn.Module, names: Sequence[str], at: Tensor, decide: Callable[[Tensor], Tensor]) -> Tape:
    modules = dict(model.named_modules())

    def run(mark: Callable[[str, Tensor], None], x: Tensor) -> list[Tensor]:
        hooks = [
            modules[name].register_forward_hook(lambda m, a, out, name=name: mark(name, _first(out)))
            for name in names
        ]
        try:
            return [decide(model(x))]
        finally:
            for hook in hooks:
                hook.remove()

    tape = record(run, [at], dict(model.named_parameters()))
    tape.forget(values_read_by_rules(tape) | set((tape.marks or {}).values()))
    return tape


def _first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def conductances(
    model: nn.Module,
    names: Sequence[str],
    start: Tensor,
    end: Tensor,
    steps: int,
    decide: Callable[[Tensor], Tensor],
) -> Hidden:
    """The slow twin: gradients by autograd in the middle of many steps, times moves of activations."""
    modules, seen = dict(model.named_modules()), {}

    def see(name: str) -> Callable[..., Any]:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            seen[name] = _first(output)

        return hook

    hooks = [modules[name].register_forward_hook(see(name)) for name in names]
    totals: Hidden = {}
    for step in range(steps):
        values = []
        for place in (step, step + 1, step + 0.5):
            at = (start + place / steps * (end - start)).requires_grad_()
            result = decide(model(at)).sum()
            values.append(dict(seen))
        slopes = torch.autograd.grad(result, [seen[name] for name in names])
        for name, slope in zip(names, slopes, strict=True):
            totals[name] = totals.get(name, 0) + slope * (values[1][name] - values[0][name]).detach()
    for hook in hooks:
        hook.remove()
    return totals


GENERAL = {
    "smooth_l1_loss",
    "_linalg_slogdet",
    "scatter_reduce",
}
"""Operators without a rule of their own."""

NO_GRADIENT = {
    *(
        f"elementwise: {name}"
        for name in ["round", "floor", "ceil", "trunc", "sign", "sgn", "floor_divide", "copysign"]
    ),
    *(f"elementwise: in place{name}" for name in ("", ", chunks", ", gaps")),
    "linear: scatter",
    "linear: scatter_add",
    *(name for name in PROBES if name.startswith("comparison")),
}
"""Probes that autograd does not take, or that have no slope."""
