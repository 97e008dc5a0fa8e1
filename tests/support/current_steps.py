"""The walk back over steps of a function, and the slow twin of the currents of a network's modules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from nif.measures.currents.discrete_gradient import values_read_by_rules
from nif.measures.currents.structure import Structure
from nif.measures.currents.tape import Tape, record
from nif.measures.currents.walk import Walk


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
    """The current of every number of some modules' outputs, by row, along the straight line.

    All steps are rows of one run; `decide` is given outputs ``[step, row, ...]``.
    """
    grid = _on_the_line(start, end, torch.arange(steps + 1) / steps)
    before, after = (_marked(model, names, at, len(start), decide) for at in (grid[:-1], grid[1:]))
    assert before.like(after) and before.marks is not None
    structure = Structure.of(before, {before.marks[name]: place for place, name in enumerate(names)})
    walk = Walk(before, after, structure)
    output = before.outputs[0]
    walk.back({output: torch.ones_like(before.values[output])})
    totals: Hidden = {}
    for (place, _), current in walk.layers.items():  # by the layer ahead
        by_row = current.unflatten(0, (steps, len(start))).sum(0)
        totals[names[place]] = totals.get(names[place], 0) + by_row
    return totals


def _on_the_line(start: Tensor, end: Tensor, shares: Tensor) -> Tensor:
    """``[share, row, ...]``"""
    return start + shares.to(start.dtype).reshape(-1, *[1] * start.dim()) * (end - start)


def _marked(
    model: nn.Module, names: Sequence[str], at: Tensor, rows: int, decide: Callable[[Tensor], Tensor]
) -> Tape:
    modules = dict(model.named_modules())

    def run(mark: Callable[[str, Tensor], None], x: Tensor) -> list[Tensor]:
        hooks = [
            modules[name].register_forward_hook(lambda m, a, out, name=name: mark(name, _first(out)))
            for name in names
        ]
        try:
            return [decide(model(x).unflatten(0, (-1, rows)))]
        finally:
            for hook in hooks:
                hook.remove()

    tape = record(run, [at.flatten(0, 1)], dict(model.named_parameters()))
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
    """The slow twin: gradients by autograd in the middle of many steps, times moves of activations.

    Some steps are rows of one run; `decide` is given outputs ``[step, row, ...]``.
    """
    modules, seen, at_once = dict(model.named_modules()), {}, 32

    def see(name: str) -> Callable[..., Any]:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            seen[name] = _first(output)

        return hook

    def at(places: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        rows = _on_the_line(start, end, places / steps).requires_grad_()
        output = model(rows.flatten(0, 1)).unflatten(0, (len(places), len(start)))
        return output, dict(seen)

    hooks = [modules[name].register_forward_hook(see(name)) for name in names]
    totals: Hidden = {}
    for first in range(0, steps, at_once):
        places = torch.arange(first, min(first + at_once, steps), dtype=torch.float64)
        ends = at(torch.arange(first, int(places[-1]) + 2))[1]  # with gradients: nothing is fused
        output, middle = at(places + 0.5)
        slopes = torch.autograd.grad(decide(output).sum(), [middle[name] for name in names])
        for name, slope in zip(names, slopes, strict=True):
            moves = ends[name].detach().unflatten(0, (-1, len(start))).diff(dim=0)
            totals[name] = totals.get(name, 0) + (slope.unflatten(0, (-1, len(start))) * moves).sum(0)
    for hook in hooks:
        hook.remove()
    return totals
