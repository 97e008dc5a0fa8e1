"""Layers, the links between two layers, and the axis names of every shape annotation.

====================  =====================================================
``sample``            one row of the data
``pair``              one mutual information to estimate
``source, target``    units of an earlier and of a later layer
``dim_x, dim_y``      components of a vector-valued side of a pair
====================  =====================================================

All information is in nats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int, Real, Shaped
from scipy import special
from scipy.sparse import csr_array

from nif.core.arguments import checked_arguments
from nif.core.errors import InputError
from nif.core.unit import text_unit
from nif.core.weights import HeadCurrents, PathCurrents, StoredWeight

Values = Float[Any, "..."]
"""A number for each pair: a numpy array, or one number of numpy's for a single pair."""

Advance = Callable[[float], None]
"""Called with the number of pairs done since the last call; drives the progress bar."""


def ignore(pairs: float | int) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class Layer:
    """The units recorded at one place of a network.

    Attributes:
        name: ``"input"``, ``"output"``, or the dotted name of the module whose output this is.
        kind: Class name of that module, for example ``"ReLU"``; ``"input"`` for the features.
        units: One name for each unit; half of a surrogate pair, which no text file holds, by its code.
        shape: Of the picture that the units are in row-major order, for example ``(1, 28, 28)`` for pixels or
            ``(7, 7)`` for patches of them; empty for units without such an order.
    """

    name: str
    kind: str
    units: tuple[str, ...]
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not all(map(str.isascii, self.units)):
            units = (name.encode("utf-8", "backslashreplace").decode("utf-8") for name in self.units)
            object.__setattr__(self, "units", tuple(units))

    def __len__(self) -> int:
        return len(self.units)


LINK_ARRAYS = ("nats", "stderr", "p_value", "relevance")
"""The arrays of `Links`: one number for each link."""

UNCONNECTED = {"nats": 0.0, "stderr": 0.0, "p_value": 1.0, "relevance": 0.0}
"""Their values for two units that no path connects."""

SPARSE_BELOW = 0.5
"""Fraction of connected pairs below which only these are stored."""


class _LinkArray:
    """An array of `Links`: read as ``[source, target]``, whichever way it is stored."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, links: Links | None, owner: type) -> np.ndarray:
        if links is None:
            raise AttributeError(self.name)  # so that the field has no default
        return links.dense(self.name)

    def __set__(self, links: Links, values: Any) -> None:
        links.__dict__[self.name] = np.asarray(values)


Matrix: TypeAlias = Float[np.ndarray, "source target"]

_link_array: Any = _LinkArray  # not the type of the fields that it is the default of


@dataclass(frozen=True, eq=False)
class Links:
    """Weights of all links from the units of one layer to those of a later one (eq. 2).

    Where fewer than half of the pairs of units are connected, as between the channels of a grouped
    convolution, only the connected pairs are stored: one compressed sparse row (CSR) structure, and four
    arrays with a number for each link. The attributes are dense arrays ``[source, target]`` all the same,
    made anew whenever they are read: what has to work on many links reads `values`, `units` and `matrix`.

    Args:
        source: Index of the earlier layer in the list of layers.
        target: Index of the later layer.
        nats: ``relevance - beta * redundancy`` for each link; may be negative.
        stderr: Standard error of `nats`.
        p_value: Of the relevance, against independence of the two sides.
        relevance: The information term alone, in nats.
        connected: The pairs that a path connects, such as a channel and the features it is flattened to: an
            array of flags or a sparse matrix ``[source, target]``; None if all are. An unconnected pair has
            no link: 0 nats, p-value 1, and no test. With it, the four arrays may also be one-dimensional: a
            number for each connected pair, row by row.

    Raises:
        InputError: An array has another shape than `connected`.

    Example:
        >>> weights = np.diag([0.5, 0.2, 0.1])
        >>> links = Links(0, 1, weights, weights / 9, weights, weights, connected=weights > 0)
        >>> links.sparse, links.count, links.values("nats").tolist()
        (True, 3, [0.5, 0.2, 0.1])
        >>> links.p_value[0].tolist()
        [0.5, 1.0, 1.0]
    """

    source: int
    target: int
    nats: Matrix | Float[np.ndarray, " link"] = _link_array()  # noqa: RUF009 - a descriptor
    stderr: Matrix | Float[np.ndarray, " link"] = _link_array()  # noqa: RUF009 - a descriptor
    p_value: Matrix | Float[np.ndarray, " link"] = _link_array()  # noqa: RUF009 - a descriptor
    relevance: Matrix | Float[np.ndarray, " link"] = _link_array()  # noqa: RUF009 - a descriptor
    connected: Bool[np.ndarray, "source target"] | csr_array | None = None

    def __post_init__(self) -> None:
        if self.connected is None:
            return
        flags = csr_array(self.connected, dtype=bool)
        flags.sum_duplicates()  # which sorts each row too
        sparse = flags.nnz < SPARSE_BELOW * np.prod(flags.shape)
        self.__dict__["connected"] = flags if sparse else flags.toarray()
        for name in LINK_ARRAYS:
            self.__dict__[name] = self._as_stored(name, self.__dict__[name])

    def _as_stored(self, name: str, values: np.ndarray) -> np.ndarray:
        assert self.connected is not None
        if values.shape not in (self.shape, (self.count,)):
            raise InputError(
                f"{name} of the links has shape {values.shape} and connected has {self.shape}; expected that "
                f"shape, or one number for each of the {self.count} connected pairs."
            )
        if self.sparse:
            return values if values.ndim == 1 else values[self.units()]
        if values.ndim == 2:
            return values
        whole = np.full(self.shape, UNCONNECTED[name])
        whole[self.connected] = values
        return whole

    @property
    def sparse(self) -> bool:
        """Whether only the connected pairs are stored."""
        return isinstance(self.connected, csr_array)

    @property
    def shape(self) -> tuple[int, ...]:
        """Units of the two layers."""
        return self.__dict__["nats"].shape if self.connected is None else self.connected.shape

    @property
    def count(self) -> int:
        """The number of links: of connected pairs."""
        if self.connected is None:
            return int(self.__dict__["nats"].size)
        flags = self.connected
        return int(np.count_nonzero(flags) if isinstance(flags, np.ndarray) else flags.nnz)

    def stored(self, name: str) -> Float[np.ndarray, "source target"] | Float[np.ndarray, " link"]:
        """An array as it is stored: ``[link]`` if the storage is sparse, else ``[source, target]``."""
        values: np.ndarray = self.__dict__[name]
        return values

    def dense(
        self, name: str, sources: Int[np.ndarray, " source"] | None = None
    ) -> Float[np.ndarray, "source target"]:
        """An array as ``[source, target]``, or its rows for some sources; new if the storage is sparse."""
        values: np.ndarray = self.__dict__[name]
        if not self.sparse:
            return values if sources is None else values[sources]
        rows: Any = self.matrix(values)
        rows = rows if sources is None else rows[sources]
        whole = np.full(rows.shape, UNCONNECTED[name], dtype=values.dtype)
        whole[np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr)), rows.indices] = rows.data
        return whole

    def values(self, name: str) -> Float[np.ndarray, " link"]:
        """An array as one number for each link, row by row."""
        values: np.ndarray = self.__dict__[name]
        return values.ravel() if self.sparse or self.connected is None else values[self.connected]

    def units(self, links: Int[np.ndarray, " some"] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Source and target unit of links, row by row.

        Args:
            links: Positions in the order of `values`; all if None.
        """
        if isinstance(self.connected, csr_array):
            begin, columns = self.connected.indptr, self.connected.indices
            if links is None:
                return np.repeat(np.arange(self.shape[0]), np.diff(begin)), columns
            return np.searchsorted(begin, links, side="right") - 1, columns[links]
        cells = np.arange(self.count) if links is None else links
        if self.connected is not None:
            cells = np.flatnonzero(self.connected)[cells]
        return np.divmod(cells, max(self.shape[1], 1))

    def matrix(self, stored: np.ndarray) -> np.ndarray | csr_array:
        """Numbers for each link, in the form of `stored`, as a matrix for products and sums."""
        if not isinstance(self.connected, csr_array):
            return stored
        return csr_array((stored, self.connected.indices, self.connected.indptr), shape=self.shape)

    def incoming(self, values: Real[np.ndarray, " link"], fill: float) -> Real[np.ndarray, "slot target"]:
        """Numbers for each link, in the form of `values`, below the target of each: columns of equal length.

        Args:
            values: One for each link; rows of a column are in the order of the sources.
            fill: Where a unit has fewer links than others.
        """
        if self.connected is None:
            return values.reshape(self.shape)
        columns = self.units()[1]
        order = np.argsort(columns, kind="stable")
        return _padded(values[order], columns[order], self.shape[1], fill)

    def outgoing(self, values: Real[np.ndarray, " link"], fill: float) -> Real[np.ndarray, "slot source"]:
        """The same below the source of each link; rows are in the order of the targets."""
        if self.connected is None:
            return values.reshape(self.shape).T
        return _padded(values, self.units()[0], self.shape[0], fill)


def _padded(values: np.ndarray, column: np.ndarray, columns: int, fill: float) -> np.ndarray:
    """Columns of equal length from values that are sorted by their column."""
    counts = np.bincount(column, minlength=columns)
    slot = np.arange(len(values)) - np.repeat(np.cumsum(counts) - counts, counts)
    whole = np.full((counts.max(initial=0), columns), fill, dtype=np.result_type(values, type(fill)))
    whole[slot, column] = values
    return whole


@dataclass(frozen=True, eq=False)
class SumErrors:
    """Standard errors of sums of links; the errors of links are correlated, as all rest on the same rows.

    Attributes:
        attribution: Of the attribution of each feature to each class.
        attribution_total: Of the attribution of each feature to all classes together.
        shares: Of the share of each feature in the attribution of all features to all classes.
        inflow: Of the nats into each unit, all layers in order; None if unknown.
        outflow: Of the nats out of each unit; None if unknown.
        layer_inflow: Of the nats into all units of each layer together; None if unknown.
        layer_outflow: Of the nats out of all units of each layer together; None if unknown.
    """

    attribution: Float[np.ndarray, "feature label"]
    attribution_total: Float[np.ndarray, " feature"]
    shares: Float[np.ndarray, " feature"]
    inflow: Float[np.ndarray, " unit"] | None = None
    outflow: Float[np.ndarray, " unit"] | None = None
    layer_inflow: Float[np.ndarray, " layer"] | None = None
    layer_outflow: Float[np.ndarray, " layer"] | None = None


@dataclass(frozen=True)
class Total:
    """Information that reaches the decision of the network.

    Attributes:
        nats: Its size.
        stderr: Its standard error.
        degrees: Of freedom of the error, one less than the groups of rows that are left out in turn.

    Example:
        >>> float(Total(1.2, 0.1)), Total(1.2, 0.1)
        (1.2, 1.200 ± 0.100 nats)
        >>> [round(end, 3) for end in Total(1.2, 0.1).interval()]
        [0.974, 1.426]
    """

    nats: float
    stderr: float
    degrees: int = field(default=9, compare=False)

    @checked_arguments()
    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Both ends of a confidence interval, in nats, by Student's t.

        Raises:
            InputError: `level` is not between 0 and 1.
        """
        half = special.stdtrit(self.degrees, (1 + level) / 2) * self.stderr if self.degrees > 0 else np.inf
        return float(self.nats - half), float(self.nats + half)

    def __float__(self) -> float:
        return self.nats

    def __repr__(self) -> str:
        shown = text_unit()
        return f"{shown.of(self.nats):.3f} ± {shown.of(self.stderr):.3f} {shown.name}"


@dataclass(frozen=True, eq=False)
class UnitCurrents:
    """The currents of the units of a layer, which sum to the total.

    Attributes:
        nats: Mean over rows; negative if the unit speaks against the decision.
        stderr: Its standard error.
        absolute: Mean over rows of the absolute current of a row, which is not small where the unit speaks
            for the decision on some rows and against it on others.
        absolute_stderr: Its standard error.
        deviations: Of estimates without each group of rows, so scaled that their products add up to the
            covariance of the currents; None if unknown.
        rows: Current of each explained row, of which `nats` is the weighted mean; None if not kept.
    """

    nats: Float[np.ndarray, " unit"]
    stderr: Float[np.ndarray, " unit"]
    absolute: Float[np.ndarray, " unit"]
    absolute_stderr: Float[np.ndarray, " unit"]
    deviations: Float[np.ndarray, "group unit"] | None = None
    rows: Float[np.ndarray, "row unit"] | None = None


@dataclass(frozen=True, eq=False)
class CurrentTables:
    """What a flow of currents holds beside its links.

    Attributes:
        total: Information about the decision: what the currents of every layer sum to.
        units: Of each layer.
        classes: Names of the columns of `attribution`.
        attribution: Current of each feature for each class; all columns sum to the current of the feature.
        attribution_stderr: Its standard error.
        weights: Currents through the numbers of parameters.
        heads: Currents of the heads of attention.
        rows: Numbers of the explained rows among those that were read.
        row_weights: Of these rows; they sum to 1.
        row_attribution: Current of each feature for each class in each of them; None if not kept.
        row_base: Information at their backgrounds, the terms of each class.
        row_value: Information at the rows themselves: minus the entropy of their decision.
        row_features: What their features are. No file holds them.
        paths: Currents along the strongest paths; None if they were not evaluated.
    """

    total: Total
    units: tuple[UnitCurrents, ...]
    classes: tuple[str, ...]
    attribution: Float[np.ndarray, "feature label"]
    attribution_stderr: Float[np.ndarray, "feature label"]
    weights: tuple[StoredWeight, ...] = ()
    heads: tuple[HeadCurrents, ...] = ()
    rows: Int[np.ndarray, " row"] | None = None
    row_weights: Float[np.ndarray, " row"] | None = None
    row_attribution: Float[np.ndarray, "row feature label"] | None = None
    row_base: Float[np.ndarray, "row label"] | None = None
    row_value: Float[np.ndarray, "row label"] | None = None
    row_features: Shaped[np.ndarray, "row feature"] | None = None
    paths: PathCurrents | None = None

    @property
    def degrees(self) -> int:
        """Of freedom of the errors: one less than the groups of rows that are left out in turn."""
        known = self.units[0].deviations if self.units else None
        return 9 if known is None else len(known) - 1


FEWEST_SAMPLES = 50
