"""One graph whose nodes are the samples: a model of nodes as a model of rows that each are a graph.

The graph is one row, ``[1, node, feature]``, and its nodes are positions. Several rows are run as one graph
of parts that no edge joins, as torch_geometric batches graphs, so activations have the nodes of the rows one
after the other.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from nif.core.errors import InputError
from nif.core.types import FEWEST_SAMPLES

EDGES = "edge_index"
"""The parameter by which models of graphs take the two ends of every edge."""


def one_graph(model: Any, data: Any) -> tuple[nn.Module, Float[Tensor, "1 node feature"]] | None:
    """The model of rows and the one row that a graph is; None if the data are no graph for such a model.

    Args:
        model: Takes the nodes and ``edge_index``, and what else each edge has.
        data: ``(x, edge_index, ...)``, a mapping of them, or an object that has them, as of torch_geometric.

    Raises:
        InputError: The edges are not ``[2, edge]``, or the nodes are too few.
    """
    if not isinstance(model, nn.Module) or isinstance(data, nn.Module):
        return None
    names = [*inspect.signature(model.forward).parameters]
    if EDGES not in names[1:]:
        return None
    given = _by_parameter(names, data)
    if given.get(EDGES) is None or given.get(names[0]) is None:
        return None
    parts = {name: torch.as_tensor(value) for name, value in given.items() if value is not None}
    x, edges = parts.pop(names[0]), parts[EDGES]
    if edges.ndim != 2 or len(edges) != 2 or x.ndim != 2:
        raise InputError(
            f"The data are a graph with nodes of shape {list(x.shape)} and edges of shape "
            f"{list(edges.shape)}; expected [node, feature] and [2, edge]."
        )
    if len(x) < FEWEST_SAMPLES:
        raise InputError(
            f"The data are a graph of {len(x)} nodes; mutual information needs at least {FEWEST_SAMPLES} of "
            "them. Pass a larger graph."
        )
    return _of_rows(model, names[0], parts), x[None]


def _by_parameter(names: list[str], data: Any) -> dict[str, Any]:
    """The parts of the data by the parameter that they are for."""
    if isinstance(data, Mapping):
        return {name: data[name] for name in names if name in data}
    if isinstance(data, (tuple, list)):
        tensors = all(isinstance(part, (Tensor, np.ndarray)) or part is None for part in data)
        return dict(zip(names, data, strict=False)) if tensors and len(data) > 1 else {}
    return {name: getattr(data, name, None) for name in names} if hasattr(data, EDGES) else {}


def _of_rows(model: nn.Module, nodes: str, of_edges: dict[str, Tensor]) -> nn.Module:
    """The same modules, called with rows of nodes."""

    def forward(x: Tensor) -> Tensor:
        count, size = x.shape[:2]
        parts = {name: _repeated(name, values.to(x.device), count) for name, values in of_edges.items()}
        first = size * torch.arange(count, device=x.device).repeat_interleave(of_edges[EDGES].shape[1])
        parts[EDGES] += first
        returned = type(model).forward(called, **{nodes: x.flatten(0, 1)}, **parts)
        output = returned[0] if isinstance(returned, tuple) else returned
        if len(output) != count * size:
            raise InputError(
                f"The model returns {len(output) // count} rows for a graph of {size} nodes; expected one "
                "for each node. Of whole graphs, pass [graph, node, feature] to a model that holds the edges."
            )
        return output.unflatten(0, (count, size))

    called = copy.copy(model)  # hooks and the mode of training are those of the copy, modules are shared
    called.forward = forward
    return called


def _repeated(name: str, values: Tensor, count: int) -> Tensor:
    """What the edges have, one after another for each row."""
    if name == EDGES:
        return values.repeat(1, count)
    return values.repeat(count, *[1] * (values.ndim - 1))
