"""What of a run is decided: the output of a row, at one position of a sequence, or one unit of a layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nif.core.errors import InputError, unknown
from nif.core.types import Layer
from nif.measures.currents.moves import Moves
from nif.network.decision import Decision, Scale
from nif.network.forward import BATCH, Forward, Inputs
from nif.network.layers import Place, Plan
from nif.network.network import Architecture, Network
from nif.network.precision import single
from nif.network.recording import LARGEST_ACTIVATION
from nif.network.reduction import Reduction
from nif.network.tracing import Tracer, traced_run
from nif.network.unit_maps import tensors_in

OUTPUT = "output"
"""Name of the last layer."""


@dataclass(frozen=True)
class Mask:
    """Which positions of a row are none of its sequence.

    Attributes:
        input: Number of the input that says so.
        name: Of that input.
        marks_padding: Whether 1 stands for padding, as in torch; 0 does otherwise.
    """

    input: int
    name: str
    marks_padding: bool

    def last(self, inputs: Sequence[Tensor]) -> Int64[Tensor, " row"]:
        """The last position of each row that is no padding; position 0 of a row of padding."""
        values = inputs[self.input].flatten(1) != 0
        kept = ~values if self.marks_padding else values
        return (kept * torch.arange(kept.shape[1], device=kept.device)).amax(1)


@dataclass(frozen=True, eq=False)
class Target:
    """The numbers of a row that decide.

    Attributes:
        call: Runs the network.
        place: The layer that has them.
        unit: The one unit that decides; all if None.
        position: The position that decides; the last one if None, or the last that is no padding.
        mask: Which positions are padding; None if none is.
        reduction: The value of a unit with positions, if a unit decides.
        largest: Values a row takes in the largest activation of the model, by which batches are small enough.
    """

    call: Forward
    place: Place
    unit: int | None = None
    position: int | None = None
    mask: Mask | None = None
    reduction: Reduction = field(default_factory=Reduction)
    largest: int = 1

    @classmethod
    def of(
        cls, network: Network, plan: Plan, moves: Moves, inputs: Sequence[Tensor], target: object
    ) -> Target:
        """The target that a user names; the output if None.

        Args:
            network: Whose layers it names.
            plan: Its layers.
            moves: Which of its inputs move.
            inputs: Rows of data, of which a mask may tell where sequences end.
            target: Name of a layer, and number of a unit or position.

        Raises:
            InputError: It names no layer, or a unit or position that the layer does not have.
        """
        call, output = moves.call, plan.places[-1]
        reduction = Reduction(network.reduce)
        if target is None:
            mask = _mask(moves, output, inputs)
            return cls(call, output, mask=mask, reduction=reduction, largest=plan.largest)._checked()
        name, index = _named(target)
        places = {place.name: place for place in plan.places[plan.inputs :]}
        if name not in places:
            raise unknown("target", name, places)
        place = places[name]
        positions = math.prod(place.axes.grid)
        whole = name == OUTPUT and positions > 1
        count = positions if whole else place.axes.units
        if not -count <= index < count:
            raise InputError(
                f"target is {target!r}, but layer {name!r} has {count} {'positions' if whole else 'units'}; "
                f"expected 0 to {count - 1}."
            )
        if whole:
            return cls(call, place, position=index % count, largest=plan.largest)
        return cls(call, place, unit=index % count, reduction=reduction, largest=plan.largest)

    @property
    def hidden(self) -> bool:
        """Whether a layer before the output decides."""
        return self.place.name != OUTPUT

    @property
    def name(self) -> str:
        """In words; empty where the output of a row is one vector."""
        if self.unit is not None:
            several = math.prod(self.place.axes.grid) > 1
            return f"{self.place.name}[{self.unit}]" + f", {self.reduction.how} of its positions" * several
        if math.prod(self.place.axes.grid) == 1:
            return ""
        if self.position is not None:
            return f"the output at position {self.position}"
        of_mask = "" if self.mask is None else f" that is no padding by {self.mask.name!r}"
        return f"the output at the last position{of_mask}"

    def __call__(self, result: Tensor, inputs: Sequence[Tensor]) -> Float[Tensor, "row output"]:
        """The numbers that decide, of the result of the layer."""
        values = self.place.axes.arranged(result, len(inputs[0]))
        if self.unit is not None:
            values = self.reduction(values)[:, self.unit : self.unit + 1]
        elif values.dim() > 2:
            values = self._at_position(values.flatten(2), inputs)
        return single(values)

    def _at_position(self, values: Float[Tensor, "row unit position"], inputs: Sequence[Tensor]) -> Tensor:
        if self.mask is None:
            return values.select(2, -1 if self.position is None else self.position)
        index = self.mask.last(inputs)[:, None, None].expand(-1, values.shape[1], 1)
        return values.gather(2, index)[:, :, 0]

    def run(self, inputs: Sequence[Tensor]) -> Float[Tensor, "row output"]:
        """Run the network, and return the numbers that decide."""
        if not self.hidden:
            return self(self.call(inputs), inputs)
        found = Found(self.place.name)
        with traced_run(self.call.model, found):
            self.call(inputs)
        return self(found.result, inputs)

    def outputs(self, inputs: Inputs) -> Float[Tensor, "row output"]:
        """The same for many rows.

        Raises:
            InputError: They are infinite or not numbers.
        """
        size = max(1, min(BATCH, LARGEST_ACTIVATION // max(1, self.largest)))
        parts = [
            self.run([values[first : first + size].clone() for values in inputs])
            for first in range(0, len(inputs[0]), size)
        ]
        if not parts[0].is_floating_point():
            raise InputError(
                f"{self.place.name!r} has numbers of {parts[0].dtype}; expected logits, probabilities or "
                "real values. No current flows through whole numbers, such as the classes that argmax "
                "chooses: return what they are computed of, or choose it by output= or target=."
            )
        outputs = torch.cat(parts)
        if not torch.isfinite(outputs).all():
            raise InputError("The outputs have NaN or infinite values, so their information has no bound.")
        return outputs

    def decision(self, inputs: Inputs, model: object) -> Decision:
        """What the numbers stand for; a unit is a value."""
        if self.unit is not None:
            return Decision(Scale.VALUE, 1)
        return Decision.of(self.call, inputs, model, self)

    def places(self, plan: Plan, moves: Moves) -> tuple[int, ...]:
        """The layers that are measured: inputs that move, all that leads to the target, and the target."""
        last = next(number for number, place in enumerate(plan.places) if place.name == self.place.name)
        leading = {last}
        for source, target in sorted(plan.connections, reverse=True):
            if target in leading:
                leading.add(source)
        hidden = [number for number in range(plan.inputs, last) if number in leading]
        return (*moves.moving, *hidden, last)

    def architecture(self, whole: Architecture, places: Sequence[int]) -> Architecture:
        """The part of the layers that is measured."""
        number = {place: order for order, place in enumerate(places)}
        kept = [pair for pair in whole.connections if pair[0] in number and pair[1] in number]
        last, connected = whole.layers[places[-1]], {}
        for source, target in kept:
            flags = whole.connected_between(source, target)
            if target == places[-1] and self.unit is not None and flags is not None:
                flags = flags[:, self.unit : self.unit + 1]
                flags = None if flags.all() else flags
            connected[number[source], number[target]] = flags
        if self.unit is not None:
            last = Layer(last.name, last.kind, (last.units[self.unit],), ())
        layers = (*(whole.layers[place] for place in places[:-1]), last)
        return Architecture(layers, tuple(connected), tuple(connected.values()))

    def _checked(self) -> Target:
        if len(self.place.axes.grid) > 1 and math.prod(self.place.axes.grid) > 1:
            raise InputError(
                f"The output has shape {list(self.place.shape)} a row, so it decides at "
                f"{math.prod(self.place.axes.grid)} positions, of which none is the last; choose one, such "
                "as target=('output', 0)."
            )
        return self


class Found(Tracer):
    """Keeps the result of one layer of a run."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._result: Tensor | None = None

    def step(self, name: str, kind: str, given: object, returned: object, *, nonlinear: bool) -> None:
        if name == self._name and self._result is None:
            self._result = tensors_in(returned)[0]

    @property
    def result(self) -> Tensor:
        """Of the layer.

        Raises:
            InputError: It did not run.
        """
        if self._result is None:
            raise InputError(
                f"Layer {self._name!r} ran on some rows of the data and not on others; choose a target that "
                "always runs."
            )
        return self._result


def _mask(moves: Moves, output: Place, inputs: Sequence[Tensor]) -> Mask | None:
    """The input that says which positions of the output are padding."""
    decoder = any(name.startswith("decoder_") for name in moves.names)
    masks = []
    for number in moves.held:
        name, values = moves.names[number], inputs[number]
        fits = tuple(values.shape[1:]) == output.axes.grid and bool(((values == 0) | (values == 1)).all())
        if fits and name.startswith("decoder_") == decoder:
            masks.append(Mask(number, name, marks_padding="padding" in name))
    return min(masks, key=lambda mask: "mask" not in mask.name, default=None)


def _named(target: object) -> tuple[str, int]:
    if isinstance(target, tuple) and len(target) == 2:
        name, index = target
        if isinstance(name, str) and isinstance(index, (int, np.integer)) and not isinstance(index, bool):
            return name, int(index)
    raise InputError(
        f"target is {target!r}; expected the name of a layer and the number of a unit, such as ('relu2', 5), "
        "or ('output', t) for position t of a sequence."
    )
