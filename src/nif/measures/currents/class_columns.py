"""The currents of the features for each class: slopes of all classes walk back together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nif.core.errors import InputError
from nif.measures.currents.decisions import of_rows
from nif.measures.currents.information import Decided
from nif.measures.currents.kinds import Samples
from nif.measures.currents.row_values import MOST_OF_ROWS, terms
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
        by_row: Whether the currents of each row are kept.
    """

    of_outcomes: tuple[int, ...]
    classes: tuple[int, ...] | None = None
    by_row: bool = False

    @classmethod
    def of(
        cls,
        decided: Decided,
        outputs: Float[Tensor, "data output"],
        samples: Samples,
        chosen: Sequence[int] | None = None,
        features: int = MOST_OF_ROWS,
    ) -> Columns:
        """A column for each class, or for the largest ones and the rest; or for those that are chosen.

        Args:
            decided: The decision.
            outputs: Of all rows of data.
            samples: The explained rows.
            chosen: Classes to show.
            features: Their number, by which the currents of rows are few enough to be kept.

        Raises:
            InputError: There is no class of that number.
        """
        count = max(decided.columns) + 1
        classes = _of_all(count, chosen) if chosen is not None or count <= MOST_COLUMNS else None
        if classes is None:
            totals = np.zeros(count)
            for kind in samples.kinds:
                index = torch.from_numpy(kind.members).to(outputs.device)
                totals += kind.share * class_totals(of_rows(decided, index), outputs[index], kind.sample)
            classes = sorted(np.argsort(-totals, kind="stable")[:LARGEST_CLASSES].tolist())
        places = {number: place for place, number in enumerate(classes)}
        of_outcomes = tuple(places.get(number, len(classes)) for number in decided.columns)
        by_row = len(samples.rows) * features * (max(of_outcomes) + 1) <= MOST_OF_ROWS
        return cls(of_outcomes, tuple(classes) if len(classes) < count else None, by_row)

    def names(self, names: Sequence[str]) -> tuple[str, ...]:
        """Of the columns, from those of all classes."""
        if self.classes is None:
            return tuple(names)
        return (*(names[number] for number in self.classes), REST)


def class_totals(
    decided: Decided, outputs: Float[Tensor, "data output"], sample: Sample
) -> Float[np.ndarray, " label"]:
    """What the currents of each class sum to: the rise of its own term of v."""
    totals = np.zeros(max(decided.columns) + 1)
    for part, start, end in terms(decided, outputs, sample):
        np.add.at(totals, np.array(decided.columns), sample.weights[part] @ (end - start).numpy(force=True))
    return totals


def _of_all(count: int, chosen: Sequence[int] | None) -> list[int]:
    """All classes, or those that are chosen."""
    wrong = [number for number in chosen or () if not 0 <= number < count]
    if wrong:
        raise InputError(f"There is no class {wrong[0]}; expected numbers of classes from 0 to {count - 1}.")
    return list(range(count)) if chosen is None else sorted(set(chosen))


class ClassColumns:
    """The class columns of one block, over its steps.

    Args:
        columns: Of each outcome.
        bounds: First pair of each group of backgrounds, and the number of pairs.
        rows: Number of the row of each pair, and the number of rows.
        features: From currents of the inputs to those of the features, ``[pair, feature]``.

    Attributes:
        of_rows: Sums of each row, ``[label, row, feature]``, if they are kept.
    """

    def __init__(
        self,
        columns: Columns,
        bounds: Sequence[int],
        rows: tuple[Tensor, int],
        features: Callable[[Sequence[Tensor]], Tensor],
    ) -> None:
        self._columns, self._bounds, self._features = torch.tensor(columns.of_outcomes), bounds, features
        self._count = max(columns.of_outcomes) + 1
        self._sums: list[Tensor] = []
        self._rows, self._by_row = rows, columns.by_row
        self.of_rows: Tensor | None = None

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
        if self._by_row:
            index, rows = self._rows
            if self.of_rows is None:
                self.of_rows = current.new_zeros(self._count, rows, current.shape[2])
            self.of_rows[part] = self.of_rows[part].index_add(1, index.to(current.device), current)
