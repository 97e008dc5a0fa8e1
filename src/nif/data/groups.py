"""Groups of inputs, so that a unit is a patch of an image and not a pixel."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nif.core.errors import InputError


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


def groups(given: Any, shape: tuple[int, ...]) -> Groups:
    """Groups of the inputs.

    Args:
        given: The side of a square patch in pixels, the sides ``(rows, columns)``, or an array that holds the
            number of the group of each input, from 0 up. All channels of a patch are one group.
        shape: Of one row of the data.

    Raises:
        InputError: The patch does not fit the input, or the array is not as long as it, or skips a number.

    Example:
        >>> groups((2, 2), (3, 4, 4)).names
        ('x[0:2,0:2]', 'x[0:2,2:4]', 'x[2:4,0:2]', 'x[2:4,2:4]')
    """
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
        raise InputError(
            f"input_groups is a patch of {'x'.join(map(str, sides))}; a row of the data has shape "
            f"{list(shape)}. Pass a patch that fits, or an array with the number of each input's group."
        )
    axes = list(zip(sides, image, strict=True))
    spans = [[f"{at}:{min(at + side, length)}" for at in range(0, length, side)] for side, length in axes]
    names = tuple(f"x[{','.join(patch)}]" for patch in itertools.product(*spans))
    counts = tuple(map(len, spans))
    places = np.meshgrid(*(np.arange(length) // side for side, length in axes), indexing="ij")
    index = np.broadcast_to(np.ravel_multi_index(places, counts), shape).ravel().astype(np.int64)
    return Groups(index, names, counts if len(counts) > 1 else ())


def _by_index(given: Any, shape: tuple[int, ...]) -> Groups:
    index = np.asarray(given)
    features = int(np.prod(shape))
    if index.dtype.kind not in "iu":
        raise InputError(
            f"input_groups holds {index.dtype} values; expected whole numbers, or the side of a patch."
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
    return Groups(index, tuple(f"group[{number}]" for number in range(count)))
