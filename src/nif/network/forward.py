"""Which inputs a model takes, how it is called with them, and which of its outputs is meant."""

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


@dataclass(frozen=True)
class Forward:
    """Runs a model on rows of data, on the model's device and in its precision.

    Attributes:
        model: The network.
        names: The parameter of ``forward`` that each input is for; none for a single input.
        output: Which output is meant, when the model returns several: a position, key or field.
    """

    model: nn.Module
    names: tuple[str, ...] = ()
    output: int | str | None = None

    def on(self, model: nn.Module) -> Forward:
        """Calls another network in the same way."""
        return replace(self, model=model)

    def prepared(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The inputs as the model takes them; whole numbers stay whole only for a model with an embedding."""
        device, kind, whole = self._takes

        def cast(values: Tensor) -> Tensor:
            keep = whole and not values.is_floating_point()
            return values.to(device=device, dtype=torch.int64 if keep else kind)

        return [cast(values) for values in inputs]

    @cached_property
    def _takes(self) -> tuple[torch.device, torch.dtype, bool]:
        """Where inputs go, of what type, and whether whole numbers stay whole."""
        return *device_and_dtype(self.model), any(
            isinstance(part, EMBEDDINGS) for part in self.model.modules()
        )

    def __call__(self, inputs: Sequence[Tensor]) -> Tensor:
        """Run the model, and return the output that is meant."""
        return chosen_output(self.returned(inputs), self.output)

    def returned(self, inputs: Sequence[Tensor]) -> Any:
        """Run the model, and return all that it returns."""
        if self.names:
            return self.model(**dict(zip(self.names, inputs, strict=True)))
        return self.model(*inputs)


def chosen_output(returned: Any, output: int | str | None) -> Tensor:
    """One tensor of what a model returns.

    Raises:
        InputError: The model returns several and none is chosen, or there is none of that name.

    Example:
        >>> chosen_output((torch.zeros(1), torch.ones(1)), 1)
        tensor([1.])
    """
    if isinstance(returned, Tensor):
        if output not in (None, 0, -1):
            raise InputError(
                f"The model returns one tensor; there is no output {output!r}. Leave output= out."
            )
        return returned
    if not isinstance(returned, (tuple, list, Mapping)) and not hasattr(returned, "__dict__"):
        raise InputError(
            f"The model returns a {type(returned).__name__}; expected a tensor, or several in a tuple, "
            "mapping or object."
        )
    found = _outputs(returned)
    tensors = {key: value for key, value in found.items() if isinstance(value, Tensor)}
    if output is None and len(tensors) == 1:
        return next(iter(tensors.values()))
    if output is None:
        choices = ", ".join(f"output={key!r}" for key in tensors) or "none is a tensor"
        raise InputError(
            f"The model returns a {type(returned).__name__} of {len(found)} values; expected one tensor. "
            f"Choose one: {choices}."
        )
    key = output + _length(returned) if isinstance(output, int) and output < 0 else output
    if key not in tensors:
        raise unknown("output", str(output), map(str, tensors))
    return tensors[key]


def every_output(returned: Any, kinds: type | tuple[type, ...] = Tensor) -> list[Any]:
    """All tensors in what a model returns, however deep in tuples, mappings and objects; each once.

    Args:
        returned: By the model.
        kinds: What counts as a tensor.

    Example:
        >>> [len(values) for values in every_output({"logits": torch.ones(1), "all": (torch.ones(2), None)})]
        [1, 2]
    """
    found: dict[int, Any] = {}
    seen: set[int] = set()
    waiting = [returned]
    while waiting:
        part = waiting.pop()
        if isinstance(part, kinds):
            found[id(part)] = part
        elif id(part) not in seen and not isinstance(part, (type, nn.Module)):
            seen.add(id(part))
            waiting += reversed(_parts(part))
    return list(found.values())


def _parts(returned: Any) -> list[Any]:
    if isinstance(returned, Mapping):
        return list(returned.values())
    if isinstance(returned, (tuple, list)):
        return list(returned)
    return list(vars(returned).values()) if hasattr(returned, "__dict__") else []


def _length(returned: Any) -> int:
    return len(returned) if isinstance(returned, (tuple, list)) else 0


def _outputs(returned: Any) -> dict[int | str, Any]:
    if isinstance(returned, Mapping):
        return {str(key): value for key, value in returned.items()}
    found: dict[int | str, Any] = {}
    if isinstance(returned, (tuple, list)):
        found.update(enumerate(returned))
        fields = getattr(returned, "_fields", ())
        return {**found, **dict(zip(fields, returned, strict=True))} if fields else found
    return dict(vars(returned)) if hasattr(returned, "__dict__") else found


BATCH = 1024


Inputs = tuple[Tensor, ...]
"""Rows for each input of a model."""


def batches(call: Forward, inputs: Inputs, size: int = BATCH) -> Iterator[Inputs]:
    """The inputs in pieces, as the model takes them."""
    for piece in zip(*(values.split(size) for values in inputs), strict=True):
        yield tuple(call.prepared(piece))
