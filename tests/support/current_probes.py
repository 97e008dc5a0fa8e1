"""Small functions, a few for every rule of discrete gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from support.linear_probes import LINEAR
from support.probe_functions import (
    IMAGE,
    LINE,
    ROWS,
    TOKENS,
    VOLUME,
    attention_to_the_best,
    constant,
    into_gap,
    into_transposed,
    into_view,
    kernel,
    mask_of_infinity,
    view_before_write,
    written,
)


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
    "in place": (written(lambda x: nn.ReLU(inplace=True)(x).add_(1).sigmoid_()), ROWS),
    "in place, chunks": (into_view, ROWS),
    "in place, transposed": (into_transposed, ROWS),
    "in place, gaps": (into_gap, ROWS),
    "in place, older view": (view_before_write, ROWS),
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
    "relu by index": (written(lambda x: x.__setitem__(x < 0, 0.0)), ROWS),
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
    "attention to the best": (attention_to_the_best, TOKENS),
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
    "conv1d": (kernel(F.conv1d, 3, 4, 3, padding=1), LINE),
    "conv1d grouped": (kernel(F.conv1d, 4, 2, 3, groups=2, dilation=2), LINE),
    "conv2d": (kernel(F.conv2d, 3, 4, 3, 3, stride=2, padding=1), IMAGE),
    "conv2d depthwise": (kernel(F.conv2d, 4, 1, 3, 3, groups=4), IMAGE),
    "conv2d same": (kernel(F.conv2d, 3, 4, 3, 3, padding="same"), IMAGE),
    "conv2d dilated": (kernel(F.conv2d, 3, 4, 2, 2, dilation=2), IMAGE),
    "conv3d": (kernel(F.conv3d, 3, 2, 2, 2, 2), VOLUME),
    "conv_transpose1d": (kernel(F.conv_transpose1d, 4, 3, 3, stride=2, output_padding=1), LINE),
    "conv_transpose2d": (kernel(F.conv_transpose2d, 4, 3, 3, 3, stride=2, padding=1), IMAGE),
    "conv_transpose2d grouped": (kernel(F.conv_transpose2d, 4, 2, 3, 3, groups=2, dilation=2), IMAGE),
    "conv_transpose3d": (kernel(F.conv_transpose3d, 2, 3, 2, 2, 2), VOLUME),
    "conv2d unbatched": (lambda x: F.conv2d(x[0], constant(x, 3, 4, 3, 3), constant(x, 3)), IMAGE),
    "conv2d, moving kernel": (lambda x: F.conv2d(x, x[:, :, :3, :3]), IMAGE),
    "conv2d, moving bias": (lambda x: F.conv2d(x, constant(x, 3, 4, 3, 3), x[0, 0, 0, :3]), IMAGE),
    "conv2d, only the kernel": (lambda x: F.conv2d(constant(x, 2, 4, 9, 9), x), IMAGE),
    "prod": (lambda x: (x.prod(1), x.prod(0, True)), ROWS),
    "cumprod": (lambda x: x.cumprod(1), ROWS),
    "cdist": (lambda x: torch.cdist(x, constant(x, 3, 6)), ROWS),
    "cdist, many rows": (lambda x: torch.cdist(x, constant(x, 30, 6)), ROWS),
    "grid_sample, moving places": (
        lambda x: F.grid_sample(
            constant(x, 4, 1, 5, 5), x[:, :4].tanh().view(-1, 1, 2, 2), align_corners=False
        ),
        ROWS,
    ),
    "grid_sample, all moves": (
        lambda x: F.grid_sample(x.view(-1, 1, 2, 3), x[:, :4].tanh().view(-1, 1, 2, 2), align_corners=False),
        ROWS,
    ),
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
    "softmax with mask": (mask_of_infinity, TOKENS),
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
