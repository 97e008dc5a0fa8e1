"""Find units by their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from nif.core.errors import InputError, nearest
from nif.core.types import Layer

Place = tuple[int, int]
"""A unit as the index of its layer and its index there."""

Named = str | tuple[str, str | int]
"""A unit as a user names it: its name, or its layer with its name or index there."""


def feature_names(layers: Sequence[Layer]) -> list[str]:
    """The units of all inputs, in their order."""
    return [unit for layer in layers if layer.kind == "input" for unit in layer.units]


def names_of(layers: Sequence[Layer], path: Iterable[Place]) -> tuple[tuple[str, str], ...]:
    """The layer and the name of each unit of a path."""
    return tuple((layers[layer].name, layers[layer].units[unit]) for layer, unit in path)


def place_of(layers: Sequence[Layer], unit: Named, candidates: Sequence[int]) -> Place:
    """Find a unit by its name among some layers, or by its layer and its name or index in any layer.

    Args:
        layers: All layers.
        unit: ``"petal width"``, ``("relu1", "relu1[3]")`` or ``("relu1", 3)``.
        candidates: Indices of the layers that are searched first for a bare name.

    Raises:
        InputError: No such unit (the nearest name is suggested), or several.

    Example:
        >>> place_of([Layer("input", "input", ("width", "height"))], "height", candidates=[0])
        (0, 1)
    """
    if isinstance(unit, str):
        return _by_name(layers, unit, candidates)
    if not (isinstance(unit, tuple) and len(unit) == 2):
        number = " A number of paths is k=." if isinstance(unit, int) else ""
        raise InputError(
            f"A unit was given as {unit!r}; expected its name, or (layer, name or index).{number}"
        )
    index = layer_index(layers, unit[0])
    return index, _within(layers[index], unit[1])


def layer_index(layers: Sequence[Layer], name: str) -> int:
    """The layer of this name; raises `InputError` if there is none."""
    names = [layer.name for layer in layers]
    if name not in names:
        raise InputError(f"There is no layer {name!r}.{nearest(str(name), names)}")
    return names.index(name)


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
        places = [index for index, name in enumerate(layer.units) if name == unit]
        if len(places) > 1:
            raise InputError(
                f"Layer {layer.name!r} has {len(places)} units named {unit!r}; name one as "
                f"({layer.name!r}, {places[0]})."
            )
        if not places:
            raise InputError(f"Layer {layer.name!r} has no unit {unit!r}.{nearest(unit, layer.units)}")
        return places[0]
    if not -len(layer) <= unit < len(layer):
        raise InputError(f"Layer {layer.name!r} has {len(layer)} units; there is no unit {unit}.")
    return int(unit) % len(layer)


def distinct(names: Sequence[str]) -> list[str]:
    """The names; those that occur more than once have their index appended.

    Example:
        >>> distinct(["a", "b", "a"])
        ['a #0', 'b', 'a #2']
    """
    count = Counter(names)
    return [f"{name} #{place}" if count[name] > 1 else name for place, name in enumerate(names)]
