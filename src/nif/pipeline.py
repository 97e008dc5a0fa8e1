"""Measure the information flow of a trained network: model and data, network and rows, measure, flow."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nif.core import __version__
from nif.core.arguments import checked_arguments
from nif.core.checkpoint import Checkpoint, opened
from nif.core.errors import InputError, memory_named
from nif.core.files import scratch_folder
from nif.core.parallel import checked_jobs
from nif.core.progress import progress as progress_bar
from nif.data.batches import GRAPH
from nif.data.rows import Rows, read
from nif.estimators.estimate import Estimator
from nif.estimators.pairs import Resources, bytes_of
from nif.flow.flow import Flow
from nif.flow.measurement import Measurement
from nif.measures.caveats import warn_of_order
from nif.measures.chosen import ANSWERS, chosen_measure
from nif.measures.currents.currents import Currents
from nif.measures.described import described
from nif.measures.measure import Measure, Measured
from nif.measures.same_work import work_of
from nif.network.data_scale import warn_of_scale
from nif.network.network import Network
from nif.network.one_graph import adjacency

if TYPE_CHECKING:
    from nif.measures.association.shared_critic import SharedMine


@checked_arguments(ANSWERS, "nif.measure(model, x), or nif.measure(model, (x, y)) with labels")
def measure(
    model: Any,
    data: Any,
    method: Measure | Estimator | SharedMine | str | None = None,
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
    checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
    scratch: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Flow:
    """Measure the information flow of a trained network.

    The model is run on the data in eval mode and left as it was. Every connected pair of units gets a link in
    nats, with a standard error and a p-value. By default links are currents: the information that flows
    through them to the decision of the network.

    Args:
        model: A `torch.nn.Module`, or scikit-learn's MLPClassifier or MLPRegressor, also in a pipeline, a
            search or a TransformedTargetRegressor: the data then go through the steps before the network.
        data: Inputs as Tensor, ndarray, DataFrame, array of Dask, zarr or h5py, memory map, Dataset,
            DataLoader, iterable of batches or data module of Lightning, alone or as ``(x, y)``, or a mapping
            by the parameters of ``forward``, on the scale the model was trained on. Association takes 50 rows
            or more, or ``(x, edge_index)``, one graph, whose nodes are then samples. Labels that come with
            them are used by ``Currents(decision="labels")``, and for the score in the title of a report.
        method: `Currents`, what the decision uses; `Association`, what units tell of each other, or
            `DAVIS2019`, as published; or an estimator, which stands for ``Association(estimator)``. All with
            their defaults by name, such as ``"association"`` or ``"binned"``. None is `Currents()`.
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
            or a size such as ``"500MB"``. Blocks of currents have a fixed size; as many run at a time as it
            has room for, and one that is larger is a warning.
        n_jobs: Processes, through joblib, on the backend that `joblib.parallel_config` names. None is the
            number that it names, or one process, whose estimator may use several threads. Results have the
            same bits for any number.
        checkpoint: A file that keeps the blocks that are finished, such as ``"run.nif-part"``. The same call
            goes on there after a crash, with the same bits, and removes the file when the flow is complete.
            If the model, the data, an option, the seed or the version is another one, it is an error.
        scratch: A folder that all workers of `n_jobs` see, as the same user: model and data are written there
            once, and mapped. None has joblib's backend send them, see ``docs/clusters.md``.
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
    chosen = _with_rows(chosen, {"background": background, "explain": explain})
    model, data, reduce = _nodes_as_samples(chosen, model, data, reduce)
    network = Network.of(
        model, layers=layers, output=output, reduce=reduce, device=device, class_names=class_names
    )
    lower = getattr(chosen, "less_memory", "fewer rows")
    with opened(checkpoint) as kept, scratch_folder(scratch) as folder, memory_named(lower):
        for name in ("explain",) if kept is None else ("explain", "background"):
            if getattr(chosen, name, None) is not None:
                given = read(getattr(chosen, name), network.signature, progress=progress)
                chosen = replace(chosen, **{name: given})  # type: ignore[type-var]
        rows = read(
            data,
            network.signature,
            max_samples=chosen.rows_read,
            seed=seed,
            feature_names=feature_names,
            input_groups=input_groups,
            progress=progress,
        )
        if kept is not None:
            kept.check(work_of(network, rows, chosen, seed))
        if getattr(chosen, "blocks", None) is None:
            warn_of_order(rows, stacklevel=4)
        warn_of_scale(network, rows, stacklevel=4)
        total, what = chosen.work(network, rows), _in_words(chosen, network, rows)
        with progress_bar("measuring", total=total, shown=progress, what=what) as advance:
            resources = replace(resources, checkpoint=kept, scratch=folder)
            measured = chosen.measure(network, rows, seed=seed, resources=resources, advance=advance)
        flow = _flow(
            measured, chosen, seed, began, time.perf_counter() - start, described(network, data, rows)
        )
        if kept is not None and kept is not checkpoint:
            kept.remove()
    return flow


def _with_rows(chosen: Measure, given: Mapping[str, Any]) -> Measure:
    """Currents of the rows that are given beside the data."""
    given = {name: rows for name, rows in given.items() if rows is not None}
    for name in given:
        if not isinstance(chosen, Currents):
            raise InputError(f"{name} is for currents, not {chosen!r}; pass nif.Currents() as method.")
    return replace(chosen, **given) if isinstance(chosen, Currents) else chosen


def _flow(
    measured: Measured,
    chosen: Measure,
    seed: int,
    began: datetime,
    seconds: float,
    about: dict[str, Any],
) -> Flow:
    measurement = Measurement(
        method=repr(chosen),
        options=dict(measured.options),
        samples=measured.samples,
        not_converged=measured.not_converged,
        seed=seed,
        version=__version__,
        began=began.isoformat(timespec="seconds"),
        seconds=seconds,
        about=about,
    )
    of_layers = measured.layers, measured.links, measured.constant
    return Flow(*of_layers, measurement, measured.errors, measured.currents)


def _in_words(chosen: Measure, network: Network, rows: Rows) -> str:
    """The work, if the measure can say it."""
    in_words = getattr(chosen, "in_words", None)
    return "" if in_words is None else str(in_words(network, rows))


def _nodes_as_samples(chosen: Measure, model: Any, data: Any, reduce: str) -> tuple[Any, Any, str]:
    """Model, data and reduction of a measure that takes the nodes of one graph as samples, where the data are
    one; otherwise what was given."""
    nodes_as_samples = getattr(chosen, "nodes_as_samples", None)
    if nodes_as_samples is None:
        if (matrix := adjacency(model, data)) is not None:
            raise InputError(GRAPH.format(f"{matrix!r} joins all rows, as an adjacency matrix does"))
        return model, data, reduce
    graph = nodes_as_samples(model, data)
    return (model, data, reduce) if graph is None else (*graph, "positions")
