"""What might bring links ahead of EAP-IG by divergence.

All variants are integrals along the same ways, from the same random backgrounds to the same rows, and differ
in one choice each:

- the backgrounds are mixed *inside* the logarithm, as in currents, or the logarithms are averaged *outside*
  it, as in EAP-IG, or *between* the two (the logarithm of the mean square root, doubled);
- the move of a source is that of the *path*, step by step, or its *whole* change times the mean slope, as in
  EAP-IG;
- one *pool* of backgrounds, or the mean size over four pools of a quarter each;
- *both*: the mean of the shares of all by inside and outside, along the path.

*Measured* is `nif.Currents` at its defaults, whose backgrounds are chosen by similarity; with *four pools* of
a quarter each, it is the mean size over four draws of them.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

import nif
from faithfulness_data import Trained
from faithfulness_decision import FIGURES, Ranked, figures, linears, sources
from faithfulness_links import SHARES, currents, currents_by, eap_ig, problem, with_links
from faithfulness_tables import differences
from nif.measures.currents.decisions import decided_by
from nif.measures.currents.information import Decided
from nif.network.decision import Decision
from nif.network.forward import Forward

HIDDEN, SEEDS = (1, 2, 4), 1

ROWS, BACKGROUNDS, STEPS, POOLS, NOISE = 256, 16, 16, 4, 0.2

BOTH = ("inside, path", "outside, path")


def mean_logarithm(likelihood: Tensor, power: float) -> Tensor:
    """The logarithm of the power mean over backgrounds, ``[row, background, outcome]``; power 0: of the
    geometric mean."""
    if power == 0:
        return likelihood.mean(1)
    return ((power * likelihood).logsumexp(1) - math.log(likelihood.shape[1])) / power


def links_by(
    network: Trained, decided: Decided, x: Tensor, z: Tensor, power: float
) -> tuple[list[Tensor], list[Tensor]]:
    """Sums over rows and backgrounds, by the moves of the path and by whole changes.

    Args:
        network: A network.
        decided: Its decision.
        x: Rows.
        z: Backgrounds, those of the first row first.
        power: Of the mean of likelihoods; 1 is inside, 0 outside the logarithm.
    """
    count, each, links = len(x), len(z) // len(x), problem(network)
    start, end = z, x.repeat_interleave(each, 0)
    with torch.no_grad():
        outcomes = decided.outcomes(network.net(x), torch.arange(count))
        ends = [sources(network.net, rows) for rows in (start, end)]
    weights = [module.weight.detach() for module in linears(network.net)]
    path, whole = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))
    before = ends[0]
    for step in range(STEPS):
        targets, outputs = links.targets(start + (step + 0.5) / STEPS * (end - start))
        likelihood = outcomes.log_likelihood(outputs.reshape(count, each, -1))
        v = (outcomes.weight * mean_logarithm(likelihood, power)).sum()
        slopes = torch.autograd.grad(v, list(targets.values()))
        with torch.no_grad():
            after = sources(network.net, start + (step + 1) / STEPS * (end - start))
        for place, (weight, slope) in enumerate(zip(weights, slopes, strict=True)):
            path[place] += weight * (slope.T @ (after[place] - before[place]))
            whole[place] += weight * (slope.T @ (ends[1][place] - ends[0][place])) / STEPS
        before = after
    return path, whole


def of_four_pools(network: Trained) -> Ranked:
    """Mean size of the currents by four draws of a quarter of the backgrounds."""
    method = nif.Currents(by_class=False, backgrounds=2 * BACKGROUNDS // POOLS)
    several = [
        currents_by(replace(network, seed=POOLS * network.seed + number), method) for number in range(POOLS)
    ]
    return [np.mean(each, axis=0) for each in zip(*several, strict=True)]


def variants(network: Trained) -> dict[str, Ranked]:
    """All variants, and the two that are known."""
    outputs = network.net(network.x).detach()
    decision = Decision.of(Forward(network.net), (network.x,))
    decided = decided_by(decision, outputs, None, NOISE, None)
    generator = torch.Generator().manual_seed(network.seed)
    x = network.x[torch.randperm(len(network.x), generator=generator)[:ROWS]]
    z = network.x[torch.randint(len(network.x), (len(x), BACKGROUNDS), generator=generator)]
    found: dict[str, Ranked] = {
        "measured": currents(network),
        "measured, four pools": of_four_pools(network),
        "EAP-IG": eap_ig(network),
    }
    for name, power in (("inside", 1.0), ("between", 0.5), ("outside", 0.0)):
        for change, links in zip(
            ("path", "whole"), links_by(network, decided, x, z.flatten(0, 1), power), strict=True
        ):
            found[f"{name}, {change}"] = _sizes(links)
    pools = z.chunk(POOLS, dim=1)
    several = [_sizes(links_by(network, decided, x, pool.flatten(0, 1), 1.0)[0]) for pool in pools]
    found["inside, path, four pools"] = [np.mean(each, axis=0) for each in zip(*several, strict=True)]
    inside, outside = ([each / _total(found[name]) for each in found[name]] for name in BOTH)
    found["both, path"] = [first + second for first, second in zip(inside, outside, strict=True)]
    return found


def _sizes(links: list[Tensor]) -> Ranked:
    return [each.abs().double().numpy() for each in links]


def _total(ranked: Ranked) -> float:
    return sum(float(each.sum()) for each in ranked)


def of_network(network: Trained) -> list[dict[str, object]]:
    """One row for each variant."""
    return [
        {**network.kind, "of": name, **figures(network, ranked, with_links, SHARES)}
        for name, ranked in variants(network).items()
    ]


def tables(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Means over networks, and paired differences to EAP-IG."""
    order = rows["of"].drop_duplicates()
    by_divergence = [name for name in FIGURES if name.endswith("divergence")]
    return {
        "means": rows.groupby("of")[list(FIGURES)].mean().loc[order].round(3),
        "EAP-IG, minus the others": differences(rows, by_divergence, "EAP-IG"),
    }
