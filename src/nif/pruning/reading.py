"""What every layer makes of the units it reads, on the scale of the network's outputs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nif.pruning.capture import calls, features, flat_weight, some_of, taps, weighted
from nif.pruning.labels import Unit
from nif.pruning.moments import Moments
from nif.pruning.readout import readout
from nif.pruning.subject import Subject
from nif.scoring import batches

ROWS = 20_000
"""Rows, samples times positions, that a covariance rests on."""


@dataclass(frozen=True, eq=False)
class Reading:
    """One layer that reads units.

    Attributes:
        covariance: Of its features, over samples and positions.
        weight: Its weights, with rows mixed so that a squared error of them is one of the network's outputs.
        unit: The unit of each feature.
    """

    covariance: Float[Tensor, "feature feature"]
    weight: Float[Tensor, "output feature"]
    unit: Int64[np.ndarray, " feature"]


def readings(subject: Subject, units: Unit) -> list[Reading]:
    """Every layer that reads some of these units and that the outputs depend on."""
    scales, labels = readout(subject), subject.wiring.labels
    read = {name: labels.of(reads) for name, reads in subject.wiring.reads.items()}
    names = [name for name in read if name in scales and np.isin(read[name], units).any()]
    covariances = _covariances(subject, names)
    found = []
    for name in names:
        module = weighted(subject.model, name)
        weight = _root(scales[name]) @ flat_weight(module).detach().double().cpu()
        found.append(Reading(covariances[name], weight, np.repeat(read[name], taps(module))))
    return found


def _root(scale: Float[Tensor, "output output"]) -> Float[Tensor, "output output"]:
    """R with R^T R = scale."""
    values, vectors = torch.linalg.eigh(scale.cpu())
    return values.clamp_min(0).sqrt()[:, None] * vectors.T


@torch.no_grad()
def _covariances(subject: Subject, names: list[str]) -> dict[str, Float[Tensor, "feature feature"]]:
    moments = {name: Moments() for name in names}
    inputs, drawn = some_of(subject.model, subject.inputs), torch.Generator().manual_seed(0)
    with calls(subject.model, names) as noted:
        for piece in batches(subject.call, inputs, size=256):
            subject.call.returned(piece)
            most = math.ceil(ROWS * len(piece[0]) / len(inputs[0]))
            for name, seen in noted.items():
                channels = torch.arange(len(subject.wiring.reads[name]))
                for given, _ in seen:
                    rows = features(weighted(subject.model, name), given, channels)
                    x = rows[torch.randperm(len(rows), generator=drawn)[:most]].double().cpu()
                    moments[name].add(x, x[:, :0])
                seen.clear()
    return {name: found.covariance() for name, found in moments.items()}
