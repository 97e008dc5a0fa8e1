"""Rows with their labels, as pruning takes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from nif.cli.data import Data
from nif.contracts import InputError
from nif.recording.arguments import Arguments
from nif.recording.rows import rows


def with_labels(data: Data, model: nn.Module) -> Any:
    """The inputs of a model alone, or with the class of each row.

    Raises:
        InputError: A label is not a whole number.
    """
    if data.y is None:
        return data.x
    if not np.array_equal(data.y, np.round(data.y)):
        raise InputError("The label column holds numbers that are not whole; expected the class of each row.")
    return replace(rows(data.x, arguments=Arguments.of(model)), labels=data.y.astype(np.int64))
