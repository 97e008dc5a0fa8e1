"""A flow as a graph of igraph or networkx, and as an explanation of shap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nif.core.errors import optional_import
from nif.core.types import Layer
from nif.flow.communities import Graph
from nif.flow.unit_names import distinct

if TYPE_CHECKING:
    import igraph
    import networkx
    import shap

    from nif.flow.flow import Flow


def to_igraph(flow: Flow) -> igraph.Graph:
    """Vertices in the order of the table of neurons, with its columns; edges with their nats."""
    graph = Graph.of(flow.graph.sizes, flow.links, strength=flow.by_unit.strength)
    exported = graph.to_igraph()
    exported.vs["layer"], exported.vs["unit"] = map(list, zip(*_places(flow.layers), strict=True))
    for name, values in flow.neurons().items():
        exported.vs[name] = values.tolist()
    exported.es["nats"] = graph.nats.tolist()
    return exported


def to_networkx(flow: Flow) -> networkx.DiGraph:
    """Nodes are ``(layer, unit)``, with the columns of the table of neurons; edges with nats and distance."""
    with optional_import("to_networkx", "networkx"):
        import networkx
    graph = Graph.of(flow.graph.sizes, flow.links, strength=flow.by_unit.strength)
    places = _places(flow.layers)
    exported = networkx.DiGraph()
    rows: list[dict[Any, Any]] = flow.neurons().to_dict("records")
    exported.add_nodes_from(zip(places, rows, strict=True))
    exported.add_edges_from(
        (places[source], places[target], {"nats": nats, "distance": 1 / abs(nats)})
        for (source, target), nats in zip(graph.ends.tolist(), graph.nats.tolist(), strict=True)
    )
    return exported


def _places(layers: Sequence[Layer]) -> list[tuple[str, str]]:
    return [(layer.name, unit) for layer in layers for unit in distinct(layer.units)]


LEVEL = 0.95
"""Level of the intervals of an explanation."""


def to_shap(flow: Flow) -> dict[str, shap.Explanation]:
    """One explanation for each class, with its standard error and 95 % interval; see `nif.Flow.to_shap`."""
    with optional_import("to_shap", "compare"):
        import shap
    attribution, stderr = flow.attribution(), flow.attribution_stderr()
    half = flow.by_unit.deviations(LEVEL) * stderr.to_numpy()
    values, names = attribution.to_numpy(), distinct([str(name) for name in attribution.index])
    return {
        label: shap.Explanation(
            values[:, place].copy(),
            base_values=0.0,
            feature_names=names,
            lower_bounds=values[:, place] - half[:, place],
            upper_bounds=values[:, place] + half[:, place],
            error_std=stderr.to_numpy()[:, place].copy(),
        )
        for place, label in enumerate(distinct([str(label) for label in attribution.columns]))
    }
