"""Arrays of a flow as tables with names."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from nif.core.errors import InputError, unknown
from nif.core.statistics import benjamini_hochberg
from nif.core.types import CurrentTables, Layer, Links
from nif.flow import path_currents
from nif.flow import paths as flow_paths
from nif.flow.paths import Dag, Path, between
from nif.flow.strongest import with_largest
from nif.flow.unit_names import Named, Place, names_of, place_of


def edges(
    layers: Sequence[Layer],
    links: Sequence[Links],
    top: int | None = None,
    left_out: int = 0,
    absolute: bool = False,
) -> pd.DataFrame:
    """One row for each link, source by source; or those with the most nats, largest first.

    Args:
        layers: Of the links.
        links: Between the layers.
        top: The number of rows; all if None.
        left_out: Links that are missing here, and count as tests of a high p-value.
        absolute: Whether the largest are those without their sign.
    """
    p_values = np.concatenate([between.values("p_value") for between in links])
    q_values = benjamini_hochberg(p_values)
    if left_out:
        q_values = np.minimum(q_values * (1 + left_out / len(q_values)), 1.0)
    rows = np.arange(len(p_values)) if top is None else _largest(links, top, absolute)
    begin = np.cumsum([0, *(between.count for between in links[:-1])])
    pieces = np.split(rows, np.searchsorted(rows, begin[1:]))
    parts = [
        _edges_between(layers, between, piece - first)
        for between, piece, first in zip(links, pieces, begin, strict=True)
    ]
    parts = [part for part in parts if len(part)] or parts[:1]  # an empty one changes types
    table = pd.concat(parts, ignore_index=True).assign(q_value=q_values[rows])
    if top is None:
        return table
    key = np.abs if absolute else None
    return table.set_axis(rows).sort_values("nats", ascending=False, kind="stable", key=key)


def _largest(links: Sequence[Links], top: int, absolute: bool) -> Int[np.ndarray, " row"]:
    """Positions of the links with the most nats, in order."""
    nats = np.concatenate([between.values("nats") for between in links])
    nats = np.abs(nats) if absolute else nats
    rows = with_largest(nats, np.arange(len(nats)), top)
    return np.sort(rows[np.argsort(-nats[rows], kind="stable")[:top]])


def _edges_between(layers: Sequence[Layer], links: Links, places: Int[np.ndarray, " row"]) -> pd.DataFrame:
    """Some links between two layers, by their positions."""
    source, target = layers[links.source], layers[links.target]
    of_source, of_target = links.units(places)
    return pd.DataFrame(
        {
            "source_layer": source.name,
            "source_unit": np.array(source.units, dtype=object)[of_source],
            "target_layer": target.name,
            "target_unit": np.array(target.units, dtype=object)[of_target],
            **{name: links.values(name)[places] for name in ("nats", "stderr", "p_value")},
        }
    )


def by_feature(
    features: Sequence[int],
    layers: Sequence[Layer],
    values: Float[np.ndarray, "feature label"],
    classes: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Features x classes; with the shape of the image if the features are the pixels of one.

    The classes are the outputs, or those named.
    """
    table = pd.DataFrame(
        values,
        index=pd.Index([unit for layer in features for unit in layers[layer].units], name="feature"),
        columns=pd.Index(layers[-1].units if classes is None else classes, name="class"),
    )
    shapes = [layers[layer].shape for layer in features]
    if len(shapes) == 1 and shapes[0]:
        table.attrs["shape"] = shapes[0]
    return table


def strongest_paths(
    layers: Sequence[Layer],
    graph: Dag,
    source: Named | None,
    target: Named | None,
    k: int,
    currents: CurrentTables | None = None,
) -> pd.DataFrame:
    """The k strongest paths between two units, or between all features and outputs; see `nif.Flow.paths`."""
    begin = _places(layers, source, graph.features)
    end = _places(layers, target, [len(layers) - 1])
    if begin[-1][0] >= end[0][0]:
        earlier, later = layers[begin[0][0]].name, layers[end[0][0]].name
        raise InputError(
            f"The source is in layer {earlier!r} and the target in {later!r}; paths lead to a later layer. "
            "Exchange them?"
        )
    if currents is not None:
        return path_currents.strongest(layers, currents, graph, begin, end, k)
    found = flow_paths.strongest_paths(graph, begin, end, k)
    return paths(layers, found, between(graph, begin, end))


def _places(layers: Sequence[Layer], unit: Named | None, among: Sequence[int]) -> list[Place]:
    """A unit, or all units of some layers if None."""
    if unit is not None:
        return [place_of(layers, unit, among)]
    return [(layer, index) for layer in among for index in range(len(layers[layer]))]


def unit_index(layers: Sequence[Layer]) -> pd.MultiIndex:
    """(layer, unit) of all units in order."""
    names = [(layer.name, unit) for layer in layers for unit in layer.units]
    return pd.MultiIndex.from_tuples(names, names=["layer", "unit"])


def paths(layers: Sequence[Layer], strongest: Sequence[Path], whole: float) -> pd.DataFrame:
    """One row for each path, strongest first, with its share of the whole; products of nats are not shown."""
    products = np.array([path.product for path in strongest], dtype=np.float64)
    shares = products / whole if whole != 0 else np.zeros(len(products))
    rank = pd.RangeIndex(1, len(strongest) + 1, name="rank")
    path = pd.Series([names_of(layers, path.places) for path in strongest], index=rank, dtype=object)
    table = pd.DataFrame({"share": shares, "path": path}, index=rank)
    table.attrs["products"] = products.tolist()
    return table


def of_class(table: pd.DataFrame, class_name: object) -> pd.DataFrame:
    """The column of a class, by its name or number; the whole table if None.

    Raises:
        InputError: There is no such class.
    """
    if class_name is None:
        return table
    names = [str(name) for name in table.columns]
    if str(class_name) in names:
        return table.iloc[:, [names.index(str(class_name))]]
    if isinstance(class_name, Integral) and 0 <= int(class_name) < len(names):
        return table.iloc[:, [int(class_name)]]
    raise unknown("class", str(class_name), names)
