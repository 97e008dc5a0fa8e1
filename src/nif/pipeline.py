"""Measure the information flow of a trained network: model and data, network and rows, measure, flow."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from nif.core import __version__
from nif.core.errors import InputError
from nif.core.parallel import checked_jobs
from nif.core.progress import progress as progress_bar
from nif.data.rows import read
from nif.estimators.estimate import Estimator
from nif.estimators.pairs import Resources, bytes_of
from nif.flow.flow import Flow
from nif.flow.measurement import Measurement
from nif.measures.association.association import Association
from nif.measures.association.shared_critic import SharedMine
from nif.measures.caveats import warn_of_nodes, warn_of_order
from nif.measures.currents.currents import Currents
from nif.measures.measure import Measure
from nif.network.data_scale import warn_of_scale
from nif.network.network import Network
from nif.network.one_graph import one_graph

Function = TypeVar("Function", bound=Callable[..., Any])

OPTIONS_OF_ASSOCIATION = {
    "estimator": "pass nif.Association(estimator=nif.Binned()) as method.",
    "decomposition": "pass nif.Association(order='index') or nif.DAVIS2019 as method.",
    "noise": "pass nif.Association(noise=0.1) as method.",
}
"""Arguments of nif 0.1 that are options of the method now, and how to pass them."""


def replaced_arguments(instead: Mapping[str, str]) -> Callable[[Function], Function]:
    """Refuse arguments of an earlier version with a sentence on what to write instead.

    Args:
        instead: The sentence for each argument.

    Example:
        >>> replaced_arguments({"old": "pass new."})(lambda new: new)(old=1)
        Traceback (most recent call last):
        TypeError: <lambda>() has no argument 'old' any more; pass new.
    """

    def decorated(function: Function) -> Function:
        @functools.wraps(function)
        def checked(*args: Any, **options: Any) -> Any:
            for name in options:
                if name in instead:
                    called = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]
                    raise TypeError(f"{called}() has no argument {name!r} any more; {instead[name]}")
            return function(*args, **options)

        return checked  # type: ignore[return-value] # the same parameters and result

    return decorated


@replaced_arguments(
    {
        **OPTIONS_OF_ASSOCIATION,
        "max_samples": "pass nif.Association(rows=100_000) as method.",
        "stream": "nif.Association(rows=100_000) draws rows at random from larger data.",
    }
)
def measure(
    model: Any,
    data: Any,
    method: Measure | Estimator | SharedMine | None = None,
    *,
    background: Any = None,
    explain: Any = None,
    layers: Sequence[str] | None = None,
    output: int | str | None = None,
    input_groups: Any = None,
    feature_names: Iterable[Any] | None = None,
    class_names: Iterable[Any] | None = None,
    reduce: str = "mean",
    seed: int = 0,
    device: Any = None,
    memory: int | str = "1GB",
    n_jobs: int | None = None,
    progress: bool = True,
) -> Flow:
    """Measure the information flow of a trained network.

    The model is run on the data in eval mode and left as it was. Every connected pair of units gets a link in
    nats, with a standard error and a p-value. By default links are currents: the information that flows
    through them to the decision of the network.

    Args:
        model: A `torch.nn.Module`, or scikit-learn's MLPClassifier or MLPRegressor, also in a pipeline, a
            search or a TransformedTargetRegressor: the data then go through the steps before the network.
        data: Inputs as Tensor, ndarray, DataFrame, Dataset, DataLoader, iterable of batches or data module of
            Lightning, alone or as ``(x, y)``, or a mapping by the parameters of ``forward``, on the scale the
            model was trained on. Association takes 50 rows or more, or ``(x, edge_index)``, one graph, whose
            nodes are then samples. Labels that come with them are not used, but by
            ``Currents(decision="labels")``.
        method: `Currents`, what the decision uses; `Association`, what units tell of each other, or
            `DAVIS2019`, as published; or an estimator, which stands for ``Association(estimator)``. None is
            `Currents()`.
        background: Rows that stand for what is not known of a row, for `Currents`: a pool, or the backgrounds
            of each row, ``[row, background, ...]``; the other rows of data if None.
        explain: Rows to explain in place of rows drawn from the data, for `Currents`, in any form that data
            may have: ``flow.local(i)`` is then of row i of these. Backgrounds are still drawn from the data.
        layers: Names of the modules whose outputs are measured; all non-linearities if None.
        output: The output to measure, by name or index, of a model that returns several.
        input_groups: Features to measure together: a patch size in pixels, the number or name of each
            feature's group, or ``"one-hot"`` for columns such as ``sex_f`` and ``sex_m``. Of association, a
            group of few distinct values is one category, and any other its mean.
        feature_names: One name for each input; a DataFrame's own if None.
        class_names: One name for each output.
        reduce: The value of a channel over its positions: ``"mean"``, ``"max"``, or ``"positions"``, where
            each position is a sample, for association (such samples are not independent, and standard errors
            come out too small).
        seed: Random seed. The same seed on the same machine returns the same bits.
        device: Where to run a copy of the model; where the model is if None.
        memory: Limit of a block of pairs in each process, on top of activations and result: a number of bytes
            or a size such as ``"500MB"``. Blocks of currents have a fixed size; one that is larger is a
            warning.
        n_jobs: Processes, through joblib, on the backend that `joblib.parallel_config` names. None is the
            number that it names, or one process, whose estimator may use several threads. Results have the
            same bits for any number.
        progress: Show a bar with the time left, in a terminal, after two seconds.

    Raises:
        InputError: The model cannot be recorded, the data do not fit it, or options contradict.

    References:
        Association: Davis et al. (2019), https://arxiv.org/abs/1901.08557. Of currents, see `Currents`.

    Example:
        >>> import numpy as np
        >>> from torch import nn
        >>> from nif.estimators import Binned
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> flow = measure(net, np.random.default_rng(0).normal(size=(200, 2)), Binned())
        >>> flow.attribution().shape
        (2, 2)
    """
    began, start = datetime.now(UTC), time.perf_counter()
    chosen, resources = chosen_measure(method), Resources(bytes_of(memory), checked_jobs(n_jobs))
    given = {"background": background, "explain": explain}
    for name in [name for name, rows_given in given.items() if rows_given is not None]:
        if not isinstance(chosen, Currents):
            raise InputError(f"{name} is for currents, not {chosen!r}; pass nif.Currents() as method.")
        chosen = replace(chosen, **{name: given[name]})
    model, data, reduce = _nodes_as_samples(chosen, model, data, reduce)
    network = Network.of(
        model, layers=layers, output=output, reduce=reduce, device=device, class_names=class_names
    )
    if isinstance(chosen, Currents) and chosen.explain is not None:
        chosen = replace(chosen, explain=read(chosen.explain, network.signature, progress=progress))
    rows = read(
        data,
        network.signature,
        max_samples=chosen.rows_read,
        seed=seed,
        feature_names=feature_names,
        input_groups=input_groups,
        progress=progress,
    )
    if getattr(chosen, "blocks", None) is None:
        warn_of_order(rows, stacklevel=4)
    warn_of_scale(network, rows, stacklevel=4)
    with progress_bar("measuring", total=chosen.work(network, rows), shown=progress) as advance:
        measured = chosen.measure(network, rows, seed=seed, resources=resources, advance=advance)
    measurement = Measurement(
        method=repr(chosen),
        options=dict(measured.options),
        samples=measured.samples,
        not_converged=measured.not_converged,
        seed=seed,
        version=__version__,
        began=began.isoformat(timespec="seconds"),
        seconds=time.perf_counter() - start,
    )
    return Flow(
        measured.layers, measured.links, measured.constant, measurement, measured.errors, measured.currents
    )


def _nodes_as_samples(chosen: Measure, model: Any, data: Any, reduce: str) -> tuple[Any, Any, str]:
    """Model, data and reduction of association where the data are one graph; otherwise what was given."""
    graph = one_graph(model, data) if isinstance(chosen, Association) else None
    if not isinstance(chosen, Association) or graph is None:
        return model, data, reduce
    warn_of_nodes(chosen.blocks, stacklevel=5)
    return *graph, "positions"


def chosen_measure(method: Any) -> Measure:
    """The measure that a method stands for.

    Raises:
        InputError: It is neither a measure nor an estimator.

    Example:
        >>> from nif.estimators import Binned
        >>> chosen_measure(Binned()) == Association(estimator=Binned())
        True
    """
    if method is None:
        return Currents()
    if isinstance(method, SharedMine):
        return Association(method, critic="shared")
    if isinstance(method, Measure) and not isinstance(method, type):
        return method
    if isinstance(method, Estimator) and not isinstance(method, type):
        return Association(method)
    raise InputError(
        f"method is {method!r}; expected nif.Currents(), nif.Association(), an estimator such as "
        "nif.Binned(), or None."
    )
