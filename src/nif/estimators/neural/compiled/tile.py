"""Small matrix products at the processor's speed, whole operands in the first cache.

A product is computed in tiles whose sums stay in registers; their size is what the registers of the processor
can hold. Each sum is one chain of fused operations, in the same order in a tile of any size, so that the
result has the same bits on all processors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float32
from llvmlite import ir
from numba import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from nif.estimators.jit import compiled
from nif.estimators.neural.compiled.lanes import address, multiply_add, read, repeat, write


def tile_shape(processor: str, features: str) -> tuple[int, int]:
    """Rows and columns of a tile: two registers in a row, and half of all registers for the sums.

    Args:
        processor: LLVM's triple, which begins with the architecture.
        features: LLVM's names of the instruction sets, each after a plus or a minus.

    Example:
        >>> tile_shape("x86_64-unknown-linux-gnu", "+avx2,+avx512f"), tile_shape("x86_64", "+avx2,-avx512f")
        ((8, 32), (4, 16))
    """
    if "+avx512f" in features:
        registers, numbers = 32, 16
    elif "+avx" in features:
        registers, numbers = 16, 8
    else:
        registers, numbers = (32 if processor.startswith(("aarch64", "arm64")) else 16), 4
    return registers // 4, 2 * numbers


_triple, _, _features = cpu_target.target_context.codegen().magic_tuple()
# Those that numba compiles for: of this machine, or of NUMBA_CPU_NAME and NUMBA_CPU_FEATURES.

ROWS, COLUMNS = tile_shape(_triple, _features)
"""Of a tile; they divide 64 samples and 32 hidden units."""

VECTOR = ir.VectorType(ir.FloatType(), COLUMNS)

Numbers = Float32[np.ndarray, " number"]


@intrinsic
def _tile(
    typing: Any, out: Any, out_at: Any, out_row: Any, start: Any, start_at: Any, start_row: Any,
    a: Any, a_at: Any, a_row: Any, a_step: Any, b: Any, b_at: Any, b_row: Any, depth: Any,
) -> Any:  # fmt: skip
    """One tile of ``out = start + a @ b``; the sums stay in registers over the whole depth."""
    index = types.intp
    signature = types.void(
        out, index, index, start, index, index, a, index, index, index, b, index, index, index
    )
    return signature, _emit_tile


def _emit_tile(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    out_row, start_row, a_row, a_step, b_row, depth = (args[k] for k in (2, 5, 8, 9, 12, 13))
    kinds = signature.args
    out, start, a, b = (address(context, builder, kinds[k], args[k], args[k + 1]) for k in (0, 3, 6, 10))
    one = ir.Constant(depth.type, 1)

    def rows_of(pointer: Any, stride: Any) -> list[Any]:
        numbers = [ir.Constant(depth.type, row) for row in range(ROWS)]
        return [builder.gep(pointer, [builder.mul(stride, number)]) for number in numbers]

    first = [read(builder, pointer, VECTOR) for pointer in rows_of(start, start_row)]
    left = rows_of(a, a_row)
    before, loop, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
    builder.branch(loop)

    builder.position_at_end(loop)
    k = builder.phi(depth.type)
    sums = [builder.phi(VECTOR) for _ in range(ROWS)]
    right = read(builder, builder.gep(b, [builder.mul(k, b_row)]), VECTOR)
    offset = builder.mul(k, a_step)
    scalars = [builder.load(builder.gep(pointer, [offset])) for pointer in left]
    added = [
        multiply_add(builder, repeat(builder, scalar, VECTOR), right, so_far)
        for scalar, so_far in zip(scalars, sums, strict=True)
    ]
    following = builder.add(k, one)
    builder.cbranch(builder.icmp_signed("<", following, depth), loop, after)
    for phi, at_first, at_next in zip([k, *sums], [one.type(0), *first], [following, *added], strict=True):
        phi.add_incoming(at_first, before)
        phi.add_incoming(at_next, loop)

    builder.position_at_end(after)
    for pointer, value in zip(rows_of(out, out_row), added, strict=True):
        write(builder, pointer, value)
    return context.get_dummy_value()


@compiled
def layer(
    out: Numbers, bias: Numbers, bias_at: int, a: Numbers, b: Numbers, b_at: int, rows: int, width: int
) -> None:
    """``out = bias + a @ b`` with a of shape [rows, width] and b of shape [width, width]."""
    for row in range(0, rows, ROWS):
        for column in range(0, width, COLUMNS):
            _tile(out, row * width + column, width, bias, bias_at + column, 0,
                  a, row * width, width, 1, b, b_at + column, width, width)  # fmt: skip


@compiled
def add_outer(out: Numbers, out_at: int, a: Numbers, b: Numbers, rows: int, width: int) -> None:
    """``out += a.T @ b`` with a and b of shape [rows, width]."""
    for row in range(0, width, ROWS):
        for column in range(0, width, COLUMNS):
            at = out_at + row * width + column
            _tile(out, at, width, out, at, width, a, row, 1, width, b, column, width, rows)
