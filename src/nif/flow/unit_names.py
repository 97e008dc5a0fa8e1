"""From the name of a unit to its place, and back."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence

from nif.core.errors import InputError
from nif.core.types import Layer

Place = tuple[int, int]
"""A unit as indices of its layer and of itself there."""

Named = str | tuple[str, str | int]
"""A unit as a user names it: by its name, or by its layer with its name or index there."""


def place_of(layers: Sequence[Layer], unit: Named, candidates: Sequence[int]) -> Place:
    """Find a unit by its name among some layers, or by its layer and its name or index in any layer.

    Args:
        layers: All layers.
        unit: ``"petal width"``, ``("relu1", "relu1[3]")`` or ``("relu1", 3)``.
        candidates: Indices of the layers in which a bare name is looked for first; all others come after.

    Raises:
        InputError: No such unit (the nearest name is suggested), or several.

    Example:
        >>> place_of([Layer("input", "input", ("width", "height"))], "height", candidates=[0])
        (0, 1)
    """
    if isinstance(unit, str):
        return _by_name(layers, unit, candidates)
    if not (isinstance(unit, tuple) and len(unit) == 2):
        raise InputError(f"A unit was given as {unit!r}; expected its name, or (layer, name or index).")
    names = [layer.name for layer in layers]
    if unit[0] not in names:
        raise InputError(f"There is no layer {unit[0]!r}.{nearest(str(unit[0]), names)}")
    index = names.index(unit[0])
    return index, _within(layers[index], unit[1])


def _by_name(layers: Sequence[Layer], name: str, candidates: Sequence[int]) -> Place:
    others = [index for index in range(len(layers)) if index not in candidates]
    for group in (candidates, others):
        places = [(index, _within(layers[index], name)) for index in group if name in layers[index].units]
        if len(places) > 1:
            where = ", ".join(repr(layers[index].name) for index, _ in places)
            raise InputError(f"Several layers have a unit {name!r}: {where}. Name it as (layer, unit).")
        if places:
            return places[0]
    raise InputError(
        f"There is no unit {name!r}.{nearest(name, (unit for layer in layers for unit in layer.units))}"
    )


def _within(layer: Layer, unit: str | int) -> int:
    if isinstance(unit, str):
        found = [index for index, name in enumerate(layer.units) if name == unit]
        if len(found) > 1:
            raise InputError(
                f"Layer {layer.name!r} has {len(found)} units named {unit!r}; name one as "
                f"({layer.name!r}, {found[0]})."
            )
        if not found:
            raise InputError(f"Layer {layer.name!r} has no unit {unit!r}.{nearest(unit, layer.units)}")
        return found[0]
    if not -len(layer) <= unit < len(layer):
        raise InputError(f"Layer {layer.name!r} has {len(layer)} units; there is no unit {unit}.")
    return int(unit) % len(layer)


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that suggests the nearest known name, if any comes near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def distinct(names: Sequence[str]) -> list[str]:
    """The names, with their place behind those that occur more than once.

    Example:
        >>> distinct(["a", "b", "a"])
        ['a #0', 'b', 'a #2']
    """
    count = Counter(names)
    return [f"{name} #{place}" if count[name] > 1 else name for place, name in enumerate(names)]
