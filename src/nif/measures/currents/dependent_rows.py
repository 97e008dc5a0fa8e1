"""Groups for the errors of rows that depend on each other: whole blocks are left out."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int64

from nif.core.errors import InputError
from nif.data.rows import Rows
from nif.measures.currents.grouped_sums import GROUPS
from nif.measures.currents.sample import Given


def groups_of_blocks(blocks: Any, rows: Rows, given: Given | None) -> Int64[np.ndarray, " row"]:
    """The group of each row: a tenth of the blocks, in their order, so that few neighbours are in two groups.

    Args:
        blocks: Number of rows that follow each other in a block, or a label for each row.
        rows: Of data, of which some may have been drawn.
        given: Background rows that come with the data, which have no blocks.

    Raises:
        InputError: Fewer than ten blocks, not a label for each row, or other rows are explained or compared.
    """
    if given is not None:
        raise InputError("blocks are those of rows of data; omit them with background= or explain=.")
    numbers = np.arange(len(rows)) if rows.numbers is None else np.asarray(rows.numbers)
    if isinstance(blocks, Integral) and not isinstance(blocks, bool):
        if blocks < 1:
            raise InputError(f"blocks is {blocks}; expected 1 row or more in each.")
        labels = numbers // int(blocks)
    else:
        known, count = np.asarray(blocks), len(rows) if rows.numbers is None else None
        if known.ndim != 1 or len(known) <= numbers.max() or len(known) != (count or len(known)):
            raise InputError(
                f"blocks has shape {list(known.shape)}; expected a number of rows, or one label for each row "
                "of data."
            )
        labels = known[numbers]
    index, names = pd.factorize(labels, sort=True)
    if len(names) < GROUPS or (index < 0).any():
        raise InputError(
            f"The rows are of {len(names)} blocks{', and some of none' * bool((index < 0).any())}; expected "
            f"{GROUPS} or more, as errors come from leaving them out. Pass smaller blocks."
        )
    return index.astype(np.int64) * GROUPS // len(names)
