"""Groups for the errors of rows that depend on each other: whole blocks are left out."""

from __future__ import annotations

from typing import Any

import numpy as np
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
    block = rows.blocks(blocks)
    return block * GROUPS // (block.max() + 1)
