"""Sums of the blocks that are finished, as records of a checkpoint.

What a row has is stored once, with its block. What is added up over the blocks is stored after each, in place
of what it was before, so that the file does not grow with their number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nif.core.checkpoint import Stage
from nif.measures.currents.block_sums import Sums
from nif.measures.currents.grouped_sums import GroupedSum
from nif.measures.currents.structure import Structure, Weighted

TABLES = ("between", "weights", "links")
"""Fields of `Sums` that hold a sum for each pair of numbers."""

SINGLE = ("classes", "paths")
"""Those that are one sum."""

LISTS = ("rows", "row_weights", "class_rows")
"""Those that have a part for each block."""

TOTAL = "added up"


def put(stage: Stage, sums: Sums, block: int) -> None:
    """Store the sums after the block of this number."""
    stage.put(str(block), _of_last(sums, block))
    stage.put(TOTAL, dict(_added_up(sums)), {"blocks": block + 1, **_facts(sums)})


def restore(stage: Stage, sums: Sums) -> int:
    """Add what is stored to empty sums; returns the number of blocks."""
    if TOTAL not in stage:
        return 0
    arrays, facts = stage.get(TOTAL)
    for block in range(facts["blocks"]):
        for name, part in stage.get(str(block))[0].items():
            field, _, layer = name.partition(" ")
            of_field = getattr(sums, field)
            (of_field.setdefault(int(layer), []) if layer else of_field).append(part)
    for name, values in arrays.items():
        field, *key = name.split(" ")
        if field == "absolute":
            sums.absolute[int(key[0])] = values
        else:
            _restore(_sum_of(sums, field, key), key[-2:], values)
    _restore_facts(sums, facts)
    return int(facts["blocks"])


def _of_last(sums: Sums, block: int) -> dict[str, np.ndarray]:
    """What has a part for each block, of the last one."""
    of_layers = {f"units {layer}": parts for layer, parts in sums.units.items()}
    every = {**{name: getattr(sums, name) for name in LISTS}, **of_layers}
    return {name: parts[-1] for name, parts in every.items() if len(parts) > block}


def _added_up(sums: Sums) -> Iterator[tuple[str, np.ndarray]]:
    for layer, values in sums.absolute.items():
        yield f"absolute {layer}", values
    for name in SINGLE:
        yield from _arrays(name, getattr(sums, name))
    for name in TABLES:
        for (one, other), of_one in getattr(sums, name).items():
            yield from _arrays(f"{name} {one} {other}", of_one)


def _arrays(name: str, one: GroupedSum) -> Iterator[tuple[str, np.ndarray]]:
    yield f"{name} total 0", one.total
    for part in ("involving", "contrasts"):
        for number, values in getattr(one, part).items():
            yield f"{name} {part} {number}", values


def _sum_of(sums: Sums, field: str, key: list[str]) -> GroupedSum:
    found = getattr(sums, field)
    one: GroupedSum = found if field in SINGLE else found.setdefault((int(key[0]), int(key[1])), GroupedSum())
    return one


def _restore(one: GroupedSum, part: list[str], values: np.ndarray) -> None:
    if part[0] == "total":
        one.total = values
    else:
        getattr(one, part[0])[int(part[1])] = values


def _facts(sums: Sums) -> dict[str, Any]:
    structure = sums.structure
    return {
        "general": dict(sums.general),
        "calls": sums.calls,
        "loose": sums.loose,
        "missed": sums.missed,
        "branches": sums.branches,
        "structure": None if structure is None else _of_structure(structure),
    }


def _restore_facts(sums: Sums, facts: Mapping[str, Any]) -> None:
    sums.general, calls = Counter(facts["general"]), facts["calls"]
    if calls is not None:
        sums.calls = tuple((name, tuple(read), tuple(written)) for name, read, written in calls)
    sums.loose, sums.missed, sums.branches = facts["loose"], facts["missed"], facts["branches"]
    if facts["structure"] is not None:
        sums.structure = _structure(*facts["structure"])


def _of_structure(structure: Structure) -> list[list[Any]]:
    """As lists, in the order in which it has its parts."""
    weighted = [
        (position, one.moving, one.weight, one.first, sorted(one.targets))
        for position, one in structure.weighted.items()
    ]
    origins = [(value, sorted(of)) for value, of in structure.origins.items()]
    return [list(structure.layers.items()), weighted, origins]


def _structure(layers: list[Any], weighted: list[Any], origins: list[Any]) -> Structure:
    return Structure(
        dict(layers),
        {
            position: Weighted(moving, weight, first, frozenset(targets))
            for position, moving, weight, first, targets in weighted
        },
        {value: frozenset((layer, count) for layer, count in of) for value, of in origins},
    )
