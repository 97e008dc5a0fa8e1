"""Whether attributions change with what the network has learned.

The layers of a trained network are initialised anew, one after another from the top; or the same network is
trained on shuffled labels. An attribution that stays the same is about data and architecture, not about the
network. Printed are rank correlations of absolute attributions with those of the trained network. *Guided
backpropagation* is a control: it is known to change little.

References:
    Adebayo et al. (2018), "Sanity checks for saliency maps", https://arxiv.org/abs/1810.03292
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch import nn

import nif
from faithfulness_attributions import by_association, deep_lift, measured, problem, sage
from faithfulness_data import Arrays, DataSet, Draw, Trained, trained
from faithfulness_decision import linears
from faithfulness_links import eap_ig
from nif.comparison.libraries import integrated_gradients
from nif.core.random import isolated_library

HIDDEN, SEEDS = (4,), 1

FEW = nif.Currents(rows=128, backgrounds=16, by_class=False)


def of_currents(network: Trained) -> dict[str, np.ndarray]:
    """Of features, and of links."""
    flow = measured(network, FEW)
    assert flow.currents is not None
    return {
        "currents": flow.currents.units[0].nats,
        "currents, absolute": flow.currents.units[0].absolute,
        "links: currents": np.concatenate([links.nats.ravel() for links in flow.links]),
    }


def guided(network: Trained) -> np.ndarray:
    """Mean size of ``captum.attr.GuidedBackprop``, over rows and outputs."""
    with isolated_library():
        from captum.attr import GuidedBackprop

    net = copy.deepcopy(network.net)
    with isolated_library(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outputs = net(network.x[:1]).shape[1]
        slopes = [GuidedBackprop(net).attribute(network.x, target=k) for k in range(outputs)]
    return torch.stack(slopes).abs().mean(dim=(0, 1)).detach().numpy()


OTHERS: dict[str, Callable[[Trained], np.ndarray]] = {
    "integrated gradients": lambda network: integrated_gradients(problem(network)),
    "DeepLIFT": deep_lift,
    "SAGE": sage,
    "association": by_association,
    "guided backpropagation": guided,
    "links: EAP-IG": lambda network: np.concatenate([each.T.ravel() for each in eap_ig(network)]),
}


def attributions(network: Trained) -> dict[str, np.ndarray]:
    """Sizes, by the name of the method."""
    found = {**of_currents(network), **{name: method(network) for name, method in OTHERS.items()}}
    return {name: np.abs(values) for name, values in found.items()}


def initialised_from_top(net: nn.Sequential, count: int, seed: int) -> nn.Sequential:
    """A copy whose last Linear modules have weights as before the training."""
    net = copy.deepcopy(net)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in linears(net)[len(linears(net)) - count :]:
            module.reset_parameters()
    return net


def with_shuffled_labels(data: DataSet) -> DataSet:
    """The same rows, each with the label of another."""

    def shuffled(draw: Draw) -> Draw:
        def drawn(generator: np.random.Generator) -> Arrays:
            x, y = draw(generator)
            return x, np.random.default_rng(0).permutation(y)

        return drawn

    return replace(data, draw=shuffled(data.draw))


def of_network(network: Trained) -> list[dict[str, object]]:
    """One row for each network that is compared with the trained one, and each attribution."""
    before, count = attributions(network), len(linears(network.net))
    others = {
        str(top): replace(network, net=initialised_from_top(network.net, top, 100 + network.seed))
        for top in range(1, count + 1)
    }
    others["labels"] = trained(with_shuffled_labels(network.data), network.hidden, network.seed)
    return [
        {**network.kind, "of": name, "changed": changed, "correlation": correlation(before[name], after)}
        for changed, other in others.items()
        for name, after in attributions(other).items()
    ]


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Of the ranks; 0 where all are the same."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(spearmanr(first, second).statistic)


def tables(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Mean correlation over networks, and its standard error."""
    order = rows["of"].drop_duplicates()
    by = rows.groupby(["of", "changed"])["correlation"]
    return {
        "mean rank correlation with the trained network, by the number of layers initialised anew from the "
        "top, and with one trained on shuffled labels": by.mean().unstack().loc[order].round(3),
        "standard errors over networks": by.sem().unstack().loc[order].round(3),
    }
