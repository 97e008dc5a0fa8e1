"""Branches on a mask: whether they choose other layers, or only how the same ones are computed.

Models of transformers ask whether a mask leaves anything out, ``if mask.all()``, and do not apply one that
does not. Their layers are the same either way, so nothing that holds for one row fails for another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from nif.core.errors import InputError
from nif.network.forward import Forward
from nif.network.graph import Graph, graph_on

FILLS = (1, 1), (1, 0), (0, 0), (0, 1)
"""Masks that are tried: all numbers but one, and that one."""


def without_mask_branches(graph: Graph, call: Forward, inputs: Sequence[Tensor]) -> Graph:
    """The graph, whose path the data do not decide if masks alone did and lead to the same steps.

    Args:
        graph: Of a run on rows of data.
        call: Runs the model, in eval mode.
        inputs: Rows of data.
    """
    if graph.decided_in is None or not graph.decided_by_masks:
        return graph
    same = all(_is_same(graph, call, inputs, *fill) for fill in FILLS)
    return replace(graph, decided_in=None) if same else graph


def _is_same(graph: Graph, call: Forward, inputs: Sequence[Tensor], most: int, one: int) -> bool:
    """Whether masks of these numbers lead to the same modules and activations."""
    others = [
        _filled(values, most, one) if "mask" in name else values
        for name, values in zip(call.names, inputs, strict=True)
    ]
    try:
        other = graph_on(graph.steps[0].shape[0], call, others)
    except InputError:  # a model may refuse such a mask
        return True
    return (other.decided_in is None or other.decided_by_masks) and _named(other) == _named(graph)


def _filled(values: Tensor, most: int, one: int) -> Tensor:
    """A mask of one number, but for one place."""
    mask = torch.full_like(values, most)
    mask[0, ..., -1] = one
    return mask


def _named(graph: Graph) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(step.name, step.kind, step.shape[1:]) for step in graph.steps if step.name]
