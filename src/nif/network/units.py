"""Find, from one run of a model, which weights compute a unit, and which read it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nif.core.random import same_random_state
from nif.network.activations import is_own_activation, treats_numbers_apart
from nif.network.forward import Forward, Inputs, every_output
from nif.network.operators import Effect, maps_to, operator_of
from nif.network.tracing import CALL_SEPARATOR, Tracer, traced_run, unfused
from nif.network.unit_groups import UnitGroups, UnitIds
from nif.network.unit_maps import Call, UnitMap, aligned, reaches, tensors_in
from nif.network.weights import Weighted

ONE_A_CHANNEL = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.PReLU)
"""Modules with numbers for each channel, of which some can be cut."""


@dataclass(frozen=True, eq=False)
class UnitWeights:
    """Which weights compute a unit, scale it, and read it; which units can only be removed together.

    Attributes:
        groups: Which units can only be removed together, or only be zeroed.
        rows: Units that the rows of a weight compute, by the module that holds it, in order of execution.
        columns: Units that its columns read.
        per_channel: Units for each of which a module has a number: those of norms and depthwise convolutions.
            They can be cut with the units, unless the width of these is fixed.
        tables: Units for each of which an embedding has a column.
        at: Units at the output of every step; named as a recording names them.
        positions: How many numbers each of those has in one row, for channels of an image.
        held: Units whose number is fixed, each with the module in which it is.
        ran: Names of all steps, also of those whose units are not known.
    """

    groups: UnitGroups = field(default_factory=UnitGroups)
    rows: dict[str, UnitIds] = field(default_factory=dict)
    columns: dict[str, UnitIds] = field(default_factory=dict)
    per_channel: dict[str, UnitIds] = field(default_factory=dict)
    tables: dict[str, UnitIds] = field(default_factory=dict)
    at: dict[str, UnitIds] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    held: list[tuple[str, UnitIds]] = field(default_factory=list)
    ran: set[str] = field(default_factory=set)


def unit_weights(call: Forward, example: Inputs) -> UnitWeights:
    """Run the model once and follow every unit from the weights that compute it to those that read it.

    Units that an operator mixes, or that it is not known to keep apart, keep their number: they can be
    zeroed and are not cut out.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> weights = unit_weights(Forward(net), (torch.zeros(1, 2),))
        >>> weights.rows["0"].tolist() == weights.at["1"].tolist() == weights.columns["2"].tolist()
        True
    """
    tracer = _WeightTracer(call.model)
    with torch.no_grad(), same_random_state(), unfused(), traced_run(call.model, tracer):
        returned = call.all_outputs(example)
    return tracer.finished(every_output(returned))


class _WeightTracer(Tracer):
    """Notes the units of every tensor, and the weights on the way."""

    def __init__(self, model: nn.Module) -> None:
        self.weights = UnitWeights()
        self._alive: list[Tensor] = []
        """All tensors, so that no address is used twice."""
        self._modules = dict(model.named_modules())
        self._owners = {
            id(tensor): name
            for name, module in reversed(self._modules.items())
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False))
        }
        self._units: dict[int, tuple[int, UnitIds]] = {}
        """The axis and the units of a tensor, by its address."""
        self._kept: list[tuple[str, UnitIds]] = []
        """Units whose number is fixed, with the module in which it was."""
        self._used: set[str] = set()
        """Modules whose weights are used by another operator than their own."""

    def axis_of(self, values: Tensor) -> int | None:
        return self._units[id(values)][0] if id(values) in self._units else None

    def called(self, call: Call) -> None:
        if not call.written:
            return
        self._alive += call.written
        operator = operator_of(call.name)
        for values in call.written:
            if all(values is not read for read in call.read):
                self._units.pop(id(values), None)
        if operator.effect is Effect.LINEAR:
            self._linear(call)
        elif operator.weights_for_units:
            self._scaled(call)
        else:
            after = [self._after(call, result) for result in range(len(call.written))]
            self._use_weights(call)
            for values, units in zip(call.written, after, strict=True):
                self._note(values, units)

    def step(self, name: str, kind: str, given: Any, returned: Any, *, nonlinear: bool) -> None:
        self.weights.ran.add(name)
        called = name.partition(CALL_SEPARATOR)[0]
        self._own_activation(called, tensors_in(given), returned)
        if not isinstance(returned, Tensor) or id(returned) not in self._units:
            return
        axis, units = self._units[id(returned)]
        self.weights.at[name] = units
        self.weights.positions[name] = math.prod(returned.shape[2:]) if axis == 1 else 1

    def finished(self, outputs: list[Tensor]) -> UnitWeights:
        """All that was noted, with the outputs of the network, which stay."""
        weights, groups = self.weights, self.weights.groups
        weights.held.extend(self._kept)
        for held in (weights.rows, weights.columns, weights.per_channel):
            weights.held.extend((name, held[name]) for name in sorted(self._used & held.keys()))
        for _, units in weights.held:
            groups.keep_width(units)
        for values in outputs:
            if id(values) in self._units:
                groups.keep_width(self._units[id(values)][1])
                groups.mark_output(self._units[id(values)][1])
        return weights

    def _own_activation(self, name: str, given: list[Tensor], returned: Any) -> None:
        """Pass units on through a user's activation with unknown functions, if a trial allows it."""
        kept = [index for index, (inside, _) in enumerate(self._kept) if inside == name]
        module = self._modules.get(name)
        if not kept or module is None or not is_own_activation(module) or len(given) != 1:
            return
        if id(given[0]) in self._units and treats_numbers_apart(module, given[0]):
            self._kept = [pair for index, pair in enumerate(self._kept) if index not in kept]
            self._note(returned, self._units[id(given[0])])

    def _note(self, values: Tensor, units: tuple[int, UnitIds] | None) -> None:
        self._alive.append(values)
        if units is None:
            self._units.pop(id(values), None)
        else:
            self._units[id(values)] = units

    def _keep_width(self, tensors: tuple[Tensor, ...]) -> None:
        self._kept += [
            (self.inside, self._units[id(values)][1]) for values in tensors if id(values) in self._units
        ]

    def _holder(self, tensor: Any) -> str | None:
        """The module that holds a tensor: the running one, of several that share it."""
        inside = self._modules.get(self.inside)
        if inside is not None and tensor is not None and getattr(inside, "weight", None) is tensor:
            return self.inside
        return self._owners.get(id(tensor))

    def _use_weights(self, call: Call) -> None:
        """A weight that is used in another way, as in ``x @ layer.weight``, keeps its shape."""
        self._used.update(self._owners[id(values)] for values in call.read if id(values) in self._owners)

    def _linear(self, call: Call) -> None:
        """New units, and the old ones noted as read; called twice, a weight has the same ones."""
        given, weight = call.argument(0, "input"), call.argument(1, "weight")
        name = self._holder(weight)
        module = None if name is None else self._modules[name]
        own = isinstance(module, Weighted) and module.weight is weight and len(call.written) == 1
        if name is None or not own or not (isinstance(module, nn.Linear) or name == self.inside):
            self._keep_width(call.read)
            self._use_weights(call)
        elif call.argument(6, "groups", 1) != 1 and not isinstance(module, nn.Linear):
            self._grouped(call, name, given, weight)
        else:
            axis = given.ndim - 1 if isinstance(module, nn.Linear) else 1
            self._read(name, given, axis, weight.shape[1])
            rows = self.weights.rows.setdefault(name, self.weights.groups.new(weight.shape[0]))
            self._note(call.written[0], (axis, rows))

    def _read(self, name: str, given: Tensor, axis: int, width: int) -> None:
        groups, columns = self.weights.groups, self.weights.columns
        before, units = self._units.get(id(given), (axis, None))
        if units is None or before != axis or len(units) != width:
            self._keep_width((given,))
            units = groups.new(width)
            self._kept.append((name, units))
        if name in columns:
            groups.join(columns[name], units)
        columns.setdefault(name, units)

    def _grouped(self, call: Call, name: str, given: Tensor, weight: Tensor) -> None:
        axis, units = self._units.get(id(given), (None, None))
        one_each = call.argument(6, "groups", 1) == given.shape[1] == weight.shape[0]
        if axis == 1 and units is not None and one_each:
            self._note(call.written[0], (1, self._scale(name, units)))
        else:
            self._keep_width((given,))
            self._note(call.written[0], (1, self._of_its_own(name, weight.shape[0])))

    def _scale(self, name: str, units: UnitIds) -> UnitIds:
        """Units for each of which a module has a number."""
        if name in self.weights.per_channel:
            self.weights.groups.join(self.weights.per_channel[name], units)
        return self.weights.per_channel.setdefault(name, units)

    def _of_its_own(self, name: str, count: int) -> UnitIds:
        """New units of a module that can zero them, and that cannot be cut."""
        units = self.weights.per_channel.setdefault(name, self.weights.groups.new(count))
        self._kept.append((name, units))
        return units

    def _scaled(self, call: Call) -> None:
        """Norms, and an activation with weights: numbers for each unit of what is read first."""
        given, after, maps = call.read[0], call.written[0], maps_to(call, 0)
        held = [tensor for tensor in call.read[1:] if tensor.numel() > 1]
        names = {self._holder(tensor) for tensor in held}
        name = names.pop() if len(names) == 1 else None
        if 0 in maps and _is_copy(maps[0]):
            self._note(after, self._scaled_apart(call, name, bool(held)))
            return
        self._keep_width((given,))
        weight = call.argument(2, "weight")
        over_units = operator_of(call.name).effect is Effect.MIX and getattr(weight, "ndim", 0) == 1
        if over_units and name is not None and getattr(self._modules[name], "weight", None) is weight:
            axis = 1 if call.name == "group_norm" else after.ndim - 1
            self._note(after, (axis, self._of_its_own(name, after.shape[axis])))
        else:
            self._use_weights(call)
            self._note(after, None)

    def _scaled_apart(self, call: Call, name: str | None, held: bool) -> tuple[int, UnitIds] | None:
        """The units behind a function with numbers for each channel, if these can be cut too."""
        axis, units = self._units[id(call.read[0])]
        if axis != 1:  # the numbers are for positions
            return axis, units
        if name is not None and isinstance(self._modules[name], ONE_A_CHANNEL):
            self._scale(name, units)
            return axis, units
        if held or call.name == "instance_norm":  # a module of that name states the number of channels
            self._keep_width(call.read[:1])
            self._use_weights(call)
            return None
        return axis, units

    def _after(self, call: Call, result: int) -> tuple[int, UnitIds] | None:
        """The axis and the units of one result, from those of all that was read."""
        after, maps = call.written[result], maps_to(call, result)
        if operator_of(call.name).effect is Effect.CONSTANT:  # as wide as what gave it its shape
            return self._units.get(id(call.read[0])) if maps and call.read[0].shape == after.shape else None
        if not maps:
            return None
        axis, *other_axes = {path.axis_after for path in maps.values()}
        known = all(map(_is_copy, maps.values())) and not other_axes
        if axis is None or not known or self._needs_width(call, result, maps, axis):
            self._keep_width(call.read)
            return None
        return axis, self._merged(call, result, maps, after.shape[axis])

    def _needs_width(self, call: Call, result: int, maps: Mapping[int, UnitMap], axis: int) -> bool:
        """Whether a tensor whose units are not followed only fits the existing number of units."""
        operator, after = operator_of(call.name), call.written[result]
        others = [place for place in range(len(call.read)) if place not in maps]
        if operator.unit_map is aligned:
            there = [axis - after.ndim + call.read[place].ndim for place in others]
            lengths = [call.read[place].shape[at] for place, at in zip(others, there, strict=True) if at >= 0]
            return any(length > 1 for length in lengths)
        if operator.effect is Effect.JOIN:
            sources = [path.source for path in maps.values() if path.source is not None]
            from_units = (np.concatenate(sources) >= 0).any(0)
            return any((reaches(call, place, result, axis) & from_units).any() for place in others)
        return bool(others) and operator.effect in (Effect.SPLIT, Effect.RESHAPE)

    def _merged(self, call: Call, result: int, maps: Mapping[int, UnitMap], count: int) -> UnitIds:
        """One number for each unit of a result; those that meet there are removed together."""
        groups, after = self.weights.groups, np.full(count, -1, dtype=np.int64)
        for place, path in maps.items():
            units = self._units[id(call.read[place])][1]
            if path.fixed:
                self._keep_width((call.read[place],))
            if path.fixed and path.before == 1 < count:  # one unit is spread over all
                continue
            if path.tied and result:
                first = maps_to(call, 0)[place].source
                groups.join(units[first[0]], units[path.source[0]])  # type: ignore[index]
            for row in path.source:  # type: ignore[union-attr]
                fresh, again = (row >= 0) & (after < 0), (row >= 0) & (after >= 0)
                groups.join(after[again], units[row[again]])
                after[fresh] = units[row[fresh]]
        new = groups.new(int((after < 0).sum()))
        after[after < 0] = new
        self._kept.append((self.inside, new))
        return after


def _is_copy(path: UnitMap) -> bool:
    """Whether every unit comes from one, or from several that can only be removed together."""
    return path.source is not None and (len(path.source) == 1 or path.tied)
