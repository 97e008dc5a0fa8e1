"""The attributions that are compared, by the name of their row."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from nif.comparison.libraries import integrated_gradients, sage, shapley
from nif.comparison.problem import ComparisonProblem
from nif.estimators.estimate import PairwiseEstimator
from nif.flow.flow import Flow
from nif.measures.association.association import DAVIS2019
from nif.measures.currents.currents import Currents
from nif.pipeline import measure


def association(problem: ComparisonProblem) -> Float[np.ndarray, " feature"]:
    """Sum over all classes and all paths of the product of the link weights, of the flow given."""
    return over_classes(problem.flow)


def currents(problem: ComparisonProblem) -> Float[np.ndarray, " feature"]:
    """Absolute current of each feature, of the flow of currents that is given, or else measured here."""
    return np.abs(over_classes(flow_of_currents(problem)))


def currents_for(problem: ComparisonProblem) -> Float[np.ndarray, " feature"]:
    r"""Mean over rows of the positive part of the current: what speaks for the decision alone.

    A feature that removes the noise of another speaks for the decision on some rows and against it on
    others; its signed current is near 0, and this one is not.

    .. math:: A_i = \operatorname{E} \max\{0, c_i(X)\} = (\operatorname{E} c_i + \operatorname{E} |c_i|) / 2
    """
    units = flow_of_currents(problem).by_unit.of_units
    assert units is not None
    every: np.ndarray = (units.column("nats") + units.column("absolute")) / 2
    return every[: problem.x.shape[1]]


def flow_of_currents(problem: ComparisonProblem) -> Flow:
    """The flow of currents that is given, or one measured here."""
    if problem.currents is not None:
        return problem.currents
    return measure(
        problem.model, problem.tensor(problem.x), Currents(by_class=False), seed=problem.seed, progress=False
    )


def over_classes(flow: Flow) -> Float[np.ndarray, " feature"]:
    """The attribution of each feature to all classes together."""
    return flow.attribution().to_numpy(dtype=np.float64).sum(axis=1)


def davis2019(problem: ComparisonProblem) -> Float[np.ndarray, " feature"]:
    """As `association`, for the published flow of the problem, or else for one measured here.

    It has little meaning for a deterministic network (see `nif.DAVIS2019`); it serves the comparison.

    References:
        Davis et al. (2019), https://arxiv.org/abs/1901.08557
    """
    if problem.published is not None:
        return over_classes(problem.published)
    with warnings.catch_warnings():
        # The user did not choose this method, so its warning is not for them.
        warnings.simplefilter("ignore", UserWarning)
        flow = measure(
            problem.model,
            problem.tensor(problem.x),
            replace(DAVIS2019, noise=problem.flow.measurement.options.get("noise", 0.0)),
            seed=problem.seed,
            progress=False,
        )
    return over_classes(flow)


def raw_mi(problem: ComparisonProblem) -> Float[np.ndarray, " feature"]:
    r"""Mutual information of each feature and the label, in nats; an estimate below 0 counts as 0.

    .. math:: A_i = \max\{0, \hat I(X_i; Y)\}
    """
    label = problem.y[:, None].astype(np.float64)
    if isinstance(problem.estimator, PairwiseEstimator):
        nats = problem.estimator.pairwise(problem.x, label, seed=problem.seed).nats[:, 0]
    else:
        x = problem.x.T[:, :, None]
        y = np.broadcast_to(label, x.shape).copy()
        nats = problem.estimator.estimate(x, y, seed=problem.seed).nats
    return np.maximum(nats, 0.0)


def random_ranking(problem: ComparisonProblem) -> Float[np.ndarray, " feature"]:
    """The same number for every feature; the deletion test breaks ties at random, in each repeat anew."""
    return np.ones(problem.x.shape[1])


FOR = "currents, for"
"""The part of the currents that speaks for the decision."""

OF_CURRENTS = frozenset(["currents", FOR])
"""The attributions of a flow of currents."""

Attribution = Callable[[ComparisonProblem], np.ndarray]
"""Returns one number for each feature, not negative, larger for a feature that matters more."""

REFERENCE = "raw MI"
"""The attribution that the others are compared with."""

ASSOCIATION = "association"
"""The attribution of a flow of association."""

PUBLISHED = "association (DAVIS2019)"
"""The attribution as published, the slowest one."""

SAGE = "SAGE"
"""The attribution that runs the network most often."""

RANDOM = "random ranking"
"""The attribution that says nothing."""

ATTRIBUTIONS: dict[str, Attribution] = {
    REFERENCE: raw_mi,
    "currents": currents,
    FOR: currents_for,
    ASSOCIATION: association,
    PUBLISHED: davis2019,
    "SHAP": shapley,
    "integrated gradients": integrated_gradients,
    SAGE: sage,
    RANDOM: random_ranking,
}
"""A new attribution is a function of a `ComparisonProblem`, and one entry here."""
