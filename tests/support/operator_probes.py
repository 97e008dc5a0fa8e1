"""One call or more of every operator in the table, with the numbers it is called on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nif.network.operators import BY_NAME, Effect
from support.probe import (
    IMAGE,
    TABLE,
    TOKENS,
    Draw,
    Probe,
    above_one,
    call_of,
    complex_numbers,
    flags,
    function_of,
    normal,
    small,
    special,
    unit,
    whole,
)


def _of(draw: Draw, names: str) -> dict[str, Draw]:
    return dict.fromkeys(names.split(), draw)


DRAWS: dict[str, Draw] = {
    **_of(above_one, "acosh arccosh mvlgamma multigammaln zeta"),
    **_of(
        unit,
        "acos arccos arcsin asin atanh arctanh erfinv logit ndtri bernoulli log log10 log2 log1p log_ndtr "
        "digamma psi lgamma gammaln polygamma rsqrt sqrt entr bessel_y0 bessel_y1 gammainc gammaincc xlogy "
        "xlog1py float_power pow expm1",
    ),
    **_of(whole, "bitwise_not invert bitwise_and bitwise_or bitwise_xor gcd lcm and or xor byte"),
    **_of(special, "isfinite isinf isnan isneginf isposinf nan_to_num"),
    **_of(flags, "logical_and logical_or logical_xor logical_not bool eq ne not_equal all count_nonzero"),
    **_of(small, "bitwise_left_shift bitwise_right_shift lshift rshift"),
    "any": lambda shape, generator: torch.rand(shape, generator=generator) < 0.1,
    **_of(complex_numbers, "isreal real conj conj_physical resolve_conj resolve_neg"),
}

OPERATOR_OF_PYTHON: dict[str, Callable[..., Any]] = {
    "and": lambda x, y: x & y,
    "or": lambda x, y: x | y,
    "floordiv": lambda x, y: x // y,
    "lshift": lambda x, y: x << y,
    "rshift": lambda x, y: x >> y,
    "xor": lambda x, y: x ^ y,
}


def _elementwise(name: str) -> list[Probe]:
    draw = DRAWS.get(name, normal)
    return [Probe(function_of(name), (shape,), draw) for shape in (TABLE, TOKENS)]


def _binary(name: str) -> list[Probe]:
    draw = DRAWS.get(name, normal)
    run = OPERATOR_OF_PYTHON.get(name) or function_of(name)
    pairs = [(TOKENS, TOKENS), (TABLE, (1, 6)), (IMAGE, (5, 4, 1, 1)), ((5, 1, 6), TOKENS)]
    return [Probe(run, pair, draw) for pair in pairs]


def _three(name: str, draw: Draw = normal) -> list[Probe]:
    return [Probe(function_of(name), (shape, shape, shape), draw) for shape in (TABLE, TOKENS)]


def _pool(name: str, *args: Any, shape: tuple[int, ...] = IMAGE, **options: Any) -> list[Probe]:
    return [Probe(call_of(name, *args, **options), (shape,))]


VOLUME = (3, 4, 4, 4, 4)
CURVE = (5, 4, 8)


def _pools() -> dict[str, list[Probe]]:
    shapes = {"1d": CURVE, "2d": IMAGE, "3d": VOLUME}
    probes = {}
    for size, shape in shapes.items():
        for kind in ("adaptive_avg_pool", "adaptive_max_pool", "avg_pool", "max_pool"):
            probes[kind + size] = _pool(kind + size, 2, shape=shape)
        probes["lp_pool" + size] = _pool("lp_pool" + size, 2.0, 2, shape=shape)
        for kind in ("adaptive_max_pool", "max_pool"):
            name = f"{kind}{size}_with_indices"
            probes[name] = [Probe(call_of(name, 2), (shape,))]
    for size in ("2d", "3d"):
        name = "fractional_max_pool" + size
        probes[name] = [Probe(call_of(name, 2, output_size=2), (shapes[size],), random=True)]
    return probes


QUANTILES = {"quantile", "nanquantile"}


def _along() -> dict[str, list[Probe]]:
    """Functions along one axis or several: those of the units, and others."""
    probes = {}
    for name, row in BY_NAME.items():
        if row.effect is Effect.REDUCE:
            before = (2,) if name in {"kthvalue", "topk"} else (0.4,) if name in QUANTILES else ()
            draw, random = DRAWS.get(name, normal), name == "gumbel_softmax"
            probes[name] = [
                Probe(call_of(name, *before, dim=dim), (TOKENS,), draw, random) for dim in (1, -1)
            ]
    for name in ("mean", "sum", "amax", "std", "logsumexp", "linalg_vector_norm"):
        for options in ({"dim": (2, 3)}, {"dim": (-1, -2), "keepdim": True}, {"dim": (1, 3)}):
            probes[name].append(Probe(call_of(name, **options), (IMAGE,)))
    probes["mean"].append(Probe(lambda x: x.mean(2), (TOKENS,)))
    probes["max"].append(Probe(torch.max, (TOKENS, TOKENS)))
    probes["min"].append(Probe(torch.min, (TOKENS, (1, 4, 1))))
    return probes


def every(
    *runs: Callable[..., Any], shapes: Sequence[tuple[int, ...]] = (TOKENS,), **options: Any
) -> list[Probe]:
    return [Probe(run, shapes, **options) for run in runs]


def _dropouts() -> dict[str, list[Probe]]:
    """In training, when some numbers or channels are 0."""
    shapes = {"dropout1d": TOKENS, "dropout2d": IMAGE, "dropout3d": VOLUME}
    return {
        name: [Probe(call_of(name, 0.3, True), (shape,), random=True)]
        for name, shape in {
            **shapes,
            **dict.fromkeys(["dropout", "alpha_dropout", "feature_alpha_dropout", "feature_dropout"], IMAGE),
        }.items()
    }


ELEMENTWISE: dict[str, list[Probe]] = {
    **_dropouts(),
    "bernoulli": [Probe(torch.bernoulli, (TOKENS,), unit, random=True)],
    "rrelu": [Probe(F.rrelu, (TOKENS,))],
    "cpu": every(lambda x: x.cpu()),
    "data": every(lambda x: x.data),
    "requires_grad": every(lambda x: x.requires_grad_()),
    "to": every(lambda x: x.to(torch.bfloat16), lambda x: x.to(torch.float64)),
    "type": every(lambda x: x.type(torch.float64)),
    "type_as": every(lambda x: x.type_as(torch.zeros(1, dtype=torch.float64))),
    "clamp": [
        *every(lambda x: torch.clamp(x, -2, 2)),
        Probe(lambda x, low: torch.clamp(x, min=low), (TOKENS, TOKENS)),
    ],
    "clamp_max": every(lambda x: torch.clamp_max(x, 2.0)),
    "clamp_min": every(lambda x: torch.clamp_min(x, -2.0)),
    "clip": every(lambda x: torch.clip(x, -2, 2)),
    "hardtanh": every(lambda x: F.hardtanh(x, -2, 2)),
    "threshold": every(lambda x: F.threshold(x, 0.1, 20.0)),
    "mvlgamma": every(lambda x: torch.mvlgamma(x, 2), draw=above_one),
    "multigammaln": every(lambda x: torch.special.multigammaln(x, 2), draw=above_one),
    "polygamma": every(lambda x: torch.polygamma(1, x), draw=unit),
    "prelu": [
        Probe(lambda x: F.prelu(x, torch.tensor([0.1, 0.2, 0.3, 0.4])), (shape,)) for shape in (TOKENS, IMAGE)
    ],
    "byte": every(lambda x: x.byte(), draw=whole),
    "invert": every(lambda x: ~x, draw=whole),
    "log_sigmoid": every(F.logsigmoid),
    "conj": every(lambda x: x.conj().resolve_conj(), draw=complex_numbers),
}

BINARY: dict[str, list[Probe]] = {
    "addcdiv": _three("addcdiv", unit),
    "addcmul": _three("addcmul"),
    "lerp": _three("lerp"),
    "where": every(torch.where, shapes=(TOKENS,) * 3, draw=flags)
    + every(lambda x: torch.where(x > 0, x, 0.0)),
    "masked_fill": every(lambda x, y: x.masked_fill(y > 0, -9.0), shapes=(TOKENS, TOKENS)),
    "isclose": every(lambda x, y: torch.isclose(x, y, atol=1.0), shapes=(TOKENS, TOKENS)),
    "heaviside": every(
        torch.heaviside, shapes=(TOKENS, TOKENS), draw=lambda s, g: flags(s, g) * torch.randn(s, generator=g)
    ),
    "ldexp": every(torch.ldexp, shapes=(TOKENS, TOKENS), draw=lambda s, g: whole(s, g).float()),
    "rsub": every(torch.rsub, shapes=(TOKENS, TOKENS)),
}

CHANNELWISE: dict[str, list[Probe]] = {
    "batch_norm": [
        Probe(lambda x: F.batch_norm(x, torch.arange(4.0), torch.arange(1.0, 5)), (shape,))
        for shape in (TOKENS, IMAGE)
    ]
    + [Probe(lambda x: F.batch_norm(x, torch.arange(4.0), torch.ones(4), training=True), (IMAGE,))],
    "instance_norm": [Probe(F.instance_norm, (shape,)) for shape in (TOKENS, IMAGE)],
    "interpolate": [
        Probe(lambda x: F.interpolate(x, scale_factor=2), (IMAGE,)),
        Probe(lambda x: F.interpolate(x, size=3, mode="linear"), (TOKENS,)),
    ],
    "grid_sample": [
        Probe(lambda x: F.grid_sample(x, torch.zeros(5, 2, 2, 2), align_corners=False), (IMAGE,))
    ],
    "pad": [
        Probe(lambda x: F.pad(x, (1, 2)), (TOKENS,)),
        Probe(lambda x: F.pad(x, (1, 1, 2, 0), value=3.0), (TOKENS,)),
        Probe(lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), (IMAGE,)),
        Probe(lambda x: F.pad(x, (1, 1), mode="circular"), (TOKENS,)),
    ],
}

RESHAPE: dict[str, list[Probe]] = {
    "T": every(lambda x: x.T, shapes=((5, 6),)),
    "mT": every(lambda x: x.mT),
    "adjoint": every(lambda x: x.adjoint()),
    "broadcast_to": every(lambda x: x.broadcast_to(3, 5, 4, 6), sizes=True),
    "expand": every(lambda x: x.expand(3, -1, -1, -1))
    + every(lambda x: x.expand(-1, 4, -1), shapes=((5, 1, 6),), sizes=True),
    "expand_as": every(lambda x: x.expand_as(torch.zeros(5, 4, 6)), shapes=((5, 1, 6),)),
    "flatten": every(lambda x: x.flatten(1))
    + every(
        lambda x: x.flatten(2), lambda x: x.flatten(1), lambda x: torch.flatten(x, 0, 1), shapes=(IMAGE,)
    ),
    "flip": every(lambda x: x.flip(1), lambda x: torch.flip(x, (0, 2))),
    "fliplr": every(torch.fliplr),
    "movedim": every(lambda x: x.movedim(1, 2)),
    "moveaxis": every(lambda x: x.moveaxis(1, 2)),
    "permute": every(lambda x: x.permute(0, 2, 1)) + every(lambda x: x.permute(0, 2, 3, 1), shapes=(IMAGE,)),
    "repeat": every(lambda x: x.repeat(1, 2, 1), lambda x: x.repeat(2, 1, 1, 1)),
    "repeat_interleave": every(lambda x: x.repeat_interleave(2, dim=1)),
    "reshape": every(
        lambda x: x.reshape(5, -1), lambda x: x.reshape(20, -1), lambda x: x.reshape(5, 2, 2, -1)
    ),
    "reshape_as": every(lambda x: x.reshape_as(torch.zeros(5, 24))),
    "squeeze": every(lambda x: x.squeeze(1), shapes=((5, 1, 6),)),
    "swapaxes": every(lambda x: x.swapaxes(1, 2)),
    "swapdims": every(lambda x: x.swapdims(1, 2)),
    "t": every(lambda x: x.t(), shapes=(TABLE,)),
    "tile": every(lambda x: x.tile(1, 2, 1)),
    "transpose": every(lambda x: x.transpose(1, 2), lambda x: x.transpose(0, 1)),
    "unflatten": every(lambda x: x.unflatten(1, (2, 2))),
    "unsqueeze": every(lambda x: x.unsqueeze(1), lambda x: x.unsqueeze(-1)),
    "view": every(lambda x: x.view(5, -1)) + every(lambda x: x.view(len(x), -1), shapes=(IMAGE,)),
    "view_as": every(lambda x: x.view_as(torch.zeros(5, 24))),
}

INDEX = torch.tensor([2, 0])

SPLIT: dict[str, list[Probe]] = {
    "channel_shuffle": every(lambda x: F.channel_shuffle(x, 2)),
    "native_channel_shuffle": every(lambda x: torch.native_channel_shuffle(x, 2), shapes=(IMAGE,)),
    "split": every(
        lambda x: x.split(2, dim=1), lambda x: torch.split(x, [1, 3], 1), lambda x: x.split(3, -1)
    ),
    "split_with_sizes": every(lambda x: x.split_with_sizes([1, 3], 1)),
    "hsplit": every(lambda x: x.hsplit(2)),
    "vsplit": every(lambda x: torch.vsplit(x, [2])),
    "dsplit": every(lambda x: torch.dsplit(x, 2)),
    "gather": every(lambda x: x.gather(2, torch.zeros(5, 4, 3, dtype=torch.int64))),
    "getitem": every(
        lambda x: x[:, :3],
        lambda x: x[:, 0],
        lambda x: x[:, :, None],
        lambda x: x[..., 1:3],
        lambda x: x[:, INDEX],
        lambda x: x[:, ::2],
        lambda x: x[:3],
        lambda x: x[:, torch.tensor([True, False, True, True])],
    ),
    "index_select": every(lambda x: x.index_select(1, INDEX)),
    "narrow": every(lambda x: x.narrow(1, 1, 2)),
    "pixel_unshuffle": every(lambda x: F.pixel_unshuffle(x, 2), shapes=(IMAGE,)),
    "roll": every(lambda x: x.roll(1, 1), lambda x: torch.roll(x, 2, 2)),
    "rot90": every(lambda x: torch.rot90(x, 1, (1, 2))),
    "select": every(lambda x: x.select(1, 2)),
    "take_along_dim": every(lambda x: torch.take_along_dim(x, torch.zeros(5, 4, 1, dtype=torch.int64), 2)),
    "unbind": every(lambda x: x.unbind(1), torch.unbind),
    "unfold": every(lambda x: x.unfold(1, 2, 1))
    + every(lambda x: F.unfold(x, 3, padding=1), shapes=(IMAGE,)),
    "unsafe_split": every(lambda x: torch.unsafe_split(x, 2, 1)),
    "unsafe_split_with_sizes": every(lambda x: torch.unsafe_split_with_sizes(x, [1, 3], 1)),
    "tril": every(torch.tril, shapes=((5, 6, 6),)),
    "triu": every(torch.triu, shapes=((5, 6, 6),)),
    "chunk": every(lambda x: x.chunk(2, 1), lambda x: x.chunk(2, -1), lambda x: x.chunk(3, 1)),
    "tensor_split": every(lambda x: x.tensor_split(2, 1)),
    "unsafe_chunk": every(lambda x: torch.unsafe_chunk(x, 2, 1)),
    "glu": every(F.glu, lambda x: F.glu(x, 1)),
}


def _beside(name: str, *shapes: tuple[int, ...], **options: Any) -> list[Probe]:
    return [Probe(lambda *parts: function_of(name)(parts, **options), shapes)]


JOIN: dict[str, list[Probe]] = {
    **{
        name: _beside(name, TOKENS, (5, 2, 6), dim=1)
        + _beside(name, TOKENS, (5, 4, 1), dim=-1)
        + _beside(name, TABLE, TABLE, dim=0)
        for name in ("cat", "concat", "concatenate")
    },
    "stack": _beside("stack", TOKENS, TOKENS, dim=1) + _beside("stack", TABLE, TABLE, dim=-1),
    "hstack": _beside("hstack", TOKENS, (5, 2, 6)),
    "column_stack": _beside("column_stack", TABLE, (5, 2)),
    "vstack": _beside("vstack", TOKENS, TOKENS),
    "row_stack": _beside("row_stack", TOKENS, TOKENS),
    "dstack": _beside("dstack", TOKENS, (5, 4, 2)),
}

WEIGHTS = torch.randn(6, 4, generator=torch.Generator().manual_seed(9))


def _kernel(after: int, before: int, dims: int) -> Tensor:
    return torch.randn(after, before, *[2] * dims, generator=torch.Generator().manual_seed(dims))


LINEAR: dict[str, list[Probe]] = {
    "linear": every(lambda x: F.linear(x, WEIGHTS.T)),
    "embedding": every(lambda x: F.embedding(x, torch.randn(9, 3)), shapes=(TABLE,), draw=whole),
    **{
        f"conv{dims}d": [
            Probe(
                lambda x, dims=dims, groups=groups: function_of(f"conv{dims}d")(
                    x, _kernel(8, 4 // groups, dims), groups=groups
                ),
                (shape,),
            )
            for groups in (1, 2, 4)
        ]
        for dims, shape in ((1, CURVE), (2, IMAGE), (3, VOLUME))
    },
    **{
        f"conv_transpose{dims}d": [
            Probe(
                lambda x, dims=dims, groups=groups: function_of(f"conv_transpose{dims}d")(
                    x, _kernel(4, 3, dims), groups=groups
                ),
                (shape,),
            )
            for groups in (1, 2, 4)
        ]
        for dims, shape in ((1, CURVE), (2, IMAGE), (3, VOLUME))
    },
}

SQUARE = torch.randn(4, 4, generator=torch.Generator().manual_seed(8))

MIX: dict[str, list[Probe]] = {
    "layer_norm": every(lambda x: F.layer_norm(x, (6,))),
    "rms_norm": every(lambda x: F.rms_norm(x, (6,))),
    "group_norm": every(lambda x: F.group_norm(x, 2), lambda x: F.group_norm(x, 4)),
    "matmul": every(lambda x: x @ WEIGHTS, lambda x: SQUARE @ x)
    + every(lambda x, y: x @ y, shapes=(TOKENS, (5, 6, 3))),
    "mm": every(lambda x: torch.mm(x, WEIGHTS), shapes=(TABLE,)),
    "bmm": every(torch.bmm, shapes=(TOKENS, (5, 6, 3))),
    "scaled_dot_product_attention": every(F.scaled_dot_product_attention, shapes=((5, 2, 3, 4),) * 3),
}

CONSTANT: dict[str, list[Probe]] = {
    **{
        name: every(function_of(name))
        for name in ("empty_like", "ones_like", "rand_like", "randn_like", "zeros_like")
    },
    "full_like": every(lambda x: torch.full_like(x, 2.0)),
    "randint_like": every(lambda x: torch.randint_like(x, 5)),
    "fill": every(lambda x: torch.fill(x, 2.0)),
    "zero": every(lambda x: x.zero_()),
    "normal": every(lambda x: x.normal_()),
    "uniform": every(lambda x: x.uniform_()),
    "new_empty": every(lambda x: x.new_empty(3)),
    "new_full": every(lambda x: x.new_full((3,), 2.0)),
    "new_ones": every(lambda x: x.new_ones(3)),
    "new_tensor": every(lambda x: x.new_tensor([1.0])),
    "new_zeros": every(lambda x: x.new_zeros(3)),
}

PROBES: dict[str, list[Probe]] = {
    **{
        name: _elementwise(name)
        for name, row in BY_NAME.items()
        if row.effect is Effect.ELEMENTWISE and name not in {"cuda", *ELEMENTWISE}
    },
    **{
        name: _binary(name)
        for name, row in BY_NAME.items()
        if row.effect is Effect.BINARY and name not in BINARY
    },
    **ELEMENTWISE,
    **BINARY,
    **_pools(),
    **_along(),
    **CHANNELWISE,
    **RESHAPE,
    **SPLIT,
    **JOIN,
    **LINEAR,
    **MIX,
    **CONSTANT,
}
