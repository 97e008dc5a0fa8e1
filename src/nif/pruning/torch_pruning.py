"""The information flow as an importance for the pruners of torch-pruning."""

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
from nif.pruning.problem import all_labels, pruning_problem
from nif.pruning.rules import Rule, chosen_rule


class FlowImportance:
    """The importance of each unit, for ``importance=`` of a pruner of torch-pruning.

    The pruner requests the importance of groups of channels that can only be removed together: that of the
    units that their layers compute, by a rule of nif. Importances relative to the mean of a layer, as those
    of ``"throughput"``, are comparable across layers, as ``global_pruning=True`` requires. A group in which
    the flow measured nothing is not pruned. In iterative pruning the importances stay those of the measured
    network.

    Args:
        flow: The flow measured on the model.
        model: The network that the pruner is given, before anything is removed. It is not changed here.
        data: Rows as for `nif.prune`, which rules such as ``"redundancy"`` evaluate; 50 or more.
        rule: A name in `nif.pruning.rules.RULES`, or a function.
        seed: Random seed of the rule.
        output: The measured output (name or index), of a model that returns several.

    Raises:
        InputError: Model, flow and data do not belong together, there is no such rule, or (when called) the
            pruner works on another model.

    References:
        DepGraph (Fang et al., 2023), https://arxiv.org/abs/2301.12900

    Example:
        >>> import nif, torch_pruning
        >>> _ = torch.manual_seed(0)
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
        >>> flow = nif.measure(net, x, nif.Binned(), progress=False)
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
        importance_of = chosen_rule(rule)
        problem = pruning_problem(model, flow, data, output)
        units = all_labels(problem.hidden)
        importance = importance_of(problem, units, seed)
        self._importance = dict(zip(units.tolist(), importance.tolist(), strict=True))
        self._weights = problem.weights
        self._names = {module: name for name, module in model.named_modules()}

    def __call__(self, group: Any) -> Float[Tensor, " channel"] | None:
        """One number for each channel of a group; None where nothing in it was measured."""
        graph = group._DG
        removed = self._removed(graph.pruning_history())
        for dependency, places in group:
            if graph.is_out_channel_pruning_fn(dependency.handler):
                units = self._computed_by(dependency.target.module)
                if units is not None:
                    return self._importance_of(_left(units, removed)[_plain(places)])
        return None

    def _computed_by(self, module: Any) -> UnitIds | None:
        """The units that a module computed before anything was removed."""
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d) and module not in self._names:
            raise InputError(
                f"The pruner works on a {type(module).__name__} that is not in the model given to "
                "FlowImportance; pass the same model to both."
            )
        rows = self._weights.rows.get(self._names.get(module, ""))
        return None if rows is None else self._weights.groups.of(rows)

    def _importance_of(self, units: UnitIds) -> Float[Tensor, " channel"] | None:
        values = np.array([self._importance.get(label, np.nan) for label in units.tolist()])
        if np.isnan(values).all():
            return None
        # A unit that was not measured counts as the most important of its group.
        return torch.from_numpy(np.where(np.isnan(values), np.nanmax(values), values)).float()

    def _removed(self, history: Iterable[tuple[str, bool, Iterable[Any]]]) -> set[int]:
        """The units removed so far; each entry counts channels as they were at its time."""
        weights, removed = self._weights, set[int]()
        for name, is_output, places in history:
            units = (weights.rows if is_output else weights.columns).get(name)
            units = weights.per_channel.get(name) if units is None else units
            if units is not None:
                removed.update(_left(weights.groups.of(units), removed)[_plain(places)].tolist())
        return removed


def _left(units: UnitIds, removed: set[int]) -> UnitIds:
    return units[[unit not in removed for unit in units.tolist()]]


def _plain(places: Iterable[Any]) -> UnitIds:
    """Indices, which torch-pruning may hold together with the indices of the root of the group."""
    return np.array([getattr(place, "idx", place) for place in places], dtype=np.int64)
