"""What ran and is not measured: weights that an operation read, on which no link rests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection

import torch
from torch import Tensor

from nif.data.rows import Rows
from nif.measures.currents.structure import Structure, repeated_for_each
from nif.measures.currents.tape import Tape, record
from nif.network.network import Network
from nif.network.preserve import preserved, recurrent
from nif.network.tracing import CALL_SEPARATOR

JOINS = frozenset(["add", "sub", "rsub", "cat"])
"""Operations by which a constant is added or placed beside what depends on the data."""


def not_measured(
    network: Network, rows: Rows, *, by_weight: bool, known: Collection[str] | None = None
) -> list[str]:
    """Names of the weights that ran and that no link rests on, each with the operation that read it.

    Weights are parameters of two and more axes. Those that multiply what depends on the data are measured if
    the product leads to the output. Not measured are those that are added, and those that lead nowhere.

    Args:
        network: The network.
        rows: Of data; a few of them are run.
        by_weight: Links are those of weights, and only matrix products and convolutions have them; otherwise
            they join layers, whatever lies between.
        known: Names of the weights whose numbers have currents. Others on which links rest, such as a part of
            a weight that is computed from several, are named too; None names no such weights.
    """
    with preserved(network.module):
        call = network.forward(rows)

        def run(mark: Callable[[str, Tensor], None], *inputs: Tensor) -> list[Tensor]:
            return [call(inputs)]

        weights = {name: p for name, p in network.module.named_parameters() if p.dim() >= 2}
        tape, other = (
            record(run, call.prepared([values[places].clone() for values in rows.inputs]), weights)
            for places in (torch.arange(count) % len(rows) for count in (2, 3))
        )
    repeated = repeated_for_each(tape, other)
    places = set(Structure.of(tape, dict.fromkeys(tape.outputs, 0), repeated).weighted)
    leading = _leading(tape)
    plan = network.plan(rows)
    found = [f"{name} (rows are not those of the data)" for name in plan.left_out]
    if not by_weight:
        layers = {place.name.partition(CALL_SEPARATOR)[0] for place in plan.places}
        found += [
            f"{name} (recurrent, links lead past it)"
            for name in recurrent(network.module)
            if name not in layers
        ]
    for name, positions in _met(tape).items():
        kinds = {position: tape.operations[position].kind for position in positions}
        ahead = [p for p in positions if not leading.isdisjoint(tape.operations[p].written)]
        if not ahead:
            found.append(f"{name} (used in {kinds[positions[0]]}, which does not lead to the output)")
        elif not any(p in places if by_weight else kinds[p] not in JOINS for p in ahead):
            found.append(f"{name} (used in {kinds[ahead[0]]})")
        elif known is not None and name not in known:
            found.append(f"{name} (its numbers; links are measured)")
    return found


def _leading(tape: Tape) -> set[int | None]:
    """The values that lead to the output."""
    leading: set[int | None] = set(tape.outputs)
    for operation in reversed(tape.operations):
        if not leading.isdisjoint(operation.written):
            leading.update(operation.read)
    return leading


def _met(tape: Tape) -> dict[str, list[int]]:
    """Positions of the operations in which each weight meets what depends on the data."""
    made: dict[int, set[str]] = {index: {name} for index, name in tape.parameters.items()}
    met: dict[str, list[int]] = defaultdict(list)
    reached = tape.moving | tape.dependent
    for position, operation in enumerate(tape.operations):
        names = set().union(*(made.get(index, ()) for index in operation.read))
        written = [index for index in operation.written if index is not None]
        if reached.isdisjoint(operation.read):
            made.update({index: made.get(index, set()) | names for index in written})
        else:
            for name in sorted(names):
                met[name].append(position)
    return met
