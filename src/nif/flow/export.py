"""A flow as a graph of igraph or networkx, and as an explanation of shap."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nif.core.errors import InputError, optional_import
from nif.core.types import CurrentTables, Layer
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


def to_shap(flow: Flow, *, by_class: bool = True) -> shap.Explanation | dict[str, shap.Explanation]:
    """The currents of the explained rows as an explanation of shap, in nats.

    Base values are the information v about a row's decision when nothing of the row is known: at its
    backgrounds. With its currents they add up to v at the row, minus the entropy of its decision. Of
    association, one explanation of all data for each class, with its standard error and 95 % interval.

    Args:
        flow: Of currents or association.
        by_class: Values ``[row, feature, class]``, where the flow has them: each class has its own term of v.
            False takes all classes together, ``[row, feature]``.

    Raises:
        InputError: shap is not installed, or the flow is of an earlier version.

    Example:
        >>> import nif, torch
        >>> _ = torch.manual_seed(0)
        >>> net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
        >>> x = torch.randn(20, 2)
        >>> flow = nif.measure(net, x, nif.Currents(backgrounds=20), explain=x[:5], progress=False)
        >>> one = to_shap(flow, by_class=False)
        >>> to_shap(flow).shape, one.shape
        ((5, 2, 2), (5, 2))
        >>> logs = net(x[:5]).log_softmax(1).detach().double().numpy()
        >>> bool(np.allclose(one.base_values + one.values.sum(1), (np.exp(logs) * logs).sum(1), atol=1e-5))
        True
    """
    with optional_import("to_shap", "compare"):
        import shap
    return _of_classes(flow, shap) if flow.currents is None else _of_rows(flow, flow.currents, by_class, shap)


def _of_rows(flow: Flow, tables: CurrentTables, by_class: bool, shap: Any) -> shap.Explanation:
    """Explained rows in their order: the information at their backgrounds, and the currents on top of it."""
    features, (base, values) = flow.local(), (tables.row_base, tables.row_attribution)
    if base is None:
        raise InputError("The flow holds no information of rows; measure the network again.")
    weights = features.attrs["weights"]
    if not np.allclose(weights, weights[0]):
        warnings.warn(
            f"The {len(weights)} explained rows were drawn with unequal chances, so plots of shap that "
            "average over rows differ from the flow; measure rows of your own with explain=.",
            stacklevel=4,
        )
    order = np.argsort(np.asarray(tables.rows), kind="stable")
    several = by_class and values is not None and base.shape[1] > 1
    return shap.Explanation(
        values[order].astype(np.float64)
        if several and values is not None
        else np.array(features, dtype=np.float64),
        base_values=base[order] if several else base[order].sum(1),
        data=None if tables.row_features is None else tables.row_features[order],
        feature_names=distinct([str(name) for name in features.columns]),
        output_names=distinct(list(tables.classes)) if several else None,
    )


def _of_classes(flow: Flow, shap: Any) -> dict[str, shap.Explanation]:
    """The attribution to each class, with its standard error and 95 % interval."""
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
