"""Call a model with rows of data, and select one of its outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from nif.core.errors import InputError, unknown
from nif.data.signature import EMBEDDINGS
from nif.network.preserve import device_and_dtype

LOGITS = "logits"
"""The field of what models of transformers return that their decision is made of."""


@dataclass(frozen=True)
class Forward:
    """Runs a model on rows of data, on the model's device and in its precision.

    Attributes:
        model: The network.
        names: The parameter of ``forward`` that each input is for; none for a single input.
        output: The output to return, of a model that returns several: a position, key or field.
        looks_up: Whether the model looks up whole numbers in tables that are no modules.
    """

    model: nn.Module
    names: tuple[str, ...] = ()
    output: int | str | None = None
    looks_up: bool = False

    def with_model(self, model: nn.Module) -> Forward:
        """The same call of another network."""
        return replace(self, model=model)

    def prepared(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The inputs as the model takes them; whole numbers stay whole only for a model with an embedding.

        So do the truth values of a mask: attention would add numbers to its scores.
        """
        device, kind, whole = self._takes

        def cast(name: str, values: Tensor) -> Tensor:
            if values.dtype == torch.bool and "mask" in name:
                return values.to(device)
            keep = whole and not values.is_floating_point()
            return values.to(device=device, dtype=torch.int64 if keep else kind)

        names = self.names or ("",) * len(inputs)
        return [cast(name, values) for name, values in zip(names, inputs, strict=True)]

    @cached_property
    def _takes(self) -> tuple[torch.device, torch.dtype, bool]:
        """Device and type of the inputs, and whether whole numbers stay whole."""
        embeds = any(isinstance(part, EMBEDDINGS) for part in self.model.modules())
        return *device_and_dtype(self.model), embeds or self.looks_up

    def fitting(self, inputs: Sequence[Tensor]) -> Forward:
        """The same call with whole numbers as such, if the model runs on them and not on others."""
        whole = any(not values.is_floating_point() for values in inputs)
        if not whole or self._takes[2] or self._runs(inputs):
            return self
        other = replace(self, looks_up=True)
        return other if other._runs(inputs) else self

    def _runs(self, inputs: Sequence[Tensor]) -> bool:
        try:
            self.all_outputs(self.prepared([values[:2].clone() for values in inputs]))
        except Exception:  # the user's code, which may raise anything
            return False
        return True

    def __call__(self, inputs: Sequence[Tensor]) -> Tensor:
        """Run the model, and return the selected output."""
        return chosen_output(self.all_outputs(inputs), self.output)

    def all_outputs(self, inputs: Sequence[Tensor]) -> Any:
        """Run the model, and return its whole result."""
        if self.names:
            return self.model(**dict(zip(self.names, inputs, strict=True)))
        return self.model(*inputs)


def chosen_output(returned: Any, output: int | str | None) -> Tensor:
    """One tensor of the result of a model; the field ``logits`` of several, if none is chosen.

    Raises:
        InputError: The model returns several and none is chosen, or none has that name.
    """
    if isinstance(returned, Tensor):
        if output not in (None, 0, -1):
            raise InputError(f"The model returns one tensor; there is no output {output!r}. Omit output=.")
        return returned
    if not isinstance(returned, (tuple, list, Mapping)) and not hasattr(returned, "__dict__"):
        raise InputError(
            f"The model returns a {type(returned).__name__}; expected a tensor, or several in a tuple, "
            "mapping or object."
        )
    outputs = _outputs(returned)
    tensors = {key: value for key, value in outputs.items() if isinstance(value, Tensor)}
    if output is None and len(tensors) == 1:
        return next(iter(tensors.values()))
    if output is None and LOGITS in tensors and hasattr(returned, LOGITS):  # no plain dictionary
        return tensors[LOGITS]
    if output is None:
        choices = ", ".join(f"output={key!r}" for key in tensors) or "none is a tensor"
        raise InputError(
            f"The model returns a {type(returned).__name__} of {len(outputs)} values; expected one tensor. "
            f"Choose one: {choices}."
        )
    key = output
    if isinstance(output, int) and output < 0 and isinstance(returned, (tuple, list)):
        key = output + len(returned)
    if key not in tensors:
        raise unknown("output", str(output), map(str, tensors))
    return tensors[key]


def every_output(returned: Any, kinds: type | tuple[type, ...] = Tensor) -> list[Any]:
    """All tensors in the result of a model, at any depth of tuples, mappings and objects; each once.

    Args:
        returned: The result of the model.
        kinds: Classes that count as a tensor.

    Example:
        >>> [len(values) for values in every_output({"logits": torch.ones(1), "all": (torch.ones(2), None)})]
        [1, 2]
    """
    tensors: dict[int, Any] = {}
    seen: set[int] = set()
    waiting = [returned]
    while waiting:
        part = waiting.pop()
        if isinstance(part, kinds):
            tensors[id(part)] = part
        elif id(part) not in seen and not isinstance(part, (type, nn.Module)):
            seen.add(id(part))
            waiting += reversed(_outputs(part).values())
    return list(tensors.values())


def _outputs(returned: Any) -> dict[int | str, Any]:
    if isinstance(returned, Mapping):
        return {str(key): value for key, value in returned.items()}
    if isinstance(returned, (tuple, list)):
        fields = getattr(returned, "_fields", ())
        return {**dict(enumerate(returned)), **dict(zip(fields, returned, strict=bool(fields)))}
    return dict(vars(returned)) if hasattr(returned, "__dict__") else {}


BATCH = 1024

Inputs = tuple[Tensor, ...]
"""Rows for each input of a model."""


def batches(call: Forward, inputs: Inputs, size: int = BATCH) -> Iterator[Inputs]:
    """The inputs in chunks, as the model takes them."""
    for chunk in zip(*(values.split(size) for values in inputs), strict=True):
        yield tuple(call.prepared(chunk))
