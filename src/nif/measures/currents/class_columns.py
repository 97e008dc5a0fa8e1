"""The currents of the features for each class: slopes of all classes walk back together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nif.measures.currents.decisions import of_rows
from nif.measures.currents.information import CHUNK, Decided, information, own_log_likelihood
from nif.measures.currents.kinds import Samples
from nif.measures.currents.sample import Sample
from nif.measures.currents.tape import Tape
from nif.measures.currents.walk import DECISION, Walk

AT_ONCE = 2**23
"""Numbers of the slopes of several classes at the largest value, beyond which fewer classes walk together."""

LARGEST_LEFT = 2**26
"""Numbers of the slopes that are kept over the steps of a block; more are walked back in every step."""


MOST_COLUMNS = 20
"""Classes up to which each has a column of its own."""

LARGEST_CLASSES = 10
"""Of more classes, those with the largest totals have columns of their own; the rest have one together."""

REST = "the rest"


@dataclass(frozen=True)
class Columns:
    """Which class each column of the attribution shows.

    Attributes:
        of_outcomes: The column of each outcome.
        classes: The class of each column, but for a last one of all other classes; None if every class has
            its own.
    """

    of_outcomes: tuple[int, ...]
    classes: tuple[int, ...] | None = None

    @classmethod
    def of(cls, decided: Decided, outputs: Float[Tensor, "data output"], samples: Samples) -> Columns:
        """A column for each class, or for the largest ones and the rest."""
        if max(decided.columns) < MOST_COLUMNS:
            return cls(decided.columns)
        totals = np.zeros(max(decided.columns) + 1)
        for kind in samples.kinds:
            index = torch.from_numpy(kind.members).to(outputs.device)
            totals += kind.share * class_totals(of_rows(decided, index), outputs[index], kind.sample)
        largest = sorted(np.argsort(-totals, kind="stable")[:LARGEST_CLASSES].tolist())
        places = {number: place for place, number in enumerate(largest)}
        return cls(tuple(places.get(number, len(largest)) for number in decided.columns), tuple(largest))

    def names(self, names: Sequence[str]) -> tuple[str, ...]:
        """Of the columns, from those of all classes."""
        if self.classes is None:
            return tuple(names)
        return (*(names[number] for number in self.classes), REST)


def class_totals(
    decided: Decided, outputs: Float[Tensor, "data output"], sample: Sample
) -> Float[np.ndarray, " label"]:
    """What the currents of each class sum to: the rise of its own term of v."""
    totals, columns = np.zeros(max(decided.columns) + 1), np.array(decided.columns)
    backgrounds, log_weights = sample.backgrounds, torch.from_numpy(sample.backgrounds.log_weights)
    few = max(1, CHUNK // (len(columns) * backgrounds.index.shape[1]))
    for first in range(0, len(sample.rows), few):
        part = slice(first, first + few)
        rows = torch.from_numpy(sample.rows[part]).to(outputs.device)
        outcomes = decided.outcomes(outputs[rows], rows)
        own = own_log_likelihood(outcomes, outputs[rows])
        there = sample.pool[torch.from_numpy(backgrounds.index[part]).to(sample.pool.device)]
        itself = own + float(np.log(backgrounds.own)) if backgrounds.own > 0 else None
        rise = own - information(outcomes, there, log_weights[part].to(outputs), itself)
        terms = torch.where(outcomes.weight > 0, outcomes.weight * rise, 0.0).double().numpy(force=True)
        np.add.at(totals, columns, sample.weights[part] @ terms)
    return totals


class ClassColumns:
    """The class columns of one block, over its steps.

    Args:
        columns: Of each outcome.
        bounds: First pair of each group of backgrounds, and the number of pairs.
        features: From currents of the inputs to those of the features, ``[pair, feature]``.
    """

    def __init__(
        self, columns: Sequence[int], bounds: Sequence[int], features: Callable[[Sequence[Tensor]], Tensor]
    ) -> None:
        self._columns, self._bounds, self._features = torch.tensor(columns), bounds, features
        self._count = max(columns) + 1
        self._sums: list[Tensor] = []

    def begin(self, straight: frozenset[int]) -> None:
        """Begin to add steps; slopes at these values are added up, see `nif.measures.currents.straight`."""
        self._straight, self._steps = straight, 0
        self._left: dict[int, dict[int, Tensor]] = {}

    def add(self, start: Tape, end: Tape, seeds: Float[Tensor, "row outcome"]) -> None:
        """Add a step, by the slopes at the information of all outcomes."""
        masks = (self._columns == torch.arange(self._count)[:, None]).to(seeds)[:, None]
        last = {
            index
            for operation in start.operations
            if self._straight.isdisjoint(operation.written)
            for index in self._straight.intersection(operation.read)
        }
        self._steps += 1
        left = self._count * sum(start.shape(index).numel() for index in last)
        kept = bool(self._straight) and left <= LARGEST_LEFT
        for part in self._parts(start):
            walk = Walk(start, end, stop=self._straight if kept else frozenset(), stacked=True)
            slopes = walk.back({start.outputs[0]: seeds * masks[part]})
            if not kept:
                self._add_currents(start, end, slopes, part)
            for index, ahead in walk.left.items():
                if index not in self._left:
                    shape = (self._count, *start.shape(index))
                    self._left[index] = {DECISION: ahead[DECISION].new_zeros(shape)}
                self._left[index][DECISION][part] += ahead[DECISION]

    def end(self, start: Tape, end: Tape) -> None:
        """Add what is left at straight values, from the tapes of both ends of all steps."""
        for part in self._parts(start) if self._left else ():
            left = {i: {DECISION: slopes[DECISION][part] / self._steps} for i, slopes in self._left.items()}
            self._add_currents(start, end, Walk(start, end, stacked=True).on(left), part)

    @property
    def sums(self) -> list[Float[Tensor, "feature label"]]:
        """The sums of each group of backgrounds."""
        return [group.T for group in self._sums]

    def _parts(self, tape: Tape) -> Iterator[slice]:
        """Classes that walk together."""
        largest = max(tape.shape(index).numel() for index in tape.moving)
        few = max(1, AT_ONCE // largest)
        return (slice(first, first + few) for first in range(0, self._count, few))

    def _add_currents(self, start: Tape, end: Tape, slopes: dict[int, Tensor], part: slice) -> None:
        count = len(range(self._count)[part])
        steps = [(index, end.values[index] - start.values[index]) for index in start.inputs]
        currents = [(slopes[i] * step).expand(count, *step.shape) for i, step in steps]
        current = torch.stack([self._features([moved[n] for moved in currents]) for n in range(count)])
        for group, (first, last) in enumerate(pairwise(self._bounds)):
            if len(self._sums) <= group:
                self._sums.append(current.new_zeros(self._count, current.shape[2]))
            self._sums[group][part] += current[:, first:last].sum(1)
