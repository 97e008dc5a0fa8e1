"""Rows that depend on each other: the block of each row, as users state it."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int, Int64

from nif.core.errors import InputError

FEWEST_BLOCKS = 10
"""Of which errors can be computed."""


def block_of_rows(
    blocks: Any, numbers: Int[np.ndarray, " row"], count: int | None
) -> Int64[np.ndarray, " row"]:
    """The number of the block of each row, from 0, in the order of the blocks.

    Args:
        blocks: Number of rows that follow each other in a block, or a label for each row of the data.
        numbers: Of the rows in the data, of which some may have been drawn.
        count: Of the rows of the data, where it is known.

    Raises:
        InputError: Fewer than ten blocks, or not a label for each row.

    Example:
        >>> block_of_rows(3, np.arange(30), 30)[:7].tolist()
        [0, 0, 0, 1, 1, 1, 2]
    """
    if isinstance(blocks, Integral) and not isinstance(blocks, bool):
        if blocks < 1:
            raise InputError(f"blocks is {blocks}; expected 1 row or more in each.")
        labels = numbers // int(blocks)
    else:
        known = np.asarray(blocks)
        if known.ndim != 1 or len(known) <= numbers.max() or len(known) != (count or len(known)):
            raise InputError(
                f"blocks has shape {list(known.shape)}; expected a number of rows, or one label for each row "
                "of data."
            )
        labels = known[numbers]
    index, names = pd.factorize(labels, sort=True)
    if len(names) < FEWEST_BLOCKS or (index < 0).any():
        raise InputError(
            f"The rows are of {len(names)} blocks{', and some of none' * bool((index < 0).any())}; expected "
            f"{FEWEST_BLOCKS} or more, as errors come from leaving them out. Pass smaller blocks."
        )
    return index.astype(np.int64)
