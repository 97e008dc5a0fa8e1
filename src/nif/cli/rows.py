"""Rows with their labels, as pruning takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils.data import TensorDataset

from nif.cli.data import Data
from nif.contracts import InputError
from nif.recording.rows import rows


def with_labels(data: Data) -> Any:
    """The inputs alone, or with the class of each row.

    Raises:
        InputError: A label is not a whole number.
    """
    if data.y is None:
        return data.x
    if not np.array_equal(data.y, np.round(data.y)):
        raise InputError("The label column holds numbers that are not whole; expected the class of each row.")
    return TensorDataset(rows(data.x).inputs, torch.from_numpy(data.y.astype(np.int64)))
