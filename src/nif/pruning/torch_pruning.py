"""The information flow as the importance by which torch-pruning's own pruners choose what to remove."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from nif.core.errors import InputError
from nif.flow.flow import Flow
from nif.network.unit_groups import UnitIds
from nif.pruning.problem import all_labels, subject
from nif.pruning.rules import RULES
from nif.pruning.rules.rule import Rule


class FlowImportance:
    """How much each unit is worth, for ``importance=`` of a pruner of torch-pruning.

    The pruner asks for groups of channels that can only go together; a group is worth what the rule gives the
    units that its layers make. Shares of the mean of a layer, as ``"throughput"`` gives, can be compared over
    layers, so that ``global_pruning=True`` makes sense. A group in which the flow measured nothing is left
    whole. Pruning in several steps is followed: the numbers are those of the network as it was measured.

    Args:
        flow: What was measured on the model.
        model: The network that the pruner is given, before anything is removed. It is not changed here.
        data: Rows as for `nif.prune`, which rules such as ``"redundancy"`` judge by; 50 or more.
        rule: A name in `nif.pruning.rules.RULES`, or a function.
        seed: For rules that draw.
        output: Which output was measured, of a model that returns several.

    Raises:
        InputError: Model, flow and data do not belong together, there is no such rule, or (when called) the
            pruner works on another model.

    References:
        DepGraph (Fang et al., 2023), https://arxiv.org/abs/2301.12900

    Example:
        >>> import nif, torch_pruning
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
        >>> flow = nif.measure(net, x, estimator=nif.Binned(), progress=False)
        >>> importance = FlowImportance(flow, net, x)
        >>> torch_pruning.pruner.MetaPruner(
        ...     net, x[:1], importance=importance, pruning_ratio=0.5, ignored_layers=[net[2]]
        ... ).step()
        >>> net[0]
        Linear(in_features=4, out_features=4, bias=True)
    """

    def __init__(
        self,
        flow: Flow,
        model: nn.Module,
        data: Any,
        rule: str | Rule = "throughput",
        seed: int = 0,
        output: int | str | None = None,
    ) -> None:
        if isinstance(rule, str) and rule not in RULES:
            raise InputError(f"There is no rule {rule!r}; expected one of {', '.join(RULES)}, or a function.")
        found = subject(model, flow, data, output)
        units = all_labels(found.hidden)
        scores = (RULES[rule] if isinstance(rule, str) else rule)(found, units, seed)
        self._worth = dict(zip(units.tolist(), scores.tolist(), strict=True))
        self._weights = found.weights
        self._names = {module: name for name, module in model.named_modules()}

    def __call__(self, group: Any) -> Float[Tensor, " channel"] | None:
        """One number for each channel of a group; None where nothing in it was measured."""
        graph = group._DG
        gone = self._removed(graph.pruning_history())
        for dependency, places in group:
            if graph.is_out_channel_pruning_fn(dependency.handler):
                made = self._made_by(dependency.target.module)
                if made is not None:
                    return self._worth_of(_left(made, gone)[_plain(places)])
        return None

    def _made_by(self, module: Any) -> UnitIds | None:
        """Labels of the units that a module made before anything was removed."""
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d) and module not in self._names:
            raise InputError(
                f"The pruner works on a {type(module).__name__} that is not in the model given to "
                "FlowImportance; give both the same model."
            )
        makes = self._weights.rows.get(self._names.get(module, ""))
        return None if makes is None else self._weights.groups.of(makes)

    def _worth_of(self, units: UnitIds) -> Float[Tensor, " channel"] | None:
        values = np.array([self._worth.get(label, np.nan) for label in units.tolist()])
        if np.isnan(values).all():
            return None
        # A unit that was not measured stands with the best of its group.
        return torch.from_numpy(np.where(np.isnan(values), np.nanmax(values), values)).float()

    def _removed(self, history: Iterable[tuple[str, bool, Iterable[Any]]]) -> set[int]:
        """Labels of what has been removed; each entry counts channels as they were at its time."""
        labels, gone = self._weights.groups, set[int]()
        for name, makes, places in history:
            held = (self._weights.rows if makes else self._weights.columns).get(name)
            held = self._weights.per_channel.get(name) if held is None else held
            if held is not None:
                gone.update(_left(labels.of(held), gone)[_plain(places)].tolist())
        return gone


def _left(units: UnitIds, gone: set[int]) -> UnitIds:
    return units[[label not in gone for label in units.tolist()]]


def _plain(places: Iterable[Any]) -> UnitIds:
    """Indices, which torch-pruning may hold together with the indices of the root of the group."""
    return np.array([getattr(place, "idx", place) for place in places], dtype=np.int64)
