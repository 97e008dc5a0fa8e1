"""Which head of attention each number comes from that a projection reads.

Heads are the stack of a product of two matrices that both depend on the data; behind it they are joined side
by side. So no name or option of a module is needed to find them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Int

from nif.measures.currents.dependence import MOVES, SAME
from nif.measures.currents.labels import NONE, Forward, agreed
from nif.measures.currents.operation import Value
from nif.measures.currents.structure import Structure
from nif.measures.currents.tape import Tape
from nif.measures.currents.unit_cells import PAIRS, pair_major


def heads_of(
    tape: Tape, structure: Structure, outer: Mapping[int, int]
) -> dict[int, Int[np.ndarray, " number"]]:
    """Head of each number that a weight reads, by the position of the weight; negative for none.

    Args:
        tape: Of two pairs, all values kept.
        structure: Of the tape.
        outer: See `nif.measures.currents.link_maps.LinkMaps`.
    """
    given = _stacks(tape)
    forward = Forward.of(tape, given, structure.weighted, NONE) if given else Forward({})
    found = {}
    for position, weighted in structure.weighted.items():
        kind, read = tape.operations[position].kind, forward.labels.get(weighted.moving)
        if read is None or kind not in ("mm", "addmm"):
            continue
        rows = read.reshape(tape.shape(weighted.moving))
        rows = pair_major(rows if weighted.first else rows.mT, PAIRS, outer[position], 0)
        of_pair = agreed(rows[: len(rows) // PAIRS].mT)
        known = torch.unique(of_pair[of_pair >= 0])
        if len(known) and not (of_pair < NONE).any():
            heads = torch.where(of_pair >= 0, torch.searchsorted(known, of_pair), NONE)
            found[position] = heads.numpy()
    return found


def _stacks(tape: Tape) -> dict[int, torch.Tensor]:
    """Results of products that attention weighs, each number labelled by its matrix in the stack."""
    weights: set[int] = set()
    found = {}
    for operation in tape.operations:
        written, factors = operation.written[0], operation.args[:2]
        if "softmax" in operation.kind and written is not None:
            weights.add(written)
        elif operation.kind in MOVES | SAME and not weights.isdisjoint(operation.read):
            weights.update(index for index in operation.written if index is not None)
        elif operation.kind == "bmm" and written is not None:
            numbers = [factor.index for factor in factors if isinstance(factor, Value)]
            if all(index in tape.moving for index in numbers) and not weights.isdisjoint(numbers):
                shape = tape.shape(written)
                labels = torch.arange(shape[0]).repeat_interleave(shape[1] * shape[2])
                found[written] = labels
    return found
