"""Select the units that `remove=` asks for, in the order of a rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from torch import nn

from nif.core.errors import InputError, unknown
from nif.network.unit_groups import UnitIds
from nif.pruning.problem import PruningProblem, all_labels, left_whole
from nif.pruning.rules.information import silent_units
from nif.pruning.rules.redundancy import redundancy
from nif.pruning.rules.rule import Rule
from nif.pruning.rules.swaps import with_exchanges

Remove = str | float | Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Candidates:
    """The selected units, the least important first, and those kept as the last of their layer."""

    ordered: UnitIds
    last: UnitIds


NO_CANDIDATES = Candidates(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


def candidates(
    problem: PruningProblem,
    remove: Remove,
    rule: Rule,
    alpha: float,
    seed: int,
    cut: bool = True,
    exchanges: int = 0,
) -> Candidates:
    """The units that `remove` asks for, ordered by the rule or, for ``"silent"`` ones, by their q-value.

    A fraction of the network, and ``"most"``, mean units that can be cut; where none can, all of them if they
    are only to be zeroed, else none. Of a fraction that redundancy chose, up to `exchanges` removed units are
    exchanged for others that cost less together.
    """
    if isinstance(remove, str) and remove == "silent":
        return _keep_one_per_layer(problem, silent_units(problem, alpha))
    units = cuttable(problem)
    if isinstance(remove, Mapping) or not (cut or len(units)):
        units = all_labels(problem.hidden)
    if not len(units):  # such as in a network without hidden layers
        return Candidates(units, units)
    ordered = units[np.argsort(rule(problem, units, seed), kind="stable")]
    if isinstance(remove, Mapping):
        return _keep_one_per_layer(problem, _by_layer(problem, ordered, remove))
    selected = _keep_one_per_layer(problem, ordered)
    if isinstance(remove, str):
        return selected
    count = round(float(remove) * len(units))
    chosen, free = selected.ordered[:count], selected.ordered
    if rule is redundancy and exchanges and 0 < count < len(free):
        chosen = with_exchanges(problem, chosen, free, exchanges)
    return Candidates(chosen, selected.last[: max(0, count - len(free))])


def check_remove(problem: PruningProblem, remove: Remove) -> None:
    """Refuse another word, a fraction outside (0, 1), or a layer that the flow does not have."""
    if isinstance(remove, Mapping):
        if not remove:
            raise InputError(
                "remove is an empty mapping; expected a fraction per layer, such as {'relu1': 0.3}."
            )
        for layer, fraction in remove.items():
            if layer in problem.whole:
                (sentence,) = left_whole({layer: problem.whole[layer]})
                raise InputError(f"{sentence} Choose other layers.")
            if layer not in problem.hidden:
                raise unknown("hidden layer", str(layer), problem.hidden)
            check_fraction(fraction)
    elif isinstance(remove, str):
        if remove not in {"silent", "most"}:
            raise InputError(
                f"remove is {remove!r}; expected 'silent', 'most', a fraction of the hidden units such as "
                "0.5, or a fraction for each layer such as {'relu1': 0.3}."
            )
    else:
        check_fraction(remove)


def check_fraction(fraction: object, of: str = "units") -> None:
    """Refuse what is no number between 0 and 1."""
    number = isinstance(fraction, (int, float, np.floating)) and not isinstance(fraction, bool)
    if not number or not 0 < float(fraction) < 1:  # type: ignore[arg-type]
        raise InputError(
            f"The fraction of {of} to remove is {fraction!r}; expected a number between 0 and 1, such as "
            f"0.5. One of the {of} of each layer always stays."
        )


def cuttable(problem: PruningProblem) -> UnitIds:
    """The hidden units that can be cut out."""
    units = all_labels(problem.hidden)
    return units[~problem.weights.groups.has_fixed_width(units)]


def _by_layer(problem: PruningProblem, ordered: UnitIds, fractions: Mapping[str, float]) -> UnitIds:
    chosen = [
        ordered[np.isin(ordered, problem.hidden[layer])][
            : round(fraction * len(np.unique(problem.hidden[layer])))
        ]
        for layer, fraction in fractions.items()
    ]
    together = np.unique(np.concatenate(chosen)) if chosen else ordered[:0]
    return ordered[np.isin(ordered, together)]


def _keep_one_per_layer(problem: PruningProblem, ordered: UnitIds) -> Candidates:
    """Without the units whose removal would leave a layer empty: the most important one of each.

    A layer is one of the flow, or a convolution whose channels the flow shows beside others, as behind a
    concatenation: torch runs none of no channels, and then nothing at all could be cut.
    """
    weights = problem.weights
    made = (
        weights.groups.of(units)
        for name, units in weights.rows.items()
        if isinstance(problem.model.get_submodule(name), (nn.Conv1d, nn.Conv2d))
    )
    last = [
        np.unique(labels)[np.argmax([np.flatnonzero(ordered == label)[0] for label in np.unique(labels)])]
        for labels in (*problem.hidden.values(), *made)
        if len(labels) and np.isin(labels, ordered).all()
    ]
    stays = np.isin(ordered, np.array(last, dtype=np.int64))
    return Candidates(ordered[~stays], ordered[stays])


Satisfies = Callable[[UnitIds], bool]
"""Whether the network without these units is within the tolerance."""


def largest_harmless_subset(candidates: UnitIds, satisfies: Satisfies) -> UnitIds:
    """Candidates that can be removed together, by recursive halving: all at once where none does harm.

    A batch that does harm is split, and each half is tried in addition to the units removed so far. With b
    harmful units among n this takes about b log2(n) trials.

    Example:
        >>> largest_harmless_subset(np.arange(8), lambda removed: 5 not in removed).tolist()
        [0, 1, 2, 3, 4, 6, 7]
    """
    removed = candidates[:0]
    waiting = [candidates]
    while waiting:
        batch = waiting.pop()
        together = np.concatenate([removed, batch])
        if len(batch) == 0:
            continue
        if satisfies(together):
            removed = together
        elif len(batch) > 1:
            half = (len(batch) + 1) // 2
            waiting += [batch[half:], batch[:half]]
    return removed


def longest_harmless_prefix(ordered: UnitIds, satisfies: Satisfies) -> UnitIds:
    """The longest prefix of `ordered` within the tolerance, by bisection; the prefix itself has been tried.

    Where the criterion is not monotone in the number of units this is one of several such prefixes.

    Example:
        >>> longest_harmless_prefix(np.array([7, 3, 9, 1]), lambda removed: len(removed) <= 3).tolist()
        [7, 3, 9]
    """
    if len(ordered) == 0 or satisfies(ordered):
        return ordered
    good, bad = 0, len(ordered)
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if satisfies(ordered[:middle]) else (good, middle)
    return ordered[:good]
