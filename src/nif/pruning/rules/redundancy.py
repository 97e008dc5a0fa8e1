"""Greedy backward elimination with least-squares compensation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nif.network.unit_groups import UnitIds
from nif.network.weights import taps, weighted
from nif.pruning.channels import with_taps
from nif.pruning.problem import PruningProblem
from nif.pruning.rules.rule import ranks, sum_over_layers
from nif.pruning.sensitivity import covariances, readout


@dataclass(eq=False)
class Reader:
    r"""One layer that reads units, as a linear map of its features.

    With features of covariance S, weights W and a scale M of the errors of its outputs, removing the
    features of a unit G and compensating for them by least squares costs

    .. math:: \operatorname{tr} M \, W_G \, [(S^{-1})_{GG}]^{-1} \, W_G^T

    where :math:`[(S^{-1})_{GG}]^{-1}` is their variance given the others. After the removal W and the inverse
    are those of the smaller problem.

    Attributes:
        inverse: Inverse covariance of the features, a ridge included.
        weight: Weights whose rows are scaled so that squared errors of the outputs count alike.
        unit: The unit of each feature; features of one unit stand together.
    """

    inverse: Float[Tensor, "feature feature"]
    weight: Float[Tensor, "output feature"]
    unit: Int64[np.ndarray, " feature"]

    def __post_init__(self) -> None:
        order = np.argsort(self.unit, kind="stable")
        self.units, starts, counts = np.unique(self.unit[order], return_index=True, return_counts=True)
        self.places = [torch.from_numpy(order[s : s + c]) for s, c in zip(starts, counts, strict=True)]

    def costs(self) -> Float[np.ndarray, " unit"]:
        """What the removal of each unit costs now; infinite for those already gone."""
        sizes = [len(place) for place in self.places]
        if not sizes:
            return np.zeros(0)
        if len(set(sizes)) == 1:
            return self._costs_together(torch.stack(self.places)).numpy()
        return np.array([float(self._costs_together(place[None])[0]) for place in self.places])

    def _costs_together(self, places: Int64[Tensor, "unit feature"]) -> Float[Tensor, " unit"]:
        own = self.inverse[places[:, :, None], places[:, None, :]]
        weights = self.weight[:, places].permute(1, 2, 0)  # unit, feature, output
        return (weights * torch.linalg.solve(own, weights)).sum((1, 2))

    def cost_of(self, units: UnitIds) -> float:
        """What the removal of several units together costs."""
        gone = [place for unit, place in zip(self.units, self.places, strict=True) if unit in units]
        return float(self._costs_together(torch.cat(gone)[None])[0]) if gone else 0.0

    def without(self, units: UnitIds) -> Reader:
        """The same layer after several units are removed together."""
        gone = np.isin(self.unit, units)
        stays, away = (torch.from_numpy(np.flatnonzero(flags)) for flags in (~gone, gone))
        across = self.inverse[stays][:, away]
        share = torch.linalg.solve(self.inverse[away][:, away], across.T)
        weight = self.weight[:, stays] - self.weight[:, away] @ share
        return Reader(self.inverse[stays][:, stays] - across @ share, weight, self.unit[~gone])

    def remove(self, unit: int) -> None:
        """Take a unit away: the others take over what they know of it."""
        at = int(np.searchsorted(self.units, unit))
        if at == len(self.units) or self.units[at] != unit:
            return
        gone = self.places.pop(at)
        self.units = np.delete(self.units, at)
        across = self.inverse[:, gone]
        share = torch.linalg.solve(self.inverse[gone][:, gone], across.T)
        self.weight = self.weight - self.weight[:, gone] @ share
        self.inverse = self.inverse - across @ share


def elimination_order(
    readers: list[Reader], units: Int64[np.ndarray, " unit"]
) -> tuple[Int64[np.ndarray, " unit"], Float[np.ndarray, " unit"]]:
    """The order in which units are removed, each the cheapest at that point, and what each cost.

    The cost of a unit is the sum over all layers that read it.

    Example:
        >>> twin = torch.tensor([[1.0, 0.99, 0.0], [0.99, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
        >>> layer = Reader(twin.inverse(), torch.ones(1, 3, dtype=torch.float64), np.arange(3))
        >>> elimination_order([layer], np.arange(3))[0].tolist()  # one of the twins, then the lone unit
        [0, 2, 1]
    """
    costs = [sum_over_layers(units, [(reader.units, reader.costs())]) for reader in readers]
    order, paid = [], []
    waiting = np.ones(len(units), dtype=bool)
    for _ in units:
        total = np.where(waiting, sum(costs), np.inf)
        cheapest = int(total.argmin())
        order.append(cheapest)
        paid.append(float(total[cheapest]))
        waiting[cheapest] = False
        for index, reader in enumerate(readers):
            if units[cheapest] in reader.units:
                reader.remove(int(units[cheapest]))
                costs[index] = sum_over_layers(units, [(reader.units, reader.costs())])
    return units[order], np.array(paid)


RIDGE = 1e-3
"""Ridge of the covariance, as a fraction of the mean variance."""


def redundancy(problem: PruningProblem, units: UnitIds, seed: int) -> Float[np.ndarray, " unit"]:
    """Place in a greedy elimination of all units, from the least costly on.

    The cost of a unit is the change of the network's outputs that remains when all kept units compensate for
    it by least squares, in every layer that reads it: see `Reader`. For ``compensate="linear"``.

    References:
        Optimal Brain Surgeon (Hassibi & Stork, 1992), here for units and their covariance.
    """
    order, _ = elimination_order(readers_of(problem, units), units)
    return ranks(units, order)


def readers_of(problem: PruningProblem, units: UnitIds) -> list[Reader]:
    """Every layer that reads some of these units and that the outputs depend on."""
    scales, labels = readout(problem), problem.weights.groups
    read = {name: labels.of(reads) for name, reads in problem.weights.columns.items()}
    names = [name for name in read if name in scales and np.isin(read[name], units).any()]
    readers, (found, products) = [], covariances(problem, names)
    for name, covariance in found.items():
        module = weighted(problem.model, name)
        ridge = RIDGE * covariance.diagonal().mean() + torch.finfo(torch.float64).tiny
        inverse = torch.linalg.inv(covariance + ridge * torch.eye(len(covariance), dtype=torch.float64))
        weight = torch.tensordot(_root(scales[name]), module.weight.detach().double().cpu(), 1)
        if name in products:
            readers.append(Reader(inverse, with_taps(weight.flatten(2), products[name]), read[name]))
        else:
            readers.append(Reader(inverse, weight.flatten(1), np.repeat(read[name], taps(module))))
    return readers


def _root(scale: Float[Tensor, "output output"]) -> Float[Tensor, "output output"]:
    """R with R^T R = scale."""
    values, vectors = torch.linalg.eigh(scale.cpu())
    return values.clamp_min(0).sqrt()[:, None] * vectors.T
