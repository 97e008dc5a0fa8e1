"""Prune a network: select units, test the tolerance, cut, report."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from nif.core.arguments import checked_arguments
from nif.core.errors import InputError, memory_named
from nif.core.progress import progress as progress_bar
from nif.core.types import Advance
from nif.flow.flow import Flow
from nif.network.unit_groups import UnitIds
from nif.pruning.compensation import COMPENSATIONS, compensate_removed
from nif.pruning.forecast import say_beforehand
from nif.pruning.heads import Heads, chosen_heads, with_heads
from nif.pruning.held_out import other_rows
from nif.pruning.key_dims import KeyDims, with_fewer_key_dims
from nif.pruning.nodes import of_nodes
from nif.pruning.outcome import Plan, outcome
from nif.pruning.problem import PruningProblem, all_labels, pruning_problem
from nif.pruning.removal import ZEROED, Cut, cut_out
from nif.pruning.result import Pruned
from nif.pruning.rules import Rule, chosen_rule, head_rule
from nif.pruning.selection import (
    NO_CANDIDATES,
    Remove,
    candidates,
    check_remove,
    largest_harmless_subset,
    longest_harmless_prefix,
)
from nif.pruning.trial import keep_what_cannot_be_cut
from nif.pruning.widths import rounded

ROUNDED = "Cutting changed the result by rounding; units were zeroed instead to stay within the tolerance."

LOWER = "fewer rows"
"""What takes the memory."""

FRACTION = "pass remove=0.5, the fraction of all hidden units to remove."


@checked_arguments(
    dict.fromkeys(("fraction", "amount", "ratio", "sparsity", "pruning_ratio"), FRACTION)
    | {"y": "pass labels= or (x, y) as data.", "method": "pass rule=, such as rule='current'."}
    | dict.fromkeys(("test", "validation", "val", "x_test"), "pass held_out=(x, y).")
    | {"inplace": "the network is copied, and small.model is the smaller one."}
    | dict.fromkeys(("epochs", "finetune", "retrain"), "nothing is trained; small.model is yours to train."),
    "nif.prune(model, flow, x, y, remove=0.5)",
)
@torch.inference_mode(False)
def prune(
    model: Any,
    flow: Flow,
    data: Any,
    labels: Any = None,
    *,
    remove: Remove | None = "silent",
    heads: float | Mapping[str, float] | None = None,
    key_dims: float | None = None,
    tolerance: float | None = 0.0,
    criterion: Any = None,
    alpha: float = 0.05,
    rule: str | Rule = "redundancy",
    exchanges: int = 20,
    round_to: int = 1,
    held_out: Any = None,
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
        data: Rows to evaluate on, as for `nif.measure`, with labels, as ``(x, y)``, or without. 50 rows or
            more; or one graph of 50 nodes or more, whose labels are those of nodes.
        labels: Of the rows, where they do not come with the data.
        remove: ``"silent"``: units that no information is shown to flow through. A fraction between 0 and 1:
            of all hidden units. A dict: a fraction for each layer it names. ``"most"``: the largest number of
            units that `tolerance` allows. None: no units.
        heads: A fraction of all heads of attention, or for each module of attention that a dict names. Their
            weights are cut; what reads them compensates. One head of each module stays.
        key_dims: A fraction of the dimensions of keys and queries, of which the products of the best rank
            stay, see `nif.pruning.key_dims`; attention that reads more than products is left whole.
        tolerance: The criterion on these data gets worse by no more: units are restored until that holds.
            None sets no limit. Scores do not depend on further outputs; the notes give their change.
        criterion: A scorer of scikit-learn, by name or as `sklearn.metrics.make_scorer` returns it; without
            labels it compares with the network that is passed. None: the accuracy of the selected output, of
            labels that are classes; its R², the share of the variance that it explains, of labels that are
            real numbers; without labels the largest change of any number that the model returns.
        alpha: False discovery rate at which a unit counts as silent.
        rule: A name in `nif.pruning.rules.RULES`, or a function ``rule(problem, units, seed)`` that returns
            an importance for each unit; units of low importance are removed first. Not used for ``"silent"``.
            Heads are ordered by redundancy where it is a rule for units of the flow.
        exchanges: After the rule ``"redundancy"`` has chosen a fraction, the largest number of removed units
            to exchange for kept ones that cost less together; 0 for none.
        round_to: Keep widths that are multiples of this number, such as 8, at which processors are fast:
            what stays of a layer is rounded up.
        held_out: Other rows, as `data`, on which both networks are scored at the end. The choice of units
            rests on `data` and has seen their score.
        compensate: ``"mean"`` folds the mean of a removed unit into the next bias, exact for constant units;
            ``"linear"`` folds its least-squares prediction from the remaining units into the next weights;
            None does neither. ``"auto"``: mean for ``"silent"`` without heads, else linear.
        output: The measured output (name or index), of a model that returns several. Units that the model
            returns, in any output, stay.
        cut: Make the tensors smaller; False zeroes weights and biases, as published.
        seed: Random seed of the rule.
        progress: Say what runs, and how long it takes, after two seconds.

    Raises:
        InputError: The model, the flow and the data do not belong together, or an option is invalid.

    References:
        Davis et al. (2019), https://arxiv.org/abs/1901.08557

    Example:
        >>> import nif, torch
        >>> from torch import nn
        >>> _ = torch.manual_seed(0)
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> with torch.no_grad():
        ...     _ = net[0].weight[1].zero_()
        >>> x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
        >>> small = prune(net, nif.measure(net, x, nif.Binned()), x)
        >>> "1[1]" in set(small.removed["unit"])
        True
    """
    if round_to > 1 and not cut:
        raise InputError(f"round_to is {round_to} and cut is False; only what is cut changes widths.")
    how = _compensation(compensate, remove, heads)
    model, rows = of_nodes(model, data, labels, held_out)
    with memory_named(LOWER), progress_bar("pruning", total=None, shown=progress) as shown:
        shown.stage("running the network on the rows")
        start = pruning_problem(model, flow, rows, output, how, criterion)
        keep_what_cannot_be_cut(start)
        if remove is not None:
            check_remove(start, remove)
        importance = chosen_rule(rule)
        _check_tolerance(remove, tolerance)
        shown.stage("finding heads, and dimensions of keys that can go")
        first = _without_key_dims(start, key_dims, tolerance)
        problem, found = with_heads(first.problem) if heads is not None else (first.problem, Heads())
        shown.stage("running the network on the rows held out")
        others = None if held_out is None else other_rows(model, problem, held_out, output, criterion)
    layers, trials, none = len(problem.weights.columns), _trials(problem, tolerance), NO_CANDIDATES
    if progress:
        say_beforehand(problem, trials)
    what = f"{len(all_labels(problem.hidden)):,} units"
    bar = progress_bar("pruning", total=layers * trials, shown=progress, what=what)
    with memory_named(LOWER), bar as advance:
        units = (
            none if remove is None else candidates(problem, remove, importance, alpha, seed, cut, exchanges)
        )
        chosen = none if heads is None else chosen_heads(problem, found, heads, head_rule(rule), seed)
        advance(layers)
        plan = Plan(units, chosen, found, first, tolerance, round_to)
        found_units = _search(problem, plan, remove, advance)
    with memory_named(LOWER), progress_bar("pruning", total=None, shown=progress) as shown:
        shown.stage("cutting, and timing both networks")
        return outcome(start, problem, plan, *_smaller(problem, plan, remove, cut, *found_units), others)


def _without_key_dims(start: PruningProblem, key_dims: float | None, tolerance: float | None) -> KeyDims:
    """The problem without some dimensions of keys, if that is asked for."""
    if key_dims is None:
        return KeyDims(start)
    first = with_fewer_key_dims(start, key_dims, tolerance)
    if first.problem is not start:
        keep_what_cannot_be_cut(first.problem)
    return first


def _smaller(
    problem: PruningProblem,
    plan: Plan,
    remove: Remove | None,
    cut: bool,
    removed: UnitIds,
    wanted: UnitIds,
    zeroed: nn.Module,
) -> tuple[UnitIds, UnitIds, Cut]:
    """The units that go, those that would go with any widths, and the network without them."""
    smaller = cut_out(problem, zeroed, removed) if cut else Cut(zeroed, removed, {}, _zeroed(removed))
    if cut and not smaller.kept and len(removed) and not (_is_silent(remove) or isinstance(remove, Mapping)):
        removed = wanted = removed[:0]
        smaller = _nothing_cut(problem, smaller)
    if not problem.is_within(plan.tolerance, smaller.model):
        smaller = Cut(zeroed, removed, {}, (ROUNDED,))
    return removed, wanted, smaller


def _zeroed(removed: UnitIds) -> tuple[str, ...]:
    return ("cut is False: units were zeroed, and no tensor is smaller.",) if len(removed) else ()


def _nothing_cut(problem: PruningProblem, smaller: Cut) -> Cut:
    """The network as it is, where units could only be zeroed and were to be cut."""
    instead = "nothing was removed; cut=False zeroes units"
    notes = tuple(note.replace(ZEROED, instead) for note in smaller.notes)
    return Cut(copy.deepcopy(problem.model), NO_CANDIDATES.ordered, {}, notes)


def _is_silent(remove: Remove | None) -> bool:
    return isinstance(remove, str) and remove == "silent"


def _trials(problem: PruningProblem, tolerance: float | None) -> int:
    """How many networks are refitted at most, in a bisection of all units; the rule takes as long as one."""
    count = len(all_labels(problem.hidden))
    return 2 if tolerance is None else 3 + math.ceil(math.log2(max(1, count)))


def _search(
    problem: PruningProblem, plan: Plan, remove: Remove | None, advance: Advance
) -> tuple[UnitIds, UnitIds, nn.Module]:
    """Heads that can go within the tolerance, then units that can go with them; the network without them.

    Returns the units that go, those that would go with any widths, and the network.
    """
    last: list[tuple[UnitIds, nn.Module]] = []

    def satisfies(units: UnitIds) -> bool:
        if plan.tolerance is None:
            return True
        model = compensate_removed(problem, units, advance)
        if within := problem.is_within(plan.tolerance, model):
            last[:] = [(units, model)]
        return within

    search = largest_harmless_subset if _is_silent(remove) else longest_harmless_prefix
    heads = longest_harmless_prefix(plan.heads.ordered, satisfies)

    def with_heads(units: UnitIds) -> UnitIds:
        return np.concatenate([heads, rounded(problem, units, plan.round_to)])

    units = search(plan.units.ordered, lambda some: satisfies(with_heads(some)))
    removed, wanted = with_heads(units), np.concatenate([heads, units])
    if last and np.array_equal(last[0][0], removed):
        return removed, wanted, last[0][1]
    return removed, wanted, compensate_removed(problem, removed, advance)


def _compensation(compensate: str | None, remove: Remove | None, heads: object) -> str | None:
    if compensate == "auto":
        return "mean" if _is_silent(remove) and heads is None else "linear"
    if compensate not in COMPENSATIONS:
        raise InputError(f"compensate is {compensate!r}; expected 'linear', 'mean', None or 'auto'.")
    return compensate


def _check_tolerance(remove: Remove | None, tolerance: float | None) -> None:
    if tolerance is not None and not 0 <= tolerance < math.inf:
        raise InputError(f"tolerance is {tolerance!r}; expected a number of 0 or more, or None.")
    if tolerance is None and isinstance(remove, str) and remove == "most":
        raise InputError("remove='most' needs a tolerance; pass one, such as 0.01.")
