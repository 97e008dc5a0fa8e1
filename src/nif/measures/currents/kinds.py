"""Samples of rows of several kinds: a row is only compared with rows that have the same mask or length.

What a row has of its own, such as a mask of its tokens, stays as it is along the way, so the row that the way
begins at must have the same. Each kind is a sample by itself, and the total is the mean over kinds: the
information about the decision that is left when the mask is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nif.core.errors import InputError
from nif.measures.currents.backgrounds import Backgrounds
from nif.measures.currents.decisions import of_rows
from nif.measures.currents.grouped_sums import GROUPS
from nif.measures.currents.information import Decided
from nif.measures.currents.moves import Moves
from nif.measures.currents.sample import Given, Sample


@dataclass(frozen=True, eq=False)
class Kind:
    """The sample of one kind of rows.

    Attributes:
        sample: Of the rows and the pool of this kind, which it numbers from 0.
        members: Numbers of the rows of this kind in the data.
        pool: Numbers of its background rows in the whole pool.
        share: Of the kind in the data.
    """

    sample: Sample
    members: Int64[np.ndarray, " member"]
    pool: Int64[np.ndarray, " background"]
    share: float = 1.0

    @property
    def rows(self) -> Int64[np.ndarray, " row"]:
        """The explained rows."""
        return self.members[self.sample.rows]

    @property
    def weights(self) -> Float[np.ndarray, " row"]:
        """Of the explained rows."""
        return self.share * self.sample.weights

    @property
    def backgrounds(self) -> Backgrounds:
        """Of the explained rows."""
        of_kind = self.sample.backgrounds
        return Backgrounds(self.pool[of_kind.index], of_kind.log_weights, of_kind.own)


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of all kinds of rows.

    Attributes:
        kinds: One for each.
        groups: Of all rows of data.
        pool_groups: Of all background rows.
    """

    kinds: tuple[Kind, ...]
    groups: Int64[np.ndarray, " data"]
    pool_groups: Int64[np.ndarray, " pool"]

    @classmethod
    def of(
        cls,
        decided: Decided,
        outputs: Float[Tensor, "data output"],
        most_rows: int,
        most: int,
        generator: np.random.Generator,
        given: Given | None,
        kinds: tuple[np.ndarray, np.ndarray],
        own: tuple[str, ...] = (),
        groups: Int64[np.ndarray, " data"] | None = None,
        limit: int | None = None,
    ) -> Samples:
        """Draw them; see `Sample.of`.

        Args:
            decided: The decision.
            outputs: Of all rows of data.
            most_rows: Rows to explain.
            most: Backgrounds of a row.
            generator: Draws them.
            given: Background rows that come with the data.
            kinds: Of each row of data, and of each background row.
            own: Names of what differs between kinds.
            groups: Of the rows, for the errors; drawn if None.
            limit: Of the backgrounds where `most` are too few; all other rows if None.

        Raises:
            InputError: A row has no other of its kind.
        """
        fixed = None if given is None else given.groups(len(outputs), generator)
        fixed = fixed if groups is None else (groups, groups)
        paired = given is not None and given.each is not None
        if paired:
            _check_paired(*kinds, own)
        if paired or len(np.unique(np.concatenate(kinds))) == 1:
            sample = Sample.of(decided, outputs, most_rows, most, generator, given, fixed, limit)
            kind = Kind(sample, np.arange(len(outputs)), np.arange(len(sample.pool)))
            return cls((kind,), sample.groups, sample.pool_groups)
        groups = generator.permutation(len(outputs)) % GROUPS
        pool_groups = groups if given is None else generator.permutation(len(given.outputs)) % GROUPS
        groups, pool_groups = fixed or (groups, pool_groups)
        found, fewest = [], 2 if given is None else 1
        for kind in np.unique(kinds[0]):
            members, pool = (np.flatnonzero(of == kind) for of in kinds)
            if len(pool) < fewest:
                raise _alone(int(members[0]), own, given=fixed is not None)
            rows, those = (
                torch.from_numpy(members).to(outputs.device),
                torch.from_numpy(pool).to(outputs.device),
            )
            part = None if given is None else replace(given, outputs=given.outputs[those])
            share = len(members) / len(outputs)
            count = max(1, round(most_rows * share))
            both = groups[members], pool_groups[pool]
            sample = Sample.of(
                of_rows(decided, rows), outputs[rows], count, most, generator, part, both, limit
            )
            found.append(Kind(sample, members, pool, share))
        return cls(tuple(found), groups, pool_groups)

    @property
    def rows(self) -> Int64[np.ndarray, " row"]:
        """Indices of the explained rows."""
        return np.concatenate([kind.rows for kind in self.kinds])

    @property
    def weights(self) -> Float[np.ndarray, " row"]:
        """Of these rows; they sum to 1."""
        return np.concatenate([kind.weights for kind in self.kinds])

    @property
    def exact(self) -> float:
        """What the total must be, in closed form over the explained rows."""
        return sum(kind.share * kind.sample.exact for kind in self.kinds)

    @property
    def pairs(self) -> int:
        """Of an explained row and a background."""
        return sum(kind.backgrounds.index.size for kind in self.kinds)

    @property
    def each(self) -> int:
        """Backgrounds of a row, at most."""
        return max(kind.sample.backgrounds.index.shape[1] for kind in self.kinds)

    def key(self, inputs: Sequence[Tensor]) -> str:
        """Equal for the same rows of data in the same groups, whatever the network."""
        bytes_of = [values.detach().cpu().contiguous().view(torch.uint8).numpy() for values in inputs]
        key = 0
        for part in (*bytes_of, self.groups, self.pool_groups):
            key = crc32(np.ascontiguousarray(part).data, key)
        return f"{key:08x}"

    def pilot(self, rows: int, backgrounds: int) -> Samples:
        """A part of it, on which the number of steps is chosen."""
        count = min(rows, len(self.kinds))
        some = [self.kinds[place] for place in np.linspace(0, len(self.kinds) - 1, count).astype(np.int64)]
        share = sum(kind.share for kind in some)
        parts = [
            replace(kind, sample=kind.sample.pilot(rows // count, backgrounds), share=kind.share / share)
            for kind in some
        ]
        return replace(self, kinds=tuple(parts))


def kinds_of(
    moves: Moves, inputs: tuple[Tensor, ...], given: Given | None
) -> tuple[Int64[np.ndarray, " data"], Int64[np.ndarray, " pool"]]:
    """The kinds of the rows of data and of the background rows."""
    if given is None:
        kinds = moves.kinds(inputs)
        return kinds, kinds
    every = [torch.cat(both) for both in zip(inputs, given.inputs, strict=True)]
    kinds = moves.kinds(every)
    return kinds[: len(inputs[0])], kinds[len(inputs[0]) :]


def _check_paired(kinds: np.ndarray, pool: np.ndarray, own: tuple[str, ...]) -> None:
    """Refuse backgrounds of a row that have another mask."""
    other = np.flatnonzero((pool.reshape(len(kinds), -1) != kinds[:, None]).any(1))
    if len(other):
        raise InputError(
            f"The backgrounds of row {other[0]} differ from it in {_listed(own)}, which is the row's own and "
            "stays as it is; pass backgrounds of the same length, with the same mask."
        )


def _alone(row: int, own: tuple[str, ...], *, given: bool) -> InputError:
    name = "explain=" if given else "the data"
    return InputError(
        f"Row {row} of {name} has no background row with the same {_listed(own)}, which is the row's own "
        "and stays as it is; pass rows of fewer lengths, several of each, or background= with the same."
    )


def _listed(own: tuple[str, ...]) -> str:
    return " and ".join(own) or "mask"
