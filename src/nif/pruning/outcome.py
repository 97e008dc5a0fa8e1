"""What pruning did: the units that went and those that stay, their reasons, sizes and scores."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from nif.network.one_graph import without_graph
from nif.network.unit_groups import UnitIds
from nif.pruning.criterion import Outputs
from nif.pruning.equivalent import from_linear
from nif.pruning.file import shapes_of
from nif.pruning.heads import Heads
from nif.pruning.held_out import OtherRows
from nif.pruning.key_dims import KeyDims
from nif.pruning.problem import PruningProblem, left_whole
from nif.pruning.removal import Cut
from nif.pruning.result import Pruned
from nif.pruning.selection import Candidates
from nif.pruning.size import sizes_of


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to be removed, each kind the least important first.

    Attributes:
        units: Of the layers of the flow.
        heads: Of attention.
        found: The heads that there are.
        first: Dimensions of keys that have been removed.
        tolerance: Of the criterion.
        round_to: Number of which widths are multiples.
    """

    units: Candidates
    heads: Candidates
    found: Heads
    first: KeyDims
    tolerance: float | None
    round_to: int = 1

    @property
    def work(self) -> float:
        """Units and heads to try."""
        return float(len(self.units.ordered) + len(self.heads.ordered))

    @property
    def all(self) -> UnitIds:
        """All units and heads that are selected, those that stay as the last of their layer included."""
        parts = (self.heads.ordered, self.heads.last, self.units.ordered, self.units.last)
        return np.concatenate(parts)


def outcome(
    start: PruningProblem,
    problem: PruningProblem,
    plan: Plan,
    units: UnitIds,
    wanted: UnitIds,
    smaller: Cut,
    others: OtherRows | None,
) -> Pruned:
    """The result: of the units that go, those that would go with any widths, and the network without them."""
    whole = copy.deepcopy(start.model)
    for model in (whole, smaller.model):
        for name, module in model.named_modules():
            module.training = problem.flags[name]
        from_linear(model)
    removed = _rows(problem, plan, units)
    removed["how"] = np.where(np.isin(removed.pop("label"), smaller.zeroed), "zeroed", "cut")
    restored = _rows(problem, plan, np.setdiff1d(plan.all, units))
    labels = restored.pop("label")
    last = np.isin(labels, np.concatenate([plan.units.last, plan.heads.last]))
    restored["reason"] = np.where(last, "last unit of its layer", "exceeds the tolerance")
    restored.loc[np.isin(labels, np.setdiff1d(wanted, units)), "reason"] = f"multiple of {plan.round_to}"
    criterion, after = problem.criterion, problem.outputs(smaller.model)
    before, size = sizes_of(
        [problem.call.with_model(network) for network in (whole, smaller.model)], problem.inputs
    )
    # Two timings of networks of the same size differ by chance alone.
    held = None if others is None else others.scores(smaller.model)
    notes = tuple(_notes(problem, plan, smaller, len(units), len(wanted) - len(units), after))
    if held is not None and criterion.score is not None and plan.tolerance is not None:
        notes += tuple(_fall(criterion.name, held[0] - held[1], plan.tolerance))
    without_graph(smaller.model)
    same = (before.parameters, before.flops) == (size.parameters, size.flops)
    return Pruned(
        model=smaller.model,
        removed=_joined(plan.first.removed, removed),
        restored=_joined(plan.first.restored, restored),
        score_before=criterion.before,
        score_after=criterion.value(after),
        score=criterion.name,
        size_before=before,
        size_after=replace(before, bytes=size.bytes) if same else size,
        held_out=held,
        notes=notes,
        kept=plan.first.then(smaller.kept),
        original=shapes_of(whole),
    )


def _fall(score: str, fall: float, tolerance: float) -> Iterator[str]:
    """Of rows held out, where it is more than that of the rows that units were chosen by may be."""
    if fall > tolerance:
        yield (
            f"On the rows held out the {score} fell by {fall:.3g}, more than tolerance={tolerance}, which "
            "holds on the rows that units were chosen by. More such rows, or a smaller tolerance, keep more."
        )


def _restored(count: int) -> str:
    return "1 unit was restored" if count == 1 else f"{count} units were restored"


def _notes(
    problem: PruningProblem, plan: Plan, smaller: Cut, removed: int, rounded: int, after: Outputs
) -> Iterator[str]:
    """Layers that are left whole, units that are restored or zeroed, and changes outside of the criterion."""
    criterion, count, tolerance = problem.criterion, int(plan.work), plan.tolerance
    left = count - removed - rounded
    yield from left_whole(whole := _reasons(problem, plan))
    yield from plan.first.left
    if not count and plan.first.removed.empty:
        more = "" if whole else " remove=0.5 or remove='most' also removes units that are used."
        yield f"No units matched `remove`; nothing was removed.{more}"
    elif left:
        kept = "Nothing was removed" if left == count else _restored(left)
        what = "it" if left == 1 else "them"
        effect = "change an output" if criterion.score is None else f"lower the {criterion.name}"
        yield (
            f"{kept}: removing {what} would {effect} by more than tolerance={tolerance}. A larger tolerance "
            "removes more; tolerance=None removes all."
        )
    if last := len(plan.units.last) + len(plan.heads.last):
        yield f"{_restored(last)} as the last of {'its layer' if last == 1 else 'their layers'}."
    if rounded:
        yield f"{_restored(rounded)} so that widths are multiples of {plan.round_to}, or as before."
    yield from smaller.notes
    if change := criterion.change_of_other_outputs(after):
        yield (
            f"Outputs not used for the {criterion.name} changed by up to {change:.3g}. Pass data without "
            "labels to apply the tolerance to every output."
        )


def _reasons(problem: PruningProblem, plan: Plan) -> dict[str, str]:
    """Why layers lose nothing: they cannot be pruned, or their units can only be zeroed."""
    whole = {**problem.whole, **plan.found.left}
    for name, reason in problem.uncut.items():
        if not np.isin(problem.hidden[name], plan.units.ordered).any():
            whole[name] = reason
    heads = [name for name, labels in plan.found.labels.items() if np.isin(labels, plan.all).any()]
    heads += plan.first.removed["layer"].unique().tolist()
    return {
        name: reason
        for name, reason in whole.items()
        if not any(name == other or name.startswith(f"{other}.") for other in heads)
    }


def _joined(first: pd.DataFrame, then: pd.DataFrame) -> pd.DataFrame:
    """The rows of both; a table without rows has no types to keep."""
    tables = [table for table in (first, then) if len(table)]
    return pd.concat(tables, ignore_index=True) if tables else then


def _rows(problem: PruningProblem, plan: Plan, units: UnitIds) -> pd.DataFrame:
    """One row for every place in which the flow shows one of these units, and for every head."""
    wanted = set(units.tolist())
    rows = [
        (layer.name, layer.units[index], index, label)
        for layer in problem.flow.layers
        if layer.name in problem.hidden
        for index, label in enumerate(problem.hidden[layer.name].tolist())
        if label in wanted
    ]
    rows += plan.found.rows(units)
    return pd.DataFrame(rows, columns=["layer", "unit", "index", "label"])
