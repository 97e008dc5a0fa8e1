"""The three verbs that measure: of two arrays, of all columns, of a trained network."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from nif.core import __version__
from nif.core.errors import InputError
from nif.core.progress import progress as progress_bar
from nif.core.types import Advance, Links, SumErrors
from nif.estimators.arrays import automatic
from nif.estimators.estimate import Estimator
from nif.estimators.inputs import checked_estimator
from nif.estimators.pairs import PairwiseRunner, Resources, bytes_of, checked_jobs
from nif.flow.flow import Flow
from nif.flow.measurement import Measurement
from nif.flow.paths import Dag
from nif.measures.association.channel import observed
from nif.measures.association.decomposition import DAVIS2019, Decomposition
from nif.measures.association.errors import attribution_errors
from nif.measures.association.shared_critic import SharedMine
from nif.measures.association.terms import (
    Method,
    SeparateCritics,
    SharedCritic,
    network_links,
    number_of_terms,
)
from nif.network.recording import Recording, record

FEWEST_DISTINCT = 0.9
"""Share of distinct rows below which the user is told that rows repeat."""


def measure(
    model: Any,
    data: Any,
    *,
    estimator: Estimator | SharedMine | None = None,
    decomposition: Decomposition | None = None,
    noise: float = 0.0,
    layers: Sequence[str] | None = None,
    feature_names: Iterable[Any] | None = None,
    class_names: Iterable[Any] | None = None,
    seed: int = 0,
    device: Any = None,
    output: Any = None,
    reduce: str = "mean",
    input_groups: Any = None,
    max_samples: int | None = 100_000,
    memory: int | str = "1GB",
    n_jobs: int | None = None,
    progress: bool = True,
) -> Flow:
    r"""Measure the information flow of a trained network.

    .. math:: \text{link}(i, k) = \text{relevance}(i, k) - \beta \, \text{redundancy}(i)

    The model is run on the data in eval mode and left as it was found. Every connected pair of units gets a
    link in nats, with a standard error and a p-value.

    Args:
        model: A `torch.nn.Module`, or scikit-learn's MLPClassifier or MLPRegressor.
        data: Inputs as Tensor, ndarray, DataFrame, Dataset or DataLoader, on the scale the model was trained
            on; 50 rows or more. Labels that come with them are not used.
        estimator: None chooses `Mine` up to 5,000 terms of mutual information, and `Binned` above; with
            ``critic="shared"`` or ``"joint"`` it is `SharedMine`.
        decomposition: What a link weighs; `Decomposition()` if None.
        noise: Standard deviation of the Gaussian channel behind every unit, in deviations of that unit.
        layers: Names of the modules whose outputs are measured; all non-linearities if None.
        feature_names: One name for each input; a DataFrame's own if None.
        class_names: One name for each output.
        seed: Seeds all that is drawn. The same seed on the same machine gives the same bits.
        device: Where the model is run; where it is if None.
        output: Which output to measure, by name or index, of a model that returns several.
        reduce: What a channel is over its positions: ``"mean"``, ``"max"``, or ``"positions"``, where each
            position is a sample (such samples are not independent, and standard errors come out too small).
        input_groups: A patch size or an array of group numbers, to measure pixels in groups.
        max_samples: Rows above this number are sampled at random.
        memory: What a block of pairs may take in each process, on top of activations and result: a number of
            bytes or a size such as ``"500MB"``.
        n_jobs: Processes, through joblib, on the backend that `joblib.parallel_config` names. None is one
            process, whose estimator may use several threads.
        progress: Show a bar with the time left, in a terminal, after two seconds.

    Raises:
        InputError: The model can not be recorded, the data do not fit it, or options contradict.

    References:
        Davis et al. (2019), https://arxiv.org/abs/1901.08557

    Example:
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> flow = measure(net, np.random.default_rng(0).normal(size=(200, 2)), estimator=Binned())
        >>> flow.attribution().shape
        (2, 2)
    """
    began, start = datetime.now(UTC), time.perf_counter()
    recording = record(
        model,
        data,
        layers=layers,
        feature_names=feature_names,
        class_names=class_names,
        device=device,
        output=output,
        reduce=reduce,
        input_groups=input_groups,
        max_samples=max_samples,
        seed=seed,
        progress=progress,
    )
    _say_if_rows_repeat(recording)
    chosen = decomposition or Decomposition()
    terms = number_of_terms(recording, chosen)
    limits = Resources(bytes_of(memory), checked_jobs(n_jobs))
    used = _estimator(estimator, chosen, terms)
    _refuse_infinite_information(chosen, noise)
    work = terms + recording.not_joined
    with progress_bar("measuring", total=work, shown=progress) as advance:
        method = _method(used, recording, chosen, noise, seed, limits, advance)
        links, not_converged = network_links(recording, method)
        errors = _errors(recording, links, method, seed)
    measurement = Measurement(
        estimator=repr(used),
        automatic=estimator is None,
        decomposition=chosen.as_dict(),
        noise=noise,
        samples=method.samples,
        terms=terms,
        not_converged=not_converged,
        seed=seed,
        version=__version__,
        began=began.isoformat(timespec="seconds"),
        seconds=time.perf_counter() - start,
    )
    return Flow(recording.layers, links, recording.constant(), measurement, errors)


def _method(
    used: Estimator | SharedMine,
    recording: Recording,
    chosen: Decomposition,
    noise: float,
    seed: int,
    limits: Resources,
    advance: Advance,
) -> Method:
    activations = observed(recording, noise, seed)
    if isinstance(used, SharedMine):
        return SharedCritic(recording, activations, chosen, used, seed, advance)
    pairs = PairwiseRunner(used, seed=seed, limits=limits, advance=advance)
    return SeparateCritics(recording, activations, chosen, noise, pairs)


def _errors(recording: Recording, links: Sequence[Links], method: Method, seed: int) -> SumErrors | None:
    """Of the attribution; None where information is not that of pairs of units, which rows could move."""
    if not isinstance(method, SeparateCritics) or method.decomposition.relevance != "unit":
        return None
    return attribution_errors(Dag.of(recording.layers, links), method.terms(), seed)


def _estimator(
    given: Estimator | SharedMine | None, chosen: Decomposition, terms: int
) -> Estimator | SharedMine:
    """The estimator asked for, or the automatic one; refused where it can not make these terms."""
    separate = chosen.critic == "separate"
    if given is None:
        return automatic(terms) if separate else SharedMine()
    if separate == isinstance(given, SharedMine):
        fitting = "an estimator such as nif.Mine()" if separate else "nif.SharedMine()"
        raise InputError(
            f"critic={chosen.critic!r} does not go with estimator={given!r}; pass {fitting}, or None."
        )
    return given if isinstance(given, SharedMine) else checked_estimator(given)


def _refuse_infinite_information(chosen: Decomposition, noise: float) -> None:
    if chosen.relevance != "layer" or noise > 0:
        return
    if chosen != DAVIS2019:
        raise InputError(
            "relevance='layer' asks what a whole layer tells of a unit that it decides: infinite without "
            "noise. Pass noise=0.1, or relevance='unit'."
        )
    warnings.warn(
        "DAVIS2019 with noise=0 measures the information of a whole layer about a unit that the layer "
        "decides, which is infinite: its numbers reflect the number of samples and the length of training. "
        "Pass noise=0.1 for a defined one.",
        stacklevel=3,
    )


def _say_if_rows_repeat(recording: Recording) -> None:
    rows = recording.activations[0]
    distinct = len(np.unique(rows, axis=0)) / len(rows)
    if distinct < FEWEST_DISTINCT:
        warnings.warn(
            f"{1 - distinct:.0%} of the rows of the data repeat another row; standard errors and p-values "
            "take rows as independent. Pass rows drawn independently, or read p-values with care.",
            stacklevel=3,
        )
