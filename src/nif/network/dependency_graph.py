"""The wiring of a network whose code can not be traced, from torch-pruning's dependency graph."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nif.core.errors import InputError
from nif.network.forward import Forward, Inputs, every_output
from nif.network.tracing import CALL_SEPARATOR, Tracer, tensors_in, traced_run, unfused
from nif.network.unit_labels import Labels, Unit
from nif.network.unit_operations import (
    ELEMENTWISE,
    PAIRED,
    POOLING,
    SAME,
    channels_of,
    one_number_each,
    treats_numbers_apart,
)
from nif.network.units import Wiring
from nif.network.weights import Weighted


def trace_gradients(call: Forward, example: Inputs, steps: Collection[str] | None = None) -> Wiring:
    """Follow units along the graph that automatic differentiation keeps of one run.

    What a model with data-dependent control flow does on other rows may differ; what is cut is therefore
    compared with what is only zeroed, on all rows.

    Args:
        call: Runs the model, which is in eval mode and not changed.
        example: A few rows of data.
        steps: Names of the modules and functions whose units are to be followed; all if None. Following those
            that no one asks for takes time, and of some (rotary embeddings) torch-pruning finds no end.

    Raises:
        InputError: torch-pruning is not installed, or can not follow this network either.

    References:
        DepGraph (Fang et al., 2023), https://arxiv.org/abs/2301.12900

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> wiring = trace_gradients(Forward(net), (torch.zeros(1, 2),))
        >>> wiring.labels.of(wiring.at["1"]).tolist() == wiring.labels.of(wiring.reads["2"]).tolist()
        True
    """
    network = copy.deepcopy(call.model).eval().requires_grad_(True)
    graph = _graph(call.with_model(network), example)
    wiring = _weights_of(network, graph)
    names = {module: name for name, module in network.named_modules()}
    makers = _Makers(network, wiring)
    with torch.no_grad(), unfused(), traced_run(network, makers):
        returned = call.with_model(network).all_outputs(example)
    wanted = makers.at.keys() if steps is None else makers.at.keys() & set(steps)
    for name in sorted({maker for step in wanted for maker in makers.at[step]}):
        _follow(graph, wiring, names, network.get_submodule(name))
    _pin_what_nothing_reads(wiring)
    for step in wanted:
        if (units := _same_of_all(makers.at[step], wiring)) is not None:
            wiring.at[step] = units
    for maker in makers.of(every_output(returned)):
        wiring.labels.pin(wiring.makes[maker])
        wiring.labels.give_out(wiring.makes[maker])
    return wiring


def _same_of_all(makers: Sequence[str], wiring: Wiring) -> Unit | None:
    """The units of several modules, where they are tied one by one; None where they are not."""
    first, *others = [wiring.labels.of(wiring.makes[name]) for name in makers]
    return wiring.makes[makers[0]] if all(np.array_equal(first, other) for other in others) else None


def _graph(call: Forward, example: Inputs) -> Any:
    try:
        import torch_pruning
    except ImportError as error:
        raise InputError(
            "This model can not be traced by torch.fx; the extra `prune` follows it another way: "
            "pip install 'neural-information-flow[prune]'."
        ) from error
    try:
        with torch.enable_grad():
            return torch_pruning.DependencyGraph().build_dependency(
                call.model,
                example,
                forward_fn=lambda _, given: _followable(call, given),
                verbose=False,
            )
    except Exception as error:
        raise _not_followed(str(error)) from error


def _not_followed(reason: str) -> InputError:
    return InputError(
        f"It can not be found which weights of this model read which units ({reason}); rewrite its forward "
        "without data-dependent control flow."
    )


def _followable(call: Forward, example: Inputs) -> list[Tensor]:
    """Every tensor that the model returns and that was computed."""
    return [values for values in every_output(call.all_outputs(example)) if values.grad_fn is not None]


def _weights_of(network: nn.Module, graph: Any) -> Wiring:
    """Fresh labels for whatever has weights, at both of its ends; parts of attention are not in the graph."""
    wiring = Wiring(Labels())
    for name, module in network.named_modules():
        alone = isinstance(module, Weighted) and getattr(module, "groups", 1) == 1
        if alone and module in graph.module2node:
            made, read = module.weight.shape[:2]
            wiring.makes[name], wiring.reads[name] = wiring.labels.new(made), wiring.labels.new(read)
    return wiring


def _follow(graph: Any, wiring: Wiring, names: dict[nn.Module, str], module: nn.Module) -> None:
    """Give every place that depends on a unit of this module its label."""
    makes = wiring.makes[names[module]]
    out = graph.get_pruner_of_module(module).prune_out_channels
    for index in range(len(makes)):
        for dependency, places in graph.get_pruning_group(module, out, [index]):
            reached = dependency.target.module
            name = names.get(reached, "")
            if one_number_each(reached):
                units = wiring.keeps.setdefault(name, wiring.labels.new(channels_of(reached)))
            elif name in wiring.makes:
                reads = dependency.handler.__name__ == "prune_in_channels"
                units = (wiring.reads if reads else wiring.makes)[name]
            else:
                if _has_numbers(reached):
                    wiring.labels.pin(makes[[index]])
                continue
            # Of units that are padded and put side by side torch-pruning has a wrong count.
            if beyond := [place for place in places if place >= len(units)]:
                raise _not_followed(f"{name!r} has no unit {beyond[0]}")
            for place in places:
                wiring.labels.join(units[[place]], makes[[index]])


def _has_numbers(reached: Any) -> bool:
    """Whether a place has numbers of its own for units: a norm over them, a position's, an embedding's."""
    if isinstance(reached, nn.Parameter):
        return True
    return not isinstance(reached, nn.PReLU) and next(reached.parameters(), None) is not None


def _pin_what_nothing_reads(wiring: Wiring) -> None:
    """Units that no layer reads are the network's outputs; units that none makes are its inputs."""
    made = {label for units in wiring.makes.values() for label in wiring.labels.of(units).tolist()}
    read = {label for units in wiring.reads.values() for label in wiring.labels.of(units).tolist()}
    wiring.labels.pin(torch.tensor(sorted(made ^ read), dtype=torch.int64).numpy())


class _Makers(Tracer):
    """Notes, of every step that passes units on one by one, the modules that make them."""

    def __init__(self, network: nn.Module, wiring: Wiring) -> None:
        self.at: dict[str, tuple[str, ...]] = {}
        self._modules = dict(network.named_modules())
        self._makes = wiring.makes
        self._tensors: dict[
            int, tuple[Tensor, tuple[str, ...]]
        ] = {}  # kept, so that an address stays its own

    def step(self, name: str, kind: str, given: Any, returned: Any, *, nonlinear: bool) -> None:
        called, before = name.partition(CALL_SEPARATOR)[0], tensors_in(given)
        inside = self.of([returned]) if isinstance(returned, Tensor) else ()
        if called in self._makes:
            makers: tuple[str, ...] = (called,)
        elif inside:  # what it calls was followed
            makers = inside
        elif self.of(before[:1]) and self._passes_on(called, kind, before[0]):
            makers = self.of(before[:1])
        else:
            return
        self._note(returned, makers)
        self.at[name] = makers

    def function(self, name: str, given: Any, returned: Any) -> None:
        """Passes on the units of what treats them apart, and those of both sides of a sum or product."""
        tensors = tensors_in(given)
        if not tensors or not all(self.of([each]) for each in tensors):
            return
        alone = name in SAME and len(tensors) == 1 and tensors[0].shape[:2] == returned.shape[:2]
        if alone or name in PAIRED:
            self._note(returned, self.of(tensors))

    def of(self, tensors: Iterable[Tensor]) -> tuple[str, ...]:
        """The modules that make the units of these tensors, as far as they are known."""
        known = [self._tensors[id(each)][1] for each in tensors if id(each) in self._tensors]
        return tuple(dict.fromkeys(maker for makers in known for maker in makers))

    def _note(self, returned: Any, makers: tuple[str, ...]) -> None:
        self._tensors.update({id(each): (each, makers) for each in tensors_in(returned)})

    def _passes_on(self, name: str, kind: str, given: Tensor) -> bool:
        known = self._modules.get(name)
        if known is None:
            return kind in SAME
        if isinstance(known, (*ELEMENTWISE, *POOLING)) or one_number_each(known):
            return True
        return treats_numbers_apart(known, given)
