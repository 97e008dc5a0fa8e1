"""What every part of NIF agrees on: an estimator, what it returns, a layer, the links between two layers.

Axis names, used in every shape annotation:

====================  =====================================================
``sample``            one row of the data
``pair``              one mutual information to estimate
``source, target``    units of an earlier and of a later layer
``dim_x, dim_y``      components of a vector-valued side of a pair
====================  =====================================================

All information is in nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int8
from scipy.stats import norm

from nif.notebook.estimates import estimate_html

Values = Float[Any, "..."]
"""A number for each pair: a numpy array, or one number of numpy's for a single pair."""

Advance = Callable[[float], None]
"""Told how many pairs have been done since the last call; drives the progress bar."""


class InputError(ValueError):
    """What was given can not be used; the message says what was expected and what to try."""


class Outcome(IntEnum):
    """How the estimate of one pair ended; reported, never printed as a warning."""

    CONVERGED = 0
    """The estimator finished as intended."""
    NOT_CONVERGED = 1
    """The budget ran out while the bound was still rising: the value is likely too low."""
    DEGENERATE = 2
    """One side is constant: exactly 0 nats, p-value 1, and nothing was trained."""


def ignore(pairs: float | int) -> None:
    """The `Advance` of a caller that shows no progress."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """Mutual information of one pair or of many, with its uncertainty.

    The arrays have one shape: ``()`` for one pair, ``[pair]`` for a batch, ``[a, b]`` for all pairs.

    Attributes:
        nats: The estimate. Not clipped: an unbiased estimate of 0 is negative half of the time.
        stderr: Standard error of `nats` from the sampling of the data, in nats.
        p_value: Probability of a value this large if the two sides were independent.
        outcome: An `Outcome` for each pair.
        samples: Rows of data each value rests on.
        estimator: The estimator and its options, as text.

    Example:
        >>> one = Estimate.of(0.4, stderr=0.02, p_value=0.001, samples=500, estimator="GaussianCopula()")
        >>> one
        Estimate(0.4000 ± 0.0200 nats, p = 0.001, 500 samples, GaussianCopula())
        >>> round(float(one.bits), 3)
        0.577
    """

    nats: Values
    stderr: Values
    p_value: Values
    outcome: Int8[Any, "..."]
    samples: int
    estimator: str

    @classmethod
    def of(
        cls,
        nats: Any,
        *,
        stderr: Any,
        p_value: Any,
        samples: int,
        estimator: str,
        outcome: Any = Outcome.CONVERGED,
    ) -> Estimate:
        """Build an estimate from anything that broadcasts to the shape of `nats`."""
        values = np.asarray(nats, dtype=np.float64)

        def like_nats(array: Any, dtype: type) -> np.ndarray:
            return np.broadcast_to(np.asarray(array, dtype=dtype), values.shape).copy()

        return cls(
            nats=values,
            stderr=like_nats(stderr, np.float64),
            p_value=like_nats(p_value, np.float64),
            outcome=like_nats(outcome, np.int8),
            samples=samples,
            estimator=estimator,
        )

    @property
    def bits(self) -> Values:
        """The estimate in bits (nats / ln 2), for display."""
        return self.nats / math.log(2)

    def interval(self, level: float = 0.95) -> tuple[Values, Values]:
        """Confidence interval in nats from the normal approximation; the lower end is not below 0.

        Raises:
            InputError: `level` is not between 0 and 1.

        Example:
            >>> one = Estimate.of(0.4, stderr=0.02, p_value=0.001, samples=500, estimator="Ksg()")
            >>> [round(float(end), 3) for end in one.interval()]
            [0.361, 0.439]
        """
        if not 0 < level < 1:
            raise InputError(f"level is {level}; expected a share between 0 and 1, such as 0.95.")
        half = norm.ppf(0.5 + level / 2) * self.stderr
        return np.maximum(self.nats - half, 0.0), np.maximum(self.nats + half, 0.0)

    def map(self, rearrange: Callable[[np.ndarray], Any]) -> Estimate:
        """The same values in another arrangement, for example ``estimate.map(np.transpose)``."""
        return Estimate(
            nats=rearrange(self.nats),
            stderr=rearrange(self.stderr),
            p_value=rearrange(self.p_value),
            outcome=rearrange(self.outcome),
            samples=self.samples,
            estimator=self.estimator,
        )

    def __repr__(self) -> str:
        if self.nats.ndim == 0:
            size = f"{self.nats:.4f} ± {self.stderr:.4f} nats, p = {self.p_value:.3g}"
        else:
            failed = int((self.outcome == Outcome.NOT_CONVERGED).sum())
            size = f"{'x'.join(map(str, self.nats.shape))} pairs, mean {self.nats.mean():.4f} nats"
            size += f", {failed} not converged" if failed else ""
        return f"Estimate({size}, {self.samples} samples, {self.estimator})"

    def _repr_html_(self) -> str:
        return estimate_html(self)


@runtime_checkable
class Estimator(Protocol):
    """A method that estimates mutual information for a batch of pairs.

    An estimator is a frozen dataclass of options, so that its `repr` says how a value was made. It

    - returns exactly 0 nats, p-value 1 and `Outcome.DEGENERATE` where a side is constant;
    - gives the same bits for the same data and seed, and touches no global random state;
    - never clips at 0, never returns NaN or infinity for finite data;
    - takes its data already checked (see `nif.estimators.checks`).
    """

    def estimate(
        self,
        x: Float[np.ndarray, "pair sample dim_x"],
        y: Float[np.ndarray, "pair sample dim_y"],
        *,
        seed: int = 0,
        advance: Advance = ignore,
    ) -> Estimate:
        """Estimate I(X; Y) of each pair; arrays of the result have shape ``[pair]``."""
        ...


@runtime_checkable
class AllPairs(Protocol):
    """An estimator that has a faster way for every column of x with every column of y."""

    def pairwise(
        self,
        x: Float[np.ndarray, "sample a"],
        y: Float[np.ndarray, "sample b"],
        *,
        seed: int = 0,
        advance: Advance = ignore,
    ) -> Estimate:
        """Estimate I(X_a; Y_b) of all pairs; arrays of the result have shape ``[a, b]``."""
        ...


@dataclass(frozen=True)
class Layer:
    """The units recorded at one place of a network.

    Attributes:
        name: ``"input"``, ``"output"``, or the dotted name of the module whose output this is.
        kind: Class name of that module, for example ``"ReLU"``; ``"input"`` for the features.
        units: One name for each unit.
        shape: Of the picture that the units are in row-major order, for example ``(1, 28, 28)`` for pixels or
            ``(7, 7)`` for patches of them; empty for units without such an order.
    """

    name: str
    kind: str
    units: tuple[str, ...]
    shape: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.units)


@dataclass(frozen=True, eq=False)
class Links:
    """Weights of all links from the units of one layer to those of a later one (eq. 2).

    Attributes:
        source: Index of the earlier layer in the list of layers.
        target: Index of the later layer.
        nats: ``relevance - beta * redundancy`` for each link; may be negative.
        stderr: Standard error of `nats`.
        p_value: Of the relevance, against independence of the two sides.
        relevance: The information term alone, in nats.
        joined: Which units a path joins, such as a channel and the features it is flattened to; None where
            all are. Where none does there is no link: 0 nats, p-value 1, and no test.
    """

    source: int
    target: int
    nats: Float[np.ndarray, "source target"]
    stderr: Float[np.ndarray, "source target"]
    p_value: Float[np.ndarray, "source target"]
    relevance: Float[np.ndarray, "source target"]
    joined: Bool[np.ndarray, "source target"] | None = None

    @property
    def count(self) -> int:
        """How many links there are."""
        return int(self.nats.size if self.joined is None else self.joined.sum())


@dataclass(frozen=True, eq=False)
class AttributionErrors:
    """Standard errors of sums of links, from the rows of data that all links rest on.

    Attributes:
        by_class: Of each feature's attribution to each class.
        over_classes: Of its sum over all classes.
        shares: Of its share in the attribution of all features to all classes.
        inflow: Of the nats that come into each unit, of all layers in order; None where it is not known.
        outflow: Of those that go out of it.
        into_layers: Of those that come into all units of each layer.
        out_of_layers: Of those that go out of them.
    """

    by_class: Float[np.ndarray, "feature label"]
    over_classes: Float[np.ndarray, " feature"]
    shares: Float[np.ndarray, " feature"]
    inflow: Float[np.ndarray, " unit"] | None = None
    outflow: Float[np.ndarray, " unit"] | None = None
    into_layers: Float[np.ndarray, " layer"] | None = None
    out_of_layers: Float[np.ndarray, " layer"] | None = None


@dataclass(frozen=True, eq=False)
class Recording:
    """The activations of a trained network on data, layer by layer.

    Attributes:
        layers: Input, hidden layers, output, in order of execution.
        activations: One array for each layer.
        connections: ``(source, target)`` indices of the layers that feed one another directly.
        labels: The labels that came with the data, when it yielded ``(x, y)``.
        joined: For each connection, which units a path joins; None where all are. Empty: all in every one.
    """

    layers: tuple[Layer, ...]
    activations: tuple[Float[np.ndarray, "sample _"], ...]
    connections: tuple[tuple[int, int], ...]
    labels: np.ndarray | None = None
    joined: tuple[Bool[np.ndarray, "source target"] | None, ...] = ()

    def joined_between(self, source: int, target: int) -> Bool[np.ndarray, "source target"] | None:
        """Which units of two connected layers a path joins; None where all are."""
        return self.joined[self.connections.index((source, target))] if self.joined else None

    @property
    def not_joined(self) -> int:
        """Pairs of units of connected layers that no path joins."""
        return sum(int((~flags).sum()) for flags in self.joined if flags is not None)

    @property
    def samples(self) -> int:
        """Rows of data that were recorded."""
        return len(self.activations[0])

    def constant(self) -> tuple[Bool[np.ndarray, " _"], ...]:
        """Which units of each layer had one value on all the data."""
        return tuple(np.ptp(values, axis=0) == 0 for values in self.activations)
