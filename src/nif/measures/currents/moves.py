"""What moves along the way from a background row to a row: numbers, and what embeddings make of token ids.

All else that a row comes with is its own, such as a mask of its tokens, and stays as it is.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nif.core.errors import InputError
from nif.measures.currents.labels import NONE
from nif.measures.currents.link_maps import units_of_numbers
from nif.measures.currents.orders import Share
from nif.measures.currents.parts import joined
from nif.network.forward import BATCH, Forward
from nif.network.lookups import Followed, Lookup, Replaced
from nif.network.preserve import device_and_dtype

EXAMPLES = 8
"""Rows of the run that shows which inputs embeddings read."""

TOLERANCE = 1e-3
"""Of the largest output: equal runs may differ by rounding."""

Run = Callable[[Sequence[Tensor]], Tensor]
"""From the inputs of a model to its outputs."""


@dataclass(frozen=True, eq=False)
class Moves:
    """Which inputs of a network move along the way.

    Attributes:
        call: Runs the network.
        names: Of all inputs.
        moving: Numbers of the inputs that move.
        embedded: Of these, the numbers of those that embeddings read.
        acting: Names of embedded inputs that also act otherwise, as by a mask ``ids != 0``.
    """

    call: Forward
    names: tuple[str, ...]
    moving: tuple[int, ...]
    embedded: frozenset[int] = frozenset()
    acting: tuple[str, ...] = ()

    @classmethod
    def of(cls, call: Forward, inputs: Sequence[Tensor], given: Sequence[Tensor]) -> Moves:
        """Find them by a run on a few rows.

        Args:
            call: Runs the network.
            inputs: Rows as the network takes them.
            given: Rows as the user gives them.

        Raises:
            InputError: Nothing moves.
        """
        numbered = tuple(f"input {number + 1}" for number in range(len(inputs)))
        names = call.names or (("input",) if len(inputs) == 1 else numbered)
        some = [values[:EXAMPLES].clone() for values in inputs]
        own = {number for number, name in enumerate(names) if _is_own(name, given[number])}
        followed = Followed({number: ids for number, ids in _whole(some).items() if number not in own})
        with followed:
            call(some)
        embedded = frozenset(lookup.input for lookup in followed.found)
        floats = {number for number, values in enumerate(inputs) if values.is_floating_point()}
        moving = tuple(sorted((floats | embedded) - own))
        if not moving:
            raise InputError(
                "The inputs are whole numbers that reach the output without an embedding, so there is no way "
                "between two of them; expected floating-point inputs, or token ids for an nn.Embedding or an "
                "nn.EmbeddingBag of bags of equal size, without padding_idx."
            )
        acting = tuple(names[number] for number in sorted(embedded) if followed.elsewhere[number])
        moves = cls(call, names, moving, embedded, acting)
        for number in moves.held:
            if inputs[number].dtype != torch.bool and "mask" not in names[number]:
                warnings.warn(
                    f"No embedding reads the whole numbers of {names[number]!r}: they stay those of each row "
                    "and carry nothing. Pass floating-point numbers to measure them.",
                    stacklevel=4,
                )
        return moves

    @property
    def held(self) -> tuple[int, ...]:
        """Numbers of the inputs that are a row's own."""
        return tuple(number for number in range(len(self.names)) if number not in self.moving)

    @property
    def own(self) -> tuple[str, ...]:
        """Names of the inputs by which rows are only compared with rows that have the same."""
        acting = (f"use of {name} beside its embedding" for name in self.acting)
        return (*(self.names[number] for number in self.held), *acting)

    def kinds(self, inputs: Sequence[Tensor]) -> Int64[np.ndarray, " row"]:
        """A number for each row; two rows have the same if all that is their own is equal."""
        count = len(inputs[0])
        if not self.own:
            return np.zeros(count, dtype=np.int64)
        keys: list[bytes] = []
        for first in range(0, count, BATCH):
            some = [values[first : first + BATCH].clone() for values in inputs]
            parts = [some[number] for number in self.held]
            if self.acting:
                followed = Followed({n: ids for n, ids in _whole(some).items() if n in self.embedded})
                with followed:
                    self.call(some)
                parts += [part for several in followed.elsewhere.values() for part in several]
            arrays = [
                part.numpy(force=True) for part in parts if len(part.shape) and len(part) == len(some[0])
            ]
            keys += [_digest([array[row] for array in arrays]) for row in range(len(some[0]))]
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        return np.array([numbers[key] for key in keys], dtype=np.int64)

    def lookups(self, inputs: Sequence[Tensor], run: Run) -> tuple[dict[int, list[Lookup]], Tensor]:
        """What embeddings look up for each embedded input, and the outputs."""
        followed = Followed({n: ids for n, ids in _whole(inputs).items() if n in self.embedded})
        with followed:
            output = run(inputs)
        found: dict[int, list[Lookup]] = {number: [] for number in self.embedded}
        for lookup in followed.found:
            found[lookup.input].append(lookup)
        return found, output


def _whole(inputs: Sequence[Tensor]) -> dict[int, Tensor]:
    return {number: values for number, values in enumerate(inputs) if not values.is_floating_point()}


def _is_own(name: str, given: Tensor) -> bool:
    """Whether an input that the model takes as numbers is a mask or the length of a sequence."""
    flags = "mask" in name and bool(((given == 0) | (given == 1)).all())
    return flags or ("length" in name and not given.is_floating_point())


def _digest(parts: Sequence[np.ndarray]) -> bytes:
    hashed = hashlib.blake2b(digest_size=16)
    for part in parts:
        hashed.update(np.ascontiguousarray(part).tobytes())
    return hashed.digest()


class Way:
    """The straight way from some rows, one for each, to others.

    What the rows at the end have of their own holds at all of it. Several things that are looked up for one
    input stand one after the other in a flat tensor.
    """

    def __init__(self, moves: Moves, start: Sequence[Tensor], end: Sequence[Tensor], run: Run) -> None:
        self._moves, self._end = moves, end
        self._lookups: dict[int, list[Lookup]] = {}
        self._outputs: dict[float, Tensor] = {}
        ends = {number: (start[number], end[number]) for number in moves.moving}
        if moves.embedded:
            begin = [values if n in moves.moving else end[n] for n, values in enumerate(start)]
            before, self._outputs[0.0] = moves.lookups([values.clone() for values in begin], run)
            after, self._outputs[1.0] = moves.lookups([values.clone() for values in end], run)
            self._lookups = after
            for number in moves.embedded:
                _check_alike(before[number], after[number], moves.names[number])
                ends[number] = _joined(before[number]), _joined(after[number])
        self._ends = [ends[number] for number in moves.moving]

    def at(self, share: Share) -> list[Tensor]:
        """What moves, at a share of the way; the two ends of it are exact."""
        shares: Sequence[float | Tensor] = [share] * len(self._ends) if isinstance(share, float) else share
        return [_between(*ends, part) for ends, part in zip(self._ends, shares, strict=True)]

    @contextmanager
    def inputs(self, moved: Sequence[Tensor]) -> Iterator[list[Tensor]]:
        """Inside, the network runs at a point of the way, if it is called with these inputs."""
        still = self._moves.embedded.union(self._moves.held)
        inputs = [values.clone() if number in still else values for number, values in enumerate(self._end)]
        instead: dict[int, Tensor] = {}
        for number, values in zip(self._moves.moving, moved, strict=True):
            if number in self._moves.embedded:
                parts = zip(self._lookups[number], _parts(values, self._lookups[number]), strict=True)
                # A view: an embedding may be a layer of its own, behind the input.
                instead |= {lookup.number: part.view_as(part) for lookup, part in parts}
            else:
                inputs[number] = values
        with Replaced(instead):
            yield inputs

    def shares(self, of_pairs: Float[np.ndarray, " pair"]) -> list[Tensor] | None:
        """A share for each pair, to be multiplied with the numbers of each input that moves.

        Returns:
            None where what is looked up does not stand pair by pair.
        """
        if not all(self._by_pair(number, len(of_pairs)) for number in self._moves.embedded):
            return None
        shares = torch.from_numpy(of_pairs)
        return [shares.to(end).reshape(-1, *[1] * (end.dim() - 1)) for _, end in self._ends]

    def _by_pair(self, number: int, pairs: int) -> bool:
        """Whether an input is looked up once, and what is looked up for a pair stands at its place."""
        lookup, *more = self._lookups[number]
        if more or not (pairs,) == lookup.elements.shape[:1] == lookup.values.shape[:1]:
            return False
        elements, each = lookup.elements.reshape(pairs, -1), self._end[number][0].numel()
        own = (elements - 1) // each == torch.arange(pairs, device=elements.device)[:, None]
        return bool((own | (elements == 0)).all())

    def check(self, output: Float[Tensor, "pair output"], share: Share) -> None:
        """Compare the outputs at the ends of the way with those of the rows there.

        Raises:
            InputError: They differ, as token ids act on the output past the embeddings.
        """
        for end, expected in self._outputs.items():
            of_pairs = torch.full((len(output),), share) if isinstance(share, float) else share[0].flatten()
            there = (of_pairs == end).to(output.device)
            self._compare(output[there], expected[there])

    def _compare(self, output: Tensor, expected: Tensor) -> None:
        tolerance = max(TOLERANCE, 16 * torch.finfo(device_and_dtype(self._moves.call.model)[1]).eps)
        largest = float(expected.abs().max()) if expected.numel() else 0.0
        if not torch.allclose(output, expected, rtol=tolerance, atol=tolerance * largest):
            names = ", ".join(repr(self._moves.names[number]) for number in sorted(self._moves.embedded))
            raise InputError(
                f"The whole numbers of {names} act on the output otherwise than through embeddings, so no "
                "way between them leads from one row to another; expected a model that passes them to "
                "nn.Embedding alone, and masks as inputs of their own."
            )

    def by_feature(self, place: int, current: Float[Tensor, "..."]) -> Float[Tensor, "pair feature"]:
        """The current of each feature of a moving input, summed over what was looked up for it."""
        number = self._moves.moving[place]
        if number not in self._moves.embedded:
            return current.flatten(1)
        ids = self._end[number]
        features = current.new_zeros(ids.numel() + 1)
        for lookup, part in zip(self._lookups[number], _parts(current, self._lookups[number]), strict=True):
            sums = part.reshape(lookup.elements.numel(), -1).sum(1)
            features.index_add_(0, lookup.elements.flatten(), sums)
        return features[1:].reshape(len(ids), -1)

    def features(self, currents: Sequence[Tensor]) -> Float[Tensor, "pair feature"]:
        """The currents of the features of all moving inputs."""
        return joined([self.by_feature(place, current) for place, current in enumerate(currents)], 1)

    def none_of(self, place: int) -> Float[Tensor, "pair feature"]:
        """The currents of a moving input that the network does not read: 0 of each feature."""
        return torch.zeros_like(self._end[self._moves.moving[place]], dtype=torch.float32).reshape(
            len(self._end[0]), -1
        )

    def features_of(self, place: int, shape: torch.Size) -> Int64[Tensor, "..."]:
        """The feature of each number of a moving input, in its shape; `NONE` if it is of no feature."""
        number = self._moves.moving[place]
        if number not in self._moves.embedded:
            return units_of_numbers(None, shape)
        each = self._end[number][0].numel()
        parts = []
        for lookup in self._lookups[number]:
            feature = torch.where(lookup.elements > 0, (lookup.elements - 1) % each, NONE).flatten()
            parts.append(feature.repeat_interleave(lookup.values.numel() // len(feature)))
        return torch.cat(parts).reshape(shape)


def _check_alike(before: Sequence[Lookup], after: Sequence[Lookup], name: str) -> None:
    same = len(before) == len(after) and all(
        one.number == two.number
        and one.values.shape == two.values.shape
        and torch.equal(one.elements, two.elements)
        for one, two in zip(before, after, strict=True)
    )
    if not same:
        raise InputError(
            f"What embeddings read of {name!r} depends on its values, so no way leads from one row to "
            "another; expected a model that reads the same positions in every row."
        )


def _joined(lookups: Sequence[Lookup]) -> Tensor:
    if len(lookups) == 1:
        return lookups[0].values
    return torch.cat([lookup.values.flatten() for lookup in lookups])


def _parts(values: Tensor, lookups: Sequence[Lookup]) -> list[Tensor]:
    """The parts of what `_joined` has joined."""
    if len(lookups) == 1:
        return [values]
    lengths = [lookup.values.numel() for lookup in lookups]
    return [
        part.reshape(lookup.values.shape) for part, lookup in zip(values.split(lengths), lookups, strict=True)
    ]


def _between(start: Tensor, end: Tensor, share: float | Tensor) -> Tensor:
    """A point of the way; its two ends are exact."""
    if isinstance(share, Tensor):
        share = share.to(start)
        return torch.where(share == 1, end, torch.where(share == 0, start, start + share * (end - start)))
    if share in (0.0, 1.0):
        return (end if share else start).clone()
    return torch.lerp(start, end, share)
