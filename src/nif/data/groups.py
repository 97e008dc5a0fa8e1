"""Groups of inputs, so that a unit is a patch of an image and not a pixel, or a category and not a column."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from nif.core.errors import InputError

FEWEST_ROWS = 5
"""Rows of each distinct value of a group, on average, for it to count as a category."""

SEPARATOR = r"[_=:.\[]+"
"""Marks in the name of a one-hot column, behind one of which the category stands."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Which group each input feature belongs to.

    Attributes:
        index: Number of the group of each feature.
        names: One for each group.
        shape: Of the image that the groups form; empty if they are no patches.
    """

    index: Int64[np.ndarray, " feature"]
    names: tuple[str, ...]
    shape: tuple[int, ...] = ()

    def means(self, inputs: Float[Tensor, "row feature"]) -> Float[Tensor, "row group"]:
        """The mean of each group.

        Example:
            >>> groups(2, (1, 2, 4)).means(torch.arange(8.0)[None])
            tensor([[2.5000, 4.5000]])
        """
        index = torch.from_numpy(self.index)
        sums = inputs.new_zeros((len(inputs), len(self.names))).index_add_(1, index, inputs)
        return sums / torch.bincount(index, minlength=len(self.names)).to(inputs.dtype)

    def numbers(self, inputs: Float[Tensor, "row feature"]) -> Float[Tensor, "row group"]:
        """One number of each group in each row, which tells what the group is.

        Of a group of few distinct values, such as one-hot columns, whose mean is constant, it is the number
        of the value, in order of the means; of others, such as patches of an image, the mean.

        Example:
            >>> one_hot = groups([0, 0, 0, 1], (4,))
            >>> rows = torch.tensor([[1.0, 0, 0, 5], [0, 1, 0, 5], [0, 0, 1, 7]] * 5)
            >>> one_hot.numbers(rows)[:3].tolist()
            [[2.0, 5.0], [1.0, 5.0], [0.0, 7.0]]
        """
        numbers, sizes = self.means(inputs), np.bincount(self.index)
        for group in np.flatnonzero(sizes > 1):
            values = inputs[:, torch.from_numpy(np.flatnonzero(self.index == group))].numpy()
            some = values[:: max(1, len(values) // 1000)]  # to see quickly that there are many
            if len(np.unique(some, axis=0)) > max(2, len(some) // FEWEST_ROWS):
                continue
            distinct, number = np.unique(values, axis=0, return_inverse=True)
            if len(distinct) <= max(2, len(values) // FEWEST_ROWS):
                rank = np.argsort(np.argsort(distinct.mean(1), kind="stable"))
                numbers[:, group] = torch.from_numpy(rank[number.ravel()]).to(numbers.dtype)
        return numbers


def groups(
    given: Any,
    shape: tuple[int, ...],
    names: Sequence[str] | None = None,
    values: Shaped[Tensor, "row ..."] | None = None,
) -> Groups:
    """Groups of the inputs.

    Args:
        given: The side of a square patch in pixels, the sides ``(rows, columns)``, or an array that holds the
            number of the group of each input, from 0 up, or its name. All channels of a patch are one group.
            ``"one-hot"``: columns of 0 and 1 whose names begin alike, such as ``sex_f`` and ``sex_m``, of
            which at most one is 1 in a row; each other column is by itself.
        shape: Of one row of the data.
        names: Of the columns, for ``"one-hot"``.
        values: Rows of data, for ``"one-hot"``.

    Raises:
        InputError: The patch does not fit the input, or the array is not as long as it, or skips a number, or
            the data have no named one-hot columns.

    Example:
        >>> groups((2, 2), (3, 4, 4)).names
        ('x[0:2,0:2]', 'x[0:2,2:4]', 'x[2:4,0:2]', 'x[2:4,2:4]')
    """
    if isinstance(given, str):
        return _one_hot(given, names, values)
    if isinstance(given, (int, np.integer)):
        given = (int(given),) * min(2, len(shape))
    if isinstance(given, tuple) and all(isinstance(side, (int, np.integer)) for side in given):
        return _patches(tuple(map(int, given)), shape)
    return _by_index(given, shape)


def _patches(sides: tuple[int, ...], shape: tuple[int, ...]) -> Groups:
    image = shape[len(shape) - len(sides) :]
    if len(sides) > len(shape) or not all(
        1 <= side <= length for side, length in zip(sides, image, strict=True)
    ):
        last = " Channels come first: pass x.movedim(-1, 1)." if len(shape) == 3 and shape[-1] <= 4 else ""
        raise InputError(
            f"input_groups is a patch of {'x'.join(map(str, sides))}; a row of the data has shape "
            f"{list(shape)}. Pass a patch that fits, or an array with the number of each input's group.{last}"
        )
    axes = list(zip(sides, image, strict=True))
    spans = [[f"{at}:{min(at + side, length)}" for at in range(0, length, side)] for side, length in axes]
    names = tuple(f"x[{','.join(patch)}]" for patch in itertools.product(*spans))
    counts = tuple(map(len, spans))
    places = np.meshgrid(*(np.arange(length) // side for side, length in axes), indexing="ij")
    index = np.broadcast_to(np.ravel_multi_index(places, counts), shape).ravel().astype(np.int64)
    return Groups(index, names, counts if len(counts) > 1 else ())


def _by_index(given: Any, shape: tuple[int, ...]) -> Groups:
    index, called = np.asarray(given), None
    features = int(np.prod(shape))
    if index.dtype.kind in "UO" and all(isinstance(name, str) for name in index.flat):
        called = tuple(dict.fromkeys(index.ravel().tolist()))
        index = np.array([called.index(name) for name in index.flat]).reshape(index.shape)
    if index.dtype.kind not in "iu":
        raise InputError(
            f"input_groups holds {index.dtype} values; expected whole numbers, names, or the side of a patch."
        )
    if index.size != features:
        if index.shape != shape[len(shape) - index.ndim :]:
            raise InputError(
                f"input_groups has shape {list(index.shape)}; expected {list(shape)}, the shape of one row."
            )
        index = np.broadcast_to(index, shape)
    index = index.ravel().astype(np.int64)
    count = int(index.max()) + 1
    if index.min() < 0 or len(np.unique(index)) != count:
        raise InputError("input_groups must number the groups 0, 1, 2, … without gaps.")
    return Groups(index, called or tuple(f"group[{number}]" for number in range(count)))


def _one_hot(given: str, names: Sequence[str] | None, values: Tensor | None) -> Groups:
    if given != "one-hot" or names is None or values is None or values.dim() != 2:
        raise InputError(
            f"input_groups is {given!r}; expected 'one-hot' with data whose columns have names, a patch, or "
            "the number or name of each input's group."
        )
    whole = _blocks(names, values.detach().cpu().double().numpy())
    if not whole:
        raise InputError(
            "input_groups is 'one-hot', but no columns whose names begin alike have two values each, and at "
            "most one of the larger in a row. Pass the name of each column's group."
        )
    return _by_index([whole.get(column, name) for column, name in enumerate(names)], (len(names),))


def _blocks(names: Sequence[str], table: Float[np.ndarray, "row feature"]) -> dict[int, str]:
    """The name of the block of each one-hot column: as many whose names begin alike, and exclude each other.

    Names of categories may have marks too, such as New_York, and names of blocks may begin alike, such as
    city and city_size. So those come first of which a row has exactly one, then those of most columns, and
    others are looked for anew among the columns that are left.
    """
    two = ((table == table.min(0)) | (table == table.max(0))).all(0)
    large = (table > table.min(0)) & (table == table.max(0))
    begun: dict[str, list[int]] = {}
    for column in np.flatnonzero(two).tolist():
        for mark in re.finditer(SEPARATOR, names[column]):
            begun.setdefault(names[column][: mark.start()], []).append(column)
    blocks: dict[int, str] = {}
    while True:
        free = {tuple(c for c in columns if c not in blocks): start for start, columns in begun.items()}
        ones = {columns: large[:, columns].sum(1) for columns in free if len(columns) > 1}
        fit = [columns for columns, count in ones.items() if (count <= 1).all()]
        if not fit:
            return blocks
        exact = [columns for columns in fit if (ones[columns] == 1).all()]
        for columns in sorted(exact or fit, key=len, reverse=True):
            if blocks.keys().isdisjoint(columns):
                blocks |= dict.fromkeys(columns, free[columns] + "_" * (free[columns] in names))
