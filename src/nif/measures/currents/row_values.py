"""What single rows gain: the information at their backgrounds and at them, and the currents between."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from nif.data.groups import Groups
from nif.measures.currents.decisions import NODES, Values, of_rows
from nif.measures.currents.information import CHUNK, Decided, information, own_log_likelihood
from nif.measures.currents.kinds import Samples
from nif.measures.currents.sample import Sample

MOST_OF_ROWS = 2**24
"""Numbers of currents of rows that are kept; of more, those of the features alone."""


def terms(
    decided: Decided, outputs: Float[Tensor, "data output"], sample: Sample
) -> Iterator[tuple[slice, Float[Tensor, "row outcome"], Float[Tensor, "row outcome"]]]:
    """The terms of v, some explained rows at a time: at their backgrounds, and at the rows."""
    count, backgrounds = len(decided.columns), sample.backgrounds
    log_weights = torch.from_numpy(backgrounds.log_weights)
    few = max(1, CHUNK // (count * backgrounds.index.shape[1]))
    for first in range(0, len(sample.rows), few):
        part = slice(first, first + few)
        rows = torch.from_numpy(sample.rows[part]).to(outputs.device)
        outcomes = decided.outcomes(outputs[rows], rows)
        own = own_log_likelihood(outcomes, outputs[rows])
        there = sample.pool[torch.from_numpy(backgrounds.index[part]).to(sample.pool.device)]
        itself = own + float(np.log(backgrounds.own)) if backgrounds.own > 0 else None
        start = information(outcomes, there, log_weights[part].to(outputs), itself)
        weight = outcomes.weight.double()
        before, after = (torch.where(weight > 0, weight * v.double(), 0.0) for v in (start, own))
        yield part, before, after


def values_of_rows(
    decided: Decided,
    outputs: Float[Tensor, "data output"],
    samples: Samples,
    rows: Int64[np.ndarray, " row"],
    columns: Sequence[int],
) -> tuple[Float[np.ndarray, "row label"], Float[np.ndarray, "row label"]]:
    """The information v of explained rows: at their backgrounds, and at the rows, minus the entropy there.

    Args:
        decided: The decision.
        outputs: Of all rows.
        samples: The explained rows, and their backgrounds.
        rows: The same rows, in the order of the result.
        columns: The column of each outcome.
    """
    ends = []
    for kind in samples.kinds:
        index = torch.from_numpy(kind.members).to(outputs.device)
        for _, *of_part in terms(of_rows(decided, index), outputs[index], kind.sample):
            ends.append([_summed(part + _density(decided, part), columns) for part in of_part])
    order = np.argsort(samples.rows)
    place = order[np.searchsorted(samples.rows[order], rows)]
    base, value = (np.concatenate(parts)[place] for parts in zip(*ends, strict=True))
    return base, value


def _summed(terms: Float[Tensor, "row outcome"], columns: Sequence[int]) -> Float[np.ndarray, "row label"]:
    index = torch.tensor(columns, device=terms.device)
    sums = terms.new_zeros(len(terms), max(columns) + 1).index_add_(1, index, terms)
    array: np.ndarray = sums.numpy(force=True)
    return array


def _density(decided: Decided, like: Float[Tensor, "row outcome"]) -> Tensor:
    """What the likelihoods leave out: the largest density of the noise of a value, by its outcomes."""
    if not isinstance(decided, Values):
        return like.new_zeros(())
    weights = np.polynomial.hermite_e.hermegauss(NODES)[1]
    logs = -(decided.deviation.to(like) * math.sqrt(2 * math.pi)).log()
    return (logs[:, None] * like.new_tensor(weights / weights.sum())).flatten()


def features_of_rows(
    inputs: Sequence[Tensor], groups: Groups | None, rows: Int64[np.ndarray, " row"]
) -> Shaped[np.ndarray, "row feature"]:
    """What the features of explained rows are; of features that are measured together, their mean."""
    parts = [values[torch.from_numpy(rows).to(values.device)].flatten(1) for values in inputs]
    if groups is not None:
        parts = [groups.means(part.cpu().double()) for part in parts]
    return np.concatenate([part.numpy(force=True) for part in parts], axis=1)
