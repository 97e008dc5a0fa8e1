"""What a row of the zoo is: a network, the data that it is trained on, and how its decision is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROWS, CLASSES, WORDS = 120, 3, 23

TRAINED = 1200
"""Rows of training, of which the first are measured."""

BATCH = 60

Inputs = dict[str, Tensor]
"""By the names of the parameters of `forward`; of one input the name is free."""


class Net(nn.Module):
    """Parts, and what is done with them."""

    def __init__(self, run: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        self.run = run
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)


class Pair(Net):
    """The same with two inputs."""

    def forward(self, left: Tensor, right: Tensor) -> Any:  # type: ignore[override]
        return self.run(self, left, right)


@dataclass(frozen=True)
class Task:
    """Rows, their labels, and the group of each feature, in the shape of a row; None if each is its own."""

    inputs: Inputs
    labels: Tensor
    groups: np.ndarray | None = None

    @property
    def data(self) -> Any:
        """As a user passes them."""
        return next(iter(self.inputs.values())) if len(self.inputs) == 1 else self.inputs

    @property
    def measured(self) -> Task:
        """The rows that are measured."""
        return self.part(0, ROWS)

    def part(self, first: int, last: int) -> Task:
        """Some of the rows."""
        inputs = {name: values[first:last] for name, values in self.inputs.items()}
        return Task(inputs, self.labels[first:last], self.groups)

    def features(self, name: str) -> np.ndarray:
        """The number of the feature or group of each number of a row of an input."""
        shape = tuple(self.inputs[name].shape[1:])
        if self.groups is None:
            return np.arange(math.prod(shape)).reshape(shape)
        return np.broadcast_to(self.groups, shape)


@dataclass(frozen=True)
class Case:
    """A row of the table.

    Attributes:
        name: Of the row.
        make: Builds the network, for the task.
        task: Builds its data.
        says: What the outputs are: ``"classes"``, ``"probabilities"``, ``"answers"`` or ``"value"``.
        steps: Of training; 0 for networks that come trained, or whose random weights depend strongly enough.
        rate: Of learning.
        check: Whether currents are held against occlusion.
        finish: What becomes of the trained network before it is measured, such as a copy in half precision.
        options: Of `nif.measure`.
        target: Of `nif.Currents`.
        loss: Of training; the cross entropy, or the squared error, if None.
        decide: From what the network returns to the numbers that decide; None for one vector a row.
    """

    name: str
    make: Callable[[], Any]
    task: Callable[[], Task]
    says: str = "classes"
    steps: int = 60
    rate: float = 2e-2
    check: bool = True
    finish: Callable[[Any], Any] = lambda model: model
    options: dict[str, Any] = field(default_factory=dict)
    target: tuple[str, int] | None = None
    loss: Callable[[Any, Task], Tensor] | None = None
    decide: Callable[[Any], Tensor] | None = None

    def decided(self, returned: Any) -> Tensor:
        """The numbers that decide, ``[row, output]``."""
        if self.decide is not None:
            return self.decide(returned)
        found: Tensor = getattr(returned, "logits", returned)
        found = found[:, -1] if found.dim() == 3 else found
        return found.reshape(len(found), -1)


def graded(count: int, seed: int = 0, least: float = 0.08) -> Tensor:
    """Scales of features from 1 to the least, in random order, so that some matter much and some little."""
    scales = least ** (torch.arange(count) / max(1, count - 1))
    return scales[torch.randperm(count, generator=torch.Generator().manual_seed(seed))]


def numbers(
    *shape: int, side: int | None = None, names: Sequence[str] = ("x",), classes: int | None = CLASSES
) -> Callable[[], Task]:
    """Rows of normal numbers, some of which matter more.

    Args:
        shape: Of a row; of an image with the channels first.
        side: Of the patches that are the features of an image; None if every number is one.
        names: Of the inputs, which are all of this shape.
        classes: Labels are classes; values if None.
    """

    def made() -> Task:
        generator = torch.Generator().manual_seed(1)
        groups = None if side is None else patches(shape, side)
        index = np.arange(math.prod(shape)).reshape(shape) if groups is None else groups
        inputs, score = {}, torch.zeros(TRAINED, classes or 1)
        for number, name in enumerate(names):
            scales = graded(int(index.max()) + 1, number)
            each = scales[torch.from_numpy(np.broadcast_to(index, shape).copy())]
            inputs[name] = torch.randn(TRAINED, *shape, generator=generator) * each
            weights = torch.randn(math.prod(shape), classes or 1, generator=generator)
            score = score + inputs[name].flatten(1) @ weights
        return Task(inputs, score.argmax(1) if classes else score, groups)

    return made


def patches(shape: tuple[int, ...], side: int) -> np.ndarray:
    """The number of the patch of each pixel, in the shape of an image without channels."""
    axes = [np.arange(length) // side for length in shape[1:]]
    counts = [int(axis.max()) + 1 for axis in axes]
    return np.ravel_multi_index(np.meshgrid(*axes, indexing="ij"), counts)


def tokens(
    *lengths: int, names: Sequence[str] = ("input_ids",), more: Inputs | None = None
) -> Callable[[], Task]:
    """Rows of token ids; the class follows from a few positions, with weights of their own."""

    def made() -> Task:
        generator = torch.Generator().manual_seed(2)
        meaning = torch.randn(WORDS, CLASSES, generator=generator)
        inputs, score = {}, torch.zeros(TRAINED, CLASSES)
        for number, (name, length) in enumerate(zip(names, lengths, strict=True)):
            ids = torch.randint(1, WORDS, (TRAINED, length), generator=generator)
            inputs[name] = ids
            score = score + (meaning[ids] * graded(length, number)[:, None]).sum(1)
        return Task({**inputs, **(more or {})}, score.argmax(1))

    return made


def trained(case: Case, task: Task) -> Any:
    """The network of a case, trained for a few steps and in eval mode."""
    torch.manual_seed(0)
    model = case.make()
    if not isinstance(model, nn.Module):
        return case.finish(model)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], case.rate)
    loss_of = case.loss or _loss(case)
    for step in range(case.steps):
        first = step * BATCH % TRAINED
        part = task.part(first, first + BATCH)
        returned = model.train()(**part.inputs) if len(part.inputs) > 1 else model.train()(part.data)
        optimizer.zero_grad()
        loss_of(returned, part).backward()
        optimizer.step()
    return case.finish(model.eval().requires_grad_(True))


def _loss(case: Case) -> Callable[[Any, Task], Tensor]:
    def loss(returned: Any, part: Task) -> Tensor:
        found = case.decided(returned)
        if case.says == "classes":
            return F.cross_entropy(found, part.labels)
        if case.says == "probabilities":
            return F.nll_loss(found.clamp_min(1e-6).log(), part.labels)
        if case.says == "answers":
            return F.binary_cross_entropy(found, F.one_hot(part.labels, CLASSES).to(found))
        return F.mse_loss(found, part.labels.to(found).reshape(len(found), -1).expand_as(found))

    return loss
