"""Measure a network at chosen epochs of its training, without changing the training."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, IterableDataset, Subset

from nif.core.arguments import checked_arguments
from nif.core.errors import InputError, optional_import
from nif.core.guesses import ARGUMENTS_OF_WATCH, OF_WATCH, no_attribute
from nif.core.pages import written_page
from nif.core.progress import progress as progress_bar
from nif.core.random import same_random_state
from nif.data.rows import BATCH, Rows, read
from nif.data.sampling import Reservoir
from nif.estimators.binned.estimator import Binned
from nif.estimators.estimate import Estimator
from nif.flow.epochs import check_measured, html_table, silent_since, write_curves
from nif.flow.flow import Flow
from nif.flow.tables import unit_index
from nif.measures.association.association import Association
from nif.measures.chosen import OPTIONS_OF_ASSOCIATION, chosen_measure
from nif.measures.currents.currents import Currents
from nif.measures.information_plane import Plane, checked_noise, plane_of
from nif.measures.measure import Measure
from nif.network.adapters import without_weights
from nif.network.network import Network
from nif.pipeline import measure
from nif.plots.training_run import draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_SAMPLES = 1000
"""Rows that are measured unless the user chooses another number."""

BY_CURRENTS = Currents(backgrounds=16, rows=128, by_class=False)
"""The method unless the user chooses another: currents of few rows, which cost about a second."""


def sample(data: Any, network: Network, most: int, seed: int) -> Rows:
    """Draw at most this number of rows for a network.

    A loader whose data set can be indexed is not iterated, because its workers and generators belong to the
    training: the rows are taken from its data set.

    Example:
        >>> network = Network.of(torch.nn.Linear(2, 1))
        >>> sample(torch.zeros(500, 2), network, most=100, seed=0).first.shape
        torch.Size([100, 2])
    """
    rows = read(_separate(data, most, seed), network.signature, max_samples=most, seed=seed)
    # A copy, because the training may write into its data.
    return replace(rows, inputs=tuple(values.detach().clone() for values in rows.inputs))


def _separate(data: Any, most: int, seed: int) -> Any:
    """A loader of the same rows that shares nothing with the user's."""
    in_batches = isinstance(data, DataLoader) and data.batch_size is None and data.batch_sampler is None
    if not isinstance(data, DataLoader) or in_batches or isinstance(data.dataset, IterableDataset):
        return data
    kept = Reservoir(most, seed).kept(len(data.dataset))  # type: ignore[arg-type]
    return DataLoader(
        Subset(data.dataset, kept.tolist()),
        batch_size=BATCH,
        collate_fn=data.collate_fn,
        generator=torch.Generator(),
    )


@runtime_checkable
class Writer(Protocol):
    """The part of TensorBoard's ``SummaryWriter`` that is used."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> Any:
        """Add one number to a curve."""
        ...


class Watch:
    """The information flow of a network at chosen epochs of its training.

    The training is bitwise the same with and without it: weights, buffers, training flags and random states
    are as if nothing had been measured. The rows are drawn once, before the first measurement, so that epochs
    compare; a loader is not iterated if its data set can be indexed.

    Args:
        model: The network that is trained; None for that of the callback in use.
        data: Inputs, as for `nif.measure`: training rows, or rows held out.
        every: Measure when this divides the epoch; or the epochs themselves.
        method: As for `nif.measure`; currents of 128 rows, with 16 backgrounds each, if None. An
            `Association` without an estimator uses `Binned()`: cheap, and the same at every epoch.
        layers: See `nif.measure`.
        feature_names: One name for each input.
        class_names: One name for each output.
        output: The output to measure, of a model that returns several.
        reduce: See `nif.measure`.
        max_samples: Rows to draw at random from all, once: 1,000 if None.
        plane_noise: Of the information plane in `report`, in deviations of the units of a layer; None for no
            plane. It costs a run of 512 rows an epoch, and the square of that for every layer.
        writer: A ``SummaryWriter`` of TensorBoard, to which nats (of currents the total), silent neurons and
            modularity are written.
        seed: Random seed.
        progress: Say which epoch is measured, and for how long, after two seconds.

    Attributes:
        flows: The flow of each measured epoch.
        planes: What layers hold of the input and of the classes at each of them; see `report`.
        failed: The reason why an epoch was skipped, such as weights that became NaN. Only the first
            measurement raises: a later one must not end a long training, so it warns.
        seconds: Time spent on measuring so far.

    Raises:
        InputError: `every` is not a number of epochs, or the model is none that can be traced; on the first
            measurement, as `nif.measure`.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> _ = torch.manual_seed(0)
        >>> net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
        >>> x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
        >>> optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
        >>> watch = Watch(net, x, every=2)
        >>> for epoch in range(3):
        ...     optimiser.zero_grad()
        ...     (net(x)[:, 0] - x[:, 0]).square().mean().backward()
        ...     optimiser.step()
        ...     _ = watch.step(epoch)
        >>> list(watch.flows), watch.table().columns.tolist()[2:]
        ([0, 2], ['units', 'inflow', 'outflow', 'silent', 'communities', 'modularity'])
    """

    @checked_arguments(OPTIONS_OF_ASSOCIATION | ARGUMENTS_OF_WATCH, "nif.Watch(model, x, every=5)")
    def __init__(
        self,
        model: Any,
        data: Any,
        method: Measure | Estimator | None = None,
        *,
        every: int | Collection[int] = 1,
        layers: Sequence[str] | None = None,
        feature_names: Iterable[Any] | None = None,
        class_names: Iterable[Any] | None = None,
        output: Any = None,
        reduce: str = "mean",
        max_samples: int | None = None,
        plane_noise: float | None = 0.1,
        writer: Writer | None = None,
        seed: int = 0,
        progress: bool = True,
    ) -> None:
        self.model = model
        self.every = frozenset(every) if isinstance(every, Collection) else int(every)
        self.writer = writer
        self.failed: dict[int, str] = {}
        self.seconds = 0.0
        self._data, self._most, self._seed = data, max_samples, seed
        self._rows: Rows | None = None
        self._method = BY_CURRENTS if method is None else _watched(chosen_measure(method))
        self._choice: dict[str, Any] = {"layers": layers, "output": output, "reduce": reduce}
        names = {"feature_names": _kept(feature_names), "class_names": _kept(class_names)}
        self._names: dict[str, Any] = names
        self._seen: dict[int, Flow] = {}
        self._planes: dict[int, Plane] = {}
        self._noise = checked_noise(plane_noise)
        self._calls, self._progress = 0, progress
        if model is not None and not without_weights(model):
            Network.of(model, **self._choice)  # refused here, not after a training

    @property
    def flows(self) -> dict[int, Flow]:
        """The flow of each measured epoch, in order."""
        return dict(sorted(self._seen.items()))

    @property
    def planes(self) -> dict[int, Plane]:
        """The information plane of each measured epoch, in order."""
        return dict(sorted(self._planes.items()))

    @checked_arguments()
    def step(self, epoch: int, model: Any = None) -> Flow | None:
        """Measure now if this epoch is due.

        Args:
            epoch: Its number; any whole numbers that grow.
            model: The model to measure instead of the watch's own.

        Returns:
            The flow, or None if the epoch is not due, or was skipped (see `failed`).
        """
        if epoch % self.every if isinstance(self.every, int) else epoch not in self.every:
            return None
        started = time.perf_counter()
        try:
            with same_random_state(), progress_bar("measuring", None, shown=self._progress) as shown:
                shown.stage(f"epoch {epoch}")
                flow = self._measured(self.model if model is None else model)
                plane = self._plane(self.model if model is None else model)
        except InputError as error:
            if not self._seen:
                raise
            self.failed[epoch] = str(error)
            warnings.warn(f"Epoch {epoch} was skipped: {error}", stacklevel=2)
            return None
        finally:
            self.seconds += time.perf_counter() - started
        self._seen[epoch] = flow
        if plane is not None:
            self._planes[epoch] = plane
        if self.writer is not None:
            write_curves(self.writer, epoch, flow)
        return flow

    def __call__(self) -> Flow | None:
        """The same as `step`, with epochs counted from 0."""
        self._calls += 1
        return self.step(self._calls - 1)

    def lightning(self) -> Any:
        """A callback for Lightning: ``Trainer(callbacks=[watch.lightning()])``.

        Raises:
            InputError: Lightning is not installed.
        """
        older = "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules
        with optional_import("watch.lightning()", package="lightning"):  # which has two names
            base: Any = import_module("pytorch_lightning" if older else "lightning.pytorch").Callback
        watch = self

        class Measure(base):
            """Calls a watch at the end of every training epoch, in the first process only."""

            def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
                """Hook of Lightning."""
                if trainer.is_global_zero:
                    watch.step(trainer.current_epoch, pl_module if watch.model is None else watch.model)

        return Measure()

    def skorch(self) -> Any:
        """A callback for skorch: ``NeuralNetClassifier(Net, callbacks=[watch.skorch()])``.

        Raises:
            InputError: skorch is not installed.
        """
        with optional_import("watch.skorch()", package="skorch"):
            from skorch.callbacks import Callback
        watch = self

        class Measure(Callback):
            """Calls a watch at the end of every epoch, counted from 1 as in skorch's own table."""

            def on_epoch_end(self, net: Any, **_: Any) -> None:
                """Hook of skorch."""
                watch.step(net.history[-1, "epoch"], net.module_ if watch.model is None else watch.model)

        return Measure()

    def table(self) -> pd.DataFrame:
        """One row for each epoch and layer.

        Columns: ``epoch, layer, units``; ``inflow, outflow``, nats of all links into the layer and out of it;
        ``silent``, number of silent units; ``communities``, number of communities with units there;
        ``modularity`` of the whole network.
        """
        if not self._seen:
            return pd.DataFrame(columns=_COLUMNS)
        tables = [
            flow.by_unit.by_layer().assign(
                epoch=epoch, communities=flow.by_unit.communities_of_layers(), modularity=flow.modularity
            )
            for epoch, flow in self.flows.items()
        ]
        return pd.concat(tables, ignore_index=True)[_COLUMNS]

    def neurons(self) -> pd.DataFrame:
        """Every unit, by (layer, unit), at the last measured epoch.

        Columns: ``inflow, outflow, silent, community``; ``silent_since``, the epoch from which it has been
        silent without a break, if it is.

        Raises:
            InputError: Nothing has been measured yet.
        """
        flows = self.flows
        check_measured(flows)
        last = flows[max(flows)].by_unit
        since = silent_since(list(flows), np.stack([flow.by_unit.silent() for flow in flows.values()]))
        columns = {
            "inflow": last.inflow,
            "outflow": last.outflow,
            "silent": last.silent(),
            "community": last.communities.label,
            "silent_since": pd.array(since, dtype="Int64"),
        }
        return pd.DataFrame(columns, index=unit_index(last.flow.layers))

    @checked_arguments()
    def plot(self, axes: Sequence[Axes] | None = None) -> list[Axes]:
        """Draw the run: the total, its largest features, silent neurons, and communities, over the epochs.

        Of association, what flows into each layer in place of total and features. Communities keep their
        colour from epoch to epoch as far as their units stay together.

        Args:
            axes: Four, or three of association, one below another; a new figure if None.

        Raises:
            InputError: Nothing has been measured yet, another number of axes, or matplotlib is not installed.
        """
        return draw(self.flows, axes)

    @checked_arguments()
    def report(
        self, path: str | os.PathLike[str] | None = None, *, data: str | None = None, unit: str = "nats"
    ) -> Path:
        """Write a page of the run, one HTML file: currents over the epochs, silent units, the score where
        labels came with the data, and the information plane, with its noise and what it cannot show.

        Args:
            path: As for `nif.Flow.report`, and so are `data` and `unit`.

        Raises:
            InputError: Nothing has been measured yet, or the path cannot be written.
        """
        from nif.report.run import write_run

        return written_page(path, lambda to: write_run(self.flows, self.planes, to, data), unit)

    if not TYPE_CHECKING:  # which then knows what a watch has

        def __getattr__(self, name: str) -> NoReturn:
            """Say what to write in place of a name that a watch does not have."""
            no_attribute("A watch", name, OF_WATCH, self)

    def __repr__(self) -> str:
        epochs = list(self.flows)
        which = f"{len(epochs)} epochs from {epochs[0]} to {epochs[-1]}" if epochs else "no epoch yet"
        rows = f", {len(self._rows):,} rows" if self._rows else ""
        failed = f", {len(self.failed)} skipped" if self.failed else ""
        return f"Watch({which}{rows}{failed}, {self.seconds:.2f} s)"

    def _repr_html_(self) -> str:
        return html_table(repr(self), self._seen)

    def _measured(self, model: Any) -> Flow:
        if model is None:
            raise InputError("No model was given; pass one to nif.Watch or to step().")
        with warnings.catch_warnings():
            if self._seen:  # the first measurement has warned of the data
                warnings.simplefilter("ignore")
            if self._rows is None:
                network = Network.of(model, **self._choice)
                self._rows = sample(self._data, network, self._most or MOST_SAMPLES, self._seed)
            return measure(
                model,
                self._rows,
                self._method,
                seed=self._seed,
                progress=False,
                **self._names,
                **self._choice,
            )

    def _plane(self, model: Any) -> Plane | None:
        """None where it is not asked for, or there are no classes."""
        if self._noise is None or self._rows is None:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the measurement has warned
            return plane_of(Network.of(model, **self._choice), self._rows, self._noise)


def _watched(method: Measure) -> Measure:
    """Association with one estimator for all epochs."""
    if isinstance(method, Association) and method.estimator is None:
        return replace(method, estimator=Binned())
    return method


_COLUMNS = ["epoch", "layer", "units", "inflow", "outflow", "silent", "communities", "modularity"]


def _kept(names: Iterable[Any] | None) -> list[Any] | None:
    """Names that can be read more than once; a string is one name."""
    return [names] if isinstance(names, str) else None if names is None else list(names)
