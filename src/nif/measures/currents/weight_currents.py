"""From sums over pairs to the currents of parameters and of the heads of attention."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import partial, reduce

import numpy as np
from torch import nn

from nif.core.weights import HeadCurrents, StoredWeight
from nif.measures.currents.errors import Jackknife
from nif.measures.currents.grouped_sums import GroupedSum
from nif.measures.currents.link_maps import LinkMaps
from nif.measures.currents.parameters import ParameterCells
from nif.measures.currents.path_integral import Sums

SINGLE = 2**20
"""Numbers above which a parameter is stored in single precision."""


def weight_currents(
    sums: Sums, module: nn.Module, jackknife: Jackknife, links: Mapping[int, int]
) -> tuple[StoredWeight, ...]:
    """The currents of every parameter that is a weight.

    Args:
        sums: Of all pairs; those of weights that are no links are freed.
        module: Whose parameters they are.
        jackknife: Gives the errors.
        links: By the identity of a sum, the number of the links that have the same currents.
    """
    maps, names = sums.maps, _all_names(module)
    found: list[StoredWeight] = []
    if maps is None:
        return ()
    for name, keys in _keys_of_parameters(sums, maps).items():
        cells = maps.parameters[keys[0][0]]
        same = links.get(id(sums.weights[keys[0]])) if len(keys) == 1 and cells.index is None else None
        if same is not None and maps.convolutions.get(keys[0][0]) is None and len(cells.shape) == 2:
            transposed = cells.transposed == _first(sums, keys[0])
            found.append(StoredWeight(names[name], cells.shape, links=same, transposed=transposed))
            continue
        whole = _added([in_parameter(sums, maps, key) for key in keys])
        values = whole.total, jackknife.stderr(whole)
        if whole.total.size > SINGLE:
            values = values[0].astype(np.float32), values[1].astype(np.float32)
        found.append(StoredWeight.of(names[name], *values))
        for key in keys:  # the sums of all large weights are most of the memory
            del sums.weights[key]
    return tuple(found)


def head_currents(sums: Sums, jackknife: Jackknife) -> tuple[HeadCurrents, ...]:
    """The currents of every attention of which a projection reads the heads side by side."""
    maps = sums.maps
    if maps is None:
        return ()
    found = []
    by_position = defaultdict(list)
    for key, part in sums.weights.items():
        by_position[key[0]].append(part)
    for position, heads in maps.heads.items():
        if position not in by_position:
            continue
        place = np.flatnonzero(heads >= 0)
        joined = np.zeros((heads.max() + 1, len(heads)))
        joined[heads[place], place] = 1
        whole = _added(by_position[position]).map(partial(_of_heads, joined))
        cells = maps.parameters.get(position)
        layer = f"operation {position}" if cells is None else cells.name.rpartition(".")[0] or cells.name
        found.append(HeadCurrents(layer, whole.total, jackknife.stderr(whole)))
    return tuple(found)


def _added(parts: Iterable[GroupedSum]) -> GroupedSum:
    return reduce(GroupedSum.plus, parts)


def _of_heads(joined: np.ndarray, links: np.ndarray) -> np.ndarray:
    """What flows out of each head."""
    of_heads: np.ndarray = joined @ links.sum(-1)
    return of_heads


def _first(sums: Sums, key: tuple[int, int]) -> bool:
    """Whether what moves is the first factor, so that a column of the weight is one of its currents."""
    assert sums.structure is not None
    return sums.structure.weighted[key[0]].first


def _all_names(module: nn.Module) -> dict[str, tuple[str, ...]]:
    """All names of each parameter, by the first."""
    names: dict[int, list[str]] = defaultdict(list)
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names[id(parameter)].append(name)
    return {of_one[0]: tuple(of_one) for of_one in names.values()}


def _keys_of_parameters(sums: Sums, maps: LinkMaps) -> dict[str, list[tuple[int, int]]]:
    keys: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for key in sorted(sums.weights):  # in the order in which they run
        if key[0] in maps.parameters:
            keys[maps.parameters[key[0]].name].append(key)
    return {name: of_one for name, of_one in keys.items() if all(_known(maps, key[0]) for key in of_one)}


def _known(maps: LinkMaps, position: int) -> bool:
    """Whether the numbers of a kernel stand as those of the parameter do."""
    index = maps.parameters[position].index
    if position not in maps.convolutions or index is None:
        return True
    return np.array_equal(index.ravel(), np.arange(index.size))


def in_parameter(sums: Sums, maps: LinkMaps, key: tuple[int, int]) -> GroupedSum:
    """Currents ``[..., source, target]`` of a weight as its parameter lies."""
    cells, first = maps.parameters[key[0]], _first(sums, key)
    if key[0] in maps.convolutions:
        return sums.weights[key].map(lambda links: _of_kernel(links, *maps.convolutions[key[0]]))
    as_weight = (
        sums.weights[key] if first else sums.weights[key].map(lambda links: np.swapaxes(links, -1, -2))
    )
    return as_weight.map(lambda links: _placed(links, cells))


def _placed(values: np.ndarray, cells: ParameterCells) -> np.ndarray:
    if cells.index is None:
        return values.T if cells.transposed else values
    index = cells.index.ravel() + 1
    count = int(np.prod(cells.shape))
    return np.bincount(index, values.ravel(), minlength=count + 1)[1:].reshape(cells.shape)


def _of_kernel(links: np.ndarray, transposed: bool, groups: int) -> np.ndarray:
    """Channel by channel, as the first two axes of a kernel."""
    blocks = links.reshape(groups, links.shape[0] // groups, groups, links.shape[1] // groups)
    blocks = np.stack([blocks[group, :, group] for group in range(groups)])  # [group, source, target]
    return (
        blocks.reshape(-1, blocks.shape[2])
        if transposed
        else np.swapaxes(blocks, 1, 2).reshape(-1, blocks.shape[1])
    )
