"""Units that tell the next layers least beyond what the units kept tell them."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from nif.pruning.elimination import Reader, elimination_order
from nif.pruning.labels import Unit
from nif.pruning.reading import Reading, readings
from nif.pruning.rules.rule import ranks
from nif.pruning.subject import Subject

RIDGE = 1e-3
"""Ridge of the covariance, as a share of the mean variance."""


def redundancy(subject: Subject, units: Unit, seed: int) -> Float[np.ndarray, " unit"]:
    """Place in a greedy elimination of all units, from the least costly on.

    The cost of a unit is the change of the network's outputs that is left when all units kept make up for it
    by least squares, in every layer that reads it: see `nif.pruning.elimination.Reader`. Meant for
    ``compensate="linear"``.

    References:
        Optimal Brain Surgeon (Hassibi & Stork, 1992), here for units and their covariance.
    """
    order, _ = elimination_order([_reader(reading) for reading in readings(subject, units)], units)
    return ranks(units, order)


def _reader(reading: Reading) -> Reader:
    covariance = reading.covariance
    ridge = RIDGE * covariance.diagonal().mean() + torch.finfo(torch.float64).tiny
    inverse = torch.linalg.inv(covariance + ridge * torch.eye(len(covariance), dtype=torch.float64))
    return Reader(inverse, reading.weight, reading.unit)
