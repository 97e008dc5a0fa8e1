"""Which unit of one tensor each unit of another comes from, for one call of a torch function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class UnitMap:
    """Which units of one tensor each unit of another comes from.

    Attributes:
        axis_before: Axis of the units in the tensor that is read.
        axis_after: Axis of the units in the result; None if it has none.
        before: Number of units that are read.
        source: One column for each unit of the result, with the units it comes from; -1 fills a column up.
            None where every unit may come from every one.
        fixed: The call needs this number of units, as ``x[:, :3]`` does.
        tied: Units of one column, and those at one place of several results, can only be removed together.
        unknown: The operators because of which it is not known more exactly.

    Example:
        >>> split = UnitMap(1, 1, 2, np.array([[0, 0, 1, 1]]))
        >>> split.then(identity(1, 1, 4)).connected().astype(int).tolist()
        [[1, 1, 0, 0], [0, 0, 1, 1]]
    """

    axis_before: int
    axis_after: int | None
    before: int
    source: Int[np.ndarray, "origin after"] | None
    fixed: bool = False
    tied: bool = False
    unknown: tuple[str, ...] = ()

    @property
    def mixes(self) -> bool:
        """Whether it is known that every unit may come from every one."""
        return self.source is None and not self.unknown

    def connected(self) -> Bool[np.ndarray, "before after"] | None:
        """Which pairs of units a path connects; None where that is all of them, or where it is not known."""
        if self.source is None:
            return None
        flags = np.zeros((self.before + 1, self.source.shape[1]), dtype=bool)
        flags[self.source, np.arange(self.source.shape[1])] = True
        flags = flags[:-1]  # -1 has marked the last row
        return None if flags.all() else flags

    def then(self, other: UnitMap) -> UnitMap:
        """One call after another."""
        if self.source is None or other.source is None or self.axis_after != other.axis_before:
            known = self.mixes or other.mixes or not (self.unknown or other.unknown)
            unknown = () if known else _names(self, other)
            return mixed(self.axis_before, other.axis_after, self.before, unknown)
        both = np.where(other.source < 0, -1, self.source[:, other.source])
        source = _distinct(both.reshape(-1, both.shape[-1]))
        return replace(self, axis_after=other.axis_after, source=source)


def identity(axis_before: int, axis_after: int, units: int) -> UnitMap:
    """Every unit comes from the one at its place."""
    return UnitMap(axis_before, axis_after, units, _every(units))


def mixed(axis_before: int, axis_after: int | None, units: int, unknown: tuple[str, ...] = ()) -> UnitMap:
    """Every unit may come from every one."""
    return UnitMap(axis_before, axis_after, units, None, unknown=unknown)


def union(maps: Sequence[UnitMap]) -> UnitMap:
    """All of several ways between the same two tensors together."""
    first, *others = maps
    if not others:
        return first
    places = {(path.axis_before, path.axis_after) for path in maps}
    sources = [path.source for path in maps if path.source is not None]
    if len(sources) < len(maps) or len(places) > 1:
        known = any(path.mixes for path in maps) or len(sources) == len(maps)
        unknown = () if known else _names(*maps)
        return mixed(first.axis_before, first.axis_after, first.before, unknown)
    return replace(first, source=_distinct(np.concatenate(sources)))


@lru_cache(maxsize=64)
def _every(units: int) -> Int[np.ndarray, "1 unit"]:
    source = np.arange(units)[None]
    source.flags.writeable = False
    return source


def _names(*maps: UnitMap) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for path in maps for name in path.unknown))


def _distinct(source: Int[np.ndarray, "origin after"]) -> Int[np.ndarray, "origin after"]:
    """Every unit once in each column, -1 behind them, in as few rows as possible."""
    if len(source) == 1:
        return source
    ordered = np.sort(source, axis=0)
    ordered[1:][ordered[1:] == ordered[:-1]] = -1
    ordered = np.sort(ordered, axis=0)[::-1]
    return ordered[: max(1, int((ordered >= 0).sum(0).max(initial=0)))]


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a torch function in a run.

    Attributes:
        name: Of the function, as the table of operators spells it.
        function: The function.
        args: Its arguments.
        kwargs: Its arguments by name.
        read: All tensors among them.
        axes: The axis of the units in each of these; None where it is not known.
        written: All tensors that it has returned.
    """

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    read: tuple[Tensor, ...]
    axes: tuple[int | None, ...]
    written: tuple[Tensor, ...]

    def argument(self, place: int, name: str, default: Any = None) -> Any:
        """The argument at this place or of this name."""
        return self.kwargs.get(name, self.args[place] if len(self.args) > place else default)

    def axis(self, place: int) -> int:
        """The axis of the units in the tensor at this place, where it is known."""
        axis = self.axes[place]
        assert axis is not None
        return axis

    def units(self, place: int) -> int:
        """The number of units there."""
        return int(self.read[place].shape[self.axis(place)])

    def on(self, tensors: Mapping[int, Tensor]) -> list[Tensor]:
        """What the function returns when some of the tensors it has read are replaced, by their place."""
        values = iter([tensors.get(place, read) for place, read in enumerate(self.read)])
        return tensors_in(self.function(*_replaced(self.args, values), **_replaced(self.kwargs, values)))


Mapped: TypeAlias = Callable[[Call, int, int], UnitMap | None]
"""The map from the tensor at one place to one of the results; None where nothing keeps units apart."""


def tensors_in(given: Any) -> list[Tensor]:
    """All tensors in nested tuples, lists and mappings."""
    if isinstance(given, Tensor):
        return [given]
    if isinstance(given, Mapping):
        given = list(given.values())
    if isinstance(given, Sequence) and not isinstance(given, str):
        return [tensor for part in given for tensor in tensors_in(part)]
    return []


def _replaced(given: Any, values: Iterator[Tensor]) -> Any:
    """The same arguments with other tensors, in the order of `tensors_in`."""
    if isinstance(given, Tensor):
        return next(values)
    if isinstance(given, Mapping):
        return {name: _replaced(part, values) for name, part in given.items()}
    if isinstance(given, (tuple, list)):
        parts = [_replaced(part, values) for part in given]
        return tuple(parts) if isinstance(given, tuple) else parts
    return given


def aligned(call: Call, place: int, result: int) -> UnitMap | None:
    """Of a function that treats every number by itself; several tensors meet by the rules of broadcasting."""
    before, after, axis = call.read[place], call.written[result], call.axis(place)
    there = axis + after.ndim - before.ndim
    if after.ndim < before.ndim or call.units(place) not in (1, after.shape[there]):
        return None
    if call.units(place) == after.shape[there]:
        return identity(axis, there, call.units(place))
    return UnitMap(axis, there, 1, np.zeros((1, after.shape[there]), dtype=np.int64), fixed=True)


def first_aligned(call: Call, place: int, result: int) -> UnitMap | None:
    """Of a function that treats every number of its first tensor by itself."""
    return aligned(call, place, result) if place == 0 else None


def fixed_aligned(call: Call, place: int, result: int) -> UnitMap | None:
    """The same of a function that asks at which place a number is."""
    path = first_aligned(call, place, result)
    return None if path is None else replace(path, fixed=True)


def by_channel(call: Call, place: int, result: int) -> UnitMap | None:
    """Of a function that treats every channel by itself: what comes behind the channels are positions."""
    before, after = call.read[place], call.written[result]
    positions = next((int(size) for size in "123" if f"{size}d" in call.name), before.ndim - 2)
    axis = call.axis(place)
    kept = before.ndim == after.ndim and before.shape[axis] == after.shape[axis]
    if place or not kept or axis >= before.ndim - positions:
        return None
    return identity(axis, axis, call.units(place))


def on_channels(call: Call, place: int, result: int) -> UnitMap | None:
    """Of a function with numbers for each channel, which are on axis 1."""
    return aligned(call, place, result) if place == 0 and call.axes[0] == 1 else None


def along(place_of_dim: int = 1, default: int | None = None) -> Mapped:
    """Of a function that combines numbers along some axes: units stay apart if theirs is not among them."""

    def unit_map(call: Call, place: int, result: int) -> UnitMap | None:
        if len(call.read) > 1 and call.name in {"max", "min"}:
            return aligned(call, place, result)
        before, after, axis = call.read[place], call.written[result], call.axis(place)
        dims = _dims(call, place_of_dim, default, before.ndim)
        if place or not dims or axis in dims:
            return None
        there = axis if after.ndim == before.ndim else axis - sum(dim < axis for dim in dims)
        kept = before.ndim - after.ndim in (0, len(dims)) and after.shape[there] == before.shape[axis]
        return identity(axis, there, call.units(place)) if kept else None

    return unit_map


def _dims(call: Call, place: int, default: int | None, count: int) -> tuple[int, ...]:
    """The axes that the arguments name; none where that is all of them."""
    given = call.kwargs.get("axis", call.argument(place, "dim", default))
    axes = (given,) if isinstance(given, int) and not isinstance(given, bool) else given
    if not isinstance(axes, (tuple, list)):
        return ()
    return tuple(axis % count for axis in axes)


def moved(call: Call, place: int, result: int) -> UnitMap | None:
    """Of a function that moves numbers and computes nothing: it is called on the numbers of the units."""
    before, after, axis = call.read[place], call.written[result], call.axis(place)
    if before is after:  # changed in place, if its shape was changed at all
        in_place = str(getattr(call.function, "__name__", "")).endswith("_")
        return None if in_place else identity(axis, axis, call.units(place))
    if place or any(isinstance(part, torch.dtype) for part in (*call.args, *call.kwargs.values())):
        return None
    return _traced(call, {0: _numbered(before, axis)}, place, result)


def picked(call: Call, place: int, result: int) -> UnitMap | None:
    """Of a function that moves some numbers, such as those at an index."""
    path = moved(call, place, result)
    if path is None or path.source is None:
        return None
    same = np.array_equal(path.source, _every(call.units(place)))
    return replace(path, fixed=not same)


def chunked(call: Call, place: int, result: int) -> UnitMap | None:
    """Of pieces that stay equal if the units at one place of all are removed together."""
    path = picked(call, place, result)
    equal = {part.shape for part in call.written} == {call.written[0].shape}
    return replace(path, fixed=False, tied=True) if path is not None and path.fixed and equal else path


def padded(call: Call, place: int, result: int) -> UnitMap | None:
    """Of padding, whatever the value."""
    if place:
        return None
    mode = call.argument(2, "mode", "constant")
    plain = replace(call, args=(call.args[0], call.argument(1, "pad")), kwargs={"mode": mode})
    path = _traced(plain, {0: _numbered(call.read[0], call.axis(0))}, place, result)
    if path is None or path.source is None:
        return None
    return replace(path, fixed=mode != "constant" and path.source.shape[1] != call.units(0))


def joined(call: Call, place: int, result: int) -> UnitMap | None:
    """Of tensors side by side."""
    others = {other: torch.zeros(read.shape, device=read.device) for other, read in enumerate(call.read)}
    return _traced(call, {**others, place: _numbered(call.read[place], call.axis(place))}, place, result)


def reaches(call: Call, place: int, result: int, axis: int) -> Bool[np.ndarray, " after"]:
    """Which units of tensors side by side, along an axis, have numbers of the tensor at this place."""
    filled = {
        other: torch.full(read.shape, float(other == place), device=read.device)
        for other, read in enumerate(call.read)
    }
    arrived = call.on(filled)[result].movedim(axis, 0).flatten(1)
    return np.asarray(arrived.any(1).cpu())


def _numbered(values: Tensor, axis: int) -> Tensor:
    """A tensor of the same shape whose numbers are those of the units, counted from 1."""
    units = torch.arange(1, values.shape[axis] + 1, dtype=torch.float32, device=values.device)
    shape = [1] * values.ndim
    shape[axis] = -1
    return units.reshape(shape).expand(values.shape).contiguous()


def _traced(call: Call, tensors: Mapping[int, Tensor], place: int, result: int) -> UnitMap | None:
    """Where the numbers of the units arrive."""
    try:
        arrived = call.on(tensors)[result]
    except (RuntimeError, TypeError, NotImplementedError, IndexError):
        return None  # the function needs numbers of another kind
    if arrived.shape != call.written[result].shape:
        return None
    numbers = arrived.cpu().numpy().astype(np.int64) - 1
    axis = call.axis(place)
    for there in sorted(range(numbers.ndim), key=lambda other: other != axis):
        source = numbers.max(axis=tuple(other for other in range(numbers.ndim) if other != there), initial=-1)
        column = source.reshape([-1 if other == there else 1 for other in range(numbers.ndim)])
        if there == 0 and len(source) != call.units(place):
            continue  # units and rows are on one axis
        if ((numbers == column) | (numbers < 0)).all() and _tells_apart(source, call.units(place)):
            return UnitMap(axis, there, call.units(place), source[None])
    return None


def _tells_apart(source: Int[np.ndarray, " after"], units: int) -> bool:
    """Whether the axis is that of the units, and not one along which all numbers are of the same unit."""
    return len(np.unique(source[source >= 0])) > 1 or units == 1 or bool((source >= 0).sum() == 1)


def grouped(place_of_groups: int) -> Mapped:
    """Of a function that mixes the units of each group, such as a convolution."""

    def unit_map(call: Call, place: int, result: int) -> UnitMap | None:
        groups = call.argument(place_of_groups, "groups" if place_of_groups > 1 else "num_groups", 1)
        before, after = call.units(place), call.written[result].shape[1]
        if place or call.axes[0] != 1 or groups == 1 or before % groups or after % groups:
            return None
        inside = np.arange(before).reshape(groups, -1)
        return UnitMap(1, 1, before, np.repeat(inside, after // groups, axis=0).T)

    return unit_map


def multiplied(call: Call, place: int, result: int) -> UnitMap | None:
    """Of a product of matrices: the columns of the second and the rows of the first stay apart."""
    before, after, axis = call.read[place], call.written[result], call.axis(place)
    if len(call.read) != 2 or min(tensor.ndim for tensor in (*call.read, after)) < 2:
        return None
    kept = before.ndim - 1 if place else before.ndim - 2
    there = after.ndim - 1 if place else after.ndim - 2
    return identity(axis, there, call.units(place)) if axis == kept else None


def halved(call: Call, place: int, result: int) -> UnitMap | None:
    """Of one half of the numbers multiplied by a function of the other half."""
    before, axis = call.read[place], call.axis(place)
    if call.argument(1, "dim", -1) % before.ndim != axis:
        return identity(axis, axis, call.units(place))
    halves = np.arange(call.units(place)).reshape(2, -1)
    return UnitMap(axis, axis, call.units(place), halves, tied=True)
