"""The rows that are measured at every epoch: drawn once, so that epochs compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Subset

from nif.recording import as_torch
from nif.recording.arguments import Arguments
from nif.recording.reservoir import Reservoir
from nif.recording.rows import BATCH, rows
from nif.recording.wrappers import unwrapped


@dataclass(frozen=True, eq=False)
class Sample:
    """Inputs as `nif.measure` takes them.

    Attributes:
        inputs: One tensor, or one for each input of a model that takes several.
        feature_names: Column names, when the data were a DataFrame.
    """

    inputs: Tensor | dict[str, Tensor]
    feature_names: tuple[str, ...] | None


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
