"""Rows of 32 numbers that stay in the processor's vector registers.

numba leaves vectorisation to LLVM, which keeps neither a hidden layer's weights nor the sums of a matrix
product in registers. The functions below read, combine and write values of 32 float32 numbers, each by one or
two machine instructions. On processors with shorter vectors LLVM splits them.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LANES = 32
"""Numbers in one value; the number of hidden units is a multiple of it."""

VECTOR = ir.VectorType(ir.FloatType(), LANES)


class LanesType(types.Type):
    """The numba type of a value of 32 float32 numbers."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


lanes = LanesType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, front: Any) -> None:
        super().__init__(manager, front, VECTOR)


def address(context: Any, builder: Any, array_type: Any, array: Any, at: Any) -> Any:
    """Pointer to an element of a contiguous array; its bounds are not checked."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [at])


def read(builder: Any, pointer: Any, kind: ir.VectorType = VECTOR) -> Any:
    """Emit the load of a vector from 4-byte aligned memory."""
    value = builder.load(builder.bitcast(pointer, kind.as_pointer()))
    value.align = 4
    return value


def write(builder: Any, pointer: Any, value: Any) -> None:
    """Emit the store of a vector to 4-byte aligned memory."""
    stored = builder.store(value, builder.bitcast(pointer, value.type.as_pointer()))
    stored.align = 4


def repeat(builder: Any, scalar: Any, kind: ir.VectorType = VECTOR) -> Any:
    """Emit a vector that has the scalar in every lane."""
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, undefined, zeros)


def multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """Emit a b + c with one rounding."""
    kind = ir.FunctionType(a.type, [a.type] * 3)
    name = f"llvm.fma.v{a.type.count}f32"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [a, b, c])


@intrinsic
def load(typing: Any, array: Any, at: Any) -> Any:
    """The 32 numbers of the array that start at an index."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return read(builder, address(context, builder, signature.args[0], *args))

    return lanes(array, types.intp), emit


@intrinsic
def store(typing: Any, array: Any, at: Any, value: Any) -> Any:
    """Write 32 numbers to the array from an index on."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        write(builder, address(context, builder, signature.args[0], *args[:2]), args[2])
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), emit


@intrinsic
def splat(typing: Any, scalar: Any) -> Any:
    """The same number in every lane."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return repeat(builder, args[0])

    return lanes(types.float32), emit


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c, lane by lane."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return multiply_add(builder, *args)

    return lanes(lanes, lanes, lanes), emit


@intrinsic
def keep_where_positive(typing: Any, value: Any, sign: Any) -> Any:
    """The value in the lanes where `sign` is above 0, else 0."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value, sign = args
        zero = ir.Constant(VECTOR, None)
        return builder.select(builder.fcmp_ordered(">", sign, zero), value, zero)

    return lanes(lanes, lanes), emit


@intrinsic
def total(typing: Any, value: Any) -> Any:
    """Sum over the lanes, in halves: the order is fixed."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value, width = args[0], LANES
        while width > 1:
            width //= 2
            halves = (_part(builder, value, range(start, start + width)) for start in (0, width))
            value = builder.fadd(*halves)
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return types.float32(lanes), emit


def _part(builder: Any, value: Any, lanes_kept: range) -> Any:
    """Emit the vector of some lanes of another."""
    places = [ir.Constant(ir.IntType(32), lane) for lane in lanes_kept]
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places)
    return builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), mask)
