"""A flow as a graph of igraph or networkx, and as an explanation of shap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from scipy.stats import norm

from nif.core.errors import InputError
from nif.core.types import Layer
from nif.flow.communities import Graph
from nif.flow.unit_names import distinct

if TYPE_CHECKING:
    import igraph
    import networkx
    import shap


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


LEVEL = 0.95
"""Of the intervals that an explanation carries."""


def to_shap(attribution: pd.DataFrame, stderr: pd.DataFrame) -> dict[str, shap.Explanation]:
    """One explanation for each class, with its standard error and 95 % interval.

    Args:
        attribution: Features x classes.
        stderr: Its standard errors.

    Raises:
        InputError: shap is not installed.
    """
    try:
        import shap
    except ImportError as error:
        raise InputError(
            "to_shap needs shap; install it with pip install 'neural-information-flow[compare]'."
        ) from error
    half = norm.ppf(0.5 + LEVEL / 2) * stderr.to_numpy()
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
