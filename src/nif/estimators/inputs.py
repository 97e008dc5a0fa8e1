"""Convert and check the inputs of an estimate."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from nif.core.arguments import known_name, shown
from nif.core.errors import InputError
from nif.core.numbers import real_array, real_tensor
from nif.core.types import FEWEST_SAMPLES
from nif.estimators.estimate import Estimator


def columns(data: Any, name: str, *, single: bool = False) -> Float[np.ndarray, "sample dim"]:
    """A copy of `data` as float64 columns, from a Tensor, an array, a DataFrame, a Series or a list.

    Args:
        data: Numbers.
        name: The subject of error messages.
        single: Whether numbers of single and half precision stay in single, in half the memory.

    Raises:
        InputError: Not numeric, not one- or two-dimensional, NaN or infinite, or fewer than 50 rows.

    Example:
        >>> columns([1, 2] * 25, "x").shape
        (50, 1)
    """
    array = _numeric(data, name, single=single)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or array.shape[1] == 0:
        raise InputError(f"{name} has shape {array.shape}; expected [sample] or [sample, column].")
    if len(array) < FEWEST_SAMPLES:
        raise InputError(
            f"{name} has {len(array)} samples; mutual information needs at least {FEWEST_SAMPLES}. "
            "Pass more rows."
        )
    bad = ~np.isfinite(array)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise InputError(
            f"{name} has {int(bad.sum())} NaN or infinite values, the first in row {row}, column {column}. "
            "Remove or impute them."
        )
    return array


def same_length(x: np.ndarray, y: np.ndarray, name: str = "y") -> None:
    """Raise `InputError` if two sides have different numbers of samples; `name` is that of the second."""
    if len(x) != len(y):
        raise InputError(
            f"x has {len(x)} samples and {name} has {len(y)}; "
            "both sides need the same rows in the same order."
        )


def checked_estimator(estimator: Any) -> Any:
    """An estimator, also by its name or its class; None for the automatic choice.

    Raises:
        InputError: It is none of these.

    Example:
        >>> checked_estimator("binned")
        Binned()
        >>> checked_estimator("bind")
        Traceback (most recent call last):
        nif.InputError: estimator names 'bind'. Did you mean 'binned'? There are: mine, binned, gaussian_copula, ksg, info_nce, smile, nwj.
    """  # noqa: E501 - one message
    from nif.estimators.named import ESTIMATORS  # which imports this module

    if isinstance(estimator, str):
        return ESTIMATORS[known_name("estimator", estimator, ESTIMATORS)]()
    if isinstance(estimator, type) and estimator in ESTIMATORS.values():
        return estimator()
    if estimator is None or (isinstance(estimator, Estimator) and not isinstance(estimator, type)):
        return estimator
    raise InputError(f"estimator is {shown(estimator)}; expected one such as nif.Mine(), or None.")


def _numeric(data: Any, name: str, *, single: bool) -> np.ndarray:
    if isinstance(data, torch.Tensor):
        values = real_tensor(data, name).detach()
        keep = single and values.is_floating_point() and values.element_size() <= 4
        return values.to("cpu", torch.float32 if keep else torch.float64, copy=True).numpy()
    array = real_array(data, name)
    keep = single and array.dtype.kind == "f" and array.dtype.itemsize <= 4
    return np.array(array, dtype=np.float32 if keep else np.float64)
