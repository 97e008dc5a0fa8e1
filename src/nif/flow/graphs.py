"""A flow as a graph of igraph or networkx."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from nif.contracts import InputError, Layer
from nif.flow.places import distinct
from nif.structure import Graph

if TYPE_CHECKING:
    import igraph
    import networkx


def to_igraph(layers: Sequence[Layer], neurons: pd.DataFrame, graph: Graph) -> igraph.Graph:
    """Vertices in the order of `neurons`, with its columns; edges with their nats."""
    found = graph.to_igraph()
    found.vs["layer"], found.vs["unit"] = map(list, zip(*_places(layers), strict=True))
    for name, values in neurons.items():
        found.vs[name] = values.tolist()
    found.es["nats"] = graph.nats.tolist()
    return found


def to_networkx(layers: Sequence[Layer], neurons: pd.DataFrame, graph: Graph) -> networkx.DiGraph:
    """Nodes are ``(layer, unit)``, with the columns of `neurons`; edges with nats and distance."""
    try:
        import networkx
    except ImportError as error:
        raise InputError(
            "to_networkx needs networkx; install it with pip install 'neural-information-flow[networkx]'."
        ) from error
    places = _places(layers)
    found = networkx.DiGraph()
    rows: list[dict[Any, Any]] = neurons.to_dict("records")
    found.add_nodes_from(zip(places, rows, strict=True))
    found.add_edges_from(
        (places[source], places[target], {"nats": nats, "distance": 1 / nats})
        for (source, target), nats in zip(graph.ends.tolist(), graph.nats.tolist(), strict=True)
    )
    return found


def _places(layers: Sequence[Layer]) -> list[tuple[str, str]]:
    return [(layer.name, unit) for layer in layers for unit in distinct(layer.units)]
