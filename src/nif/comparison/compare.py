"""compare(): all attributions of one network in one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import kendalltau, rankdata, spearmanr

from nif.comparison.faithfulness import deletion
from nif.comparison.kolmogorov_smirnov import kolmogorov_smirnov
from nif.comparison.methods import ATTRIBUTIONS, PUBLISHED, REFERENCE
from nif.comparison.problem import ComparisonProblem, comparison_problem, feature_names
from nif.core.errors import InputError
from nif.core.types import Advance, ignore
from nif.estimators.arrays import MOST_TERMS_FOR_MINE
from nif.estimators.estimate import Estimator
from nif.flow.flow import Flow

MOST_FEATURES_IN_TABLE = 20


class Comparison(pd.DataFrame):
    """One row for each attribution; `attributions` holds the attribution of every feature.

    Attributes:
        attributions: Columns method, feature, attribution (scaled to sum 1 for each method).
    """

    _metadata: ClassVar[list[str]] = ["attributions"]
    attributions: pd.DataFrame


def compare(
    model: Any,
    flow: Flow,
    x: Any,
    y: Any,
    *,
    published: Flow | None = None,
    methods: Sequence[str] | None = None,
    estimator: Estimator | None = None,
    output: int | str | None = None,
    repeats: int = 100,
    seed: int = 0,
    advance: Advance = ignore,
) -> Comparison:
    r"""Compare the attribution of a flow with raw mutual information, SHAP, integrated gradients and chance.

    Every attribution is one number for each feature, scaled to sum 1. Three questions are asked about it:

    - Does it have the same distribution as the raw mutual information of feature and label? (``ks``,
      ``ks_p_asymptotic``, ``ks_p_exact``: the paper's comparison. A small p rejects "same distribution".
      It does not depend on which feature has which value.)
    - Does it rank features as raw mutual information does? (``spearman``, ``kendall``; NaN where all
      features are equal.)
    - Does it name the features the model uses? (``deletion``: area under accuracy as features are replaced by
      their mean, the most important first, lower is better; ``deletion_spread``: its standard deviation over
      the repeats; ``deletion_rank``: 1 is best.)

    Args:
        model: The trained network the flow was measured on; it is not changed.
        flow: The result of `nif.measure` for it.
        x: Features on the scale the model was trained on; of a model with several inputs a tuple or mapping
            of them, as for `nif.measure`. At least 50 rows.
        y: Class indices, in the order of the model's outputs. One output stands for class 1 where it is above
            one half, if the model ends in a sigmoid, or else above 0.
        published: The flow as published in 2019; measured here if it is named in `methods` and not passed.
        methods: Rows to compute, names out of `ATTRIBUTIONS`; raw mutual information is always among them.
            None for all, but without the flow as published above 5,000 terms of mutual information, as it
            trains a critic for each, unless it is named or passed.
        estimator: For the information between feature and label; `Binned()` if None.
        output: The measured output (name or index), of a model that returns several.
        repeats: Bootstrap samples of the rows in the deletion test.
        seed: Random seed.
        advance: Called after every method, with 1.

    Returns:
        A data frame indexed by method. Up to 20 features each has a column of its own; the frame's
        `attributions` holds them for any number.

    Raises:
        InputError: Data and flow do not fit, an unknown method, or shap or captum is not installed.

    References:
        Davis et al. (2019), https://arxiv.org/abs/1901.08557, table 1.
    """
    chosen = _chosen(methods) if methods is not None else _affordable(flow, published)
    if repeats < 1:
        raise InputError(f"repeats is {repeats}; expected 1 or more, such as 100.")
    problem = comparison_problem(
        model, flow, x, y, published=published, estimator=estimator, output=output, seed=seed
    )
    attributions = {}
    for method in chosen:
        attributions[method] = scaled(ATTRIBUTIONS[method](problem))
        advance(1)
    rows = {
        method: _evaluation(problem, attribution, attributions[REFERENCE], repeats)
        for method, attribution in attributions.items()
    }
    return _table(attributions, rows, feature_names(flow))


def scaled(attribution: Float[np.ndarray, " feature"]) -> Float[np.ndarray, " feature"]:
    """Divided by its sum; zeros stay zeros."""
    total = attribution.sum()
    return attribution / total if total > 0 else np.zeros_like(attribution)


def _chosen(methods: Sequence[str]) -> list[str]:
    """The rows of the table in the order of the registry, the reference first."""
    unknown = sorted(set(methods) - set(ATTRIBUTIONS))
    if unknown:
        raise InputError(f"Unknown attribution {unknown[0]!r}; expected one of {', '.join(ATTRIBUTIONS)}.")
    return [name for name in ATTRIBUTIONS if name in methods or name == REFERENCE]


def _affordable(flow: Flow, published: Flow | None) -> list[str]:
    """All rows, without the published flow where it is not passed and takes too long to measure."""
    too_long = published is None and flow.measurement.options.get("terms", 0) > MOST_TERMS_FOR_MINE
    return [name for name in ATTRIBUTIONS if name != PUBLISHED or not too_long]


def _evaluation(
    problem: ComparisonProblem,
    attribution: Float[np.ndarray, " feature"],
    reference: Float[np.ndarray, " feature"],
    repeats: int,
) -> dict[str, float]:
    test = kolmogorov_smirnov(attribution, reference)
    faithful = deletion(problem, attribution, repeats=repeats)
    return {
        "ks": test.statistic,
        "ks_p_asymptotic": test.asymptotic,
        "ks_p_exact": test.exact,
        "spearman": rank_correlation(spearmanr, attribution, reference),
        "kendall": rank_correlation(kendalltau, attribution, reference),
        "deletion": faithful.area,
        "deletion_spread": faithful.spread,
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
    table["deletion_rank"] = rankdata(table["deletion"], method="min").astype(int)
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
