"""The law of the table of operators: what changes behind a changed unit is what its map says, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from nif.network.operators import BY_NAME, OPERATORS, PYTHON, Effect, function_name, unit_map
from nif.network.unit_maps import Call, UnitMap, tensors_in
from nif.network.units import _WeightTracer
from support.operator_probes import PROBES
from support.probe import Probe

CHANGES = 40
"""Draws of numbers, at most, to see all changes that there can be."""

pytestmark = pytest.mark.filterwarnings("ignore:`nn.functional.upsample")


class Listener(TorchFunctionMode):
    """Notes the calls of one operator."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        returned = function(*args, **(kwargs or {}))
        if function_name(function) == self.name:
            self.calls.append((function, args, kwargs or {}, returned))
        return returned


@dataclass(frozen=True, eq=False)
class Probed:
    """A call of an operator, and which of the tensors that were drawn it reads, by their place."""

    call: Call
    drawn: dict[int, int]
    probe: Probe


@cache
def all_probed(name: str) -> list[Probed]:
    """A call for each probe of the operator, which all tests read and none changes."""
    return [probed(name, probe) for probe in PROBES[name]]


def probed(name: str, probe: Probe) -> Probed:
    """The last call of the operator in its probe."""
    given = probe.drawn(0)
    kept = [values.clone() for values in given]
    torch.manual_seed(0)
    with Listener(name) as listener:
        probe.run(*given)
    assert listener.calls, f"the probe of {name} does not call it"
    function, args, kwargs, returned = listener.calls[-1]
    written = tensors_in(returned) or tensors_in((args, kwargs))[:1]
    originals = {id(values): copy for values, copy in zip(given, kept, strict=True)}
    args, kwargs = _restored(args, originals), _restored(kwargs, originals)
    read = tuple(tensors_in((args, kwargs)))
    places = {
        at: index for at, values in enumerate(read) for index, copy in enumerate(kept) if values is copy
    }
    call = Call(name, function, tuple(args), kwargs, read, (None,) * len(read), tuple(written))
    return Probed(call, places, probe)


def _restored(given: Any, originals: dict[int, Tensor]) -> Any:
    """The arguments as they were before a function that changes them."""
    if isinstance(given, Tensor):
        return originals.get(id(given), given)
    if isinstance(given, dict):
        return {key: _restored(part, originals) for key, part in given.items()}
    if isinstance(given, (tuple, list)):
        return type(given)(_restored(part, originals) for part in given)
    return given


def followed(call: Call, place: int, axis: int) -> Call:
    """The call, of which the tensor at this place has its units on this axis."""
    return replace(call, axes=tuple(axis if at == place else None for at in range(len(call.read))))


def results(call: Call, tensors: dict[int, Tensor]) -> list[Tensor]:
    torch.default_generator.manual_seed(1)  # torch.manual_seed takes longer than most calls
    copies = {at: tensors.get(at, read).clone() for at, read in enumerate(call.read)}
    written = call.on(copies)
    return written or [copies[0]]


def changed(one: Tensor, other: Tensor, axis: int) -> np.ndarray:
    """Along an axis, where anything differs."""
    differ = ~((one == other) | (one.isnan() & other.isnan()) if one.is_floating_point() else one == other)
    return differ.movedim(axis, 0).flatten(1).any(1).numpy()


def moved_by(one: Probed, place: int, axis: int, found: UnitMap, result: int) -> np.ndarray:
    """Which unit of a result changes with which unit that is read, tried until all that may change have."""
    assert found.axis_after is not None
    flags = found.connected()

    @cache
    def before(draw: int) -> tuple[dict[int, Tensor], Tensor]:
        """What is read in a draw, and the result of it, which are the same for all units."""
        drawn = one.probe.drawn(draw)
        base = {at: drawn[index] for at, index in one.drawn.items()}
        return base, results(one.call, base)[result]

    rows = []
    for unit in range(one.call.read[place].shape[axis]):
        seen = np.zeros(one.call.written[result].shape[found.axis_after], dtype=bool)
        for draw in range(CHANGES):
            base, whole = before(draw)
            values = base[place].clone()
            values.select(axis, unit).copy_(before(draw + 1)[0][place].select(axis, unit))
            after = results(one.call, {**base, place: values})
            seen |= changed(whole, after[result], found.axis_after)
            if draw and (seen.all() if flags is None else (seen == flags[unit]).all()):
                break
        rows.append(seen)
    return np.stack(rows)


def cases(name: str) -> Iterator[tuple[Probed, Call, int, int]]:
    """Every tensor that a probe draws, with every axis that its units may have."""
    for one in all_probed(name):
        for place in one.drawn:
            for axis in range(1, one.call.read[place].ndim):
                yield one, followed(one.call, place, axis), place, axis


NEEDS_NO_PROBE = {name for name, row in BY_NAME.items() if row.effect is Effect.MIX and row.unit_map is None}
"""Every unit may reach every one: nothing is claimed that could be wrong."""

NEEDS_A_DEVICE = {"cuda"}

ALL = sorted(PROBES)


def test_every_operator_is_in_one_row() -> None:
    names = [name for row in OPERATORS for name in row.names]
    assert len(names) == len(set(names)) and set(names) >= PYTHON


def test_every_operator_has_a_probe() -> None:
    assert PROBES.keys() | NEEDS_NO_PROBE | NEEDS_A_DEVICE == BY_NAME.keys()


@pytest.mark.parametrize("name", ALL)
def test_what_changes_is_what_the_map_says(name: str) -> None:
    apart = False
    for one, call, place, axis in cases(name):
        for result in range(len(call.written)):
            found = unit_map(call, place, result)
            assert found.axis_before == axis and not found.unknown
            flags = found.connected()
            if found.source is None or found.axis_after is None:
                continue
            apart = True
            seen = moved_by(one, place, axis, found, result)
            linked = np.ones_like(seen) if flags is None else flags
            assert not (seen & ~linked).any(), f"{one.probe}, axis {axis}: more changes than the map says"
            if len(found.source) == 1:
                assert (seen == linked).all(), f"{one.probe}, axis {axis}: fewer changes than the map says"
    effect = BY_NAME[name].effect
    mixing = effect in (Effect.MIX, Effect.CONSTANT) or name in {"linear", "embedding"}
    assert apart or mixing, "the map of no axis keeps units apart"


@pytest.mark.parametrize("name", sorted(name for name in BY_NAME if BY_NAME[name].effect is Effect.CONSTANT))
def test_constants_do_not_depend_on_what_they_read(name: str) -> None:
    for one in all_probed(name):
        probe = one.probe
        first, second = (results(one.call, {0: probe.drawn(draw)[0]}) for draw in (0, 1))
        assert "empty" in name or all(map(torch.equal, first, second))


@pytest.mark.parametrize("name", ALL)
def test_pruning_follows_the_same_map(name: str) -> None:
    """A unit of the result is the unit it comes from; where the map mixes them, none can be cut out."""
    if BY_NAME[name].effect in (Effect.LINEAR, Effect.CONSTANT) or BY_NAME[name].weights_for_units:
        pytest.skip("has weights, or nothing to follow: see test_units")
    for _, call, place, axis in cases(name):
        tracer = _WeightTracer(nn.Module())
        groups = tracer.weights.groups
        units = groups.new(call.units(place))
        tracer._units[id(call.read[place])] = (axis, units)
        tracer.called(call)
        kept = [values for values in call.written if id(values) in tracer._units]
        maps = [unit_map(call, place, result) for result in range(len(call.written))]
        links = dict(zip(map(id, call.written), maps, strict=True))
        tracer.finished([])
        for values in kept:
            there, after = tracer._units[id(values)]
            source = links[id(values)].source
            assert source is not None and there == links[id(values)].axis_after
            for row in source:
                known = row >= 0
                if not links[id(values)].fixed:
                    assert (groups.of(after[known]) == groups.of(units[row[known]])).all()
            alone = (source < 0).all(0)
            assert groups.has_fixed_width(after[alone]).all()
        lost = len(kept) < len(call.written)
        if lost or any(found.fixed for found in maps):
            assert groups.has_fixed_width(units).all()


@pytest.mark.parametrize("name", ALL)
def test_what_can_be_cut_gives_the_same_numbers_for_the_other_units(name: str) -> None:
    """Where the map is not fixed, the call on fewer units is that on all, without them."""
    if BY_NAME[name].effect in (Effect.LINEAR, Effect.CONSTANT) or BY_NAME[name].weights_for_units:
        pytest.skip("has weights: see test_units")
    for one in all_probed(name):
        if one.probe.random or one.probe.sizes:
            continue
        for axis in range(1, max(one.call.read[place].ndim for place in one.drawn)):
            _fewer_units(one.call, list(one.drawn), axis)


def _fewer_units(call: Call, drawn: list[int], axis: int) -> None:
    widest = max(call.read[place].ndim for place in drawn)
    axes = {place: axis - widest + call.read[place].ndim for place in drawn}
    if any(at < 1 for at in axes.values()):
        return
    full = replace(call, axes=tuple(axes.get(place) for place in range(len(call.read))))
    tracer = _WeightTracer(nn.Module())
    groups = tracer.weights.groups
    units = {place: groups.new(call.read[place].shape[at]) for place, at in axes.items()}
    for place, at in axes.items():
        tracer._units[id(call.read[place])] = (at, units[place])
    tracer.called(full)
    after = {result: tracer._units.get(id(values)) for result, values in enumerate(call.written)}
    tracer.finished([])
    if any(found is None for found in after.values()):
        return
    for unit in units[drawn[0]][:2]:
        gone = groups.of(np.array([unit]))
        if groups.has_fixed_width(gone).any():
            continue
        fewer = {
            place: _without(call.read[place], at, np.isin(groups.of(units[place]), gone))
            for place, at in axes.items()
        }
        if any(0 in values.shape for values in fewer.values()):
            continue
        whole, less = results(call, {}), results(call, fewer)
        for result, found in after.items():
            assert found is not None
            expected = _without(whole[result], found[0], np.isin(groups.of(found[1]), gone))
            torch.testing.assert_close(less[result], expected, equal_nan=True, rtol=1e-4, atol=1e-5)


def _without(values: Tensor, axis: int, gone: np.ndarray) -> Tensor:
    return values.index_select(axis, torch.from_numpy(np.flatnonzero(~gone)))
