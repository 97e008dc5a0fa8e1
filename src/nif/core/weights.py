"""Currents through the weights of a network, by the names of its parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

SPARSE_BELOW = 0.5
"""Fraction of numbers other than 0 below which only these are stored."""


@dataclass(frozen=True, eq=False)
class StoredWeight:
    """The currents through a parameter, as a flow stores them.

    Attributes:
        names: Of the parameter; several if it is tied.
        shape: Of the parameter, without the axes of the kernel of a convolution.
        links: Number of the links of the flow that have the same currents; None if there are none.
        transposed: Whether these links lead from the columns of the parameter to its rows.
        nats: Of each number in this shape, or of those at `cells`; None with `links`.
        stderr: Their standard errors.
        cells: Places in the flat parameter of the numbers that are stored; all others are 0. None for all.
    """

    names: tuple[str, ...]
    shape: tuple[int, ...]
    links: int | None = None
    transposed: bool = False
    nats: Float[np.ndarray, "..."] | None = None
    stderr: Float[np.ndarray, "..."] | None = None
    cells: Int[np.ndarray, " link"] | None = None

    @classmethod
    def of(cls, names: Iterable[str], nats: np.ndarray, stderr: np.ndarray) -> StoredWeight:
        """In the form that takes less memory.

        Example:
            >>> nats = np.eye(4)
            >>> weight = StoredWeight.of(["embedding.weight"], nats, nats / 9)
            >>> weight.cells.tolist(), weight.dense("nats").tolist() == nats.tolist()
            ([0, 5, 10, 15], True)
        """
        known = (nats != 0) | (stderr != 0)
        cells = np.flatnonzero(known)
        if len(cells) >= SPARSE_BELOW * nats.size:
            return cls(tuple(names), nats.shape, nats=nats, stderr=stderr)
        values = nats.ravel()[cells], stderr.ravel()[cells]
        return cls(tuple(names), nats.shape, nats=values[0], stderr=values[1], cells=cells)

    @property
    def count(self) -> int:
        """Numbers that are stored here, and not with the links."""
        return 0 if self.nats is None else int(self.nats.size)

    def dense(self, name: str) -> Float[np.ndarray, "..."]:
        """``"nats"`` or ``"stderr"`` in the shape of the parameter; without `links`."""
        values: np.ndarray = getattr(self, name)
        if self.cells is None:
            return values
        whole = np.zeros(math.prod(self.shape), dtype=values.dtype)
        whole[self.cells] = values
        return whole.reshape(self.shape)

    def at_least(self, threshold: float) -> StoredWeight:
        """With the currents of at least these absolute nats only."""
        if self.nats is None or self.stderr is None:
            return self
        strong = np.flatnonzero(np.abs(self.nats) >= threshold)
        cells = strong if self.cells is None else self.cells[strong]
        values = self.nats.ravel()[strong], self.stderr.ravel()[strong]
        return StoredWeight(self.names, self.shape, nats=values[0], stderr=values[1], cells=cells)


@dataclass(frozen=True, eq=False)
class WeightCurrents:
    """The currents through the numbers of a parameter, in nats.

    They lie as the parameter does: ``[out, in]`` of `torch.nn.Linear` and of a convolution, whose kernel is
    summed over its positions (``[out, in / groups]``; transposed ``[in, out / groups]``), ``[in, out]`` of
    Conv1D of `transformers`, a row for each token id of an embedding. A parameter that is used several times
    has the sum of its uses.

    Attributes:
        name: Of the parameter.
        nats: Mean over rows; negative where the weight speaks against the decision.
        stderr: Their standard errors.
        p_value: Two-sided, of a mean of 0, by Student's t; 1 where nothing flows.
    """

    name: str
    nats: Float[np.ndarray, "..."]
    stderr: Float[np.ndarray, "..."]
    p_value: Float[np.ndarray, "..."]

    def strongest(self, top: int = 20) -> pd.DataFrame:
        """The weights with the largest absolute currents, largest first.

        Args:
            top: Number of rows.

        Returns:
            Place in the parameter (``row`` and ``column`` of a matrix), nats, standard error and p-value.

        Example:
            >>> nats = np.array([[0.2, -0.5], [0.0, 0.1]])
            >>> WeightCurrents("0.weight", nats, nats * 0, nats * 0).strongest(2)[["row", "column", "nats"]]
               row  column  nats
            0    0       1  -0.5
            1    0       0   0.2
        """
        flat = np.abs(self.nats).ravel()
        some = np.argpartition(-flat, min(top, len(flat)) - 1)[:top]
        places = some[np.argsort(-flat[some], kind="stable")]
        axes = np.unravel_index(places, self.nats.shape)
        names = ["row", "column"] if len(axes) == 2 else [f"axis_{axis}" for axis in range(len(axes))]
        columns = dict(zip(names, axes, strict=True))
        values = {name: getattr(self, name).ravel()[places] for name in ("nats", "stderr", "p_value")}
        return pd.DataFrame({**columns, **values})


@dataclass(frozen=True, eq=False)
class HeadCurrents:
    """The currents of the heads of an attention: what flows out of each into the projection behind them.

    Attributes:
        layer: Name of the module that projects the joined heads.
        nats: Mean over rows; the heads add up to what flows through the projection.
        stderr: Their standard errors.
    """

    layer: str
    nats: Float[np.ndarray, " head"]
    stderr: Float[np.ndarray, " head"]


@dataclass(frozen=True, eq=False)
class PathCurrents:
    """The strongest currents along single paths, evaluated within every row, background and step.

    Attributes:
        units: Unit of each layer that a path leads through; -1 where it passes the layer by.
        nats: Mean over rows.
        deviations: Of estimates without each group of rows, so scaled that their products add up to the
            covariance of the currents.
        rows: Number of explained rows that they were evaluated on.
        backgrounds: Of each of these rows.
        evaluated: Number of paths that were evaluated, of which these are the strongest.
    """

    units: Int[np.ndarray, "path layer"]
    nats: Float[np.ndarray, " path"]
    deviations: Float[np.ndarray, "group path"]
    rows: int
    backgrounds: int
    evaluated: int

    @property
    def stderr(self) -> Float[np.ndarray, " path"]:
        """Standard errors of the currents."""
        errors: np.ndarray = np.linalg.norm(self.deviations, axis=0)
        return errors
