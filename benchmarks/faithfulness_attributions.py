"""Attributions of features of a trained network: currents, and what others have proposed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import nif
from faithfulness_data import Trained
from nif.comparison.libraries import integrated_gradients, shapley
from nif.comparison.problem import ComparisonProblem
from nif.core.random import isolated_library
from nif.measures.measure import Measure
from nif.network.decision import Decision
from nif.network.forward import Forward

PERMUTATIONS = 10

SAGE_BATCHES, SAGE_ROWS, SAGE_OTHERS = 16, 128, 16

ORDER_ROWS, ORDERS, ORDER_OTHERS = 100, 16, 16

DEEP_ROWS, DEEP_BACKGROUND = 150, 50

LIFTED_ROWS = 500


def problem(network: Trained, net: nn.Module | None = None) -> ComparisonProblem:
    """For the attributions that NIF compares itself with; labels are not read by those."""
    net = network.net if net is None else net
    decision = Decision.of(Forward(net), (network.x,))
    x = network.x.numpy()
    values: dict[str, Any] = {
        "model": net,
        "decision": decision,
        "flow": None,
        "currents": None,
        "published": None,
        "x": x,
        "replacement": np.broadcast_to(x.mean(0), x.shape),
        "y": np.zeros(len(x), np.int64),
        "estimator": nif.Binned(),
        "seed": network.seed,
    }
    return ComparisonProblem(**{each.name: values[each.name] for each in fields(ComparisonProblem)})


def measured(network: Trained, method: Measure) -> nif.Flow:
    """The flow, without a word."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nif.measure(network.net, network.x, method, seed=network.seed, progress=False)


def of_currents(network: Trained) -> dict[str, np.ndarray]:
    """Three attributions from one flow.

    The mean current; the mean absolute current of the rows; and half of their sum, which is the mean over
    rows of the positive part: what speaks for the decision, without what speaks against it.
    """
    flow = measured(network, nif.Currents(by_class=False))
    assert flow.currents is not None
    signed, absolute = flow.currents.units[0].nats, flow.currents.units[0].absolute
    return {
        "currents": signed,
        "currents, absolute": absolute,
        "currents, for": (signed + absolute) / 2,
    }


def by_association(network: Trained) -> np.ndarray:
    """Equation 4: products of links by association along paths."""
    flow = measured(network, nif.Association(nif.Binned()))
    return flow.attribution().to_numpy().sum(1)


def gradients_of_probabilities(network: Trained) -> np.ndarray:
    """Integrated gradients of the probabilities in place of the logits."""
    net = nn.Sequential(*network.net, nn.Softmax(1)) if network.classes else network.net
    return integrated_gradients(problem(network, net))


def deep_shap(network: Trained) -> np.ndarray:
    """Mean absolute value of ``shap.DeepExplainer``, over rows and outputs."""
    with isolated_library():
        import shap

    with isolated_library(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        explainer = shap.DeepExplainer(network.net, network.x[:DEEP_BACKGROUND])
        values = np.asarray(explainer.shap_values(network.x[-DEEP_ROWS:], check_additivity=False))
    return np.abs(values).reshape(-1, network.x.shape[1], values.shape[-1]).mean(axis=(0, 2))


def deep_lift(network: Trained) -> np.ndarray:
    """Mean absolute value of ``captum.attr.DeepLift`` from the mean row, over rows and outputs.

    References:
        Shrikumar, Greenside & Kundaje (2017), https://arxiv.org/abs/1704.02685
    """
    with isolated_library():
        from captum.attr import DeepLift

    x, mean = network.x[:LIFTED_ROWS], network.x.mean(0, keepdim=True)
    outputs = network.net(x[:1]).shape[1]
    with isolated_library(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lifted = [DeepLift(network.net).attribute(x, mean, target=k) for k in range(outputs)]
    return torch.stack(lifted).abs().mean(dim=(0, 1)).detach().numpy()


@torch.no_grad()
def shap_by_orders(network: Trained) -> np.ndarray:
    """Mean absolute Shapley value of the outputs, over rows and outputs, sampled by orders of the features.

    Each of them is followed forwards and backwards; features that are not known are those of other rows.

    References:
        Štrumbelj & Kononenko (2014), as ``shap.PermutationExplainer``
    """
    generator = torch.Generator().manual_seed(network.seed)
    count, features = network.x.shape
    x = network.x[torch.randperm(count, generator=generator)[:ORDER_ROWS]]
    found = torch.zeros(len(x), features, network.net(x[:1]).shape[1])
    for _ in range(ORDERS):
        order = torch.rand(len(x), features, generator=generator).argsort(1)
        z0 = network.x[torch.randint(count, (len(x), ORDER_OTHERS), generator=generator)]
        for way in (order, order.flip(1)):
            z, before = z0.clone(), network.net(z0).mean(1)
            for feature in way.T:
                _fill(z, x, feature)
                after = network.net(z).mean(1)
                found[torch.arange(len(x)), feature] += (after - before) / (2 * ORDERS)
                before = after
    return found.abs().mean(dim=(0, 2)).double().numpy()


def _fill(z: Tensor, x: Tensor, feature: Tensor) -> None:
    """Set one feature of each row, another for each, to its own value in all of its partial copies."""
    index = feature[:, None, None].expand(-1, z.shape[1], 1)
    z.scatter_(2, index, x.gather(1, feature[:, None])[:, :, None].expand(-1, z.shape[1], 1))


def losses(network: Trained, outputs: Tensor, y: Tensor) -> Tensor:
    """Loss of each row: minus the log-probability of its class, or the squared error."""
    if network.classes:
        return -outputs.clamp_min(1e-12).log().gather(1, y[:, None])[:, 0]
    return (outputs - y).square().mean(1)


def predicted(network: Trained, x: Tensor) -> Tensor:
    """Probabilities, or values."""
    outputs: Tensor = network.net(x)
    return outputs.softmax(-1) if network.classes else outputs


@torch.no_grad()
def sage(network: Trained) -> np.ndarray:
    """Mean fall of the loss as a feature becomes known, over rows and orders; others are those of other rows.

    References:
        Covert, Lundberg & Lee (2020), https://arxiv.org/abs/2004.00668
    """
    generator = torch.Generator().manual_seed(network.seed)
    count, features = network.x.shape
    found = torch.zeros(features, dtype=torch.float64)
    for _ in range(SAGE_BATCHES):
        rows = torch.randint(count, (SAGE_ROWS,), generator=generator)
        others = torch.randint(count, (SAGE_ROWS, SAGE_OTHERS), generator=generator)
        x, y, z = network.x[rows], network.y[rows], network.x[others].clone()
        order = torch.rand(SAGE_ROWS, features, generator=generator).argsort(1)
        before = losses(network, predicted(network, z).mean(1), y)
        for feature in order.T:
            _fill(z, x, feature)
            after = losses(network, predicted(network, z).mean(1), y)
            found.index_add_(0, feature, (before - after).double())
            before = after
    return (found / (SAGE_BATCHES * SAGE_ROWS)).numpy()


@torch.no_grad()
def permutation_importance(network: Trained) -> np.ndarray:
    """Rise of the mean loss when a feature is permuted, over several permutations."""
    generator = torch.Generator().manual_seed(network.seed)
    before = losses(network, predicted(network, network.x), network.y).mean()
    found = np.zeros(network.x.shape[1])
    for feature in range(len(found)):
        for _ in range(PERMUTATIONS):
            x = network.x.clone()
            x[:, feature] = x[torch.randperm(len(x), generator=generator), feature]
            after = losses(network, predicted(network, x), network.y).mean()
            found[feature] += float(after - before) / PERMUTATIONS
    return found


def at_random(network: Trained) -> np.ndarray:
    """Random numbers."""
    return np.random.default_rng(network.seed).random(network.x.shape[1])


OTHERS: dict[str, Callable[[Trained], np.ndarray]] = {
    "integrated gradients": lambda network: integrated_gradients(problem(network)),
    "the same of probabilities": gradients_of_probabilities,
    "SHAP, orders": shap_by_orders,
    "SHAP, deep": deep_shap,
    "GradientSHAP": lambda network: shapley(problem(network)),
    "DeepLIFT": deep_lift,
    "SAGE": sage,
    "permutation importance": permutation_importance,
    "association": by_association,
    "random": at_random,
}
"""By the name of the method, one number for each feature, larger for one that matters more."""


def attributions(network: Trained) -> dict[str, np.ndarray]:
    """Of all methods."""
    return {**of_currents(network), **{name: method(network) for name, method in OTHERS.items()}}
