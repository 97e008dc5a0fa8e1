"""The last state of a recurrent module, where the model reads no more of its steps.

The mean of a unit over all steps is not what such a model reads. Which step it reads is found by gradients:
those of the output with respect to every step. Where they are 0 but for one step of each unit, that step is
the value of the unit; where they are 0 for all steps, or a sequence is packed, the final state is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from nif.core.random import same_random_state
from nif.network.axes import Axes
from nif.network.forward import Forward
from nif.network.graph import EXAMPLES, Graph, Step
from nif.network.tracing import CALL_SEPARATOR


@dataclass(frozen=True)
class LastState:
    """What a model reads of a recurrent module.

    Attributes:
        units: Of all directions.
        directions: 1, or 2 of a bidirectional one.
        sample: The axis of the rows in its steps.
        steps: The step that is read of each unit; None for the final state.
    """

    units: int
    directions: int
    sample: int = 0
    steps: tuple[int, ...] | None = None

    @property
    def axes(self) -> Axes:
        """Of the state, as a sequence of one step, so that units are on the axis where they are in all."""
        return Axes(self.sample, 1, 2, False, (1,), self.units)

    def of(self, returned: Any) -> Float[Tensor, "row 1 unit"] | Float[Tensor, "1 row unit"]:
        """The state, from what the module returned.

        Example:
            >>> gru, rows = nn.GRU(2, 3, batch_first=True), torch.zeros(5, 4, 2)
            >>> LastState(3, 1, 0, (3, 3, 3)).of(gru(rows)).shape, LastState(3, 1).of(gru(rows)).shape
            (torch.Size([5, 1, 3]), torch.Size([5, 1, 3]))
        """
        if self.steps is None:
            final = returned[1][0] if isinstance(returned[1], tuple) else returned[1]
            state = final[-self.directions :].movedim(0, 1).flatten(1)
        else:
            steps = returned[0].movedim(self.sample, 0)
            state = steps[:, torch.tensor(self.steps), torch.arange(self.units)]
        return state.unsqueeze(1 - self.sample)


def recurrent_layers(call: Forward, inputs: Sequence[Tensor]) -> dict[str, LastState | None]:
    """The calls of recurrent modules by name, and the last state that is read; None where all steps are.

    Example:
        >>> class Reader(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.gru, self.head = nn.GRU(2, 3, batch_first=True), nn.Linear(3, 1)
        ...     def forward(self, x):
        ...         return self.head(self.gru(x)[0][:, -1])
        >>> recurrent_layers(Forward(Reader()), [torch.rand(5, 4, 2)])
        {'gru': LastState(units=3, directions=1, sample=0, steps=(3, 3, 3))}
    """
    modules = {name: one for name, one in call.model.named_modules() if isinstance(one, nn.RNNBase)}
    if not modules:
        return {}
    rows = torch.arange(EXAMPLES[0]) % len(inputs[0])
    some = call.prepared([values[rows.to(values.device)].clone() for values in inputs])
    probes: dict[str, _Probe] = {}
    with _gradients(), ExitStack() as hooks:
        calls: Counter[str] = Counter()
        for name, module in modules.items():
            hooks.enter_context(module.register_forward_hook(partial(_probe, probes, calls, name)))
        output = call(some)
        if not output.requires_grad:  # what it reads is not known, such as under its own no_grad
            return {name: probe.final if probe.packed else None for name, probe in probes.items()}
        # A random sum, as the probabilities of classes add up to a constant.
        generator = torch.Generator().manual_seed(0)
        weights = torch.randn(output.shape, generator=generator, dtype=torch.float32)
        total = (output * weights.to(output)).sum()
        added = [probe.added for probe in probes.values()]
        slopes = torch.autograd.grad(total, added, allow_unused=True)
    return {name: probe.state(slope) for (name, probe), slope in zip(probes.items(), slopes, strict=True)}


def with_last_states(graph: Graph, states: Mapping[str, LastState | None]) -> Graph:
    """The graph with the axes of the states where only they are read."""

    def changed(step: Step) -> Step:
        state = states.get(step.name)
        return step if state is None else replace(step, axes=state.axes)

    return replace(graph, steps=tuple(map(changed, graph.steps)))


@dataclass(frozen=True)
class _Probe:
    """Zeros that were added to all steps of a recurrent module, and what it is."""

    added: Tensor
    final: LastState
    packed: bool

    def state(self, slope: Tensor | None) -> LastState | None:
        """The state that is read; None if more than one step of a unit is."""
        if self.packed or slope is None or not slope.any():
            return self.final
        read = (slope.movedim(self.final.sample, 0) != 0).any(0)  # [step, unit]
        if (read.sum(0) > 1).any():
            return None
        # A unit behind a dead activation has no slope: its step is the last.
        last = torch.full((read.shape[1],), len(read) - 1, device=read.device)
        steps = torch.where(read.any(0), read.int().argmax(0), last)
        return replace(self.final, steps=tuple(steps.tolist()))


def _probe(
    probes: dict[str, _Probe], calls: Counter[str], name: str, module: nn.RNNBase, _: Any, returned: Any
) -> Any:
    """Add zeros with a gradient to the steps that a module returned."""
    calls[name] += 1
    full = name if calls[name] == 1 else f"{name}{CALL_SEPARATOR}{calls[name]}"
    steps, *others = returned
    values = steps.data if isinstance(steps, PackedSequence) else steps
    added = torch.zeros_like(values, requires_grad=True)
    directions, packed = 1 + module.bidirectional, isinstance(steps, PackedSequence)
    sample = 0 if packed or module.batch_first else 1
    final = LastState(values.shape[-1], directions, sample)
    probes[full] = _Probe(added, final, packed)
    moved = values + added
    return (steps._replace(data=moved) if isinstance(steps, PackedSequence) else moved, *others)


@contextmanager
def _gradients() -> Iterator[None]:
    """Inside, recurrent kernels have gradients in eval mode too, and the random state is restored."""
    with same_random_state(), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        yield
