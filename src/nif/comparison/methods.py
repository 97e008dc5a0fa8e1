"""The attributions that are compared, by the name their row carries."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from nif.comparison.libraries import integrated_gradients, shapley
from nif.comparison.problem import Subject
from nif.estimators.estimate import PairwiseEstimator
from nif.flow.flow import Flow
from nif.measures.association.association import DAVIS2019
from nif.pipeline import measure


def information_flow(subject: Subject) -> Float[np.ndarray, " feature"]:
    """Sum over all classes and all paths of the product of the link weights, of the flow given."""
    return over_classes(subject.flow)


def over_classes(flow: Flow) -> Float[np.ndarray, " feature"]:
    """The attribution of each feature to all classes together."""
    return flow.attribution().to_numpy(dtype=np.float64).sum(axis=1)


def davis2019(subject: Subject) -> Float[np.ndarray, " feature"]:
    """As `information_flow`, of the published flow the subject came with, or else of one measured here.

    It says little about a deterministic network (see `nif.DAVIS2019`); it is here for the comparison.

    References:
        Davis et al. (2019), https://arxiv.org/abs/1901.08557
    """
    if subject.davis is not None:
        return over_classes(subject.davis)
    with warnings.catch_warnings():
        # The user did not choose this decomposition, so its warning would not be for them.
        warnings.simplefilter("ignore", UserWarning)
        flow = measure(
            subject.model,
            subject.tensor(subject.x),
            replace(DAVIS2019, noise=subject.flow.measurement.options.get("noise", 0.0)),
            seed=subject.seed,
            progress=False,
        )
    return over_classes(flow)


def raw_mi(subject: Subject) -> Float[np.ndarray, " feature"]:
    r"""Mutual information of each feature and the label, in nats; an estimate below 0 counts as 0.

    .. math:: A_i = \max\{0, \hat I(X_i; Y)\}
    """
    label = subject.y[:, None].astype(np.float64)
    if isinstance(subject.estimator, PairwiseEstimator):
        nats = subject.estimator.pairwise(subject.x, label, seed=subject.seed).nats[:, 0]
    else:
        x = subject.x.T[:, :, None]
        y = np.broadcast_to(label, x.shape).copy()
        nats = subject.estimator.estimate(x, y, seed=subject.seed).nats
    return np.maximum(nats, 0.0)


def random_ranking(subject: Subject) -> Float[np.ndarray, " feature"]:
    """Every feature alike; the deletion test breaks ties at random, so each repeat tries another ranking."""
    return np.ones(subject.x.shape[1])


Attribution = Callable[[Subject], np.ndarray]
"""Gives one number for each feature, not negative, larger for a feature that matters more."""


REFERENCE = "raw MI"
"""The attribution the others are held against."""


PUBLISHED = "NIF (DAVIS2019)"
"""The attribution as published: the one that takes long."""


ATTRIBUTIONS: dict[str, Attribution] = {
    REFERENCE: raw_mi,
    "NIF": information_flow,
    PUBLISHED: davis2019,
    "SHAP": shapley,
    "integrated gradients": integrated_gradients,
    "random ranking": random_ranking,
}
"""A new attribution is one file with a function of a `Subject`, and one entry here."""
