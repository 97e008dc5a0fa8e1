"""Prune a network: select units, test the tolerance, cut, report."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import torch

from nif.core.errors import InputError
from nif.core.progress import progress as progress_bar
from nif.flow.flow import Flow
from nif.network.unit_groups import UnitIds
from nif.pruning.compensation import COMPENSATIONS, compensate_removed
from nif.pruning.criterion import Outputs
from nif.pruning.equivalent import from_linear
from nif.pruning.file import shapes_of
from nif.pruning.problem import PruningProblem, pruning_problem
from nif.pruning.removal import Cut, cut_out
from nif.pruning.result import Pruned
from nif.pruning.rules import Rule, chosen_rule
from nif.pruning.selection import (
    Candidates,
    Remove,
    candidates,
    check_remove,
    largest_harmless_subset,
    longest_harmless_prefix,
)
from nif.pruning.size import size_of


@torch.inference_mode(False)
def prune(
    model: Any,
    flow: Flow,
    data: Any,
    *,
    remove: Remove = "silent",
    tolerance: float | None = 0.0,
    criterion: Any = None,
    alpha: float = 0.05,
    rule: str | Rule = "redundancy",
    compensate: str | None = "auto",
    output: int | str | None = None,
    cut: bool = True,
    seed: int = 0,
    progress: bool = True,
) -> Pruned:
    r"""Remove hidden units and compensate for them in closed form, without retraining.

    Args:
        model: The trained network, as for `nif.measure`; it is not changed.
        flow: The flow measured on it.
        data: Rows to evaluate on, as for `nif.measure`, with labels or without. 50 rows or more.
        remove: ``"silent"``: units that no information is shown to flow through. A fraction between 0 and 1:
            of all hidden units. A dict: a fraction for each layer it names. ``"most"``: the largest number of
            units that `tolerance` allows.
        tolerance: The criterion on these data gets worse by no more: units are restored until that holds.
            None sets no limit. Scores do not depend on further outputs; the notes give their change.
        criterion: A scorer of scikit-learn, by name or as `sklearn.metrics.make_scorer` returns it; without
            labels it compares with the network that is passed. None: the accuracy of the selected output, of
            labels that are classes; its R², the share of the variance that it explains, of labels that are
            real numbers; without labels the largest change of any number that the model returns.
        alpha: False discovery rate at which a unit counts as silent.
        rule: A name in `nif.pruning.rules.RULES`, or a function ``rule(problem, units, seed)`` that returns
            an importance for each unit; units of low importance are removed first. Not used for ``"silent"``.
        compensate: ``"mean"`` folds the mean of a removed unit into the next bias, exact for constant units;
            ``"linear"`` folds its least-squares prediction from the remaining units into the next weights;
            None does neither. ``"auto"``: mean for ``"silent"``, else linear.
        output: The measured output (name or index), of a model that returns several. Units that the model
            returns, in any output, stay.
        cut: Make the tensors smaller; False zeroes weights and biases, as published.
        seed: Random seed of the rule.
        progress: Show a bar with the time left, in a terminal, after two seconds.

    Raises:
        InputError: The model, the flow and the data do not belong together, or an option is invalid.

    References:
        Davis et al. (2019), https://arxiv.org/abs/1901.08557

    Example:
        >>> import nif, torch
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> with torch.no_grad():
        ...     _ = net[0].weight[1].zero_()
        >>> x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
        >>> small = prune(net, nif.measure(net, x, nif.Binned()), x)
        >>> "1[1]" in set(small.removed["unit"])
        True
    """
    problem = pruning_problem(model, flow, data, output, _compensation(compensate, remove), criterion)
    check_remove(problem, remove)
    importance = chosen_rule(rule)
    _check_options(remove, tolerance, alpha)
    chosen = candidates(problem, remove, importance, alpha, seed, cut)
    silent = isinstance(remove, str) and remove == "silent"
    search = largest_harmless_subset if silent else longest_harmless_prefix

    def satisfies(units: UnitIds) -> bool:
        return tolerance is None or problem.is_within(tolerance, compensate_removed(problem, units))

    with progress_bar("pruning", total=float(len(chosen.ordered)), shown=progress) as advance:
        removed = search(chosen.ordered, satisfies, advance)
    zeroed = compensate_removed(problem, removed)
    smaller = cut_out(problem, zeroed, removed) if cut else Cut(zeroed, removed, {})
    if not problem.is_within(tolerance, smaller.model):
        note = (
            "Cutting changed the result by rounding; units were zeroed instead to stay within the tolerance."
        )
        smaller = Cut(zeroed, removed, {}, (note,))
    return _result(problem, chosen, removed, smaller, tolerance)


def _result(
    problem: PruningProblem, chosen: Candidates, units: UnitIds, smaller: Cut, tolerance: float | None
) -> Pruned:
    whole = copy.deepcopy(problem.model)
    for model in (whole, smaller.model):
        for name, module in model.named_modules():
            module.training = problem.flags[name]
        from_linear(model)
    removed = _rows(problem, units)
    removed["how"] = np.where(np.isin(removed.pop("label"), smaller.zeroed), "zeroed", "cut")
    restored = _rows(problem, np.setdiff1d(np.concatenate([chosen.ordered, chosen.last]), units))
    last = np.isin(restored.pop("label"), chosen.last)
    restored["reason"] = np.where(last, "last unit of its layer", "exceeds the tolerance")
    criterion, after = problem.criterion, problem.outputs(smaller.model)
    return Pruned(
        model=smaller.model,
        removed=removed,
        restored=restored,
        score_before=criterion.before,
        score_after=criterion.value(after),
        score=criterion.name,
        size_before=size_of(problem.call.with_model(whole), problem.inputs),
        size_after=size_of(problem.call.with_model(smaller.model), problem.inputs),
        notes=tuple(_notes(problem, chosen, smaller, len(chosen.ordered) - len(units), after, tolerance)),
        kept=smaller.kept,
        original=shapes_of(whole),
    )


def _notes(
    problem: PruningProblem,
    chosen: Candidates,
    smaller: Cut,
    left: int,
    after: Outputs,
    tolerance: float | None,
) -> Iterator[str]:
    """Layers that are left whole, units that are restored or zeroed, and changes outside of the criterion."""
    criterion, count = problem.criterion, len(chosen.ordered)
    yield from problem.whole.values()
    yield from _left_whole(problem, chosen)
    if not count:
        yield "No units matched `remove`; nothing was removed."
    elif left:
        kept = "Nothing was removed" if left == count else f"{left} units were restored"
        effect = "change an output" if criterion.score is None else f"lower the {criterion.name}"
        yield (
            f"{kept}: removing them would {effect} by more than tolerance={tolerance}. A larger tolerance "
            "removes more; tolerance=None removes all."
        )
    yield from smaller.notes
    if change := criterion.change_of_other_outputs(after):
        yield (
            f"Outputs not used for the {criterion.name} changed by up to {change:.3g}. Pass data without "
            "labels to apply the tolerance to every output."
        )


def _left_whole(problem: PruningProblem, chosen: Candidates) -> Iterator[str]:
    """Why layers of which units can only be zeroed lose none."""
    for name, reason in problem.uncut.items():
        if not np.isin(problem.hidden[name], chosen.ordered).any():
            yield reason


def _rows(problem: PruningProblem, units: UnitIds) -> pd.DataFrame:
    """One row for every place in which the flow shows one of these units."""
    wanted = set(units.tolist())
    rows = [
        (layer.name, layer.units[index], index, label)
        for layer in problem.flow.layers
        if layer.name in problem.hidden
        for index, label in enumerate(problem.hidden[layer.name].tolist())
        if label in wanted
    ]
    return pd.DataFrame(rows, columns=["layer", "unit", "index", "label"])


def _compensation(compensate: str | None, remove: Remove) -> str | None:
    if compensate == "auto":
        return "mean" if isinstance(remove, str) and remove == "silent" else "linear"
    if compensate not in COMPENSATIONS:
        raise InputError(f"compensate is {compensate!r}; expected 'linear', 'mean', None or 'auto'.")
    return compensate


def _check_options(remove: Remove, tolerance: float | None, alpha: float) -> None:
    if not (isinstance(alpha, Real) and 0 < alpha < 1):
        raise InputError(f"alpha is {alpha!r}; expected a number between 0 and 1, such as 0.05.")
    if tolerance is not None and not (isinstance(tolerance, Real) and 0 <= tolerance < float("inf")):
        raise InputError(f"tolerance is {tolerance!r}; expected a number of 0 or more, or None.")
    if tolerance is None and isinstance(remove, str) and remove == "most":
        raise InputError("remove='most' needs a tolerance; pass one, such as 0.01.")
