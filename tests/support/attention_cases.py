"""Flows of networks with attention, measured once, and their prunings."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

import nif
from nif.flow.flow import Flow
from nif.pruning.result import Pruned
from support.sequence_models import data_of, model_of

CHEAP = nif.GaussianCopula()
"""What is removed of attention does not depend on the flow."""


def measured(model: nn.Module, data: Any) -> Flow:
    """A flow whose layers are right, and whose numbers are rough."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nif.measure(model, data, CHEAP, progress=False)


@cache
def flow_of_model(name: str) -> Flow:
    """Of a network of `support.sequence_models`."""
    return measured(model_of(name), data_of(name))


def without(model: nn.Module, data: Any, flow: str | Flow, **options: Any) -> Pruned:
    """A network that lost heads or dimensions, and no units unless `remove` says so."""
    options = {"remove": None, "tolerance": None, **options}
    found = flow_of_model(flow) if isinstance(flow, str) else flow
    return nif.prune(model, found, data, progress=False, **options)


def in_double(name: str) -> tuple[nn.Module, dict[str, Tensor]]:
    """A network of `support.sequence_models` and its rows in double precision."""
    rows = data_of(name)
    data = {key: value.double() if value.is_floating_point() else value for key, value in rows.items()}
    return model_of(name).double(), data


def answers(model: nn.Module, data: Any) -> Tensor:
    """The first output of a network."""
    with torch.no_grad():
        returned = model(**data) if isinstance(data, dict) else model(data)
    return returned if isinstance(returned, Tensor) else returned[0]
