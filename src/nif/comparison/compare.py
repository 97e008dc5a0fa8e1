"""compare(): all attributions of one network in one table."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from scipy.stats import kendalltau, rankdata, spearmanr

from nif.comparison.expected_time import expected_seconds
from nif.comparison.faithfulness import faithfulness
from nif.comparison.kolmogorov_smirnov import kolmogorov_smirnov
from nif.comparison.methods import (
    ASSOCIATION,
    ATTRIBUTIONS,
    FOR,
    OF_CURRENTS,
    PUBLISHED,
    REFERENCE,
    SAGE,
    flow_of_currents,
)
from nif.comparison.problem import ComparisonProblem, check_association, comparison_problem
from nif.core.arguments import checked_arguments, known_name
from nif.core.errors import memory_named
from nif.core.progress import progress as progress_bar
from nif.core.whole_table import WholeTable
from nif.estimators.estimate import Estimator
from nif.flow.flow import Flow
from nif.flow.unit_names import feature_names

MOST_FEATURES_IN_TABLE = 20

SHORT = {"IG": "integrated gradients", "MI": REFERENCE, "RANDOM": "random ranking"}
"""What methods are also called."""

MOST_FEATURES_FOR_SAGE = 64


class Comparison(WholeTable):
    """One row for each attribution; `attributions` holds the attribution of every feature.

    Attributes:
        attributions: Columns method, feature, attribution (scaled to sum 1 for each method).
    """

    _metadata: ClassVar[list[str]] = ["attributions"]
    attributions: pd.DataFrame


@checked_arguments(
    dict.fromkeys(("labels", "target"), "labels follow the rows: nif.compare(model, flow, x, y)."),
    "nif.compare(model, flow, x, y)",
)
@torch.inference_mode(False)
@torch.enable_grad()
def compare(
    model: Any,
    flow: Flow,
    x: Any,
    y: Any,
    *,
    currents: Flow | None = None,
    published: Flow | None = None,
    methods: Sequence[str] | str | None = None,
    estimator: Estimator | None = None,
    output: int | str | None = None,
    replacement: str = "mean",
    repeats: int = 100,
    seed: int = 0,
    progress: bool = True,
) -> Comparison:
    r"""Compare attributions of a network: currents, association, SHAP, integrated gradients, SAGE and chance.

    Every attribution is one number for each feature, scaled to sum 1. Three questions are asked about it:

    - Does it have the same distribution as the raw mutual information of feature and label? (``ks``,
      ``ks_p_asymptotic``, ``ks_p_exact``: the paper's comparison. A small p rejects "same distribution".
      It does not depend on which feature has which value.)
    - Does it rank features as raw mutual information does? (``spearman``, ``kendall``; NaN where all
      features are equal.)
    - Does it name the features the model uses? (``deletion``: area under accuracy, or R² of values, as
      features are replaced, the most important first, lower is better; ``insertion``: the same as they are
      restored, higher is better; ``deletion_spread`` and ``insertion_spread``: standard deviations over the
      repeats; ``deletion_rank`` and ``insertion_rank``: 1 is best.)

    Args:
        model: The trained network the flow was measured on; it is not changed.
        flow: The result of `nif.measure` for it. Association is left out if it is a flow of currents.
        x: Features on the scale the model was trained on; of a model with several inputs a tuple or mapping
            of them, as for `nif.measure`. At least 50 rows.
        y: Class indices, in the order of the model's outputs, or names of classes as the flow or the model
            has them; values, for a regressor. One output stands for class 1 where it is above one half, if
            the model ends in a sigmoid, or else above 0.
        currents: The flow of currents, beside one of association; measured here if neither flow is one.
        published: The flow as published in 2019; measured here if it is named in `methods` and not passed.
        methods: Rows to compute, names out of `ATTRIBUTIONS`; raw mutual information is always among them.
            None for all but ``"currents, for"``, what speaks for the decision alone, the flow as published
            unless it is passed, and SAGE above 64 features.
        estimator: For the information between feature and label; `Binned()` if None.
        output: The measured output (name or index), of a model that returns several.
        replacement: What features are replaced by in deletion and insertion: ``"mean"``, their mean, or
            ``"row"``, their values in another row.
        repeats: Bootstrap samples of the rows in deletion and insertion.
        seed: Random seed.
        progress: Say how many minutes are expected, where it is more than one, then which method runs, of
            how many, and the time spent, from the third second on.

    Returns:
        A data frame indexed by method. Up to 20 features each has a column of its own; the frame's
        `attributions` holds them for any number.

    Raises:
        InputError: Data and flow do not fit, an unknown method, or a library of ``nif[compare]`` is missing.

    References:
        Davis et al. (2019), https://arxiv.org/abs/1901.08557, table 1.

    Example:
        >>> import nif, torch
        >>> net = torch.nn.Linear(3, 2, bias=False)
        >>> net.weight.data = torch.tensor([[0.0, 0.0, 0.0], [4.0, 1.0, 0.0]])
        >>> x = torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
        >>> y = (4 * x[:, 0] + x[:, 1] > 0).long()
        >>> flow = nif.measure(net, x, progress=False)
        >>> table = nif.compare(net, flow, x, y, methods=["currents", "random ranking"])
        >>> table.loc["currents", ["x1", "x2", "x3"]].round(1).tolist()
        [0.9, 0.1, 0.0]
        >>> bool(table.loc["currents", "deletion"] < table.loc["random ranking", "deletion"])
        True
    """
    chosen = _chosen(methods, flow) if methods is not None else _affordable(flow, published)
    problem = comparison_problem(
        model,
        flow,
        x,
        y,
        currents=currents,
        published=published,
        estimator=estimator,
        output=output,
        replacement=replacement,
        seed=seed,
    )
    if doubt := problem.doubt():
        warnings.warn(doubt, stacklevel=5)
    attributions, rows = {}, {}
    with memory_named("fewer rows or methods="), progress_bar("comparing", None, shown=progress) as shown:
        shown.expect(expected_seconds(problem, chosen, repeats))
        if not OF_CURRENTS.isdisjoint(chosen) and problem.currents is None:
            shown.stage("measuring currents")
            problem = replace(problem, currents=flow_of_currents(problem))
        for number, method in enumerate(chosen, 1):
            shown.stage(f"{method}, attribution {number} of {len(chosen)}")
            attributions[method] = scaled(ATTRIBUTIONS[method](problem))
        for number, (method, attribution) in enumerate(attributions.items(), 1):
            shown.stage(f"{method}, deletion and insertion {number} of {len(chosen)}")
            rows[method] = _evaluation(problem, attribution, attributions[REFERENCE], repeats)
    return _table(attributions, rows, feature_names(flow.layers))


def scaled(attribution: Float[np.ndarray, " feature"]) -> Float[np.ndarray, " feature"]:
    """Divided by its sum; zeros stay zeros."""
    total = attribution.sum()
    return attribution / total if total > 0 else np.zeros_like(attribution)


def _chosen(methods: Sequence[str] | str, flow: Flow) -> list[str]:
    """The rows of the table in the order of the registry, the reference first."""
    given = [methods] if isinstance(methods, str) else methods
    methods = [known_name("methods", SHORT.get(str(name).upper(), name), ATTRIBUTIONS) for name in given]
    check_association(methods, flow)
    return [name for name in ATTRIBUTIONS if name in methods or name == REFERENCE]


def _affordable(flow: Flow, published: Flow | None) -> list[str]:
    """All rows, without those that are not passed and take too long, or that the flow has not."""
    left_out = {FOR}
    if published is None:  # a critic for every link takes minutes
        left_out.add(PUBLISHED)
    if len(feature_names(flow.layers)) > MOST_FEATURES_FOR_SAGE:
        left_out.add(SAGE)
    if flow.currents is not None:
        left_out.add(ASSOCIATION)
    return [name for name in ATTRIBUTIONS if name not in left_out]


def _evaluation(
    problem: ComparisonProblem,
    attribution: Float[np.ndarray, " feature"],
    reference: Float[np.ndarray, " feature"],
    repeats: int,
) -> dict[str, float]:
    test = kolmogorov_smirnov(attribution, reference)
    deletion, insertion = faithfulness(problem, attribution, repeats=repeats)
    return {
        "ks": test.statistic,
        "ks_p_asymptotic": test.asymptotic,
        "ks_p_exact": test.exact,
        "spearman": rank_correlation(spearmanr, attribution, reference),
        "kendall": rank_correlation(kendalltau, attribution, reference),
        "deletion": deletion.mean,
        "deletion_spread": deletion.spread,
        "insertion": insertion.mean,
        "insertion_spread": insertion.spread,
    }


def rank_correlation(
    correlation: Callable[..., Any],
    first: Float[np.ndarray, " feature"],
    second: Float[np.ndarray, " feature"],
) -> float:
    """The statistic of a scipy rank correlation; NaN, not a warning, where all values of a side are equal.

    Example:
        >>> rank_correlation(spearmanr, np.array([1.0, 1.0]), np.array([1.0, 2.0]))
        nan
    """
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(correlation(first, second).statistic)


def _table(
    attributions: dict[str, np.ndarray], evaluations: dict[str, dict[str, float]], features: Sequence[str]
) -> Comparison:
    wide = pd.DataFrame.from_dict(attributions, orient="index", columns=list(features))
    table = pd.DataFrame.from_dict(evaluations, orient="index")
    for test, sign in (("deletion", 1), ("insertion", -1)):
        table[f"{test}_rank"] = rankdata(sign * table[test], method="min").astype(int)
    if len(features) <= MOST_FEATURES_IN_TABLE:
        table = pd.concat([wide, table], axis=1)
    result = Comparison(table.rename_axis("method"))
    result.attributions = _long(attributions, features)
    return result


def _long(attributions: dict[str, np.ndarray], features: Sequence[str]) -> pd.DataFrame:
    frames = [
        pd.DataFrame({"method": method, "feature": list(features), "attribution": attribution})
        for method, attribution in attributions.items()
    ]
    return pd.concat(frames, ignore_index=True)
