"""Rows that the choice of units has not seen, on which networks are scored before and after pruning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from nif.core.errors import InputError
from nif.network.forward import Forward, Inputs
from nif.network.network import Network
from nif.pruning.criterion import Criterion, criterion_for, outputs
from nif.pruning.problem import PruningProblem, rows_of_flow


@dataclass(frozen=True, eq=False)
class OtherRows:
    """Rows to score networks on.

    Attributes:
        call: Runs the network before pruning.
        inputs: The rows.
        criterion: Of any network on them.
    """

    call: Forward
    inputs: Inputs
    criterion: Criterion

    def scores(self, model: nn.Module) -> tuple[float, float]:
        """The criterion of the network before pruning, and of another."""
        after = outputs(self.call.with_model(model), self.inputs)
        return self.criterion.before, self.criterion.value(after)


def other_rows(
    model: Any, problem: PruningProblem, data: Any, output: int | str | None, scorer: Any
) -> OtherRows:
    """Rows that are scored as those of a problem are.

    Args:
        model: What the user passed.
        problem: With a copy of the network.
        data: The rows, with labels where the problem has them.
        output: As for `nif.prune`, and so is `scorer`.

    Raises:
        InputError: The rows are scored by another criterion, as only one of both has labels.
    """
    given = Network.of(model)
    rows = rows_of_flow(data, given, problem.flow)
    call = Forward.of(problem.model, rows, output)
    names = problem.flow.layers[-1].units
    criterion = criterion_for(call, rows.inputs, rows.labels, given.model, scorer, names)
    if criterion.name != problem.criterion.name:
        raise InputError(
            f"The rows held out are scored by {criterion.name}, and the data by {problem.criterion.name}; "
            "pass labels with both, as (x, y), or with neither."
        )
    return OtherRows(call, rows.inputs, criterion)
