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
    """The current of every number of some modules' outputs, by row, along the straight line."""
    totals: Hidden = {}
    before: Tape | None = None
    for step in range(steps + 1):
        after = _marked(model, names, start + step / steps * (end - start), decide)
        if before is not None:
            assert before.like(after) and before.marks is not None
            structure = Structure.of(before, {before.marks[name]: place for place, name in enumerate(names)})
            walk = Walk(before, after, structure)
            output = before.outputs[0]
            walk.back({output: torch.ones_like(before.values[output])})
            for (place, _), current in walk.layers.items():
                totals[names[place]] = totals.get(names[place], 0) + current
        before = after
    return totals


def _marked(model: nn.Module, names: Sequence[str], at: Tensor, decide: Callable[[Tensor], Tensor]) -> Tape:
    modules = dict(model.named_modules())

    def run(mark: Callable[[str, Tensor], None], x: Tensor) -> list[Tensor]:
        hooks = [
            modules[name].register_forward_hook(lambda m, a, out, name=name: mark(name, _first(out)))
            for name in names
        ]
        try:
            return [decide(model(x))]
        finally:
            for hook in hooks:
                hook.remove()

    tape = record(run, [at], dict(model.named_parameters()))
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
    """The slow twin: gradients by autograd in the middle of many steps, times moves of activations."""
    modules, seen = dict(model.named_modules()), {}

    def see(name: str) -> Callable[..., Any]:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            seen[name] = _first(output)

        return hook

    hooks = [modules[name].register_forward_hook(see(name)) for name in names]
    totals: Hidden = {}
    for step in range(steps):
        values = []
        for place in (step, step + 1, step + 0.5):
            at = (start + place / steps * (end - start)).requires_grad_()
            result = decide(model(at)).sum()
            values.append(dict(seen))
        slopes = torch.autograd.grad(result, [seen[name] for name in names])
        for name, slope in zip(names, slopes, strict=True):
            totals[name] = totals.get(name, 0) + slope * (values[1][name] - values[0][name]).detach()
    for hook in hooks:
        hook.remove()
    return totals
