"""across(): what several trainings of one network use, and how far they differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from nif.core.arguments import checked_arguments, shown
from nif.core.errors import InputError
from nif.flow.flow import Flow
from nif.pipeline import measure

FEWEST_MODELS = 2


@checked_arguments()
def across(models: Sequence[Any], data: Any, method: Any = None, **options: Any) -> pd.DataFrame:
    r"""Shares of the features in several trainings of a network, and their spread.

    The error of a flow is about other rows of data; another training with another seed often differs by more.

    .. math:: \bar s_i \pm t_{n - 1} \, \hat\sigma_i \sqrt{1 + 1 / n}

    Args:
        models: Two or more trained networks with the same features, such as from several seeds.
        data: Rows that all are measured on, as for `nif.measure`.
        method: As for `nif.measure`.
        **options: All others of `nif.measure`.

    Returns:
        By feature, largest share first: ``share``, the mean over trainings; ``spread``, their standard
        deviation; ``stderr``, the standard error of one share over rows, root mean square over trainings;
        ``low`` and ``high``, within which the share of another training lies in 95 of 100 cases, if shares
        are normal. ``attrs["flows"]`` holds the flows.

    Raises:
        InputError: There are fewer than two models, or their features differ.

    Example:
        >>> import nif, torch
        >>> from torch import nn
        >>> x, nets = torch.randn(40, 2, generator=torch.Generator().manual_seed(0)), []
        >>> for seed in range(3):
        ...     _ = torch.manual_seed(seed)
        ...     nets.append(nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2)))
        >>> list(nif.across(nets, x, progress=False).columns)
        ['share', 'spread', 'stderr', 'low', 'high']
    """
    if not isinstance(models, Sequence) or len(models) < FEWEST_MODELS:
        raise InputError(
            f"models is {shown(models)}; expected a list of {FEWEST_MODELS} or more trained networks, such "
            "as of several seeds."
        )
    if any(isinstance(model, Flow) for model in models):
        raise InputError(
            "models holds flows; expected trained networks, which are measured here. Of two flows write "
            "flow - other."
        )
    flows = [measure(model, data, method, **options) for model in models]
    tables = [flow.shares() for flow in flows]
    for number, table in enumerate(tables):
        if not table.index.equals(tables[0].index):
            raise InputError(
                f"Model {number} has other features than model 0; expected trainings of one network."
            )
    shares = np.stack([table["share"].to_numpy() for table in tables])
    stderr = np.stack([table["stderr"].to_numpy() for table in tables])
    mean, spread, count = shares.mean(axis=0), shares.std(axis=0, ddof=1), len(flows)
    half = stats.t.ppf(0.975, count - 1) * spread * np.sqrt(1 + 1 / count)
    columns = {
        "share": mean,
        "spread": spread,
        "stderr": np.sqrt((stderr**2).mean(axis=0)),
        "low": mean - half,
        "high": mean + half,
    }
    table = pd.DataFrame(columns, index=tables[0].index).iloc[np.argsort(-np.abs(mean), kind="stable")]
    table.attrs["flows"] = flows
    return table
