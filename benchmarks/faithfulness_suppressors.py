"""Features that say nothing of the label, and are used to remove the noise of those that do.

Four features hold the *signal*, weakly; four are a *mixture* of the signal and a disturbance; four
*suppressors* hold the disturbance alone, so that they are independent of the label, and the network takes
them away from the mixture; four hold *nothing*. By one view suppressors should get nothing, since they say
nothing; by another they should get much, since the network fails without them. Printed are the shares of the
mass on each group, and the *AUC* of the first view: the probability that a feature with signal is ahead of
one without. The row *permuted* is the second view: how much accuracy is lost if the group is permuted as a
whole, as shares of the sum.

References:
    Wilming, Budding, Müller & Haufe (2021), "Scrutinizing XAI using linear ground-truth data with suppressor
    variables", https://arxiv.org/abs/2111.07473
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

from faithfulness_attributions import OTHERS, of_currents
from faithfulness_data import ROWS, Arrays, DataSet, Trained, trained

GROUPS = {"signal": range(4), "mixture": range(4, 8), "suppressors": range(8, 12), "nothing": range(12, 16)}

METHODS = (
    "integrated gradients",
    "SHAP, orders",
    "GradientSHAP",
    "DeepLIFT",
    "SAGE",
    "permutation importance",
    "association",
)

HIDDEN, SEEDS = (1, 2), 3

PERMUTATIONS = 20


def disturbed(generator: np.random.Generator) -> Arrays:
    """Signal, mixture, suppressors, nothing."""
    label, disturbance = generator.choice([-1.0, 1.0], ROWS), generator.normal(size=ROWS)
    noise = generator.normal(size=(ROWS, 16))
    x = np.hstack(
        [
            0.4 * label[:, None] + noise[:, :4],
            0.4 * label[:, None] + disturbance[:, None] + 0.4 * noise[:, 4:8],
            disturbance[:, None] + 0.4 * noise[:, 8:12],
            noise[:, 12:],
        ]
    )
    return x, (label > 0).astype(np.int64)


def permuted(network: Trained) -> np.ndarray:
    """Accuracy that is lost when the features of a group are permuted together."""
    generator = torch.Generator().manual_seed(network.seed)
    before, found = network.score(network.test_x, network.test_y), []
    for group in GROUPS.values():
        lost = 0.0
        for _ in range(PERMUTATIONS):
            order = torch.randperm(len(network.test_x), generator=generator)
            x = network.test_x.clone()
            x[:, list(group)] = x[order][:, list(group)]
            lost += (before - network.score(x, network.test_y)) / PERMUTATIONS
        found.append(max(lost, 0.0))
    return np.array(found)


def of_network(network: Trained) -> list[dict[str, object]]:
    """One row for each attribution, and one for what is lost."""
    found = {**of_currents(network), **{name: OTHERS[name](network) for name in METHODS}}
    with_signal = np.arange(16) < 8
    rows: list[dict[str, object]] = []
    for name, values in found.items():
        sizes = np.abs(values)
        shares = {group: sizes[list(index)].sum() / sizes.sum() for group, index in GROUPS.items()}
        rows.append({"of": name, **shares, "AUC": roc_auc_score(with_signal, values)})
    lost = permuted(network)
    rows.append({"of": "permuted", **dict(zip(GROUPS, lost / lost.sum(), strict=True)), "AUC": np.nan})
    return rows


def tables(*, small: bool) -> dict[str, pd.DataFrame]:
    """Means over networks."""
    data = DataSet("disturbed", disturbed)
    asked = [(1, 0)] if small else [(hidden, seed) for hidden in HIDDEN for seed in range(SEEDS)]
    rows = pd.DataFrame([row for hidden, seed in asked for row in of_network(trained(data, hidden, seed))])
    means = rows.groupby("of", sort=False).mean()
    return {f"shares of the mass, means over {len(asked)} networks": means.round(3)}
