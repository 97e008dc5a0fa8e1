"""Rows of data as checked tensors, and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from nif.core.blocks import block_of_rows
from nif.core.errors import InputError
from nif.data.groups import Groups


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of data for a network, in their order.

    Attributes:
        inputs: One tensor for each input of the network; the first axis is the sample.
        labels: One label for each row, if the data yield ``(x, y)``.
        feature_names: One for each feature or group, if the user or the data name them.
        names: The parameters of the model's ``forward`` that the inputs are for; none for a single input.
        groups: The features that are measured together; None if each is measured by itself.
        constants: Arguments of the model that are the same for all rows, by their parameter.
        flat: Numbers of the inputs that came as one number a row, ``[sample]``; here they have one column.
        numbers: Of the rows in the data that they were drawn from; None if these are all of them.

    Raises:
        InputError: An input has no axis of features, or inputs and labels differ in length.
    """

    inputs: tuple[Shaped[Tensor, "..."], ...]
    labels: Shaped[np.ndarray, "..."] | None = None
    feature_names: tuple[str, ...] | None = None
    names: tuple[str, ...] = ()
    groups: Groups | None = None
    constants: Mapping[str, Any] = field(default_factory=dict)
    flat: tuple[int, ...] = ()
    numbers: Int64[np.ndarray, " sample"] | None = None

    def __post_init__(self) -> None:
        for values in self.inputs:
            if values.ndim < 2 or 0 in values.shape:
                raise InputError(
                    f"The data have shape {list(values.shape)}; expected [sample, feature] with at least one "
                    "of each. Of one number a row, pass [sample, 1], such as ids[:, None]."
                )
        lengths = [len(values) for values in self.inputs]
        lengths += [] if self.labels is None else [len(self.labels)]
        if len(set(lengths)) > 1:
            raise InputError(
                f"Inputs and labels have {lengths} rows; expected one row of each input, and one label, for "
                "each sample."
            )

    def __len__(self) -> int:
        return len(self.inputs[0])

    @property
    def first(self) -> Shaped[Tensor, "sample ..."]:
        """The rows of the first input."""
        return self.inputs[0]

    def blocks(self, blocks: Any) -> Int64[np.ndarray, " sample"]:
        """The block of each row; see `nif.core.blocks.block_of_rows`."""
        numbers = np.arange(len(self)) if self.numbers is None else self.numbers
        return block_of_rows(blocks, numbers, len(self) if self.numbers is None else None)

    def at(self, index: Int64[np.ndarray, " kept"]) -> Rows:
        """The rows at these indices.

        Example:
            >>> Rows((torch.arange(6.0).reshape(3, 2),)).at(np.array([0, 2])).first.tolist()
            [[0.0, 1.0], [4.0, 5.0]]
        """
        kept = torch.from_numpy(index)
        inputs = tuple(values[kept.to(values.device)] for values in self.inputs)
        labels, numbers = (of if of is None else of[index] for of in (self.labels, self.numbers))
        return replace(self, inputs=inputs, labels=labels, numbers=numbers)


@dataclass(frozen=True, eq=False)
class Source:
    """One kind of data, before rows are drawn.

    Attributes:
        length: Number of rows, if it is known before they are read.
        batches: Yields the rows at some indices, in rising order, or all rows for None.
        indexed: Whether rows can be chosen by index; else all are read, and some are kept.
    """

    length: int | None
    batches: Callable[[Int64[np.ndarray, " kept"] | None], Generator[Rows]]
    indexed: bool = True
