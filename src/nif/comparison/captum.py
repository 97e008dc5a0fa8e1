r"""The information flow as an attribution method of captum: the attribution of each input in one sample.

.. math:: A_{ij}(s) = A_{ij} + \\sum_{u \to v} F_{iu} \\, \big( w_{uv}(s) - \bar w_{uv} \big) \\, B_{vj}

:math:`w_{uv}(s)` is a link with pointwise information in place of mutual information: the log density ratio
of the two units at the sample s, less beta times that of unit u with the others of its layer. F sums the
paths from input i to u, B those from v to output j, with the links as measured; their product is the
derivative of the attribution by the link. So A(s) is the attribution plus the first-order influence of this
sample on it, and its mean over the data of the flow is the attribution itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from nif.core.errors import InputError, optional_import
from nif.core.types import Links
from nif.data.groups import groups
from nif.flow.currents import refuse
from nif.flow.flow import Flow
from nif.flow.paths import clipped
from nif.measures.association.channel import observed
from nif.measures.association.decomposition import beta_for, redundancy_weights
from nif.measures.association.pointwise import Bins, Chances, Columns, Tables
from nif.network.recording import Recording, record

with optional_import("InformationFlow", "compare"):
    from captum.attr import Attribution


class InformationFlow(Attribution):
    """Local attribution by information flow, for captum.

    The densities are tables of bins for each pair, counted on `data`, for any estimator of the flow; the
    number of bins follows from the rows (`nif.measures.association.pointwise.bins_for`). A unit that was
    measured through noise is in each of its bins with the probability that follows from the noise.

    Args:
        model: The network that the flow was measured on.
        flow: Of association, with ``relevance="unit"``.
        data: Rows that the tables are counted on, as for `nif.measure`; usually those of the flow.
        reduce: As for `nif.measure`: ``"mean"`` or ``"max"``.
        input_groups: As for `nif.measure`; every input of a group gets the number of its group.
        output: The measured output (name or index), of a model that returns several.
        max_samples: Largest number of rows to count, drawn at random.

    Raises:
        InputError: Flow, model and data do not belong together, the flow is one of currents, or relevance is
            that of whole layers.

    References:
        Davis et al. (2019), https://arxiv.org/abs/1901.08557. Influence functions: Hampel (1974).

    Example:
        >>> import nif
        >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> x = torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
        >>> flow = nif.measure(net, x, nif.Binned(), progress=False)
        >>> local = InformationFlow(net, flow, x).attribute(x, target=1)
        >>> np.allclose(local.mean(0), flow.attribution().iloc[:, 1], atol=1e-5)
        True
    """

    def __init__(
        self,
        model: nn.Module,
        flow: Flow,
        data: Any,
        *,
        reduce: str = "mean",
        input_groups: Any = None,
        output: int | str | None = None,
        max_samples: int = 5_000,
    ) -> None:
        super().__init__(model)
        refuse(flow.currents, "attributions of single rows are")
        measured = flow.measurement.options
        if measured.get("relevance", "unit") != "unit" or reduce == "positions":
            raise InputError(
                "Local attribution needs links between units and one sample for each row; "
                "measure with relevance='unit' and reduce='mean' or 'max'."
            )
        self._flow, self._groups = flow, input_groups
        self._options: dict[str, Any] = {"reduce": reduce, "input_groups": input_groups, "output": output}
        recorded, noise = self._recorded(data, max_samples=max_samples), measured.get("noise", 0.0)
        noisy = observed(recorded, noise, flow.measurement.seed)
        self._columns = tuple(Columns.of(values) for values in noisy)
        self._noise = tuple(
            (layer.kind != "input") * noise * values.std(axis=0)
            for layer, values in zip(recorded.layers, recorded.activations, strict=True)
        )
        bins = self._bins(recorded.activations)
        sources = {links.source for links in flow.links}
        shared = {source: Tables.of(bins[source], bins[source]) for source in sources}
        beta, order = measured.get("beta"), measured.get("order", "average")
        self._terms = [
            _Term(links, Tables.of(bins[links.source], bins[links.target]), shared[links.source], beta, order)
            for links in flow.links
        ]

    def attribute(
        self, inputs: Tensor | tuple[Tensor, ...], target: int | Sequence[int] | Tensor | None = None
    ) -> Tensor | tuple[Tensor, ...]:
        """Attribution of each input to one output in each sample.

        Args:
            inputs: Rows of data; a tuple for a model with several inputs.
            target: Index of the output, or one for each row; None for the only one.

        Returns:
            Of the shape of the inputs, in nats to the power of the number of links on a path.

        Raises:
            InputError: The inputs do not fit the model, or there is no such output.
        """
        given = inputs if isinstance(inputs, tuple) else (inputs,)
        bins = self._bins(self._recorded(inputs).activations)
        classes = self._targets(target, len(bins[0]))
        attributions = np.empty((len(classes), self._flow.graph.feature_count))
        for label in np.unique(classes):
            rows = np.flatnonzero(classes == label)
            attributions[rows] = self._of_class([layer[rows] for layer in bins], int(label))
        shaped = self._as_inputs(attributions, given)
        return shaped if isinstance(inputs, tuple) else shaped[0]

    def _of_class(self, bins: list[Bins | Chances], label: int) -> Float[np.ndarray, "sample feature"]:
        dag = self._flow.graph
        end = np.eye(dag.sizes[-1])[:, [label]]
        after = dag.backward_sums(clipped, end)
        before = dag.forward_sums(clipped, np.eye(dag.feature_count))
        attributions = np.tile(dag.at_features(after)[:, 0], (len(bins[0]), 1))
        for term in self._terms:
            links = term.links
            added = term.deviations(bins[links.source], bins[links.target], after[links.target][:, 0])
            attributions += added @ before[links.source].T
        return attributions

    def _bins(self, activations: Sequence[np.ndarray]) -> list[Bins | Chances]:
        if not self._flow.measurement.options.get("noise"):
            return [columns.bins(values) for columns, values in zip(self._columns, activations, strict=True)]
        return [
            columns.chances(values, noise)
            for columns, values, noise in zip(self._columns, activations, self._noise, strict=True)
        ]

    def _recorded(self, data: Any, max_samples: int | None = None) -> Recording:
        layers = self._flow.layers
        hidden = [layer.name for layer in layers[:-1] if layer.kind != "input"]
        recorded = record(
            self.forward_func,
            data,
            layers=hidden,
            max_samples=max_samples,
            progress=False,
            fewest=1 if max_samples is None else 50,
            **self._options,
        )
        own, measured = ([(layer.name, len(layer)) for layer in of] for of in (recorded.layers, layers))
        if own != measured:
            raise InputError(
                f"The model has layers {own} and the flow {measured}; pass the model and the options "
                "that the flow was measured with."
            )
        return recorded

    def _targets(self, target: int | Sequence[int] | Tensor | None, rows: int) -> np.ndarray:
        outputs = len(self._flow.layers[-1])
        if target is None and outputs > 1:
            raise InputError(f"The model has {outputs} outputs; choose one with target=0 … {outputs - 1}.")
        given = torch.as_tensor(0 if target is None else target).cpu().numpy().ravel()
        whole = given.dtype.kind in "iu" and len(given) in (1, rows)
        if not whole or given.min() < 0 or given.max() >= outputs:
            raise InputError(
                f"target is {target!r}; expected an index from 0 to {outputs - 1}, or one for each of the "
                f"{rows} rows."
            )
        return np.broadcast_to(given, (rows,))

    def _as_inputs(
        self, attributions: Float[np.ndarray, "sample feature"], inputs: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        if self._groups is not None:
            attributions = attributions[:, groups(self._groups, tuple(inputs[0].shape[1:])).index]
        ends = np.cumsum([values[0].numel() for values in inputs])[:-1]
        return tuple(
            torch.from_numpy(part)
            .reshape(values.shape)
            .to(values.device, values.dtype if values.is_floating_point() else torch.get_default_dtype())
            for part, values in zip(np.split(attributions, ends, axis=1), inputs, strict=True)
        )


@dataclass(frozen=True, eq=False)
class _Term:
    """The links between two layers, with the tables of the deviation of one sample."""

    links: Links
    relevance: Tables
    shared: Tables
    beta: float | None
    order: str

    def deviations(
        self, source: Bins | Chances, target: Bins | Chances, after: Float[np.ndarray, " target"]
    ) -> Float[np.ndarray, "sample source"]:
        """For each sample and source unit, the deviations of its links, times the paths behind them.

        Links of 0 nats or less are closed: they do not change with a sample.
        """
        weight = (self.links.nats > 0) * after
        connected = self.links.connected
        connected = np.ones(weight.shape, dtype=bool) if connected is None else connected
        beta = np.array([beta_for(self.beta, units) for units in connected.sum(axis=0).tolist()])
        shares = redundancy_weights(self.order, len(weight)) * ((weight * beta) @ connected.T)
        return np.stack(
            [
                self.relevance.weighed(own, others, weight) - self.shared.weighed(own, own, shares)
                for own, others in zip(source, target, strict=True)
            ]
        )
