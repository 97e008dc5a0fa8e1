"""What is not exact in the currents of a network, said in warnings."""

from __future__ import annotations

import warnings

from nif.measures.currents.block_sums import Sums
from nif.measures.currents.steps import LARGEST_ERROR


def missed_by_branches(sums: Sums, steps: int) -> float:
    """Part of the total that is missed where the model ran different operations; warns of it."""
    total = sum(float(part.sum()) for part in sums.units[max(sums.units)])
    missed = sums.missed / max(abs(total), 1e-12)
    more = f"; pass more steps, such as Currents(steps={4 * steps})" if missed > LARGEST_ERROR else ""
    warnings.warn(
        f"The model runs different operations along the way from one row to another, such as those of a "
        f"branch: on such steps, currents are those by the operations of both ends, which miss {missed:.2%} "
        f"of the total{more}.",
        stacklevel=3,
    )
    return missed


def warn_of_general_rule(sums: Sums) -> None:
    """Of operations whose currents follow no rule of their own."""
    if sums.general:
        names = ", ".join(sorted(sums.general))
        warnings.warn(
            f"The operations {names} have no rule of their own; their currents follow a mean gradient with "
            "the rest shared in proportion.",
            stacklevel=3,
        )


def warn_of_losses(sums: Sums, inputs: int) -> None:
    """Of what the inputs do not account for, beside what branches miss."""
    carried, total = (
        sum(float(part.sum()) for layer in layers for part in sums.units.get(layer, []))
        for layers in (range(inputs), [max(sums.units)])
    )
    lost = abs(total - carried) - sums.missed
    if lost > LARGEST_ERROR * abs(total) + 1e-6:
        warnings.warn(
            f"The currents of the inputs sum to {carried:.3g} nats and the total is {total:.3g}: part of the "
            "information leaves torch on its way, such as through numpy, .item() or .tolist(), or is random. "
            "The currents are too small there; write that part with operations of torch.",
            stacklevel=3,
        )
