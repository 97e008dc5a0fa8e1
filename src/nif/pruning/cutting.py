"""Make the tensors of a network smaller where that can be done, and say where it can not."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from torch import nn

from nif.contracts import InputError
from nif.pruning.labels import Unit
from nif.pruning.removal import Kept, cut
from nif.pruning.subject import Subject

ZEROED = "they were zeroed and not cut out"


@dataclass(frozen=True, eq=False)
class Cut:
    """A network made smaller.

    Attributes:
        model: The smaller network, or the zeroed one where it can not be made smaller.
        zeroed: Labels of the units that are only zeroed in it.
        kept: What was kept of each tensor that is smaller.
        notes: Why units were zeroed.
    """

    model: nn.Module
    zeroed: Unit
    kept: Kept
    notes: tuple[str, ...] = ()


def cut_out(subject: Subject, silenced: nn.Module, gone: Unit) -> Cut:
    """Cut units that are silent out of a network, where the smaller one gives the same outputs.

    Args:
        subject: What is pruned.
        silenced: The network in which these units are silent and made up for; not changed.
        gone: Their labels.
    """
    smaller, score = copy.deepcopy(silenced), subject.score
    try:
        kept = cut(smaller, subject.wiring, gone)
        found, wanted = (score.outputs(subject.call.on(each)) for each in (smaller, silenced))
        same = score.agree(found, wanted)
    except (InputError, RuntimeError, IndexError, ValueError) as error:
        return Cut(silenced, gone, {}, (f"Nothing can be cut out of this network ({error}): {ZEROED}.",))
    if not same:
        return Cut(silenced, gone, {}, (f"Cutting units out changes the outputs of this network: {ZEROED}.",))
    pinned = gone[subject.wiring.labels.is_pinned(gone)]
    said = f"{len(pinned)} units are read where nothing can be made smaller: {ZEROED}."
    return Cut(smaller, pinned, kept, (said,) if len(pinned) else ())
