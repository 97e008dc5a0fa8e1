"""How a flow was measured: stored with the flow and shown with its results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_NAMES = 5
"""Weights that are not measured, in one line."""


@dataclass(frozen=True)
class Measurement:
    """The options and circumstances of a measurement.

    Attributes:
        method: The method with all its options, as text.
        options: The same by name, and what the method chose: of `nif.Association` also ``terms``, the number
            of mutual information terms, and ``automatic``, whether it chose the estimator.
        samples: Number of samples: rows of data, or their positions.
        not_converged: Number of terms whose optimisation ran out of steps.
        seed: Random seed.
        version: Of this library.
        began: Begin of the measurement, ISO 8601 in UTC; None if unknown, as in a flow written by hand.
        seconds: Its duration. Two measurements that differ in time alone are equal.
        about: What was measured, for titles: ``model``, ``data``, ``score``, ``value``, as far as known.
    """

    method: str
    options: dict[str, Any]
    samples: int
    not_converged: int
    seed: int
    version: str
    began: str | None = field(default=None, compare=False)
    seconds: float | None = field(default=None, compare=False)
    about: dict[str, Any] = field(default_factory=dict, compare=False)

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Measurement:
        """From a file, also of nif 0.1, which had fields for the options of association.

        Example:
            >>> old = {"estimator": "Binned()", "automatic": False, "decomposition": {"beta": None}}
            >>> old |= {"noise": 0.0, "samples": 105, "terms": 85, "not_converged": 0, "seed": 0}
            >>> old |= {"version": "0.1"}
            >>> Measurement.read(old).method
            'Association(estimator=Binned(), beta=None, noise=0.0)'
        """
        if "method" in stored:
            return cls(**{name: value for name, value in stored.items() if name in cls.__dataclass_fields__})
        old = ("estimator", "decomposition", "noise", "automatic", "terms")
        now = {name: value for name, value in stored.items() if name in (*old, *cls.__dataclass_fields__)}
        options = {"estimator": now.pop("estimator"), **now.pop("decomposition"), "noise": now.pop("noise")}
        automatic, terms = now.pop("automatic"), now.pop("terms")
        known = {name: repr(value) for name, value in options.items()}
        known["estimator"] = "None" if automatic else options["estimator"]
        method = f"Association({', '.join(f'{name}={value}' for name, value in known.items())})"
        return cls(method=method, options={**options, "automatic": automatic, "terms": terms}, **now)

    def lines(self) -> list[str]:
        """The measurement in sentences.

        Example:
            >>> options = {"estimator": "Mine()", "automatic": True, "terms": 85}
            >>> Measurement("Association(estimator=None)", options, 105, 2, 0, "0.1").lines()
            ['Association(estimator=None)',
             'Mine(), chosen automatically; 105 samples, 85 terms, 2 not converged; seed 0; nif 0.1']
        """
        automatic = self.options.get("automatic") and "estimator" in self.options
        chosen = f"{self.options['estimator']}, chosen automatically; " if automatic else ""
        terms = f", {self.options['terms']} terms" if "terms" in self.options else ""
        failed = f", {self.not_converged} not converged" if self.not_converged else ""
        blocks = f" in {self.options['blocks']} blocks" if self.options.get("blocks") else ""
        counts = f"{self.samples} samples{blocks}{terms}{failed}"
        lines = [self.method, f"{chosen}{counts}; seed {self.seed}; nif {self.version}"]
        return [*lines, *self._steps(), *self._not_measured()]

    def _steps(self) -> list[str]:
        """The steps of currents, and the estimate of what they leave."""
        if "steps" not in self.options:
            return []
        steps, error = self.options["steps"], self.options.get("step_error")
        left = "error not estimated" if error is None else f"units within {error:.1%} of the total"
        missed = self.options.get("missed_by_branches", 0.0)
        return [f"{steps} steps, {left}" + (f", {missed:.1%} missed at branches" if missed else "")]

    def _not_measured(self) -> list[str]:
        """What ran and has no links."""
        names = self.options.get("not_measured") or []
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        return [f"not measured: {', '.join(names[:MOST_NAMES])}{more}"] if names else []
