"""A tape of every operation of a run, with the values that the rules of discrete gradients read.

`torch.utils._python_dispatch.TorchDispatchMode` sees each operation of the `aten` level after torch has taken
modules and functions apart, so the tape needs no knowledge of the model. Operations in place are handled
here: they write a new value, and views of the same memory are read anew from a copy of the whole memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from nif.measures.currents.fused import COMPOSITE, TAKEN_APART
from nif.measures.currents.kernels import FASTER
from nif.measures.currents.operation import Operation, Value, mapped, values_among
from nif.network.operators import Effect, aten_operator
from nif.network.tracing import unfused

aten = torch.ops.aten

UNWRITTEN = frozenset(["empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"])
"""Operations whose result is whatever the memory held."""

MASK_PLACE = {"masked_fill": 1, "where": 0, "index_put": 1, "scatter": 2, "index_copy": 2, "index_fill": 2}
"""Place of the mask, or of the indices, among the arguments."""

LOGARITHMS = frozenset(["log", "log2", "log10"])
"""Functions that are minus infinity at 0, as of a mask that moves; there they are those of a tiny number."""

LOWEST = -1e4
"""In place of minus infinity behind a mask that depends on the data: its exponential is 0 as well, and the
step of a number that is masked at one end only is finite."""

WRITES_NO_VALUE = frozenset(
    ["transpose_", "t_", "squeeze_", "unsqueeze_", "swapaxes_", "detach_", "as_strided_", "swapdims_"]
)
"""Operations in place that change a shape and no value."""


Known = Callable[["Tape", Any, tuple[Any, Any]], Tensor | None]
"""What an operation computes, by the tape before it, its function and its arguments, if that is known."""

Calls = tuple[tuple[Any, tuple[int, ...], tuple[int | None, ...]], ...]
"""The operators that ran, with the numbers of what they read and wrote."""


@dataclass(frozen=True, eq=False)
class Shape:
    """What is left of a value that no rule reads."""

    shape: torch.Size
    dtype: torch.dtype
    device: torch.device

    def filled(self) -> Tensor:
        """Zeros of this shape, in the memory of one number."""
        return torch.zeros((), dtype=self.dtype, device=self.device).expand(self.shape)


@dataclass(eq=False)
class Tape:
    """The operations of one run and their values.

    Attributes:
        operations: In order of execution.
        values: By number; a `Shape` where no rule reads the value; None where the input does not reach it.
        inputs: Numbers of the tensors that move along the path.
        moving: Numbers of all floating-point values that depend on them.
        dependent: Numbers of all other values that depend on them: masks, indices and other whole numbers.
        parameters: Name of each parameter and buffer, by number.
        outputs: Numbers of what the run returned.
        marks: Numbers of the values that the run marked, by name.
    """

    operations: list[Operation]
    values: list[Any]
    inputs: tuple[int, ...]
    moving: set[int]
    dependent: set[int]
    parameters: dict[int, str]
    outputs: tuple[int, ...] = ()
    marks: dict[str, int] | None = None

    def value(self, argument: Any) -> Any:
        """The tensor of an argument that is on the tape; any other argument as it is."""
        return self.values[argument.index] if isinstance(argument, Value) else argument

    def tensor(self, index: int) -> Tensor:
        """The value of a number; zeros of its shape where it is not kept."""
        value = self.values[index]
        return value.filled() if isinstance(value, Shape) else value

    def shape(self, index: int) -> torch.Size:
        """The shape of a value."""
        return self.values[index].shape

    def like(self, other: Tape) -> bool:
        """Whether both runs did the same operations, on values of the same shapes."""
        return self.calls == other.calls and all(
            one.shape == two.shape for one, two in zip(self.values, other.values, strict=True)
        )

    @property
    def calls(self) -> Calls:
        """What ran, whatever the shapes."""
        return tuple((one.function, one.read, one.written) for one in self.operations)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of the operations, by which tapes of other rows are compared."""
        return tuple(operation.kind for operation in self.operations)

    def part(self, kept: Set[int]) -> Tape:
        """The same tape with the values that do not move and these; a tape of its own."""
        part = replace(self, values=list(self.values))
        part.forget({index for index in range(len(self.values)) if index in kept or index not in self.moving})
        return part

    def forget(self, kept: Container[int]) -> None:
        """Keep the shapes only of all values but these."""
        for index, value in enumerate(self.values):
            if index not in kept and isinstance(value, Tensor):
                self.values[index] = Shape(value.shape, value.dtype, value.device)


class _Recorder(TorchDispatchMode):
    """Writes every operation on a tape."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing here is compiled: torch need not load its compiler, which takes two seconds."""
        return False

    def __init__(self, inputs: Sequence[Tensor], parameters: Mapping[str, Tensor], known: Known) -> None:
        super().__init__()
        self._known = known
        self._number: dict[int, int] = {}
        self._alive: list[Any] = []  # so that no id is used twice
        self._aliases: dict[int, list[int]] = {}
        self._memory: dict[int, tuple[int, int]] = {}
        """Of each memory that was written in place: the value that holds all of it, and how often."""
        self._version: dict[int, int] = {}
        self.tape = Tape([], [], (), set(), set(), {})
        self.tape.inputs = tuple(self._add(tensor) for tensor in inputs)
        self.tape.moving = set(self.tape.inputs)
        self.tape.parameters = {self._add(tensor): name for name, tensor in parameters.items()}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = function.overloadpacket.__name__
        if name in TAKEN_APART:
            with self:
                result = TAKEN_APART[name](*args, **kwargs)
            if result is not NotImplemented:
                return result
        if name in COMPOSITE:
            with self:
                return function.decompose(*args, **kwargs)
        if name.rstrip("_") in MASK_PLACE and self._moving_mask(args[MASK_PLACE[name.rstrip("_")]]):
            args = mapped(_finite, self._finite_ground(name, args))
        if name in LOGARITHMS and self._reached(args[0]) and bool((args[0] == 0).any()):
            with self:
                args = (args[0].clamp_min(torch.finfo(args[0].dtype).tiny),)
        numbered = mapped(self._numbered, (args, kwargs))
        if function._schema.is_mutable and name not in WRITES_NO_VALUE and _writes_first(function, args):
            return self._in_place(function, args, kwargs, numbered)
        result = self._known(self.tape, function, numbered)
        if result is None:
            result = FASTER.get(name, function)(*args, **kwargs)
        several = isinstance(result, tuple | list)
        if name in UNWRITTEN:
            result.zero_()
        if name in WRITES_NO_VALUE:
            overload = "int" if name == "transpose_" else function._overloadname
            function = getattr(getattr(aten, name[:-1]), overload)
        self._write(function, numbered, result if several else [result], several=several)
        return result

    def number_of(self, tensor: Tensor) -> int | None:
        """The number of a tensor of this run."""
        return self._numbered(tensor).index if id(tensor) in self._number else None

    def _moving_mask(self, given: Any) -> bool:
        """Whether a mask, or one of several indices, depends on the data."""
        masks = given if isinstance(given, list | tuple) else [given]
        return any(
            id(one) in self._number and self._numbered(one).index in self.tape.dependent for one in masks
        )

    def _reached(self, given: Any) -> bool:
        """Whether it is a number that moves."""
        return id(given) in self._number and self._numbered(given).index in self.tape.moving

    def _finite_ground(self, name: str, args: Any) -> Any:
        """The arguments, of which the first has no minus infinity where it stays as it is."""
        ground, infinite = args[0], -math.inf
        if name == "where" or not ground.is_floating_point() or not bool((ground == infinite).any()):
            return args
        with self:
            clamped = torch.clamp_min_(ground, LOWEST) if name.endswith("_") else ground.clamp_min(LOWEST)
        return (clamped, *args[1:])

    def _add(self, tensor: Tensor) -> int:
        index = self._append(tensor.detach(), tensor)
        self._number[id(tensor)] = index
        if tensor.layout == torch.strided:
            memory = tensor.untyped_storage().data_ptr()
            self._aliases.setdefault(memory, []).append(index)
            self._version[id(tensor)] = self._memory[memory][1] if memory in self._memory else 0
        return index

    def _append(self, value: Tensor, alive: Tensor | None = None) -> int:
        self.tape.values.append(value)
        self._alive.append(alive)
        return len(self.tape.values) - 1

    def _write(
        self,
        function: Any,
        numbered: tuple[Any, Any],
        results: Sequence[Any],
        *,
        several: bool = False,
        in_place: bool = False,
        numbers: Sequence[int] | None = None,
    ) -> None:
        args, kwargs = numbered
        read = tuple(value.index for value in values_among(numbered))
        written = (
            tuple(self._add(one) if isinstance(one, Tensor) else None for one in results)
            if numbers is None
            else tuple(numbers)
        )
        tape, name = self.tape, function.overloadpacket.__name__
        reached = not (tape.moving.isdisjoint(read) and tape.dependent.isdisjoint(read))
        if reached and not _reads_shapes_only(name):
            for index in written:
                if index is not None:
                    value = tape.values[index]
                    floats = value.is_floating_point() or value.is_complex()
                    (tape.moving if floats else tape.dependent).add(index)
        kind = name.rstrip("_") if in_place else name
        tape.operations.append(
            Operation(function, kind, tuple(args), kwargs, read, written, several, in_place)
        )

    def _numbered(self, leaf: Any) -> Any:
        """The number of a tensor; one whose memory was written through another view is read anew."""
        if not isinstance(leaf, Tensor):
            return leaf
        if id(leaf) not in self._number:  # a constant, such as a tensor that is no buffer
            self._add(leaf)
        memory = leaf.untyped_storage().data_ptr() if leaf.layout == torch.strided else None
        if memory in self._memory and self._version[id(leaf)] < self._memory[memory][1]:
            whole, version = self._memory[memory]
            layout = (list(leaf.size()), list(leaf.stride()), leaf.storage_offset())
            index = self._append(self.tape.values[whole].as_strided(*layout), leaf)
            self._write(aten.as_strided.default, ((Value(whole), *layout), {}), (), numbers=[index])
            self._number[id(leaf)], self._version[id(leaf)] = index, version
        return Value(self._number[id(leaf)])

    def _in_place(self, function: Any, args: Any, kwargs: Any, numbered: tuple[Any, Any]) -> Tensor:
        tensor: Tensor = args[0]
        memory = tensor.untyped_storage().data_ptr()
        aliases = self._aliases.get(memory, [])
        for index in aliases:  # earlier operations have read what is there now
            value = self.tape.values[index]
            if value.untyped_storage().data_ptr() == memory:
                self.tape.values[index] = value.clone()
        function(*args, **kwargs)
        others = [index for index in aliases if self._alive[index] is not tensor]
        if not others:
            self._aliases[memory] = []
            self._write(function, numbered, [tensor], in_place=True)
            return tensor
        written = self._append(tensor.detach().clone())
        self._write(function, numbered, (), in_place=True, numbers=[written])
        self._write_memory(tensor, written, aliases)
        return tensor

    def _write_memory(self, tensor: Tensor, written: int, aliases: Sequence[int]) -> None:
        """A new value for the whole memory of which a part was written."""
        memory = tensor.untyped_storage().data_ptr()
        layout = (list(tensor.size()), list(tensor.stride()), tensor.storage_offset())
        if memory not in self._memory:
            self._memory[memory] = (self._whole_memory(tensor, aliases), 0)
        before, version = self._memory[memory]
        values = self.tape.values
        after = self._append(torch.as_strided_scatter(values[before], values[written], *layout))
        arguments = (Value(before), Value(written), *layout)
        self._write(aten.as_strided_scatter.default, (arguments, {}), (), numbers=[after])
        self._memory[memory] = (after, version + 1)
        self._number[id(tensor)], self._version[id(tensor)] = written, version + 1

    def _whole_memory(self, tensor: Tensor, aliases: Sequence[int]) -> int:
        """A flat value that holds what the largest view of a memory shows of it."""
        largest = max(aliases, key=lambda index: self.tape.values[index].numel())
        view = self._alive[largest]
        size = tensor.untyped_storage().nbytes() // tensor.element_size()
        layout = (list(view.size()), list(view.stride()), view.storage_offset())
        zeros = self._append(tensor.new_zeros(size))
        values = self.tape.values
        whole = self._append(torch.as_strided_scatter(values[zeros], values[largest], *layout))
        arguments = (Value(zeros), Value(largest), *layout)
        self._write(aten.as_strided_scatter.default, (arguments, {}), (), numbers=[whole])
        return whole


def _finite(leaf: Any) -> Any:
    """A number in place of minus infinity, also in a tensor of one number."""
    if isinstance(leaf, Tensor):
        return torch.full_like(leaf, LOWEST) if not leaf.dim() and bool(leaf == -math.inf) else leaf
    return LOWEST if isinstance(leaf, float) and leaf == -math.inf else leaf


def _reads_shapes_only(name: str) -> bool:
    """Whether an operator reads a shape and no value, as ``zeros_like`` does."""
    return aten_operator(name).effect is Effect.CONSTANT and name not in ("fill", "fill_")


def _writes_first(function: Any, args: Any) -> bool:
    first = function._schema.arguments[0]
    return (
        bool(args)
        and isinstance(args[0], Tensor)
        and first.alias_info is not None
        and first.alias_info.is_write
    )


def nothing_known(tape: Tape, function: Any, arguments: tuple[Any, Any]) -> None:
    """Everything is computed."""


@contextmanager
def _plain_operations() -> Iterator[None]:
    """Attention and encoders run as single operations, without gradients."""
    with ExitStack() as stack:
        stack.enter_context(unfused())
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(torch.no_grad())
        yield


def record(
    run: Callable[..., Sequence[Tensor]],
    inputs: Sequence[Tensor],
    parameters: Mapping[str, Tensor],
    known: Known = nothing_known,
) -> Tape:
    """Run a function of the inputs, and write every operation on a tape.

    Args:
        run: Returns the tensors whose numbers are the `Tape.outputs`. It is given the inputs, and a function
            that marks a tensor by a name.
        inputs: What moves along the path.
        parameters: Tensors whose name is kept.
        known: Results that need not be computed.

    Example:
        >>> x = torch.tensor([1.0, -2.0])
        >>> tape = record(lambda mark, x: [x.relu().sum()], [x], {})
        >>> [operation.kind for operation in tape.operations]
        ['relu', 'sum']
    """
    with _plain_operations():
        recorder = _Recorder(inputs, parameters, known)
        marks: dict[str, int] = {}

        def mark(name: str, tensor: Tensor) -> None:
            number = recorder.number_of(tensor)
            if number is not None and name not in marks:
                marks[name] = number

        with recorder:
            returned = run(mark, *inputs)
    tape = recorder.tape
    numbers = [recorder.number_of(tensor) for tensor in returned]
    tape.outputs, tape.marks = tuple(number for number in numbers if number is not None), marks
    return tape
