"""Check, before measuring, that the rows of every activation are the rows of the data, in their order.

A network may fold several values of a row into one axis, such as both inputs of a Siamese network or the
steps of a sequence. Whether they stand row by row or block by block cannot be seen from shapes. So the rows
of the data are permuted, and one is left out: every activation must follow.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from nif.core.errors import InputError
from nif.network.axes import Axes
from nif.network.forward import Forward
from nif.network.layers import Place
from nif.network.tracing import Tracer, traced_run
from nif.network.unit_maps import Call

EXAMPLES = 7
"""Rows of the runs, spread over the data, which may be sorted."""

TOLERANCE = 1e-3
"""Of the largest activation of all rows: results of equal rows may differ by rounding from place to place,
and one of them may be all but 0."""


def checked_places(
    call: Forward, places: Sequence[Place], inputs: Sequence[Tensor], count: int
) -> tuple[Place, ...]:
    """The places, with the order of their rows; without those whose rows are not those of the data.

    Args:
        call: Runs the network, in eval mode.
        places: Of all layers.
        inputs: Rows of data.
        count: Number of places that are inputs.

    Raises:
        InputError: The output of a row depends on other rows.
    """
    rows = min(EXAMPLES, len(inputs[0]))
    if rows < 2:
        return tuple(places)
    hidden = places[count:]
    order = torch.arange(rows).roll(1)[:-1]
    spread = torch.linspace(0, len(inputs[0]) - 1, rows, dtype=torch.float64).long()
    some = [values[spread.to(values.device)] for values in inputs]
    run, rerun = _activations(call, hidden, some), _activations(call, hidden, some)
    if any(not _same(values, rerun.values[name]) for name, values in run.values.items()):
        _warn_of_randomness(run.calls, rerun.calls)
        return tuple(places)
    first = run.values
    permuted = _activations(call, hidden, [values[order.to(values.device)] for values in some]).values
    ordered = {
        place.name: _axes_in_order(place.axes, first[place.name], permuted[place.name], order)
        for place in hidden
        if place.name in first and place.name in permuted
    }
    output = ordered[places[-1].name]
    if output is None or not _alike_alone(call, output, some, first[places[-1].name]):
        raise InputError(
            "The output of a row depends on the other rows of its batch, so no row has information of its "
            "own; expected a model that treats rows independently in eval mode."
        )
    for name in [name for name, axes in ordered.items() if axes is None]:
        warnings.warn(
            f"Layer {name!r} is left out: its values are not in the order of the rows of the data, or depend "
            "on other rows.",
            stacklevel=5,
        )
    kept = [(place, ordered.get(place.name, place.axes)) for place in places]
    return tuple(replace(place, axes=axes) for place, axes in kept if axes is not None)


def _alike_alone(call: Forward, axes: Axes, inputs: Sequence[Tensor], together: Tensor) -> bool:
    """Whether the output of a row and its copy is that of the row among others.

    A branch on a number of the whole batch, such as ``if x.mean() > 0``, is the same for permuted rows.
    """
    rows, size = len(inputs[0]), _largest(together)
    for row, expected in enumerate(axes.arranged(together, rows)):
        alone = call(call.prepared([values[[row, row]] for values in inputs]))
        if not _same(axes.arranged(alone, 2), torch.stack([expected, expected]), size):
            return False
    return True


def _axes_in_order(axes: Axes, before: Tensor, after: Tensor, order: Tensor) -> Axes | None:
    """The axes by which rows of the activation are permuted as the rows of the data were."""
    choices = [axes] if axes.merged == 1 else [axes, replace(axes, blocks=True)]
    lengths = before.shape[axes.sample], after.shape[axes.sample]
    if lengths != (axes.merged * (len(order) + 1), axes.merged * len(order)):
        return None  # the data decide how many there are
    for choice in choices:
        rows, moved = choice.arranged(before, len(order) + 1), choice.arranged(after, len(order))
        if _same(rows[order.to(rows.device)], moved):
            return choice
    return None


def _same(values: Tensor, others: Tensor, size: float | None = None) -> bool:
    """Whether they differ by no more than rounding of numbers of a size; of the largest of them if None."""
    size = _largest(values) if size is None else size
    values, others = values.double().nan_to_num(), others.double().nan_to_num()
    return values.shape == others.shape and torch.allclose(
        values, others, rtol=TOLERANCE, atol=TOLERANCE * size
    )


def _largest(values: Tensor) -> float:
    """The largest absolute value."""
    return float(values.double().nan_to_num().abs().max()) if values.numel() else 0.0


def _warn_of_randomness(run: Sequence[_Called], rerun: Sequence[_Called]) -> None:
    """Name the first call whose result differs between two runs on the same rows."""
    where = "the output"
    for one, other in zip(run, rerun, strict=False):
        if one != other:
            where = f"{one.function!r} of {f'module {one.module!r}' if one.module else 'the model itself'}"
            break
    warnings.warn(
        f"Two runs on the same rows differ, first in {where}: the model is random in eval mode, such as by "
        "F.dropout without training=self.training, or changes with every run, as a running mean does; "
        "results hold for one run.",
        stacklevel=6,
    )


@dataclass(frozen=True)
class _Called:
    """A call of a torch function, and the sum of the absolute values of its results."""

    module: str
    function: str
    size: float


def _activations(call: Forward, places: Sequence[Place], inputs: Sequence[Tensor]) -> _Activations:
    found, given = _Activations(places), call.prepared([values.clone() for values in inputs])
    with traced_run(call.model, found):
        output = call(given)
    found.values[places[-1].name] = output.detach()
    return found


class _Activations(Tracer):
    """Keeps the activations of some places, and what was called."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = {place.name: place for place in places[:-1]}
        self.values: dict[str, Tensor] = {}
        self.calls: list[_Called] = []

    def step(self, name: str, kind: str, given: Any, returned: Any, *, nonlinear: bool) -> None:
        if name in self._places and name not in self.values:
            self.values[name] = self._places[name].result(returned).detach().clone()

    def called(self, call: Call) -> None:
        floats = [values.detach() for values in call.written if values.is_floating_point()]
        size = sum(float(values.abs().nan_to_num().sum()) for values in floats)
        self.calls.append(_Called(self.inside, call.name, size))
