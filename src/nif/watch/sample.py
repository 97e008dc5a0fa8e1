"""The rows that are measured at every epoch: drawn once, so that epochs compare."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Subset

from nif.recording import as_torch
from nif.recording.arguments import Arguments
from nif.recording.reservoir import Reservoir
from nif.recording.rows import BATCH, rows
from nif.recording.wrappers import unwrapped

MOST_SAMPLES, FEWEST_SAMPLES = 1000, 250
"""Rows that are measured unless the user says otherwise: the less, the more terms the network has."""

MOST_WORK = 5e7
"""Rows times terms of mutual information that may be measured with more than the fewest rows."""


def rows_for(terms: int) -> int:
    """Rows to measure of a network whose links rest on so many terms of mutual information.

    Example:
        >>> rows_for(5_000), rows_for(100_000), rows_for(1_000_000)
        (1000, 500, 250)
    """
    return max(FEWEST_SAMPLES, min(MOST_SAMPLES, int(MOST_WORK / max(terms, 1))))


@dataclass(frozen=True, eq=False)
class Sample:
    """Inputs as `nif.measure` takes them.

    Attributes:
        inputs: One tensor, or one for each input of a model that takes several.
        feature_names: Column names, when the data were a DataFrame.
    """

    inputs: Tensor | dict[str, Tensor]
    feature_names: tuple[str, ...] | None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())) if isinstance(self.inputs, dict) else self.inputs)

    def thinned(self, most: int, seed: int) -> Sample:
        """At most so many of the rows, drawn at random."""
        if len(self) <= most:
            return self
        kept = torch.from_numpy(Reservoir(most, seed).kept(len(self)))
        if isinstance(self.inputs, dict):
            return replace(self, inputs={name: values[kept] for name, values in self.inputs.items()})
        return replace(self, inputs=self.inputs[kept])


def sample(data: Any, model: Any, most: int, seed: int) -> Sample:
    """Draw at most so many rows for a model.

    A loader whose data set can be indexed is not iterated, because its workers and generators belong to the
    training: the rows are taken from its data set.

    Example:
        >>> model = torch.nn.Linear(2, 1)
        >>> sample(torch.zeros(500, 2), model, most=100, seed=0).inputs.shape
        torch.Size([100, 2])
    """
    arguments = Arguments.of(as_torch(unwrapped(model)))
    found = rows(_aside(data, most, seed), arguments=arguments, max_samples=most, seed=seed)
    if len(found.every) == 1:
        return Sample(found.inputs.detach().clone(), found.feature_names)
    named = zip(found.names, found.every, strict=True)
    return Sample({name: values.detach().clone() for name, values in named}, None)


def _aside(data: Any, most: int, seed: int) -> Any:
    """A loader of the same rows that shares nothing with the user's."""
    in_batches = isinstance(data, DataLoader) and data.batch_size is None and data.batch_sampler is None
    if not isinstance(data, DataLoader) or in_batches or isinstance(data.dataset, IterableDataset):
        return data
    kept = Reservoir(most, seed).kept(len(data.dataset))  # type: ignore[arg-type]
    return DataLoader(
        Subset(data.dataset, kept.tolist()),
        batch_size=BATCH,
        collate_fn=data.collate_fn,
        generator=torch.Generator(),
    )
