"""Attributions of features, and how fast the score falls or rises with the features that they name first."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.integrate import trapezoid
from torch import Tensor, nn

import nif
from faithfulness_data import Trained
from nif.comparison.faithfulness import ranking
from nif.comparison.libraries import integrated_gradients, shapley
from nif.comparison.problem import ComparisonProblem
from nif.core.random import isolated_library
from nif.measures.measure import Measure
from nif.network.decision import Decision
from nif.network.forward import Forward

OTHERS = 10
"""Draws of other rows, and of ties."""

SAGE_BATCHES, SAGE_ROWS, SAGE_OTHERS = 16, 128, 16

DEEP_ROWS, DEEP_BACKGROUND = 150, 50

AREAS = ("deletion, mean", "deletion, other", "insertion, mean", "insertion, other")


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
            known = x.gather(1, feature[:, None])[:, :, None].expand(-1, SAGE_OTHERS, 1)
            z.scatter_(2, feature[:, None, None].expand(-1, SAGE_OTHERS, 1), known)
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
        for _ in range(OTHERS):
            x = network.x.clone()
            x[:, feature] = x[torch.randperm(len(x), generator=generator), feature]
            found[feature] += (
                float(losses(network, predicted(network, x), network.y).mean() - before) / OTHERS
            )
    return found


def attributions(network: Trained) -> dict[str, np.ndarray]:
    """By the name of the method, one number for each feature, larger for one that matters more."""
    flow = measured(network, nif.Currents())
    assert flow.currents is not None
    association = measured(network, nif.Association(nif.Binned()))
    return {
        "currents": flow.attribution().to_numpy().sum(1),
        "currents, absolute": flow.currents.units[0].absolute,
        "integrated gradients": integrated_gradients(problem(network)),
        "the same of probabilities": gradients_of_probabilities(network),
        "SHAP, gradients": shapley(problem(network)),
        "SHAP, deep": deep_shap(network),
        "SAGE": sage(network),
        "permutation importance": permutation_importance(network),
        "association": association.attribution().to_numpy().sum(1),
        "random": np.random.default_rng(network.seed).random(network.x.shape[1]),
    }


def areas(network: Trained, attribution: np.ndarray) -> dict[str, float]:
    """Areas under the score over the share of features replaced, most important first or last.

    Features are replaced by their mean, or by those of another row, the same one for all features.
    """
    generator = np.random.default_rng(network.seed)
    x, count = network.test_x, len(network.test_x)
    mean = network.x.mean(0).expand_as(x)
    drawn: dict[str, list[float]] = {name: [] for name in AREAS}
    for _ in range(OTHERS):
        order = torch.from_numpy(ranking(attribution, generator))
        other = x[torch.from_numpy(generator.permutation(count))]
        for name, filled in (("mean", mean), ("other", other)):
            drawn[f"deletion, {name}"].append(_area(network, x, filled, order))
            drawn[f"insertion, {name}"].append(_area(network, filled, x, order))
    return {name: float(np.mean(values)) for name, values in drawn.items()}


def _area(network: Trained, start: Tensor, end: Tensor, order: Tensor) -> float:
    """Area under the score as features go from one table to another."""
    x, curve = start.clone(), [network.score(start, network.test_y)]
    for feature in order:
        x[:, feature] = end[:, feature]
        curve.append(network.score(x, network.test_y))
    return float(trapezoid(curve, dx=1 / len(order)))


def planted(network: Trained, attribution: np.ndarray) -> dict[str, float]:
    """Part of the strongest features that are informative, and of the mass that is on ignored ones."""
    data, found = network.data, np.abs(attribution)
    known = len(data.informative)
    first = np.argsort(-attribution, kind="stable")[:known]
    return {
        "precision": float(np.isin(first, data.informative).mean()) if known else float("nan"),
        "on ignored": float(found[list(data.ignored)].sum() / found.sum()) if data.ignored else float("nan"),
    }


def of_network(network: Trained) -> list[dict[str, object]]:
    """One row for each attribution of a network."""
    kind = {
        "data": network.data.name,
        "classes": network.classes,
        "hidden": network.hidden,
        "seed": network.seed,
    }
    return [
        {**kind, "attribution": name, **areas(network, found), **planted(network, found)}
        for name, found in attributions(network).items()
    ]


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over networks."""
    order = rows["attribution"].drop_duplicates()
    return rows.groupby("attribution")[[*AREAS, "precision", "on ignored"]].mean().loc[order]


def paired(rows: pd.DataFrame) -> pd.DataFrame:
    """Currents minus the others, over networks."""
    return differences(rows.rename(columns={"attribution": "of"}), AREAS)


def differences(rows: pd.DataFrame, figures: Sequence[str], method: str = "currents") -> pd.DataFrame:
    """One method minus each other, with standard errors over networks, and over means of data sets."""
    wide = rows.set_index(["data", "hidden", "seed", "of"])[list(figures)].unstack("of")
    found = []
    for other in rows["of"].drop_duplicates():
        if other == method:
            continue
        row: dict[str, object] = {"minus": other}
        for figure in figures:
            difference = wide[figure][method] - wide[figure][other]
            of_data = difference.groupby("data").mean()
            error = f"{_error(difference):.4f} ({_error(of_data):.4f})"
            row[figure] = f"{difference.mean():+.4f} ± {error}, {difference.median():+.4f}"
        found.append(row)
    return pd.DataFrame(found).set_index("minus")


def _error(values: pd.Series) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))
