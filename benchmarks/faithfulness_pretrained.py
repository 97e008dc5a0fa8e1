"""Whether currents of pretrained networks agree with what happens when a patch is occluded.

A patch of each row is replaced by that of another row, or by the mean of all; the effect is the divergence of
the decision from that at the row. Printed is the rank correlation over patches with the sizes that a method
states: *of all rows*, with the mean effect; and *of a row*, as the mean over rows of the correlation within a
row.

The networks are those of `pretrained.py`; packages that are absent are skipped.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

import nif
from nif.core.random import isolated_library
from nif.data.groups import groups
from pretrained import Absent, Pretrained, faces, pitch

ROWS, BACKGROUNDS, PATH_STEPS = 32, 8, 16

SMALL_ROWS = 8

DRAWS = 6
"""Of other rows that a patch is taken from."""

STEPS = 24
"""Of integrated gradients, and draws of GradientSHAP."""

NETWORKS: dict[str, Callable[[int], Pretrained]] = {
    "MTCNN, second network": partial(faces, third=False),
    "MTCNN, third network": partial(faces, third=True),
    "CREPE, small": pitch,
}


def patches(each: Pretrained) -> np.ndarray:
    """Number of the patch of each input of a row."""
    index: np.ndarray = groups(each.patch, tuple(each.x.shape[1:])).index
    return index


@torch.no_grad()
def occluded(each: Pretrained, other: Tensor) -> np.ndarray:
    """Divergence of the decision with each patch replaced, ``[row, patch]``."""
    known = each.log_probabilities(each.net(each.x))
    index = torch.from_numpy(patches(each)).reshape(each.x.shape[1:])
    found = []
    for patch in range(int(index.max()) + 1):
        x = torch.where(index == patch, other, each.x)
        found.append((known.exp() * (known - each.log_probabilities(each.net(x)))).sum(-1))
    return torch.stack(found, dim=1).double().numpy()


def effects(each: Pretrained) -> dict[str, np.ndarray]:
    """By the values of other rows, and by the mean."""
    generator = torch.Generator().manual_seed(0)
    drawn = [occluded(each, each.x[torch.randperm(len(each.x), generator=generator)]) for _ in range(DRAWS)]
    return {
        "another row": np.mean(drawn, axis=0),
        "mean": occluded(each, each.x.mean(0).expand_as(each.x)),
    }


def currents(each: Pretrained) -> np.ndarray:
    """Currents of the rows, ``[row, patch]``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        method = nif.Currents(
            decision=each.decision,
            rows=len(each.x),
            backgrounds=BACKGROUNDS,
            steps=PATH_STEPS,
            by_class=False,
        )
        flow = nif.measure(each.net, each.x, method, input_groups=each.patch, progress=False)
    return flow.local().sort_index().to_numpy()


class Decided(nn.Module):
    """The probability of what the network decides, alone; gradients of others explain it."""

    def __init__(self, each: Pretrained) -> None:
        super().__init__()
        self.each = each

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities."""
        return self.each.log_probabilities(self.each.net(x)).exp()


def by_captum(each: Pretrained, name: str) -> np.ndarray:
    """Sums over each patch of an attribution of captum, ``[row, patch]``."""
    with isolated_library():
        from captum import attr

    net = Decided(each)
    target = net(each.x).argmax(1)
    more = {
        "IntegratedGradients": {
            "baselines": each.x.mean(0, keepdim=True),
            "n_steps": STEPS,
            "internal_batch_size": 256,
        },
        "GradientShap": {"baselines": each.x, "n_samples": STEPS},
        "InputXGradient": {},
    }[name]
    with isolated_library(), warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        found = getattr(attr, name)(net).attribute(each.x, target=target, **more)
    index = torch.from_numpy(patches(each))
    sums = torch.zeros(len(each.x), int(index.max()) + 1).index_add_(
        1, index, found.detach().flatten(1).float()
    )
    return sums.double().numpy()


def attributions(each: Pretrained) -> Iterator[tuple[str, np.ndarray]]:
    """Of rows and patches, by several methods."""
    yield "currents", currents(each)
    for name in ("IntegratedGradients", "GradientShap", "InputXGradient"):
        yield name, by_captum(each, name)
    yield "random", np.random.default_rng(0).random((len(each.x), int(patches(each).max()) + 1))


def agreement(found: np.ndarray, effect: np.ndarray) -> dict[str, float]:
    """Rank correlations of sizes with effects: of all rows by the mean of sizes, and within rows."""
    of_rows = [spearmanr(np.abs(values), felt).statistic for values, felt in zip(found, effect, strict=True)]
    return {
        "of all rows": float(spearmanr(np.abs(found).mean(0), effect.mean(0)).statistic),
        "of a row": float(np.nanmean(of_rows)),
    }


def tables(*, small: bool) -> dict[str, pd.DataFrame]:
    """One row for each network and method."""
    rows, found = SMALL_ROWS if small else ROWS, []
    for name, make in NETWORKS.items():
        try:
            each = make(rows)
        except Absent as absent:
            print(f"{name}: {absent} is not installed, skipped")
            continue
        felt = effects(each)
        for method, values in attributions(each):
            row: dict[str, object] = {"network": name, "right": round(each.right, 2), "of": method}
            for by, effect in felt.items():
                row |= {f"{by}, {what}": value for what, value in agreement(values, effect).items()}
            found.append(row)
    if not found:
        return {}
    table = pd.DataFrame(found).set_index(["network", "right", "of"]).round(3)
    return {"rank correlation with occlusion of a patch by": table}
