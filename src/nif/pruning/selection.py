"""Which units are to go: what `remove=` asks for, in the order of a rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from torch import nn

from nif.core.errors import InputError, unknown
from nif.core.types import Advance, ignore
from nif.network.unit_groups import UnitIds
from nif.pruning.problem import Subject, all_labels
from nif.pruning.rules import RULES
from nif.pruning.rules.information import silent_units
from nif.pruning.rules.rule import Rule

Remove = str | float | Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Units asked to go, the least valuable first, and those that stay as the last of their layer."""

    ordered: UnitIds
    last: UnitIds


def candidates(subject: Subject, remove: Remove, rule: str | Rule, alpha: float, seed: int) -> Candidates:
    """The units that `remove` asks for.

    Args:
        subject: What is pruned.
        remove: ``"silent"``, ``"most"``, a share of all hidden units, or a share for each layer.
        rule: Orders the units for all but ``"silent"``.
        alpha: Level of the false discovery rate at which units are silent.
        seed: For rules that draw.
    """
    if isinstance(remove, str) and remove == "silent":
        return _one_stays(subject, silent_units(subject, alpha))
    units = all_labels(subject.hidden) if isinstance(remove, Mapping) else cuttable(subject)
    if not len(units):  # such as in a network without hidden layers
        return Candidates(units, units)
    order = RULES[rule] if isinstance(rule, str) else rule
    ordered = units[np.argsort(order(subject, units, seed), kind="stable")]
    if isinstance(remove, Mapping):
        return _one_stays(subject, _by_layer(subject, ordered, remove))
    staying = _one_stays(subject, ordered)
    if isinstance(remove, str):
        return staying
    count = round(float(remove) * len(units))
    return Candidates(staying.ordered[:count], staying.last[: max(0, count - len(staying.ordered))])


def checked_remove(subject: Subject, remove: Remove) -> None:
    """Refuse what can not be meant.

    Raises:
        InputError: Another word, a share outside (0, 1), or a layer that the flow does not have.
    """
    if isinstance(remove, Mapping):
        if not remove:
            raise InputError(
                "remove names no layer; expected a share for one or more, such as {'relu1': 0.3}."
            )
        for layer, share in remove.items():
            if layer in subject.whole:
                raise InputError(f"{subject.whole[layer]} Name other layers.")
            if layer not in subject.hidden:
                raise unknown("hidden layer", str(layer), subject.hidden)
            _checked_share(share)
    elif isinstance(remove, str):
        if remove not in {"silent", "most"}:
            raise InputError(
                f"remove is {remove!r}; expected 'silent', 'most', a share of the hidden units such as 0.5, "
                "or a share for each layer such as {'relu1': 0.3}."
            )
    else:
        _checked_share(remove)


def _checked_share(share: object) -> None:
    number = isinstance(share, (int, float, np.floating)) and not isinstance(share, bool)
    if not number or not 0 < float(share) < 1:  # type: ignore[arg-type]
        raise InputError(
            f"The share of units to remove is {share!r}; expected a number between 0 and 1, such as 0.5. One "
            "unit of each layer always stays."
        )


def cuttable(subject: Subject) -> UnitIds:
    """The hidden units that can be cut out; all of them where none can."""
    units = all_labels(subject.hidden)
    free = units[~subject.weights.groups.has_fixed_width(units)]
    return free if len(free) else units


def _by_layer(subject: Subject, ordered: UnitIds, shares: Mapping[str, float]) -> UnitIds:
    chosen = [
        ordered[np.isin(ordered, subject.hidden[layer])][: round(share * len(subject.hidden[layer]))]
        for layer, share in shares.items()
    ]
    together = np.unique(np.concatenate(chosen)) if chosen else ordered[:0]
    return ordered[np.isin(ordered, together)]


def _one_stays(subject: Subject, ordered: UnitIds) -> Candidates:
    """Without the units whose removal would leave a layer empty: the most valuable one of each.

    A layer is one of the flow, or a convolution whose channels the flow shows beside others, as behind a
    concatenation: torch runs none of no channels, and then nothing at all could be cut.
    """
    weights = subject.weights
    made = (
        weights.groups.of(units)
        for name, units in weights.rows.items()
        if isinstance(subject.model.get_submodule(name), (nn.Conv1d, nn.Conv2d))
    )
    last = [
        np.unique(labels)[np.argmax([np.flatnonzero(ordered == label)[0] for label in np.unique(labels)])]
        for labels in (*subject.hidden.values(), *made)
        if len(labels) and np.isin(labels, ordered).all()
    ]
    stays = np.isin(ordered, np.array(last, dtype=np.int64))
    return Candidates(ordered[~stays], ordered[stays])


Keeps = Callable[[UnitIds], bool]
"""Whether the score is still within the tolerance when these units are gone."""


def largest_harmless_subset(candidates: UnitIds, keeps: Keeps, advance: Advance = ignore) -> UnitIds:
    """As many candidates as can go together, by halving: all at once where none does harm.

    A batch that does harm is split, and each half is tried on top of what has gone already. With b harmful
    units among n this takes about b log2(n) trials.

    Example:
        >>> largest_harmless_subset(np.arange(8), lambda gone: 5 not in gone).tolist()
        [0, 1, 2, 3, 4, 6, 7]
    """
    gone = candidates[:0]
    waiting = [candidates]
    while waiting:
        batch = waiting.pop()
        together = np.concatenate([gone, batch])
        if len(batch) == 0:
            continue
        if keeps(together):
            gone = together
            advance(float(len(batch)))
        elif len(batch) > 1:
            half = (len(batch) + 1) // 2
            waiting += [batch[half:], batch[:half]]
        else:
            advance(1.0)
    return gone


def longest_harmless_prefix(ordered: UnitIds, keeps: Keeps, advance: Advance = ignore) -> UnitIds:
    """The longest beginning of `ordered` that is kept, by bisection; it has itself been tried.

    Where the score is not monotone in the number of units this is one of several such beginnings.

    Example:
        >>> longest_harmless_prefix(np.array([7, 3, 9, 1]), lambda gone: len(gone) <= 3).tolist()
        [7, 3, 9]
    """
    if len(ordered) == 0 or keeps(ordered):
        return ordered
    good, bad = 0, len(ordered)
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if keeps(ordered[:middle]) else (good, middle)
        advance(len(ordered) / math.log2(len(ordered)))  # every halving takes about as long
    return ordered[:good]
