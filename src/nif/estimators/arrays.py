"""Mutual information of two arrays, and of all pairs of columns."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Int64

from nif.core.arguments import checked_arguments
from nif.core.blocks import block_of_rows
from nif.core.errors import InputError, memory_named
from nif.core.files import scratch_folder
from nif.core.numbers import check_same_order
from nif.core.parallel import checked_jobs
from nif.core.progress import progress as progress_bar
from nif.estimators.binned.estimator import Binned
from nif.estimators.conditional import information_given
from nif.estimators.dependent_rows import of_dependent_rows
from nif.estimators.estimate import Estimate, Estimator
from nif.estimators.inputs import checked_estimator, columns, same_length
from nif.estimators.neural.methods import Mine
from nif.estimators.pairs import PairwiseRunner, Resources, bytes_of
from nif.estimators.series import follow

MOST_TERMS_FOR_MINE = 5_000
"""Mutual information terms of two numbers up to which `Mine` is chosen; above, `Binned`."""

MOST_ROWS_FOR_MINE = 2_000
"""Rows below which `Mine` is chosen for them. At 1,000 both err by the same; `Binned` by less at 3,000, in a
fiftieth of the time (`benchmarks/choosing.py`)."""

FEWER = "fewer samples"
"""What takes the memory."""

MOST_COLUMNS = 64
"""Columns of a side, of which each is looked at for rows that follow each other."""


def automatic(terms: int, rows: int, *, numbers: bool = True) -> Estimator:
    """The estimator for this many mutual information terms of this many rows, of two numbers or of vectors.

    Example:
        >>> automatic(5_000, rows=100), automatic(5_001, rows=100), automatic(1, rows=2_000)
        (Mine(), Binned(), Binned())
        >>> automatic(1, rows=2_000, numbers=False)
        Mine()
    """
    few = terms <= MOST_TERMS_FOR_MINE and rows < MOST_ROWS_FOR_MINE
    return Mine() if few or not numbers else Binned()


@checked_arguments()
def estimate(
    x: Any,
    y: Any,
    estimator: Estimator | str | None = None,
    seed: int = 0,
    *,
    given: Any = None,
    blocks: Any = None,
) -> Estimate:
    r"""Mutual information of two arrays, also given a third.

    .. math:: I(X; Y) = E\left[\log \frac{p(x, y)}{p(x) p(y)}\right]

    Args:
        x: ``[sample]`` or ``[sample, dim]``; a Tensor, array, DataFrame, Series or list. 50 rows or more.
        y: The same number of rows.
        estimator: `Mine()` if None.
        seed: Random seed.
        given: ``[sample]`` or ``[sample, dim]``: what is known already. The result is then
            :math:`I(X; Y \mid Z)`, which is more than :math:`I(X; Y)` where x and y explain z together, and
            less where z explains what they share; the difference of the two is their interaction. For any
            estimator that takes vectors; the p-value is of independence given z. See
            `nif.estimators.conditional`.
        blocks: Of two columns whose rows depend on each other: how many follow each other, such as 50 of a
            time series, many times as many as it takes to forget; or a label for each row. The standard error
            and the p-value are then those of blocks, ten or more; see `nif.estimators.dependent_rows`.

    Returns:
        One number with its standard error and p-value, in nats.

    Raises:
        InputError: Not numeric, NaN or infinite, too few rows, or sides of different length; `given` with
            `blocks`, or with `Binned`.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=1000)
        >>> noisy = -x + np.random.default_rng(1).normal(size=1000)
        >>> information = estimate(x, noisy, estimator=Binned())
        >>> bool(abs(information.nats - 0.347) < 3 * information.stderr)
        True

        The parity of two coins tells nothing about either, but all about one if the other is given.

        >>> first, second = np.random.default_rng(0).integers(0, 2, size=(2, 400))
        >>> parity = first ^ second
        >>> alone, with_second = (estimate(first, parity, "ksg", given=side) for side in (None, second))
        >>> bool(alone.p_value > 0.05), round(float(with_second.nats), 2)
        (True, 0.69)
    """
    left, right = columns(x, "x"), columns(y, "y")
    same_length(left, right)
    check_same_order({"x": x, "y": y})
    chosen = checked_estimator(estimator) or Mine()
    if given is not None:
        if blocks is not None:
            raise InputError("given and blocks are both passed; errors of blocks are for two columns alone.")
        known = columns(given, "given")
        same_length(left, known, "given")
        check_same_order({"x": x, "given": given})
        with memory_named(FEWER):
            return information_given(chosen, left, right, known, seed)
    _warn_of_series(left, right, blocks)
    method = of_dependent_rows(chosen, _block_of(blocks, len(left)))
    with memory_named(FEWER):
        return method.estimate(left[None], right[None], seed=seed).map(lambda values: values[0])


@checked_arguments()
def pairwise(
    x: Any,
    y: Any = None,
    estimator: Estimator | str | None = None,
    seed: int = 0,
    *,
    blocks: Any = None,
    memory: int | str = "1GB",
    n_jobs: int | None = None,
    scratch: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Estimate:
    """Mutual information of every column of x with every column of y.

    Args:
        x: ``[sample, a]``; a Tensor, array, DataFrame or list. 50 rows or more.
        y: ``[sample, b]``; x itself if None. The diagonal then holds the entropy of each column's values.
        estimator: If None, `Mine()` up to 5,000 pairs of less than 2,000 rows, and `Binned()` above.
        seed: Random seed.
        blocks: Of rows that depend on each other; see `estimate`.
        memory: Limit for a block of pairs in each process, on top of data and result.
        n_jobs: Processes, through joblib; see `measure`.
        scratch: A folder that all of them see; see `measure`.
        progress: Show a progress bar with the remaining time, in a terminal, after two seconds.

    Returns:
        Arrays of shape ``[a, b]``, in nats.

    Raises:
        InputError: As for `estimate`.

    Example:
        >>> import numpy as np
        >>> table = np.random.default_rng(0).normal(size=(200, 3))
        >>> pairwise(table, estimator=Binned()).nats.shape
        (3, 3)
    """
    left = columns(x, "x", single=True)
    right = left if y is None else columns(y, "y", single=True)
    same_length(left, right)
    check_same_order({"x": x, "y": y})
    _warn_of_series(left, right, blocks)
    count = left.shape[1] * (left.shape[1] - 1) // 2 if y is None else left.shape[1] * right.shape[1]
    method = of_dependent_rows(
        checked_estimator(estimator) or automatic(count, len(left)), _block_of(blocks, len(left))
    )
    limits = Resources(bytes_of(memory), checked_jobs(n_jobs))
    bar = progress_bar("estimating", total=count, shown=progress)
    fewer = memory_named(f"{FEWER}, or a smaller memory= or n_jobs=")
    with scratch_folder(scratch) as folder, fewer, bar as advance:
        runner = PairwiseRunner(method, seed, replace(limits, scratch=folder), advance)
        return runner.within(left) if y is None else runner.between(left, right)


def _warn_of_series(left: np.ndarray, right: np.ndarray, blocks: Any) -> None:
    """Warn of two sides whose rows follow each other: independent series pass for dependent ones."""
    if blocks is None and all(any(map(follow, side.T[:MOST_COLUMNS])) for side in (left, right)):
        warnings.warn(
            "Neighbouring rows of x and of y are alike, as in time series. Standard error and p-value "
            "assume independent rows and are then too small: pass blocks=, the number of rows that depend on "
            "each other, such as 50.",
            stacklevel=4,
        )


def _block_of(blocks: Any, count: int) -> Int64[np.ndarray, " row"] | None:
    return None if blocks is None else block_of_rows(blocks, np.arange(count), count)
