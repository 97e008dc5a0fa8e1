"""Call a model with rows of data, and select one of its outputs."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from nif.core.errors import InputError, ran_out_of_memory, unknown
from nif.data.rows import Rows
from nif.data.signature import EMBEDDINGS, Signature
from nif.network.preserve import device_and_dtype, preserved

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
        constants: Arguments that are the same for all rows, by their parameter.
        flat: Numbers of the inputs that the model takes as one number a row, ``[sample]``.
        ids: Numbers of the inputs whose floating-point numbers are ids, which the model takes as whole ones.
        alters: Whether the model writes into its inputs, so that it gets copies.
    """

    model: nn.Module
    names: tuple[str, ...] = ()
    output: int | str | None = None
    looks_up: bool = False
    constants: Mapping[str, Any] = field(default_factory=dict)
    flat: tuple[int, ...] = ()
    ids: tuple[int, ...] = ()
    alters: bool = False

    @classmethod
    def of(cls, model: nn.Module, rows: Rows, output: int | str | None = None) -> Forward:
        """How a model is called with such rows."""
        call = cls(model, rows.names, output, constants=rows.constants, flat=rows.flat)
        with preserved(model):
            call = call.fitting(rows.inputs)
            return replace(call, alters=call._writes_into(rows.inputs))

    def with_model(self, model: nn.Module) -> Forward:
        """The same call of another network."""
        return replace(self, model=model)

    def prepared(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The inputs as the model takes them; whole numbers stay whole only for a model with an embedding.

        So do the truth values of a mask: attention would add numbers to its scores.
        """
        device, kind, whole = self._takes

        def cast(number: int, name: str, values: Tensor) -> Tensor:
            if values.dtype == torch.bool and "mask" in name:
                return values.to(device)
            keep = number in self.ids or (whole and not values.is_floating_point())
            return values.to(device=device, dtype=torch.int64 if keep else kind)

        names = self.names or ("",) * len(inputs)
        numbered = zip(itertools.count(), names, inputs, strict=False)
        return [cast(number, name, values) for number, name, values in numbered]

    @cached_property
    def _takes(self) -> tuple[torch.device, torch.dtype, bool]:
        """Device and type of the inputs, and whether whole numbers stay whole."""
        embeds = any(isinstance(part, EMBEDDINGS) for part in self.model.modules())
        return *device_and_dtype(self.model), embeds or self.looks_up

    @cached_property
    def _takes_mapping(self) -> bool:
        """Whether the model takes all inputs in one mapping."""
        return Signature.of(self.model).mapping

    def fitting(self, inputs: Sequence[Tensor]) -> Forward:
        """The same call with whole numbers as such, and one number a row as a column, as the model runs.

        How the data come is preferred; it is kept where the model runs on nothing else either.
        """
        embeds = self._takes[2]
        whole = tuple(number for number, values in enumerate(inputs) if _holds_whole(values))
        others = any(not values.is_floating_point() for values in inputs) and not embeds
        floats = tuple(number for number in whole if inputs[number].is_floating_point()) if embeds else ()
        if not (self.flat or others or floats) or self._runs(inputs):
            return self
        for flat in dict.fromkeys((self.flat, ())):
            for ids, looks_up in dict.fromkeys((((), False), ((), others), (floats, False))):
                other = replace(self, flat=flat, ids=ids, looks_up=looks_up)
                if other._runs(inputs):
                    return other
        if len(inputs) == 1 and self.flat:
            raise InputError(
                f"The data have shape [{len(inputs[0])}]; expected [sample, feature], as the model does not "
                "run on one number a row. Of a single row, pass x[None]."
            )
        return self

    def _runs(self, inputs: Sequence[Tensor]) -> bool:
        count = min(EXAMPLES, len(inputs[0]))
        try:
            returned = self.all_outputs(self.prepared([values[:count].clone() for values in inputs]))
        except Exception as error:  # the user's code, which may raise anything
            if ran_out_of_memory(error):
                raise
            return False
        rows = [values for values in every_output(returned) if values.ndim and len(values) == count]
        return bool(rows) or not self.flat

    def _writes_into(self, inputs: Sequence[Tensor]) -> bool:
        """Whether a run changes its inputs."""
        given = self.prepared([values[:EXAMPLES].clone() for values in inputs])
        before = [values.clone() for values in given]
        with torch.no_grad(), contextlib.suppress(Exception):  # the user's code, which is run again
            self.all_outputs(given)
        return not all(map(torch.equal, given, before))

    def __call__(self, inputs: Sequence[Tensor]) -> Tensor:
        """Run the model, and return the selected output."""
        return chosen_output(self.all_outputs(inputs), self.output)

    def all_outputs(self, inputs: Sequence[Tensor]) -> Any:
        """Run the model, and return its whole result."""
        inputs = [values.clone() for values in inputs] if self.alters else inputs
        given = [values.squeeze(1) if n in self.flat else values for n, values in enumerate(inputs)]
        if not self.names:
            return self.model(*given)
        named = {**dict(zip(self.names, given, strict=True)), **self.constants}
        return self.model(named) if self._takes_mapping else self.model(**named)


def chosen_output(returned: Any, output: int | str | None) -> Tensor:
    """One tensor of the result of a model; the field ``logits`` of several, if none is chosen.

    Raises:
        InputError: The model returns several and none is chosen, or none has that name.
    """
    if isinstance(returned, Tensor):
        if output not in (None, 0, -1):
            raise InputError(f"The model returns one tensor; there is no output {output!r}. Omit output=.")
        return returned
    outputs = _outputs(returned)
    if not outputs and not isinstance(returned, (tuple, list, Mapping)) and not hasattr(returned, "__dict__"):
        raise InputError(
            f"The model returns a {type(returned).__name__}; expected a tensor, or several in a tuple, "
            "mapping or object."
        )
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


def every_output(returned: Any) -> list[Tensor]:
    """All tensors in the result of a model, at any depth of tuples, mappings and objects; each once.

    Example:
        >>> [len(values) for values in every_output({"logits": torch.ones(1), "all": (torch.ones(2), None)})]
        [1, 2]
    """
    tensors: dict[int, Tensor] = {}
    seen: set[int] = set()
    waiting = [returned]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Tensor):
            tensors[id(part)] = part
        elif id(part) not in seen and not isinstance(part, (type, nn.Module)):
            seen.add(id(part))
            waiting += reversed(_outputs(part).values())
    return list(tensors.values())


def _outputs(returned: Any) -> dict[int | str, Any]:
    if isinstance(returned, Mapping):
        return {str(key): value for key, value in returned.items()}
    if isinstance(returned, (tuple, list)):
        known = getattr(returned, "_fields", ())
        return {**dict(enumerate(returned)), **dict(zip(known, returned, strict=bool(known)))}
    if is_dataclass(returned) and not isinstance(returned, type):  # maybe with slots
        return {one.name: getattr(returned, one.name) for one in fields(returned)}
    return dict(vars(returned)) if hasattr(returned, "__dict__") else {}


def _holds_whole(values: Tensor) -> bool:
    return not values.is_floating_point() or bool((values == values.round()).all())


EXAMPLES = 3
"""Rows of a run that shows whether the model takes them."""

BATCH = 1024

Inputs = tuple[Tensor, ...]
"""Rows for each input of a model."""


def batches(call: Forward, inputs: Inputs, size: int = BATCH) -> Iterator[Inputs]:
    """The inputs in chunks, as the model takes them."""
    for chunk in zip(*(values.split(size) for values in inputs), strict=True):
        yield tuple(call.prepared(chunk))
