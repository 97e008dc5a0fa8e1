"""One graph whose nodes are the samples: a model of nodes as a model of rows that each are a graph.

The graph is one row, ``[1, node, feature]``, and its nodes are positions. Several rows are run as one graph
of parts that no edge joins, as torch_geometric batches graphs, so activations have the nodes of the rows one
after the other.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from types import MethodType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from nif.core.errors import InputError
from nif.core.types import FEWEST_SAMPLES
from nif.data.signature import is_label
from nif.network.preserve import preserved

EDGES = "edge_index"
"""The parameter by which models of graphs take the two ends of every edge."""

ORIGINAL = "_of_one_graph"
"""Attribute of a forward of rows: the forward of one graph that it was made from."""


def one_graph(model: Any, data: Any) -> tuple[nn.Module, Float[Tensor, "1 node feature"]] | None:
    """The model of rows and the one row that a graph is; None if the data are no graph for such a model.

    Args:
        model: Takes the nodes and ``edge_index``, and what else each edge has; or the nodes and an adjacency
            matrix, also a sparse one, by any name.
        data: ``(x, edge_index, ...)``, ``(x, adjacency)``, a mapping of them, or an object that has them, as
            of torch_geometric.

    Raises:
        InputError: The edges are not ``[2, edge]``.
    """
    if not isinstance(model, nn.Module) or isinstance(data, nn.Module):
        return None
    names = _parameters(model)
    joined = EDGES if EDGES in names[1:] else adjacency(model, data)
    given = {name: value for name, value in _by_parameter(names, data).items() if value is not None}
    if joined is None or not {names[0], joined} <= {*given}:
        return None
    parts = {name: torch.as_tensor(value) for name, value in given.items()}
    x, edges = parts.pop(names[0]), parts[joined]
    if joined == EDGES and (edges.ndim != 2 or len(edges) != 2 or x.ndim != 2):
        raise InputError(
            f"The data are a graph with nodes of shape {list(x.shape)} and edges of shape "
            f"{list(edges.shape)}; expected [node, feature] and [2, edge]."
        )
    return _of_rows(model, names[0], parts, joined), x[None]


def check_nodes(nodes: Float[Tensor, "1 node feature"]) -> None:
    """Refuse a graph of few nodes, where they are samples."""
    if nodes.shape[1] < FEWEST_SAMPLES:
        raise InputError(
            f"The data are a graph of {nodes.shape[1]} nodes; mutual information needs at least "
            f"{FEWEST_SAMPLES} of them. Pass a larger graph."
        )


def is_graph(model: nn.Module) -> bool:
    """Whether `one_graph` has made it; others have a forward of their own on the instance, too."""
    return hasattr(vars(model).get("forward"), ORIGINAL)


def without_graph(model: nn.Module) -> None:
    """Let a model of rows, or a copy of it, be called as the model that it was made from."""
    if is_graph(model):
        original = getattr(model.forward, ORIGINAL)
        del model.forward
        if original is not type(model).forward:
            model.forward = MethodType(original, model)


def labels_of_nodes(data: Any) -> Any:
    """The labels that come with a graph in a mapping or an object; None if there are none."""
    given = data if isinstance(data, Mapping) else getattr(data, "__dict__", {})
    found = [given[name] for name in given if is_label(name)]
    return found[0] if found else getattr(data, "y", None)


def adjacency(model: Any, data: Any) -> str | None:
    """The parameter of the adjacency matrix of one graph, whose nodes are the rows of the first input.

    It has as many rows and columns as there are nodes; and the model runs on some of the nodes with both the
    rows and the columns of these, and not with the rows alone, as it would if rows were samples.
    """
    if not isinstance(model, nn.Module):
        return None
    names = _parameters(model)
    parts = [(name, value) for name, value in _by_parameter(names, data).items() if value is not None]
    if len(parts) != 2 or EDGES in names or not all(map(_is_table, dict(parts).values())):
        return None
    (_, nodes), (name, matrix) = ((name, torch.as_tensor(value)) for name, value in parts)
    if tuple(matrix.shape) != (len(nodes), len(nodes)) or len(nodes) < 2:
        return None
    some = torch.arange(len(nodes) // 2)
    rows = matrix.index_select(0, some.to(matrix.device))
    alone, both = (_runs(model, nodes[some], each) for each in (rows, rows.index_select(1, some)))
    return name if both and not alone else None


def _parameters(model: nn.Module) -> list[str]:
    """Of its forward; none of TorchScript, whose signature is not to be had."""
    try:
        return [*inspect.signature(model.forward).parameters]
    except (ValueError, TypeError):
        return []


def _is_table(value: Any) -> bool:
    """Whether it is a matrix of numbers."""
    numbers = isinstance(value, Tensor) or (isinstance(value, np.ndarray) and value.dtype.kind in "fiub")
    return numbers and value.ndim == 2


def _runs(model: nn.Module, *inputs: Tensor) -> bool:
    """Whether the model takes these inputs."""
    first = next(model.parameters(), torch.zeros(()))
    moved = [values.to(first.device, first.dtype) for values in inputs]
    try:
        with preserved(model):
            model(*moved)
    except (RuntimeError, ValueError, IndexError, TypeError):
        return False
    return True


def _by_parameter(names: list[str], data: Any) -> dict[str, Any]:
    """The parts of the data by the parameter that they are for."""
    if isinstance(data, Mapping):
        return {name: data[name] for name in names if name in data}
    if isinstance(data, (tuple, list)):
        tensors = all(isinstance(part, (Tensor, np.ndarray)) or part is None for part in data)
        return dict(zip(names, data, strict=False)) if tensors and len(data) > 1 else {}
    return {name: getattr(data, name, None) for name in names} if hasattr(data, EDGES) else {}


def _of_rows(model: nn.Module, nodes: str, of_edges: dict[str, Tensor], joined: str) -> nn.Module:
    """The same modules, called with rows of nodes."""
    original = getattr(vars(model).get("forward"), "__func__", type(model).forward)

    def forward(self: nn.Module, x: Tensor) -> Tensor:
        count, size = x.shape[:2]
        parts = {  # what each edge has, one after another for each row
            name: values.to(x.device).repeat(count, *[1] * (values.ndim - 1))
            for name, values in of_edges.items()
            if name != joined
        }
        edges = of_edges[joined].to(x.device)
        if joined == EDGES:
            first = size * torch.arange(count, device=x.device).repeat_interleave(edges.shape[1])
            parts[joined] = edges.repeat(1, count) + first
        else:
            parts[joined] = _beside(edges.to(x.dtype), count)
        returned = original(self, **{nodes: x.flatten(0, 1)}, **parts)
        output = returned[0] if isinstance(returned, tuple) else returned
        if len(output) != count * size:
            raise InputError(
                f"The model returns {len(output) // count} rows for a graph of {size} nodes; expected one "
                "for each node. Of whole graphs, pass [graph, node, feature] to a model that holds the edges."
            )
        return output.unflatten(0, (count, size))

    setattr(forward, ORIGINAL, original)
    called = copy.copy(model)  # hooks and the mode of training are those of the copy, modules are shared
    called.forward = MethodType(forward, called)  # of a copy, if it is copied
    return called


def _beside(matrix: Float[Tensor, "node node"], count: int) -> Float[Tensor, "every every"]:
    """A block-diagonal matrix that joins the nodes of each row and none of two rows; sparse if it was."""
    if matrix.layout == torch.strided:
        return torch.block_diag(*[matrix] * count)
    entries = matrix.to_sparse_coo().coalesce()
    indices, values = entries.indices(), entries.values()
    first = len(matrix) * torch.arange(count, device=indices.device).repeat_interleave(len(values))
    indices, every = indices.repeat(1, count) + first, (len(matrix) * count,) * 2
    return torch.sparse_coo_tensor(indices, values.repeat(count), every, check_invariants=True)
