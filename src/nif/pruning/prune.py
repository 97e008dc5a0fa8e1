"""prune(): choose, try, keep the promise, cut, and say what was done."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from nif.core.errors import InputError
from nif.core.progress import progress as progress_bar
from nif.flow.flow import Flow
from nif.network.unit_groups import UnitIds
from nif.pruning.compensation import COMPENSATIONS, compensate_removed
from nif.pruning.file import shapes_of
from nif.pruning.problem import Subject, subject
from nif.pruning.removal import Cut, cut_out
from nif.pruning.result import Pruned
from nif.pruning.rules import RULES
from nif.pruning.rules.rule import Rule
from nif.pruning.selection import (
    Candidates,
    Remove,
    candidates,
    checked_remove,
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
    alpha: float = 0.05,
    rule: str | Rule = "redundancy",
    compensate: str | None = "auto",
    output: int | str | None = None,
    cut: bool = True,
    seed: int = 0,
    progress: bool = True,
) -> Pruned:
    r"""A smaller network: hidden units are removed, and what they told is made up for without training.

    Args:
        model: The trained network, as for `nif.measure`; it is not changed.
        flow: What was measured on it.
        data: Rows to judge by, as for `nif.measure`; with labels, the score is the accuracy of the output
            chosen, without them the largest change of any number that the model returns. 50 rows or more.
        remove: ``"silent"``: the units that no information is shown to flow through. A share between 0 and 1:
            of all hidden units. A dict: a share for each layer it names. ``"most"``: as many as `tolerance`
            allows.
        tolerance: The score on these data does not get worse by more: units are put back until it holds.
            None promises nothing. Accuracy says nothing of further outputs; how far they moved is then in
            the notes.
        alpha: False discovery rate at which a unit counts as silent.
        rule: A name in `nif.pruning.rules.RULES`, or a function; orders the units except for ``"silent"``.
        compensate: ``"mean"`` folds the mean of a removed unit into the next bias, exact for constant units;
            ``"linear"`` folds its least-squares prediction from the units that stay into the next weights;
            None does neither. ``"auto"``: mean for ``"silent"``, else linear.
        output: Which output is meant, by name or index, of a model that returns several: the one that the
            flow was measured for. Units that the model returns, in any output, stay.
        cut: Make the tensors smaller; False zeroes weights and biases, as published.
        seed: For rules that draw.
        progress: Show a bar with the time left, in a terminal, after two seconds.

    Raises:
        InputError: The model, the flow and the data do not belong together, or an option makes no sense.

    References:
        Davis et al. (2019), https://arxiv.org/abs/1901.08557

    Example:
        >>> import nif, torch
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> with torch.no_grad():
        ...     _ = net[0].weight[1].zero_()
        >>> x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
        >>> small = prune(net, nif.measure(net, x, estimator=nif.Binned()), x)
        >>> "1[1]" in set(small.removed["unit"])
        True
    """
    how = _compensation(compensate, remove)
    found = subject(model, flow, data, output, how)
    checked_remove(found, remove)
    _checked_options(remove, rule, tolerance, alpha)
    asked = candidates(found, remove, rule, alpha, seed)
    trials = _Evaluator(found, tolerance)
    search = (
        largest_harmless_subset if isinstance(remove, str) and remove == "silent" else longest_harmless_prefix
    )
    with progress_bar("pruning", total=float(len(asked.ordered)), shown=progress) as advance:
        gone = search(asked.ordered, trials.keeps, advance)
    silenced = trials.without(gone)
    made = cut_out(found, silenced, gone) if cut else Cut(silenced, gone, {})
    if not trials.holds(made.model):
        made = Cut(
            silenced,
            gone,
            {},
            ("The smaller network rounds otherwise: units were zeroed to keep the score.",),
        )
    return _result(found, asked, gone, made, tolerance)


class _Evaluator:
    """Removes units and sees whether the promise holds."""

    def __init__(self, found: Subject, tolerance: float | None) -> None:
        self.subject, self.tolerance = found, tolerance

    def without(self, gone: UnitIds) -> nn.Module:
        """The network with these units silent and made up for."""
        return compensate_removed(self.subject, gone)

    def keeps(self, gone: UnitIds) -> bool:
        """Whether the score stays within the tolerance."""
        return self.tolerance is None or self.holds(self.without(gone))

    def holds(self, model: nn.Module) -> bool:
        """Whether the score of this network is within the tolerance."""
        score = self.subject.score
        return self.tolerance is None or score.within(
            self.tolerance, score.outputs(self.subject.call.on(model))
        )


def _result(found: Subject, asked: Candidates, gone: UnitIds, made: Cut, tolerance: float | None) -> Pruned:
    for name, module in made.model.named_modules():
        module.training = found.flags[name]
    removed = _rows(found, gone)
    removed["how"] = np.where(np.isin(removed.pop("label"), made.zeroed), "zeroed", "cut")
    put_back = _rows(found, np.setdiff1d(np.concatenate([asked.ordered, asked.last]), gone))
    last = np.isin(put_back.pop("label"), asked.last)
    put_back["reason"] = np.where(last, "last unit of its layer", "the score would fall too far")
    smaller = found.call.on(made.model)
    after = found.score.outputs(smaller)
    return Pruned(
        model=made.model,
        removed=removed,
        put_back=put_back,
        score_before=found.score.before,
        score_after=found.score.of(after),
        score=found.score.name,
        size_before=size_of(found.call, found.inputs),
        size_after=size_of(smaller, found.inputs),
        notes=(
            *found.whole.values(),
            *_said(asked, gone, tolerance),
            *made.notes,
            *_said_of_others(found.score.besides(after)),
        ),
        kept=made.kept,
        original=shapes_of(found.model),
    )


def _said(asked: Candidates, gone: UnitIds, tolerance: float | None) -> list[str]:
    """Why nothing was removed, or less than was asked for."""
    if not len(asked.ordered):
        return ["No unit was to go."]
    if len(gone) == len(asked.ordered):
        return []
    kept = "Nothing was removed" if not len(gone) else f"{len(asked.ordered) - len(gone)} units were put back"
    return [
        f"{kept}: the score would fall by more than tolerance={tolerance}; a larger one lets more go, "
        "None lets all go."
    ]


def _said_of_others(moved: float) -> list[str]:
    """How far outputs went for which nothing is promised."""
    if not moved:
        return []
    return [
        f"Outputs that accuracy does not see moved by up to {moved:.3g}; rows without labels make tolerance "
        "a promise for them too."
    ]


def _rows(found: Subject, units: UnitIds) -> pd.DataFrame:
    """One row for every place in which the flow shows one of these units."""
    wanted = set(units.tolist())
    rows = [
        (layer.name, layer.units[index], index, label)
        for layer in found.flow.layers
        if layer.name in found.hidden
        for index, label in enumerate(found.hidden[layer.name].tolist())
        if label in wanted
    ]
    return pd.DataFrame(rows, columns=["layer", "unit", "index", "label"])


def _compensation(compensate: str | None, remove: Remove) -> str | None:
    if compensate == "auto":
        return "mean" if isinstance(remove, str) and remove == "silent" else "linear"
    if compensate not in COMPENSATIONS:
        raise InputError(f"compensate is {compensate!r}; expected 'linear', 'mean', None or 'auto'.")
    return compensate


def _checked_options(remove: Remove, rule: str | Rule, tolerance: float | None, alpha: float) -> None:
    if not callable(rule) and rule not in RULES:
        raise InputError(f"There is no rule {rule!r}; expected one of {', '.join(RULES)}, or a function.")
    if not (isinstance(alpha, Real) and 0 < alpha < 1):
        raise InputError(f"alpha is {alpha!r}; expected a share between 0 and 1, such as 0.05.")
    if tolerance is not None and not (isinstance(tolerance, Real) and 0 <= tolerance < float("inf")):
        raise InputError(f"tolerance is {tolerance!r}; expected 0 or more, in units of the score, or None.")
    if tolerance is None and isinstance(remove, str) and remove == "most":
        raise InputError("remove='most' removes as much as the tolerance allows; give one, such as 0.01.")
