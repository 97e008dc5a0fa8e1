"""Units whose variation moves the outputs of the network least, when nothing but their mean replaces them."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nif.pruning.labels import Unit
from nif.pruning.reading import Reading, readings
from nif.pruning.rules.rule import ranks
from nif.pruning.subject import Subject


def contribution(subject: Subject, units: Unit, seed: int) -> Float[np.ndarray, " unit"]:
    r"""Place in a greedy removal of all units, each the one after which the outputs have moved least.

    .. math:: \operatorname{cost}(R) = \sum_{i, j \in R} \Sigma_{ij} \, W_i^T M W_j

    with the covariance of the units, the weights that read them and the scale M of `nif.pruning.readout`,
    summed over the layers that read them. Meant for ``compensate="mean"``, which leaves just this error.
    """
    cost = sum((_between_units(reading, units) for reading in readings(subject, units)), _nothing(len(units)))
    added, waiting, order = cost.diagonal().clone(), np.ones(len(units), dtype=bool), []
    for _ in units:
        cheapest = int(np.where(waiting, added.numpy(), np.inf).argmin())
        waiting[cheapest] = False
        order.append(cheapest)
        added += 2 * cost[cheapest]
    return ranks(units, units[order])


def _between_units(reading: Reading, units: Unit) -> Float[Tensor, "unit unit"]:
    """Products of the errors that every two units leave, their features added up."""
    of_features = reading.covariance * (reading.weight.T @ reading.weight)
    belongs = torch.from_numpy((reading.unit[:, None] == units[None, :]).astype(np.float64))
    return belongs.T @ of_features @ belongs


def _nothing(count: int) -> Float[Tensor, "unit unit"]:
    return torch.zeros(count, count, dtype=torch.float64)
