"""The currents of the features for each class: a few walks back, each of one class in one row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nif.core.errors import InputError
from nif.measures.currents.decisions import of_rows
from nif.measures.currents.ends import Ends, Slopes
from nif.measures.currents.information import Decided
from nif.measures.currents.kinds import Samples
from nif.measures.currents.row_values import MOST_OF_ROWS, terms
from nif.measures.currents.sample import Sample
from nif.measures.currents.tape import Tape
from nif.measures.currents.walk import Left, Walk, mean_left

LARGEST_LEFT = 2**26
"""Numbers of the slopes that are kept over the steps of a block; more are walked back in every step."""

NEGLIGIBLE = 1e-3
"""Part of the weight of all columns of a block whose currents need not be told apart. No current was then
more than 6e-4 of the total from that of a walk for each column, where doubled steps may change it by .01."""

TINY = 1e-30
"""In place of a weight of 0 that nothing is divided by."""

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


def columns_of(by_class: bool | Sequence[int], classes: int) -> int:
    """How many columns there are for a number of classes.

    Example:
        >>> columns_of(True, 10), columns_of(True, 1000), columns_of((3, 5), 10), columns_of(False, 10)
        (10, 11, 3, 0)
    """
    if isinstance(by_class, bool):
        every = classes if classes <= MOST_COLUMNS else LARGEST_CLASSES + 1
        return every if by_class and classes > 1 else 0
    return len(set(by_class)) + 1


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


@dataclass(frozen=True, eq=False)
class Walks:
    """Which column each walk back is of, row by row: the columns of the largest weight, and one for the rest.

    A trained network gives most rows few classes of any weight, so a few walks do for many classes. What the
    walks leave of the currents of all classes is shared in proportion to the weight of the other columns; of
    these all but the largest have no more than `NEGLIGIBLE` of the weight, so that this is as good as exact.
    It is exact where one column is left. The columns add up to all in any case.

    Attributes:
        columns: Of each walk, the column at each row.
        rest: Of what the walks leave of a row, the share of each column; None if each column has a walk.
    """

    columns: Int64[Tensor, "walk row"]
    rest: Float[Tensor, "row column"] | None

    @classmethod
    def of(cls, weight: Float[Tensor, "row column"], *, all_walk: bool = False) -> Walks:
        """As few as do for the weights of columns; or one for each column.

        Example:
            >>> walks = Walks.of(torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.2, 0.8]]))
            >>> walks.columns.tolist(), walks.rest.tolist()
            ([[0, 2]], [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
        """
        order = weight.argsort(dim=1, descending=True, stable=True)
        if all_walk:
            return cls(order.T, None)
        left = weight.gather(1, order).double().flip(1).cumsum(1).flip(1).sum(0)
        walks = int((left[1:] > NEGLIGIBLE * left[0]).sum())
        rest = weight.scatter(1, order[:, :walks], 0.0)
        largest = torch.zeros_like(rest).scatter(1, order[:, :1], 1.0)  # of rows of which nothing is left
        whole = rest.sum(1, keepdim=True)
        return cls(order[:, :walks].T, torch.where(whole > 0, rest / whole.clamp_min(TINY), largest))


class ClassColumns:
    """The class columns of one block, over its steps.

    Args:
        columns: Of each outcome.
        weight: Of the outcomes of each row.
        rows: Of each pair, its row in the block.
        bounds: First pair of each group of backgrounds, and the number of pairs.
        features: From currents of the inputs to those of the features, ``[pair, feature]``.
        apart: Whether columns are independent decisions, so that a feature that one does not use must carry
            exactly 0 there; each then has a walk.

    Attributes:
        of_rows: Sums of each row, ``[label, row, feature]``, if they are kept.
    """

    def __init__(
        self,
        columns: Columns,
        weight: Float[Tensor, "row outcome"],
        rows: Int64[Tensor, " pair"],
        bounds: Sequence[int],
        features: Callable[[Sequence[Tensor]], Tensor],
        *,
        apart: bool,
    ) -> None:
        self._columns = torch.tensor(columns.of_outcomes, device=weight.device)
        self._rows, self._bounds, self._features = rows.to(weight.device), bounds, features
        of_columns = weight.new_zeros(len(weight), max(columns.of_outcomes) + 1).index_add_(
            1, self._columns, weight.abs()
        )
        self._of = of_columns.shape[1]
        self._walks = Walks.of(of_columns, all_walk=apart)
        self._count = len(self._walks.columns)
        groups = torch.arange(len(bounds) - 1).repeat_interleave(torch.tensor(bounds).diff())
        self._groups, self._group_count = groups.to(weight.device), len(bounds) - 1
        self._by_row, self._row_count = columns.by_row, len(weight)
        self._walked: Tensor | None = None
        self._sums: Tensor | None = None
        self.of_rows: Tensor | None = None

    def begin(self, straight: frozenset[int]) -> None:
        """Begin to add steps; slopes at these values are added up, see `nif.measures.currents.straight`."""
        self._straight, self._steps = straight, 0
        self._left: list[Left] = [{} for _ in range(self._count)]

    def add(
        self, start: Tape, end: Tape, seeds: Float[Tensor, "row_of_step outcome"], known: dict[int, Ends]
    ) -> None:
        """Add a step, by the slopes at the information of all outcomes; `known` is that of another walk."""
        last = {
            index
            for operation in start.operations
            if self._straight.isdisjoint(operation.written)
            for index in self._straight.intersection(operation.read)
        }
        self._steps += 1
        left = self._count * sum(start.shape(index).numel() for index in last)
        stop = self._straight if left <= LARGEST_LEFT else frozenset[int]()
        steps = {} if stop else _steps(start, end)
        for number, columns in enumerate(self._walks.columns):
            walk = Walk(start, end, stop=stop, left=self._left[number], known=known)
            mask = (columns[:, None] == self._columns).repeat_interleave(len(seeds) // self._row_count, 0)
            slopes = walk.back({start.outputs[0]: torch.where(mask, seeds, 0.0)})
            if not stop:
                self._add_currents(slopes, steps, number)

    def end(self, start: Tape, end: Tape) -> None:
        """Add what is left at straight values, from the tapes of both ends of all steps."""
        known: dict[int, Ends] = {}
        steps = _steps(start, end) if any(self._left) else {}
        for number, slopes in enumerate(self._left):
            if slopes:
                left = mean_left(slopes, self._steps)
                self._add_currents(Walk(start, end, known=known).on(left), steps, number)

    def sums(self, whole: Float[Tensor, "pair feature"]) -> list[Float[Tensor, "feature column"]]:
        """The sums of each group of backgrounds, from the currents of all columns together."""
        if self._walks.rest is not None:
            self._share(whole if self._walked is None else whole - self._walked, self._walks.rest)
        assert self._sums is not None
        return [group.T for group in self._sums]

    def _add_currents(self, slopes: Slopes, steps: Slopes, number: int) -> None:
        """Add currents to the column that a walk is of, row by row."""
        current = self._features([slopes[index] * step for index, step in steps.items()])
        columns = self._walks.columns[number][self._rows]
        sums, of_rows = self._tables(current)
        sums.flatten(0, 1).index_add_(0, self._groups * self._of + columns, current)
        if of_rows is not None:
            of_rows.flatten(0, 1).index_add_(0, columns * self._row_count + self._rows, current)
        if self._walks.rest is not None:
            self._walked = current if self._walked is None else self._walked.add_(current)

    def _share(self, left: Float[Tensor, "pair feature"], shares: Float[Tensor, "row column"]) -> None:
        """Add what the walks left, by the share of each column."""
        sums, of_rows = self._tables(left)
        by_pair = shares.to(left.dtype)[self._rows]
        for group, (first, last) in enumerate(pairwise(self._bounds)):
            sums[group] += by_pair[first:last].T @ left[first:last]
        if of_rows is not None:
            by_row = left.new_zeros(self._row_count, left.shape[1]).index_add_(0, self._rows, left)
            of_rows += shares.to(left.dtype).T[:, :, None] * by_row

    def _tables(self, like: Tensor) -> tuple[Tensor, Tensor | None]:
        """The sums of each group and column, and those of each column and row if they are kept."""
        features = like.shape[1]
        if self._sums is None:
            self._sums = like.new_zeros(self._group_count, self._of, features)
            self.of_rows = like.new_zeros(self._of, self._row_count, features) if self._by_row else None
        return self._sums, self.of_rows


def _steps(start: Tape, end: Tape) -> Slopes:
    """Of the inputs."""
    return {index: end.values[index] - start.values[index] for index in start.inputs}
