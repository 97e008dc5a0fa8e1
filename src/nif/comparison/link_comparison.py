"""compare_links(): how much of the decision the links carry that each method ranks first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from nif.comparison.link_problem import LinkProblem, Sources, link_problem
from nif.comparison.link_rankings import LINK_RANKINGS, Strengths
from nif.comparison.problem import check_association, check_replacement
from nif.core.arguments import checked_arguments
from nif.core.errors import InputError, memory_named
from nif.core.progress import progress as progress_bar
from nif.flow.flow import Flow

SHARES = (0.02, 0.05, 0.1, 0.2, 0.5)
"""Of all links, kept or deleted."""

OTHERS = 5
"""Draws of other rows, for ``replacement="row"``."""


class LinkComparison(pd.DataFrame):
    """One row for each ranking of the links, averaged over shares; `curves` holds every share.

    Attributes:
        curves: Columns method, share, and those of the table.
    """

    _metadata: ClassVar[list[str]] = ["curves"]
    curves: pd.DataFrame


@checked_arguments()
@torch.inference_mode(False)
@torch.enable_grad()
def compare_links(
    model: Any,
    flow: Flow,
    x: Any,
    *,
    currents: Flow | None = None,
    methods: Sequence[str] | None = None,
    output: int | str | None = None,
    replacement: str = "mean",
    shares: Sequence[float] = SHARES,
    seed: int = 0,
    progress: bool = True,
) -> LinkComparison:
    """Compare rankings of the links of a network: currents, EAP-IG, weight x deviation, association, chance.

    Links are the weights of the `torch.nn.Linear` modules. The strongest share q of all links of the network
    is *kept*, while all others carry their source's mean, or its value in another row; or it is *deleted*, so
    that it carries these and the others are intact. The table says which part of the decision is kept, or
    lost: of the part between no links, 0, and all links, 1. More is better for both.

    Args:
        model: The trained network the flow was measured on; it is not changed.
        flow: The result of `nif.measure` for it. Association is left out if it is a flow of currents.
        x: Features on the scale the model was trained on, of which the links are judged.
        currents: The flow of currents, if it has been measured; measured here if neither flow is one.
        methods: Rows to compute, names out of `nif.comparison.LINK_RANKINGS`; all if None.
        output: The measured output (name or index), of a model that returns several.
        replacement: What links carry that are not intact: ``"mean"``, the mean of their source, or ``"row"``,
            its value in another row, averaged over 5 draws.
        shares: Shares of the links, from 0 to 1.
        seed: Random seed.
        progress: Say what runs and how long it takes, from the third second on.

    Returns:
        A data frame by method. ``kept`` and ``lost`` count the rows that still have their most probable class
        (of values, the explained variance); ``kept_divergence`` and ``lost_divergence`` the mean divergence
        from the decision. All are averages over the shares; the frame's `curves` has a row for each.

    Raises:
        InputError: Data and flow do not fit, an unknown method, or no `torch.nn.Linear` that runs once.

    References:
        Keeping and deleting edges: Hanna et al. (2024), https://arxiv.org/abs/2403.17806. Averages over
        shares: Mueller et al. (2025), "MIB", https://arxiv.org/abs/2504.13151

    Example:
        >>> import nif, torch
        >>> _ = torch.manual_seed(0)
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> x = torch.randn(60, 4)
        >>> flow = nif.measure(net, x, progress=False)
        >>> table = nif.compare_links(net, flow, x)
        >>> list(table.columns)
        ['kept', 'kept_divergence', 'lost', 'lost_divergence']
        >>> bool((table.loc["currents"] > table.loc["random ranking"]).all())
        True
    """
    chosen = _chosen(methods, flow)
    check_replacement(replacement, "source")
    if len(shares) == 0 or not all(0 < share < 1 for share in shares):
        raise InputError(f"shares is {shares!r}; expected numbers between 0 and 1, such as (0.05, 0.2).")
    problem = link_problem(model, flow, x, currents=currents, output=output, seed=seed)
    curves, what = [], f"{len(chosen)} rankings of links"
    bar = progress_bar("comparing", total=float(len(chosen)), shown=progress, what=what)
    with memory_named("fewer rows or methods="), bar as advance:
        for method in chosen:
            curve = carried(problem, LINK_RANKINGS[method](problem), problem.x, replacement, shares)
            curves.append(curve.assign(method=method).set_index(["method", "share"]))
            advance(1)
    table = pd.concat(curves)
    result = LinkComparison(table.groupby(level="method", sort=False).mean())
    result.curves = table.reset_index()
    return result


def _chosen(methods: Sequence[str] | None, flow: Flow) -> list[str]:
    """The rows of the table in the order of the registry."""
    if methods is None:
        return [name for name in LINK_RANKINGS if flow.currents is None or name != "association"]
    unknown = sorted(set(methods) - set(LINK_RANKINGS))
    if unknown or not methods:
        wrong = f"Unknown ranking {unknown[0]!r}" if unknown else "methods is empty"
        raise InputError(f"{wrong}; expected one or more of {', '.join(LINK_RANKINGS)}.")
    check_association(methods, flow)
    return [name for name in LINK_RANKINGS if name in methods]


def carried(
    problem: LinkProblem,
    ranked: Strengths,
    x: Float[Tensor, "sample feature"],
    replacement: str,
    shares: Sequence[float],
) -> pd.DataFrame:
    """Which part of the decision the strongest links keep, and which is lost without them, at each share."""
    with torch.no_grad():
        outputs = problem.outputs(x)
    rows = []
    for others in _instead(problem, x, replacement):
        none = {
            name: torch.zeros_like(module.weight, dtype=torch.bool)
            for name, module in problem.linears.items()
        }
        nothing = problem.without(x, none, others)
        for share in shares:
            masks = strongest(ranked, share, problem.seed)
            deleted = {name: ~mask for name, mask in masks.items()}
            kept = decision_left(problem, outputs, problem.without(x, masks, others), nothing)
            left = decision_left(problem, outputs, problem.without(x, deleted, others), nothing)
            lost = [1 - part for part in left]
            rows.append((share, *kept, *lost))
    columns = ["share", "kept", "kept_divergence", "lost", "lost_divergence"]
    return pd.DataFrame(rows, columns=columns).groupby("share", as_index=False).mean()


def _instead(problem: LinkProblem, x: Tensor, replacement: str) -> list[Sources]:
    """What sources are replaced by: their means over the problem's rows, or their values in other rows."""
    if replacement == "mean":
        known = problem.sources(problem.x)
        return [{name: values.mean(0, keepdim=True) for name, values in known.items()}]
    generator, here = torch.Generator().manual_seed(problem.seed), problem.sources(x)
    orders = [torch.randperm(len(x), generator=generator) for _ in range(OTHERS)]
    return [{name: values[order] for name, values in here.items()} for order in orders]


def strongest(ranked: Strengths, share: float, seed: int) -> dict[str, Tensor]:
    """Masks of the strongest share of all links, at least one, ties in random order.

    Example:
        >>> strongest({"a": np.array([[3.0, 1.0], [2.0, 0.0]])}, 0.5, seed=0)["a"].tolist()
        [[True, False], [True, False]]
    """
    strength = np.concatenate([values.ravel() for values in ranked.values()])
    ties = np.random.default_rng(seed).random(len(strength))
    chosen = np.zeros(len(strength), bool)
    chosen[np.lexsort((ties, -strength))[: max(1, round(share * len(strength)))]] = True
    parts = np.split(chosen, np.cumsum([values.size for values in ranked.values()])[:-1])
    return {
        name: torch.from_numpy(part.reshape(values.shape))
        for (name, values), part in zip(ranked.items(), parts, strict=True)
    }


def decision_left(
    problem: LinkProblem, outputs: Tensor, others: Tensor, nothing: Tensor
) -> tuple[float, float]:
    """Share of the decision that other outputs still have, between that of no links, 0, and all, 1.

    By the outcome: rows that are still given their class, or for values what is explained of the output. By
    divergence: what is left of it, of that without links. Less than 0 by divergence counts as 0.
    """
    gone = float(problem.divergence(outputs, nothing).mean())
    left = 1 - float(problem.divergence(outputs, others).mean()) / gone if gone > 0 else 0.0
    left = max(left, 0.0)
    if problem.of_values:
        return left, left
    choices = problem.choices(outputs)
    same, chance = (float((problem.choices(some) == choices).double().mean()) for some in (others, nothing))
    return ((same - chance) / (1 - chance) if chance < 1 else 0.0), left
