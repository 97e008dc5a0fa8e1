"""Follow the whole numbers among the inputs of a model, such as token ids, to the embeddings that read them.

Between two token ids there is no way, but there is one between what an embedding makes of them. So it must be
known what a run has looked up, and which number of an input each of the ids stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from nif.network.operators import Effect, function_name, operator_of
from nif.network.unit_maps import tensors_in


@dataclass(frozen=True, eq=False)
class Lookup:
    """What one call has looked up for the numbers of an input.

    Attributes:
        number: Of the call, among all calls of the run that look something up.
        input: Number of the input that the ids come from.
        elements: For each id, one more than the number of the input's element that it comes from, in the
            order of the flat input; 0 for a constant.
        values: What was looked up.
    """

    number: int
    input: int
    elements: Int64[Tensor, "..."]
    values: Float[Tensor, "... dim"]


@dataclass(frozen=True, eq=False)
class _Call:
    """A call that looks up ids.

    Attributes:
        ids: What is looked up.
        values: Looks them up.
        result: What the call makes of what was looked up, such as the mean of a bag.
    """

    ids: Tensor
    values: Callable[[], Tensor]
    result: Callable[[Tensor], Tensor]


class _Calls(TorchFunctionMode):
    """Sees every call that looks up ids: of an embedding, of a bag of them, or of a table by an index."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = function_name(function)
        call = _LOOKUPS[name](function, args, kwargs) if name in _LOOKUPS else None
        run = partial(function, *args, **kwargs)
        if call is None:
            return self.other(name, function, args, kwargs)
        self._count += 1
        return self.look_up(self._count - 1, call, run)

    def look_up(self, number: int, call: _Call, run: Callable[[], Tensor]) -> Tensor:
        """The result of a call that looks something up."""
        raise NotImplementedError

    def other(self, name: str, function: Any, args: Any, kwargs: Any) -> Any:
        """The result of any other call."""
        return function(*args, **kwargs)


class Replaced(_Calls):
    """Inside, embeddings return other values than those of the ids that they are called with.

    Example:
        >>> table, ids = torch.eye(3), torch.tensor([2, 0])
        >>> with Replaced({0: torch.full((2, 3), 0.5)}):
        ...     F.embedding(ids, table).tolist(), F.embedding(ids, table).tolist()
        ([[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]], [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    """

    def __init__(self, values: Mapping[int, Tensor]) -> None:
        super().__init__()
        self._values = values

    def look_up(self, number: int, call: _Call, run: Callable[[], Tensor]) -> Tensor:
        """The other values, or those of the ids."""
        return call.result(self._values[number]) if number in self._values else run()


class Followed(_Calls):
    """Inside, whole numbers of the inputs are followed through copies, slices and arithmetic to embeddings.

    Attributes:
        found: What was looked up for them.
        elsewhere: By input, tensors through which it acts otherwise, such as the mask ``ids != 0``.

    Example:
        >>> ids = torch.tensor([[1, 2, 0]])
        >>> with Followed({0: ids}) as followed:
        ...     _ = F.embedding(ids[:, 1:] + 5, torch.randn(8, 4)), ids != 0
        >>> [lookup.elements.tolist() for lookup in followed.found], len(followed.elsewhere[0])
        ([[[2, 3]]], 1)
    """

    def __init__(self, inputs: Mapping[int, Tensor]) -> None:
        super().__init__()
        self.found: list[Lookup] = []
        self.elsewhere: dict[int, list[Tensor]] = {number: [] for number in inputs}
        self._known: Any = WeakTensorKeyDictionary()
        for number, ids in inputs.items():
            elements = torch.arange(1, ids.numel() + 1, device=ids.device).reshape(ids.shape)
            self._known[ids] = number, elements

    def look_up(self, number: int, call: _Call, run: Callable[[], Tensor]) -> Tensor:
        """Note what is looked up."""
        known = self._known.get(call.ids)
        if known is not None:
            self.found.append(Lookup(number, known[0], known[1], call.values().detach()))
        return run()

    def other(self, name: str, function: Any, args: Any, kwargs: Any) -> Any:
        """Follow whole numbers through a call."""
        read = [values for values in tensors_in((args, kwargs)) if values in self._known]
        if not read:
            return function(*args, **kwargs)
        inputs = {self._known[values][0] for values in read}
        elements = self._elements(name, function, args, kwargs, read) if len(inputs) == 1 else None
        result = function(*args, **kwargs)
        if operator_of(name).effect is not Effect.CONSTANT:
            self._note(inputs, [args[0]] if name == "__setitem__" else tensors_in(result), elements)
        return result

    def _note(self, inputs: set[int], results: Sequence[Tensor], elements: Sequence[Tensor] | None) -> None:
        for place, result in enumerate(results):
            whole = not result.is_floating_point() and result.dtype != torch.bool
            if whole and elements and elements[place].shape == result.shape:
                self._known[result] = next(iter(inputs)), elements[place]
                continue
            for number in inputs:
                self.elsewhere[number].append(result.detach().clone())

    def _elements(
        self, name: str, function: Any, args: Any, kwargs: Any, read: Sequence[Tensor]
    ) -> list[Tensor] | None:
        """The elements that the numbers of the results come from; None where that is not known."""
        effect = operator_of(name).effect
        if name == "__setitem__":
            return self._written(*args)
        if effect in (Effect.ELEMENTWISE, Effect.BINARY):
            shape = np.broadcast_shapes(*[values.shape for values in tensors_in((args, kwargs))])
            first, *others = (torch.broadcast_to(self._known[values][1], shape) for values in read)
            return [first] if all(torch.equal(first, other) for other in others) else None
        moves = effect in (Effect.RESHAPE, Effect.JOIN) or (effect is Effect.SPLIT and args[0] in self._known)
        if not moves:
            return None
        if name == "pad":  # with a constant, which is no element
            args, kwargs = args[:2], {"pad": kwargs["pad"]} if "pad" in kwargs else {}
        instead = partial(self._instead, effect is Effect.JOIN)
        return tensors_in(function(*_mapped(instead, tuple(args)), **_mapped(instead, dict(kwargs))))

    def _written(self, target: Tensor, place: Any, values: Any) -> list[Tensor] | None:
        """The elements of a tensor that is written in part, as by ``ids[:, 1:] = others``."""
        if any(index in self._known for index in tensors_in(place)):
            return None
        before = self._known[target][1] if target in self._known else torch.zeros_like(target)
        elements = before.to(torch.int64).clone()
        of_values = tensors_in(values)
        elements[place] = self._known[values][1] if of_values and values in self._known else 0
        return [elements]

    def _instead(self, joined: bool, leaf: Any) -> Any:
        """In place of whole numbers the elements that they come from; others are indices, or are joined."""
        if isinstance(leaf, Tensor) and leaf in self._known:
            return self._known[leaf][1]
        return torch.zeros_like(leaf) if joined and isinstance(leaf, Tensor) else leaf


def _mapped(function: Callable[[Any], Any], given: Any) -> Any:
    """Arguments with a function applied to all in tuples, lists and mappings."""
    if isinstance(given, dict):
        return {name: _mapped(function, part) for name, part in given.items()}
    if isinstance(given, (tuple, list)):
        return type(given)([_mapped(function, part) for part in given])
    return function(given)


def _are_ids(values: Any) -> bool:
    return isinstance(values, Tensor) and values.dtype in (torch.int64, torch.int32)


def _embedding(function: Any, args: Any, kwargs: Any) -> _Call | None:
    """``F.embedding(ids, table)``; `torch.embedding` takes the table first."""
    ids = next((values for values in tensors_in((args, kwargs)) if _are_ids(values)), None)
    return None if ids is None else _Call(ids, partial(function, *args, **kwargs), lambda values: values)


_OF_BAGS = (
    *("input", "weight", "offsets", "max_norm", "norm_type", "scale_grad_by_freq", "mode", "sparse"),
    *("per_sample_weights", "include_last_offset", "padding_idx"),
)
"""Names of the arguments of ``F.embedding_bag``."""


def _bag(function: Any, args: Any, kwargs: Any) -> _Call | None:
    """``F.embedding_bag`` of bags of equal size."""
    given = {**dict(zip(_OF_BAGS, args, strict=False)), **kwargs}
    ids, mode, weights = given.get("input"), given.get("mode", "mean"), given.get("per_sample_weights")
    plain = all(given.get(name) is None for name in ("offsets", "max_norm", "padding_idx"))
    if not (_are_ids(ids) and ids is not None and ids.dim() == 2 and plain):
        return None

    def result(values: Tensor) -> Tensor:
        if weights is not None:
            values = values * weights[:, :, None]
        return values.amax(1) if mode == "max" else values.sum(1) if mode == "sum" else values.mean(1)

    return _Call(ids, lambda: F.embedding(ids, given["weight"]), result)


def _index(function: Any, args: Any, kwargs: Any) -> _Call | None:
    """``table[ids]``."""
    table, index = args[:2]
    index = index[0] if isinstance(index, tuple) and len(index) == 1 else index
    if not (isinstance(table, Tensor) and table.is_floating_point() and _are_ids(index)):
        return None
    return _Call(index, lambda: table[index], lambda values: values)


def _selected(function: Any, args: Any, kwargs: Any) -> _Call | None:
    """``table.index_select(0, ids)``."""
    whole = len(args) == 3 and not kwargs and args[1] == 0
    return _index(function, (args[0], args[2]), {}) if whole and not _are_ids(args[0]) else None


_LOOKUPS: dict[str, Callable[[Any, Any, Any], _Call | None]] = {
    "embedding": _embedding,
    "embedding_bag": _bag,
    "getitem": _index,
    "index_select": _selected,
}
"""By name; a function returns None for a call that looks up nothing."""
