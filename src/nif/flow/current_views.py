"""What a flow of currents knows beside links and units: weights, heads, differences and ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float, Int64

from nif.core.arguments import checked_arguments
from nif.core.errors import InputError, nearest
from nif.core.statistics import benjamini_hochberg
from nif.core.types import CurrentTables, Layer, Links, Total
from nif.core.weights import StoredWeight, WeightCurrents
from nif.flow.currents import of_features
from nif.flow.paths import Dag
from nif.flow.significance import p_values
from nif.flow.strongest import weakest_carrying
from nif.flow.tables import unit_index
from nif.flow.unit_names import Named, place_of

MOST_RANKED = 5_000
"""Features that are ranked: all pairs are compared."""


@dataclass(frozen=True)
class Difference:
    """The current of one unit less that of another.

    Attributes:
        nats: Its size.
        stderr: Its standard error; the two currents are correlated, as they rest on the same rows.
        p_value: Two-sided, of a difference of 0.

    Example:
        >>> Difference(0.2, 0.05, 0.003)
        0.200 ± 0.050 nats, p = 0.003
    """

    nats: float
    stderr: float
    p_value: float

    def __float__(self) -> float:
        return self.nats

    def __repr__(self) -> str:
        return f"{Total(self.nats, self.stderr)}, p = {self.p_value:.2g}"


class CurrentViews:
    """Methods of `nif.Flow` that only currents have."""

    layers: tuple[Layer, ...]
    links: tuple[Links, ...]
    currents: CurrentTables | None
    if TYPE_CHECKING:

        @cached_property
        def graph(self) -> Dag: ...

    @checked_arguments()
    def weights(self, name: str) -> WeightCurrents:
        r"""The current through every number of a weight, as the parameter lies.

        .. math:: \text{current}(k, l) = E_x \int \frac{\partial v}{\partial a_l} \, w_{kl} \, dh_k

        Weights need no recorded layers on their two sides, so those of attention, recurrent layers and
        everything between two layers are known too. What a bias, a position embedding or any other parameter
        adds does not move with the data and carries nothing; a norm scales what flows past it.

        Args:
            name: As in ``model.named_parameters()``, such as ``"0.weight"``.

        Returns:
            Nats, standard errors and p-values in the shape of the parameter (see `WeightCurrents`);
            ``strongest(20)`` is a table.

        Raises:
            InputError: The flow is one of association, or the parameter is no weight.

        References:
            Edge attribution by integrated gradients (Hanna et al., 2024), https://arxiv.org/abs/2403.17806
        """
        tables = self._of_currents("weights")
        for weight in tables.weights:
            if name in weight.names:
                return self._weight(weight, name)
        names = self.weight_names
        raise InputError(
            f"No current flows through a parameter {name!r}.{nearest(name, names)} Weights are: "
            f"{', '.join(names[:12]) or 'none'}{', …' if len(names) > 12 else ''}. Parameters that are added "
            "(biases, position embeddings) carry nothing, those of norms scale what flows past, and a weight "
            "that is computed from several parameters has no numbers of its own."
        )

    @property
    def weight_names(self) -> list[str]:
        """Names of the parameters that `weights` knows, in the order in which they run."""
        tables = self._of_currents("weights")
        return [name for weight in tables.weights for name in weight.names]

    def _weight(self, weight: StoredWeight, name: str) -> WeightCurrents:
        if weight.links is not None:
            links = self.links[weight.links]
            arrays = [links.dense(array) for array in ("nats", "stderr", "p_value")]
            return WeightCurrents(name, *(array.T if weight.transposed else array for array in arrays))
        nats, stderr = weight.dense("nats"), weight.dense("stderr")
        return WeightCurrents(
            name, nats, stderr, p_values(nats, stderr, self._of_currents("weights").degrees)
        )

    def heads(self) -> pd.DataFrame:
        """The current of every head of attention: what flows out of it into the projection behind.

        Returns:
            By (layer, head): nats, standard error and p-value. The layer is the module of the projection,
            such as ``"encoder.layers.0.self_attn.out_proj"``. The heads of a layer add up to all that flows
            through its weight. Empty if the model has no attention whose heads are joined before a weight.
        """
        tables = self._of_currents("heads")
        columns: dict[str, list[float]] = {"nats": [], "stderr": [], "p_value": []}
        index = []
        for heads in tables.heads:
            index += [(heads.layer, head) for head in range(len(heads.nats))]
            p_value = p_values(heads.nats, heads.stderr, tables.degrees)
            for name, values in zip(columns, (heads.nats, heads.stderr, p_value), strict=True):
                columns[name] += values.tolist()
        places = pd.MultiIndex.from_tuples(index, names=["layer", "head"]) if index else None
        return pd.DataFrame(columns, index=places)

    @property
    def rows(self) -> Int64[np.ndarray, " row"]:
        """Numbers of the explained rows, in `explain` of `nif.measure` or else in the data as it is read.

        Raises:
            InputError: The flow is one of association, or of an earlier version.
        """
        return np.sort(self._row_tables()[0])

    @checked_arguments(
        hints={"row": "Rows have the numbers flow.rows; for others measure with nif.measure(..., explain=)."}
    )
    def local(self, row: int | None = None) -> pd.DataFrame:
        """The currents of single rows: why the network decides as it does for them.

        Args:
            row: Number of an explained row, see `rows`; None for the features of all.

        Returns:
            Of one row, ``current`` by (layer, unit); each layer sums to the information that this row gives
            about its decision. Of all, explained rows x features; the mean by ``attrs["weights"]`` is
            the current of the flow.

        Raises:
            InputError: The flow is one of association, or was not measured for this row: of many rows some
                are explained, see `nif.Currents`.

        Example:
            >>> import nif, torch
            >>> _ = torch.manual_seed(0)
            >>> net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
            >>> x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
            >>> flow = nif.measure(net, x, nif.Currents(backgrounds=8), progress=False)
            >>> one = flow.local(7).groupby("layer")["current"].sum()
            >>> bool(abs(one["input"] - one["output"]) < 1e-5), flow.local().shape
            (True, (60, 2))
        """
        numbers, _ = self._row_tables()
        tables = self._of_currents("currents of rows")
        if row is None:
            return _features_of_rows(self.layers, self.graph.features, tables)
        place = np.flatnonzero(numbers == row)
        if not len(place):
            raise InputError(
                f"Row {row} is not among the {len(numbers)} explained rows, see flow.rows; measure with "
                "nif.measure(..., explain=) for rows of your own."
            )
        values = [
            np.full(len(layer), np.nan) if units.rows is None else units.rows[place[0]]
            for layer, units in zip(self.layers, tables.units, strict=True)
        ]
        return pd.DataFrame({"current": np.concatenate(values)}, index=unit_index(self.layers))

    def difference(self, first: Named, second: Named) -> Difference:
        """The current of one feature or unit less that of another, with the error of the difference.

        Both rest on the same rows, so their errors are correlated: the difference is measured anew without
        each tenth of the rows, as each current is.

        Args:
            first: Name of a feature; ``(layer, unit)`` by name or index for any unit.
            second: The same.

        Raises:
            InputError: The flow is one of association, or there is no such unit.
        """
        features = self.graph.features
        places = [place_of(self.layers, unit, features) for unit in (first, second)]
        (one, before), (other, after) = [self._with_deviations(layer) for layer, _ in places]
        units = [unit for _, unit in places]
        nats = float(one[units[0]] - other[units[1]])
        stderr = float(np.linalg.norm(before[:, units[0]] - after[:, units[1]]))
        degrees = self._of_currents("differences").degrees
        return Difference(nats, stderr, float(p_values(np.array(nats), np.array(stderr), degrees)))

    @checked_arguments()
    def ranks(self, alpha: float = 0.05) -> pd.DataFrame:
        """The features by their currents, with ties where these are not told apart.

        All pairs of features are compared (see `difference`), with p-values adjusted for the number of pairs
        (Benjamini-Hochberg).

        Args:
            alpha: False discovery rate: expected fraction of wrong differences among those found.

        Returns:
            By feature, largest current first: nats, standard error, ``rank`` (1 and the number of features
            with significantly larger currents, so ties share one) and ``last`` (the number of features less
            those with significantly smaller ones): the data allow any rank from the one to the other.

        Raises:
            InputError: The flow is one of association, has more than 5,000 features, or alpha is no level.
        """
        tables = self._of_currents("ranks")
        features = self.graph.features
        known = [self._with_deviations(layer) for layer in features]
        nats = np.concatenate([values for values, _ in known])
        deviations = np.concatenate([values for _, values in known], axis=1)
        if len(nats) > MOST_RANKED:
            raise InputError(
                f"There are {len(nats)} features and up to {MOST_RANKED} are ranked; group them with "
                "input_groups=."
            )
        larger = _larger(nats, deviations, tables.degrees, alpha)
        table = pd.DataFrame(
            {
                "nats": nats,
                "stderr": np.linalg.norm(deviations, axis=0),
                "rank": 1 + larger.sum(0),
                "last": len(nats) - larger.sum(1),
            },
            index=pd.Index([unit for layer in features for unit in self.layers[layer].units], name="feature"),
        )
        return table.sort_values("nats", ascending=False, kind="stable")

    def _row_tables(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and weights of the explained rows."""
        tables = self._of_currents("currents of rows")
        if (
            tables.rows is None
            or tables.row_weights is None
            or tables.units[self.graph.features[0]].rows is None
        ):
            raise InputError("The flow holds no currents of rows; measure the network again.")
        return tables.rows, tables.row_weights

    def _of_currents(self, what: str) -> CurrentTables:
        if self.currents is None:
            raise InputError(
                f"This is a flow of association, which has no {what}; measure with nif.Currents()."
            )
        return self.currents

    def _with_deviations(self, layer: int) -> tuple[np.ndarray, np.ndarray]:
        """Currents of the units of a layer, and their deviations."""
        units = self._of_currents("differences").units[layer]
        if units.deviations is None:
            raise InputError(
                "This flow does not hold how its currents vary together, as files of earlier versions do "
                "not; measure again."
            )
        return units.nats, units.deviations


def _larger(
    nats: Float[np.ndarray, " feature"],
    deviations: Float[np.ndarray, "group feature"],
    degrees: int,
    alpha: float,
) -> np.ndarray:
    """Whether the first of two features has a significantly larger current than the second."""
    first, second = np.triu_indices(len(nats), 1)
    products = deviations.T @ deviations
    squares = np.diag(products)
    variance = np.maximum(squares[first] + squares[second] - 2 * products[first, second], 0.0)
    apart = nats[first] - nats[second]
    p = p_values(apart, np.sqrt(variance), degrees)
    found = benjamini_hochberg(p) < alpha
    larger = np.zeros((len(nats), len(nats)), dtype=bool)
    larger[first[found & (apart > 0)], second[found & (apart > 0)]] = True
    larger[second[found & (apart < 0)], first[found & (apart < 0)]] = True
    return larger


def carrying_weights(weights: Sequence[StoredWeight], fraction: float) -> tuple[StoredWeight, ...]:
    """The currents of weights that carry a fraction of their absolute nats, as few as can be."""
    parts = [np.abs(weight.nats).ravel() for weight in weights if weight.nats is not None]
    if not parts:
        return tuple(weights)
    weakest, _ = weakest_carrying(np.concatenate(parts), fraction)
    return tuple(weight.at_least(weakest) for weight in weights)


def _features_of_rows(
    layers: Sequence[Layer], features: Sequence[int], tables: CurrentTables
) -> pd.DataFrame:
    """The currents of the features of all explained rows, in the order of the rows."""
    values = of_features(tables, features, "rows")
    names = [unit for layer in features for unit in layers[layer].units]
    index = pd.Index(np.asarray(tables.rows), name="row")
    order = np.argsort(index, kind="stable")
    table = pd.DataFrame(values, index=index, columns=names).iloc[order]
    table.attrs["weights"] = np.asarray(tables.row_weights)[order]
    return table
