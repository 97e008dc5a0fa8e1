"""What the operators of torch do to units: the one table that links, pruning, recording and currents read.

A newcomer adds a name to a row, or a row, and a probe to the test of this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

from torch import nn

from nif.network import unit_maps as maps
from nif.network.axes import inherited
from nif.network.unit_maps import Call, Mapped, UnitMap, mixed


class Effect(Enum):
    """What an operator does to units."""

    ELEMENTWISE = "every number by itself"
    BINARY = "units of several tensors meet at one place"
    CHANNELWISE = "every channel by itself"
    REDUCE = "numbers along some axes are combined"
    RESHAPE = "units keep their order, their axis may change"
    SPLIT = "some of the units are taken"
    JOIN = "units stand side by side"
    LINEAR = "new units, by weights"
    MIX = "every unit may reach every unit"
    CONSTANT = "the result depends on the shape only"


class Rule(Enum):
    """How a step of what an operator reads becomes a step of its result: the rule of currents."""

    LINEAR = "as a value does, for masks and indices that stay the same"
    SECANT = "number by number: what the result moves over what was read moves"
    POLYNOMIAL = "of a low degree: the mean gradient at a few points is exact"
    GENERAL = "the mean gradient at a few points, and what it misses in proportion"


@dataclass(frozen=True)
class Operator:
    """Operators that do the same to units.

    Attributes:
        names: Of functions and methods of torch, as `function_name` spells them.
        effect: What they do.
        unit_map: Which unit comes from which; None where every unit may come from every one.
        modules: Modules that compute one of them and are measured as one step.
        nonlinear: Their result is a layer unless the user chooses other layers.
        bends: So it is where they are all that bends between two weights; norms and attention are written
            with them too.
        unit_axis: The axis of the units in their result, and in what they read; None for where they were.
        weights_for_units: They have a number for each unit of the result, as norms do.
        passes: How currents pass them; None for what their effect says. Operators with a closed form of
            their own have it in `nif.measures.currents`, whatever stands here.
        aten: Names of operators below these functions, where torch spells them in another way.
    """

    names: frozenset[str]
    effect: Effect
    unit_map: Mapped | None = None
    modules: tuple[type[nn.Module], ...] = ()
    nonlinear: bool = False
    bends: bool = False
    unit_axis: int | None = None
    weights_for_units: bool = False
    passes: Rule | None = None
    aten: frozenset[str] = frozenset()

    @property
    def rule(self) -> Rule:
        """How currents pass."""
        return self.passes or RULES.get(self.effect, Rule.GENERAL)


RULES = {
    **dict.fromkeys((Effect.ELEMENTWISE, Effect.BINARY), Rule.SECANT),
    **dict.fromkeys((Effect.RESHAPE, Effect.SPLIT, Effect.JOIN, Effect.CONSTANT), Rule.LINEAR),
}
"""By effect, where a row says nothing."""


def _row(
    names: str, effect: Effect, unit_map: Mapped | None = None, *, aten: str = "", **properties: Any
) -> Operator:
    return Operator(frozenset(names.split()), effect, unit_map, aten=frozenset(aten.split()), **properties)


OPERATORS: tuple[Operator, ...] = (
    _row(
        """
        celu clamp clamp_max clamp_min clip cos elu gelu hardshrink hardsigmoid hardswish hardtanh
        leaky_relu log_sigmoid mish relu relu6 rrelu selu sigmoid silu sin softplus softshrink softsign tanh
        tanhshrink threshold
        """,
        Effect.ELEMENTWISE,
        maps.aligned,
        modules=(
            nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish,
            nn.Hardtanh, nn.LeakyReLU, nn.LogSigmoid, nn.Mish, nn.ReLU, nn.RReLU, nn.SELU, nn.Sigmoid,
            nn.SiLU, nn.Softplus, nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink, nn.Threshold,
        ),
        nonlinear=True,
        aten="log_sigmoid_forward rrelu_with_noise",
    ),
    _row(
        "prelu", Effect.ELEMENTWISE, maps.first_aligned, modules=(nn.PReLU,), nonlinear=True,
        weights_for_units=True, aten="_prelu_kernel",
    ),
    _row(
        """
        abs absolute acos acosh airy_ai angle arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan
        atanh bessel_j0 bessel_j1 bessel_y0 bessel_y1 ceil cosh digamma entr erf erfc erfcx erfinv exp exp2
        expit expm1 fix floor frac gammaln i0 i0e i1 i1e lgamma log log10 log1p log2 log_ndtr logit
        modified_bessel_i0 modified_bessel_i1 multigammaln mvlgamma ndtr ndtri polygamma psi reciprocal round
        rsqrt sgn sign sinc sinh spherical_bessel_j0 sqrt square tan trunc
        """,
        Effect.ELEMENTWISE,
        maps.first_aligned,
        bends=True,
    ),
    _row(
        """
        bernoulli bitwise_not bool byte char int invert isfinite isinf isnan isneginf isposinf isreal
        logical_not long nan_to_num short signbit
        """,
        Effect.ELEMENTWISE,
        maps.first_aligned,
        aten="bucketize",
    ),
    _row(
        """
        alpha_dropout bfloat16 clone conj conj_physical contiguous cpu cuda data deg2rad detach double
        dropout dropout1d dropout2d dropout3d feature_alpha_dropout feature_dropout float half neg negative
        positive rad2deg real requires_grad resolve_conj resolve_neg to type type_as
        """,
        Effect.ELEMENTWISE, maps.first_aligned, passes=Rule.LINEAR,
        aten="""
        _conj _fft_c2c _fft_c2r _fft_r2c _neg_view _to_copy alias complex imag lift lift_fresh native_dropout
        """,
    ),
    _row(
        """
        add addcdiv and bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor div divide
        eq floor_divide floordiv fmod gammainc gammaincc gcd ge greater greater_equal gt heaviside isclose
        lcm ldexp le less less_equal logical_and logical_or logical_xor lshift lt masked_fill mul multiply ne
        nextafter not_equal or remainder rshift rsub sub subtract true_divide xlog1py xlogy xor zeta
        """,
        Effect.BINARY,
        maps.aligned,
        aten="igamma igammac",
    ),
    _row(
        """
        arctan2 atan2 copysign float_power fmax fmin hypot logaddexp logaddexp2 maximum minimum pow where
        """,
        Effect.BINARY,
        maps.aligned,
        bends=True,
    ),
    _row("addcmul lerp", Effect.BINARY, maps.aligned, passes=Rule.POLYNOMIAL),
    _row(
        """
        adaptive_max_pool1d adaptive_max_pool1d_with_indices adaptive_max_pool2d
        adaptive_max_pool2d_with_indices adaptive_max_pool3d adaptive_max_pool3d_with_indices
        fractional_max_pool2d fractional_max_pool3d lp_pool1d lp_pool2d lp_pool3d max_pool1d
        max_pool1d_with_indices max_pool2d max_pool2d_with_indices max_pool3d max_pool3d_with_indices
        """,
        Effect.CHANNELWISE,
        maps.by_channel,
    ),
    _row(
        """
        adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d avg_pool1d avg_pool2d avg_pool3d
        interpolate
        """,
        Effect.CHANNELWISE, maps.by_channel, passes=Rule.LINEAR,
        aten="""
        _upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_nearest_exact1d _upsample_nearest_exact2d
        _upsample_nearest_exact3d max_unpool2d max_unpool3d upsample_bicubic2d upsample_bilinear2d
        upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_trilinear3d
        """,
    ),
    _row("grid_sample", Effect.CHANNELWISE, maps.by_channel, passes=Rule.POLYNOMIAL, aten="""
        grid_sampler_2d grid_sampler_3d
    """),
    _row(
        "batch_norm instance_norm", Effect.CHANNELWISE, maps.on_channels, unit_axis=1, weights_for_units=True
    ),
    _row("pad", Effect.JOIN, maps.padded, aten="""
        constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d
        replication_pad2d replication_pad3d
    """),
    _row(
        """
        all any argmax argmin argsort count_nonzero cummax cummin cumprod log_softmax logcumsumexp median
        mode nanmedian prod std std_mean
        """,
        Effect.REDUCE,
        maps.along(),
    ),
    _row("amax amin logsumexp max min softmax softmin", Effect.REDUCE, maps.along(), bends=True),
    _row("cumsum mean nanmean nansum sum", Effect.REDUCE, maps.along(), passes=Rule.LINEAR),
    _row("var var_mean", Effect.REDUCE, maps.along(), passes=Rule.POLYNOMIAL),
    _row("sort", Effect.REDUCE, maps.along(default=-1)),
    _row("normalize", Effect.REDUCE, maps.along(2, default=1)),
    _row("diff kthvalue topk", Effect.REDUCE, maps.along(2, default=-1)),
    _row("gumbel_softmax", Effect.REDUCE, maps.along(4, default=-1)),
    _row("linalg_norm linalg_vector_norm nanquantile norm quantile", Effect.REDUCE, maps.along(2)),
    _row(
        """
        adjoint broadcast_to expand expand_as flatten flip fliplr moveaxis movedim mT permute repeat
        repeat_interleave reshape reshape_as squeeze swapaxes swapdims T t tile transpose unflatten
        unsqueeze view view_as
        """,
        Effect.RESHAPE,
        maps.moved,
        aten="_reshape_alias _unsafe_view",
    ),
    _row(
        """
        channel_shuffle dsplit gather getitem hsplit index_select narrow native_channel_shuffle
        pixel_unshuffle roll rot90 select split split_with_sizes take_along_dim unbind unfold unsafe_split
        unsafe_split_with_sizes vsplit
        """,
        Effect.SPLIT,
        maps.picked,
        aten="_unsafe_index as_strided index slice",
    ),
    _row("tril triu", Effect.SPLIT, maps.fixed_aligned),
    _row("chunk tensor_split unsafe_chunk", Effect.SPLIT, maps.chunked),
    _row("glu", Effect.SPLIT, maps.halved, modules=(nn.GLU,), nonlinear=True),
    _row(
        "cat column_stack concat concatenate dstack hstack row_stack stack vstack", Effect.JOIN, maps.joined
    ),
    _row("linear", Effect.LINEAR, unit_axis=-1),
    _row(
        "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d", Effect.LINEAR,
        maps.grouped(6), unit_axis=1, passes=Rule.POLYNOMIAL, aten="convolution",
    ),
    _row("embedding", Effect.LINEAR, unit_axis=-1, passes=Rule.LINEAR),
    _row("layer_norm rms_norm", Effect.MIX, unit_axis=-1, weights_for_units=True),
    _row("group_norm", Effect.MIX, maps.grouped(1), unit_axis=1, weights_for_units=True),
    _row(
        "multi_head_attention_forward", Effect.MIX, modules=(nn.MultiheadAttention,), nonlinear=True,
        unit_axis=-1,
    ),
    _row("scaled_dot_product_attention", Effect.MIX, nonlinear=True),
    _row("bmm matmul mm", Effect.MIX, maps.multiplied),
    _row(
        """
        cdist cosine_similarity cross_entropy embedding_bag local_response_norm _native_multi_head_attention
        nonzero pairwise_distance renorm scatter_reduce _transformer_encoder_layer_fwd unique
        """,
        Effect.MIX,
    ),
    _row(
        "gru gru_cell lstm lstm_cell rnn_relu rnn_relu_cell rnn_tanh rnn_tanh_cell", Effect.MIX, unit_axis=-1
    ),
    _row(
        """
        as_tensor asarray copy diagonal fold index_add index_copy index_fill index_put masked_scatter
        masked_select pixel_shuffle ravel scatter scatter_add setitem __setitem__ take tensor
        """,
        Effect.MIX, passes=Rule.LINEAR,
        aten="""
        _unsafe_index_put _unsafe_masked_index as_strided_scatter block_diag col2im diag_embed
        diagonal_scatter im2col nll_loss2d_forward nll_loss_forward select_scatter slice_scatter trace
        view_as_complex view_as_real
        """,
    ),
    _row(
        "addbmm addmm addmv addr baddbmm bilinear cross dot einsum inner kron mse_loss mv outer tensordot",
        Effect.MIX, passes=Rule.POLYNOMIAL,
        aten="_trilinear linalg_cross vdot",
    ),
    _row(
        """
        empty_like fill full_like new_empty new_full new_ones new_tensor new_zeros normal ones_like
        rand_like randint_like randn_like uniform zero zeros_like
        """,
        Effect.CONSTANT,
        aten="new_empty_strided",
    ),
)  # fmt: skip
"""One row for all operators that share their properties. What is in no row is unknown."""

UNKNOWN = Operator(frozenset(), Effect.MIX)
"""Of a function in no row."""

BY_NAME = {name: operator for operator in OPERATORS for name in operator.names}

BY_ATEN = {name: operator for operator in OPERATORS for name in operator.aten}

NONLINEAR_MODULES = tuple(
    module for operator in OPERATORS if operator.nonlinear for module in operator.modules
)
"""Softmax is not here: inside a network it weighs other activations, at its end it is part of the output."""

PYTHON = frozenset({
    "abs", "add", "and", "div", "eq", "floordiv", "ge", "getitem", "gt", "invert", "le", "lshift", "lt",
    "matmul", "mul", "ne", "neg", "or", "pow", "rshift", "sub", "xor",
})  # fmt: skip
"""Operators of Python, whose reflected and in-place forms do the same to units."""

RECURRENT = (nn.RNNBase, nn.RNNCellBase)
"""Modules with a state, whose units have another value at every step."""


def function_name(function: Any) -> str:
    """The name of a torch function or method, the same for its in-place form and its operator in Python.

    Example:
        >>> import torch
        >>> functions = torch.relu_, torch.Tensor.__iadd__, torch.special.expit
        >>> tuple(map(function_name, functions))
        ('relu', 'add', 'expit')
        >>> function_name(torch.Tensor.__setitem__), function_name(torch.Tensor.T.__get__)
        ('__setitem__', 'T')
    """
    name = str(getattr(function, "__name__", function))
    if name == "__get__":  # of an attribute of a tensor
        name = str(getattr(function.__self__, "__name__", name))
    if not name.startswith("__"):
        plain = name.rstrip("_").removeprefix("special_")
        return plain if plain in BY_NAME else plain.lstrip("_")
    plain = name.strip("_")
    if plain in PYTHON or (plain[:1] in "ri" and plain[1:] in PYTHON):
        return plain if plain in PYTHON else plain[1:]
    return name


def operator_of(name: str) -> Operator:
    """The row of a function."""
    return BY_NAME.get(name, UNKNOWN)


@cache
def aten_operator(name: str) -> Operator:
    """The row of an operator below the functions, by its name without overload.

    Example:
        >>> aten_operator("_unsafe_view").rule.name, aten_operator("special_entr").rule.name
        ('LINEAR', 'SECANT')
    """
    return BY_ATEN[name] if name in BY_ATEN else operator_of(function_name(name))


def unit_map(call: Call, place: int, result: int) -> UnitMap:
    """From which unit of a tensor that a call has read each unit of one of its results comes.

    Example:
        >>> import torch
        >>> image = torch.zeros(11, 2, 3, 1)
        >>> call = Call("flatten", torch.flatten, (image, 1), {}, (image,), (1,), (torch.flatten(image, 1),))
        >>> unit_map(call, 0, 0).source.tolist()
        [[0, 0, 0, 1, 1, 1]]
    """
    operator, after = operator_of(call.name), call.written[result]
    known = None if operator.unit_map is None else operator.unit_map(call, place, result)
    if known is not None:
        return known
    axis_after = inherited(call.read[place], call.axis(place), after)
    if operator.unit_axis is not None:
        axis_after = operator.unit_axis % after.ndim if after.ndim > 1 else None
    unknown = (call.name,) if operator is UNKNOWN else ()
    return mixed(call.axis(place), axis_after, call.units(place), unknown)


def maps_to(call: Call, result: int) -> dict[int, UnitMap]:
    """The maps to one result of a call from every tensor whose units are known, by its place."""
    return {place: unit_map(call, place, result) for place, axis in enumerate(call.axes) if axis is not None}
