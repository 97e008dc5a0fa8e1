"""Published prunings without retraining, from the formulas of their papers, for networks of layers in a row.

Each is a function of a network, its flow, rows and a fraction of the hidden units, and returns the smaller
network. All but folding read 10,000 rows without labels; none is trained afterwards.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from sklearn.cluster import KMeans
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.data import TensorDataset

import nif
from nif.network.unit_groups import UnitIds
from nif.network.weights import taps, weighted
from nif.pruning.problem import PruningProblem
from nif.pruning.rules import Rule
from nif.pruning.rules.redundancy import RIDGE, Reader, elimination_order
from nif.pruning.rules.swaps import exchanged
from nif.pruning.sensitivity import covariances

Weighted = (nn.Linear, nn.Conv1d, nn.Conv2d)


def flap(model: nn.Sequential, flow: nif.Flow, rows: TensorDataset, share: float) -> nn.Module:
    r"""FLAP: the fluctuation of a unit, weighted; standard scores in each layer; means go into biases.

    .. math:: \operatorname{Var}(x_i) \, \lVert W_{\cdot i} \rVert^2

    References:
        An et al. (2023), https://arxiv.org/abs/2312.11983
    """

    def rule(problem: PruningProblem, units: UnitIds, seed: int) -> Float[np.ndarray, " unit"]:
        total = np.zeros(len(units))
        for labels, reader in _readers(problem, units):
            variance = torch.linalg.inv(reader.inverse).diagonal()
            energy = (variance * reader.weight.square().sum(0)).numpy()
            values = np.array([energy[reader.unit == unit].sum() for unit in labels])
            total[np.searchsorted(np.sort(units), labels)] = (values - values.mean()) / values.std()
        return total[np.searchsorted(np.sort(units), units)]

    return _pruned(model, flow, rows, share, rule, "mean")


def corp(model: nn.Sequential, flow: nif.Flow, rows: TensorDataset, share: float) -> nn.Module:
    """CORP: the same fraction of every layer, by what units send; an affine function replaces them.

    A ridge regression folds them into the next weights, as ``compensate="linear"`` does. The part of the
    paper on logits of attention has no place in these networks; `nif.prune(key_dims=)` has one of its own.

    References:
        Zhang & Yang (2026), https://arxiv.org/abs/2602.05243
    """

    def rule(problem: PruningProblem, units: UnitIds, seed: int) -> Float[np.ndarray, " unit"]:
        found = {}
        for labels, reader in _readers(problem, units):
            energy = (torch.linalg.inv(reader.inverse).diagonal() * reader.weight.square().sum(0)).numpy()
            found.update({unit: energy[reader.unit == unit].sum() for unit in labels.tolist()})
        return np.array([found[unit] for unit in units.tolist()])

    return _pruned(model, flow, rows, _each(flow, share), rule, "linear")


def osscar(model: nn.Sequential, flow: nif.Flow, rows: TensorDataset, share: float) -> nn.Module:
    """OSSCAR: the same fraction of every layer, by local search on the least squares of what reads it.

    Greedy removals, then exchanges of a removed unit for a kept one; every layer by itself, all errors alike.

    References:
        Meng et al. (2024), https://arxiv.org/abs/2403.12983
    """

    def rule(problem: PruningProblem, units: UnitIds, seed: int) -> Float[np.ndarray, " unit"]:
        importance = dict.fromkeys(units.tolist(), 1.0)
        for labels, reader in _readers(problem, units):
            order, _ = elimination_order([copy.deepcopy(reader)], labels)
            gone = exchanged([reader], order[: round(share * len(labels))], labels)
            importance.update(dict.fromkeys(gone.tolist(), 0.0))
        return np.array([importance[unit] for unit in units.tolist()])

    return _pruned(model, flow, rows, _each(flow, share), rule, "linear")


@torch.no_grad()
def folding(model: nn.Sequential, flow: nif.Flow, rows: TensorDataset, share: float) -> nn.Module:
    """Folding: units of one layer whose weights are in one cluster become one; outgoing weights add up.

    The same fraction of every layer, by k-means of weights and biases; batch norms are folded into
    convolutions first. No data are read, and the paper's repair of variances, which uses some, is left out.

    References:
        Wang et al. (2025), Forget the data and fine-tuning! Just fold the network to compress,
        https://arxiv.org/abs/2502.10216
    """
    layers: list[Any] = []
    for module in copy.deepcopy(model):
        if isinstance(module, nn.BatchNorm2d):
            layers[-1] = fuse_conv_bn_eval(layers[-1], module)
        else:
            layers.append(module)
    held: list[Any] = [module for module in layers if isinstance(module, Weighted)]
    for first, second in itertools.pairwise(held):
        count = len(first.weight) - round(share * len(first.weight))
        table = torch.cat([first.weight.flatten(1), first.bias[:, None]], 1)
        cluster = torch.from_numpy(KMeans(count, n_init=3, random_state=0).fit(table.numpy()).labels_).long()
        belongs = torch.nn.functional.one_hot(cluster, count).float()
        mean = (belongs / belongs.sum(0)).T
        first.weight = nn.Parameter(torch.tensordot(mean, first.weight, 1))
        first.bias = nn.Parameter(mean @ first.bias)
        columns = second.weight.reshape(len(second.weight), len(belongs), -1)
        folded = torch.einsum("out,uc->oct", columns, belongs)
        second.weight = nn.Parameter(folded.reshape(len(folded), -1, *second.weight.shape[2:]))
    return nn.Sequential(*layers).eval()


PUBLISHED: dict[str, Callable[[nn.Sequential, nif.Flow, TensorDataset, float], nn.Module]] = {
    "OSSCAR": osscar,
    "FLAP": flap,
    "folding": folding,
    "CORP": corp,
}


def paired(rows: pd.DataFrame) -> pd.DataFrame:
    """Medians over seeds, and the median of what each loses beyond redundancy on the same network."""
    first = rows[rows["rule"] == "redundancy"].set_index(["share", "seed"])
    keys = pd.MultiIndex.from_frame(rows[["share", "seed"]])
    more = rows["loss"].to_numpy() - first.loc[keys, "loss"].to_numpy()
    ratio = rows["moved"].to_numpy() / first.loc[keys, "moved"].to_numpy()
    table = rows.assign(**{"lost beyond redundancy": more, "change of outputs, ratio": ratio})
    return table.drop(columns="seed").groupby(["share", "rule"], sort=False).median().round(4)


def _each(flow: nif.Flow, share: float) -> dict[str, float]:
    return {layer.name: share for layer in flow.layers[1:-1]}


def _pruned(
    model: nn.Sequential, flow: nif.Flow, rows: TensorDataset, remove: Any, rule: Rule, how: str
) -> nn.Module:
    options: dict[str, Any] = {"tolerance": None, "rule": rule, "compensate": how, "progress": False}
    return nif.prune(model, flow, rows, remove=remove, **options).model


def _readers(problem: PruningProblem, units: UnitIds) -> Iterator[tuple[UnitIds, Reader]]:
    """The units that each layer reads, and the layer as least squares sees it, all its outputs alike."""
    labels = problem.weights.groups
    names = [
        name for name, reads in problem.weights.columns.items() if np.isin(labels.of(reads), units).any()
    ]
    for name, covariance in covariances(problem, names)[0].items():
        module = weighted(problem.model, name)
        ridge = RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=torch.float64)
        read = np.repeat(labels.of(problem.weights.columns[name]), taps(module))
        weight = module.weight.detach().double().flatten(1)
        yield np.unique(read), Reader(torch.linalg.inv(covariance + ridge), weight, read)
