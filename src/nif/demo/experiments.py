"""Which network is trained on which data, and for how long."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Experiment:
    """A data set with the network that is trained on it.

    Attributes:
        dataset: A name `nif.datasets.load` knows.
        hidden: Units of each hidden layer.
        epochs: Passes over the training rows; enough for the loss to settle, a second or less.
        of_the_paper: Whether the published table, of four features, can stand beside the result.
    """

    dataset: str
    hidden: tuple[int, ...]
    epochs: int
    of_the_paper: bool


EXPERIMENTS = {
    "iris": Experiment("iris", hidden=(10,), epochs=200, of_the_paper=True),
    "banknote": Experiment("banknote", hidden=(10, 10), epochs=40, of_the_paper=True),
    "digits": Experiment("digits", hidden=(32, 16), epochs=40, of_the_paper=False),
}
"""The demos by name; a new one is an entry here."""
