"""Units that tell the next layers least beyond what the units kept tell them."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nif.pruning.capture import calls, features, flat_weight, some_of, taps, weighted
from nif.pruning.elimination import Reader, elimination_order
from nif.pruning.labels import Unit
from nif.pruning.moments import Moments
from nif.pruning.readout import readout
from nif.pruning.subject import Subject
from nif.scoring import batches

RIDGE = 1e-3
"""Ridge of the covariance, as a share of the mean variance."""

ROWS = 20_000


def redundancy(subject: Subject, units: Unit, seed: int) -> Float[np.ndarray, " unit"]:
    """Place in a greedy elimination of all units, from the least costly on.

    The cost of a unit is the change of the network's outputs that is left when all units kept make up for it
    by least squares, in every layer that reads it: see `nif.pruning.elimination.Reader`.

    References:
        Optimal Brain Surgeon (Hassibi & Stork, 1992), here for units and their covariance.
    """
    scales = readout(subject)
    read = {
        name: subject.wiring.labels.of(reads)
        for name, reads in subject.wiring.reads.items()
        if np.isin(subject.wiring.labels.of(reads), units).any() and name in scales
    }
    covariances = _covariances(subject, list(read))
    readers = [_reader(subject, name, covariances[name], scales[name], read[name]) for name in read]
    order, _ = elimination_order(readers, units)
    rank = np.empty(len(units))
    sorter = np.argsort(units)
    rank[sorter[np.searchsorted(units[sorter], order)]] = np.arange(len(units))
    return rank


def _reader(subject: Subject, name: str, covariance: Tensor, scale: Tensor, labels: Unit) -> Reader:
    module = weighted(subject.model, name)
    ridge = RIDGE * covariance.diagonal().mean() + torch.finfo(torch.float64).tiny
    inverse = torch.linalg.inv(covariance + ridge * torch.eye(len(covariance), dtype=torch.float64))
    values, vectors = torch.linalg.eigh(scale.cpu())
    root = values.clamp_min(0).sqrt()[:, None] * vectors.T
    weight = root @ flat_weight(module).detach().double().cpu()
    return Reader(inverse, weight, np.repeat(labels, taps(module)))


@torch.no_grad()
def _covariances(subject: Subject, names: list[str]) -> dict[str, Float[Tensor, "feature feature"]]:
    """Of the features of each layer, over samples and positions."""
    moments = {name: Moments() for name in names}
    inputs, drawn = some_of(subject.model, subject.inputs), torch.Generator().manual_seed(0)
    nothing = torch.zeros(0, dtype=torch.float64)
    with calls(subject.model, names) as noted:
        for piece in batches(subject.model, inputs, size=256):
            subject.model(piece)
            for name, seen in noted.items():
                module = weighted(subject.model, name)
                for given, _ in seen:
                    channels = torch.arange(len(subject.wiring.reads[name]))
                    rows = features(module, given, channels)
                    chosen = torch.randperm(len(rows), generator=drawn)[
                        : math.ceil(ROWS * len(piece) / len(inputs))
                    ]
                    x = rows[chosen].double().cpu()
                    moments[name].add(x, nothing.expand(len(x), 0))
                seen.clear()
    return {name: found.covariance() for name, found in moments.items()}
