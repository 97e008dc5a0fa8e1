"""One graph as the data of a pruning: its nodes are positions of one row, and labels are those of nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from nif.core.errors import InputError
from nif.network.one_graph import check_nodes, labels_of_nodes, one_graph


def of_nodes(model: Any, data: Any, labels: Any, held_out: Any) -> tuple[Any, Any]:
    """Model and data, with labels, where the data are one graph; otherwise as they were given.

    Raises:
        InputError: The nodes are few, there are not as many labels, or there are further graphs.

    Example:
        >>> import torch
        >>> of_nodes(torch.nn.Linear(2, 1), torch.zeros(1, 2), torch.ones(1), None)[1]
        (tensor([[0., 0.]]), tensor([1.]))
    """
    graph = one_graph(model, data)
    if graph is None:
        return model, data if labels is None else (data, labels)
    called, nodes = graph
    check_nodes(nodes)
    if held_out is not None:
        raise InputError("held_out cannot be combined with one graph; omit it, and score the other graph.")
    labels = labels_of_nodes(data) if labels is None else labels
    if labels is None:
        return called, nodes
    known = np.asarray(labels)
    if known.shape[:1] != nodes.shape[1:2]:
        raise InputError(
            f"The labels are {len(known)} and the graph has {nodes.shape[1]} nodes; pass one each."
        )
    return called, (nodes, known[None])
