"""Recordings of some rows at a time, as seen through the noise channel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float

from nif.contracts import Recording
from nif.noise import through_channel
from nif.streams import stream


def behind_noise(
    recording: Recording, pieces: Iterable[Recording], noise: float, seed: int
) -> Iterator[tuple[Float[np.ndarray, "row _"], ...]]:
    """The activations of each piece behind noise; its size is that of the deviations of a recording.

    Args:
        recording: Of some rows; it tells the deviation of each unit.
        pieces: Of all rows.
        noise: In standard deviations of each unit, as for `nif.noise.observed`.
        seed: Seeds the noise.
    """
    deviations = [
        (layer.kind != "input") * noise * values.std(axis=0)
        for layer, values in zip(recording.layers, recording.activations, strict=True)
    ]
    generator = stream(seed, "noise of pieces")
    for piece in pieces:
        yield tuple(
            through_channel(values, spread, generator) if spread.any() else values
            for values, spread in zip(piece.activations, deviations, strict=True)
        )
