"""The three verbs that measure: of two arrays, of all columns, of a trained network."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from nif.contracts import Advance, AttributionErrors, Estimate, Estimator, InputError, Links, Recording
from nif.decomposition import DAVIS2019, Decomposition
from nif.estimators.binned import Binned
from nif.estimators.checks import checked_estimator, columns, same_length
from nif.estimators.memory import Limits, bytes_of, checked_jobs
from nif.estimators.mine import Mine
from nif.estimators.pairs import AllColumns
from nif.flow import Flow, Measurement
from nif.influence import attribution_errors
from nif.network import Method, SeparateTerms, TermsOfOneCritic, network_links, number_of_terms
from nif.noise import observed
from nif.paths import Dag
from nif.progress import progress as progress_bar
from nif.recording import record
from nif.shared_critic import SharedMine
from nif.version import __version__

MOST_TERMS_FOR_MINE = 5_000
"""Mutual information terms up to which `Mine` is chosen; above, `Binned`."""

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
    limits = Limits(bytes_of(memory), checked_jobs(n_jobs))
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
    limits: Limits,
    advance: Advance,
) -> Method:
    activations = observed(recording, noise, seed)
    if isinstance(used, SharedMine):
        return TermsOfOneCritic(recording, activations, chosen, used, seed, advance)
    pairs = AllColumns(used, seed=seed, limits=limits, advance=advance)
    return SeparateTerms(recording, activations, chosen, noise, pairs)


def _errors(
    recording: Recording, links: Sequence[Links], method: Method, seed: int
) -> AttributionErrors | None:
    """Of the attribution; None where information is not that of pairs of units, which rows could move."""
    if not isinstance(method, SeparateTerms) or method.decomposition.relevance != "unit":
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


def automatic(terms: int) -> Estimator:
    """The estimator for this many terms of mutual information.

    Example:
        >>> automatic(5_000), automatic(5_001)
        (Mine(), Binned())
    """
    return Mine() if terms <= MOST_TERMS_FOR_MINE else Binned()


def estimate(x: Any, y: Any, estimator: Estimator | None = None, seed: int = 0) -> Estimate:
    r"""Mutual information of two arrays.

    .. math:: I(X; Y) = E\left[\log \frac{p(x, y)}{p(x) p(y)}\right]

    Args:
        x: ``[sample]`` or ``[sample, dim]``; a Tensor, array, DataFrame, Series or list. 50 rows or more.
        y: The same number of rows.
        estimator: `Mine()` if None.
        seed: Seeds all that is drawn.

    Returns:
        One number with its standard error and p-value, in nats.

    Raises:
        InputError: Not numeric, NaN or infinite, too few rows, or sides of different length.

    Example:
        >>> x = np.random.default_rng(0).normal(size=1000)
        >>> found = estimate(x, -x + np.random.default_rng(1).normal(size=1000), estimator=Binned())
        >>> bool(abs(found.nats - 0.347) < 3 * found.stderr)
        True
    """
    left, right = columns(x, "x"), columns(y, "y")
    same_length(left, right)
    return (
        (checked_estimator(estimator) or Mine())
        .estimate(left[None], right[None], seed=seed)
        .map(lambda values: values[0])
    )


def pairwise(
    x: Any,
    y: Any = None,
    estimator: Estimator | None = None,
    seed: int = 0,
    *,
    memory: int | str = "1GB",
    n_jobs: int | None = None,
    progress: bool = True,
) -> Estimate:
    """Mutual information of every column of x with every column of y.

    Args:
        x: ``[sample, a]``; a Tensor, array, DataFrame or list. 50 rows or more.
        y: ``[sample, b]``; x itself if None. The diagonal then holds the entropy of each column's values.
        estimator: `Mine()` up to 5,000 pairs and `Binned()` above if None.
        seed: Seeds all that is drawn.
        memory: What a block of pairs may take in each process, on top of data and result.
        n_jobs: Processes, through joblib; see `measure`.
        progress: Show a bar with the time left, in a terminal, after two seconds.

    Returns:
        Arrays of shape ``[a, b]``, in nats.

    Raises:
        InputError: As for `estimate`.

    Example:
        >>> table = np.random.default_rng(0).normal(size=(200, 3))
        >>> pairwise(table, estimator=Binned()).nats.shape
        (3, 3)
    """
    left = columns(x, "x")
    right = left if y is None else columns(y, "y")
    same_length(left, right)
    count = left.shape[1] * (left.shape[1] - 1) // 2 if y is None else left.shape[1] * right.shape[1]
    used, limits = (
        checked_estimator(estimator) or automatic(count),
        Limits(bytes_of(memory), checked_jobs(n_jobs)),
    )
    with progress_bar("estimating", total=count, shown=progress) as advance:
        pairs = AllColumns(used, seed=seed, limits=limits, advance=advance)
        return pairs.within(left) if y is None else pairs.between(left, right)


def _say_if_rows_repeat(recording: Recording) -> None:
    rows = recording.activations[0]
    distinct = len(np.unique(rows, axis=0)) / len(rows)
    if distinct < FEWEST_DISTINCT:
        warnings.warn(
            f"{1 - distinct:.0%} of the rows of the data repeat another row; standard errors and p-values "
            "take rows as independent. Pass rows drawn independently, or read p-values with care.",
            stacklevel=3,
        )
