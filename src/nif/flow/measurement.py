"""How a flow was measured: stored with the flow and shown with its results."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Measurement:
    """The options and circumstances of a measurement.

    Attributes:
        estimator: The estimator and its options, as text.
        automatic: Whether the estimator was chosen by the number of terms.
        decomposition: The options of `nif.Decomposition` by name.
        noise: Standard deviation of the noise channel, in standard deviations of each unit.
        samples: Rows of data.
        terms: Mutual information terms that were estimated.
        not_converged: The number of these that were still rising after their last step.
        seed: The random seed.
        version: Of this library.
        began: Time of the start, ISO 8601 in UTC; None if unknown, as in a flow written by hand.
        seconds: Duration. Measurements that differ only in time are equal.
    """

    estimator: str
    automatic: bool
    decomposition: dict[str, object]
    noise: float
    samples: int
    terms: int
    not_converged: int
    seed: int
    version: str
    began: str | None = field(default=None, compare=False)
    seconds: float | None = field(default=None, compare=False)

    def lines(self) -> list[str]:
        """The measurement in sentences.

        Example:
            >>> Measurement("Mine()", True, {"beta": None}, 0.0, 105, 85, 2, 0, "0.1").lines()
            ['Mine(), chosen automatically; 105 samples, 85 terms, 2 not converged',
             'beta=None; noise 0.0; seed 0; nif 0.1']
        """
        chosen = ", chosen automatically" if self.automatic else ""
        failed = f", {self.not_converged} not converged" if self.not_converged else ""
        options = [f"{name}={value!r}" for name, value in self.decomposition.items()]
        return [
            f"{self.estimator}{chosen}; {self.samples} samples, {self.terms} terms{failed}",
            "; ".join([", ".join(options)] * bool(options) + [f"noise {self.noise}", f"seed {self.seed}"])
            + f"; nif {self.version}",
        ]
