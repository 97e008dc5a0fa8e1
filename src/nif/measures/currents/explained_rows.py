"""Which rows are explained, against which backgrounds, and what is decided there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nif.core.errors import InputError
from nif.core.numbers import check_column_order
from nif.data.rows import Rows, read
from nif.data.signature import Signature
from nif.measures.currents.decisions import Values, decided_by
from nif.measures.currents.information import Decided
from nif.measures.currents.sample import Given
from nif.measures.currents.targets import Target
from nif.measures.measure import Measured
from nif.network.decision import Decision
from nif.network.labels import values_of_classes
from nif.network.network import Network


@dataclass(frozen=True, eq=False)
class ExplainedRows:
    """The rows that are explained or drawn from, and their backgrounds.

    Attributes:
        rows: As the user gives them.
        inputs: As the network takes them.
        outputs: At these rows.
        given: Background rows that are no rows among them; None if they are.
        known: Outputs at the rows of data, which say how much a value varies.
    """

    rows: Rows
    inputs: tuple[Tensor, ...]
    outputs: Float[Tensor, "row output"]
    given: Given | None
    known: Float[Tensor, "data output"]

    @classmethod
    def of(
        cls, target: Target, signature: Signature, data: Rows, background: Any = None, explain: Any = None
    ) -> ExplainedRows:
        """Of data, or of rows to explain in place of rows of data.

        Args:
            target: Runs the network.
            signature: Its inputs.
            data: Rows of data.
            background: Rows that backgrounds are drawn from; the rows of data if None.
            explain: Rows to explain; rows of data if None.

        Raises:
            InputError: The rows do not fit the data.
        """
        inputs = tuple(target.call.prepared(data.inputs))
        outputs = target.outputs(inputs)
        given = None if background is None else _background(target, signature, data, background)
        if explain is None:
            return cls(data, inputs, outputs, given, outputs)
        rows = read(explain, signature)
        _check_fits(rows, data, "rows to explain")
        if [values.shape[1:] for values in rows.inputs] != [values.shape[1:] for values in data.inputs]:
            raise InputError(
                f"The rows to explain have shape {_shapes(rows)} and the data {_shapes(data)}; expected rows "
                "like those of data, [row, ...]."
            )
        if given is not None and given.each is not None:
            raise InputError(
                "Backgrounds of each row, [row, background, ...], come with rows of data; pass the rows of "
                "explain= as data, or a pool of background rows."
            )
        given = replace(given or Given(inputs, outputs), fixed=True)
        inputs = tuple(target.call.prepared(rows.inputs))
        return cls(rows, inputs, target.outputs(inputs), given, outputs)

    def decided(self, decision: Decision, chosen: Any, noise: float, network: Network) -> Decided:
        """The decision at these rows; how much a value varies is that of data.

        Raises:
            InputError: The decision does not fit the outputs or the labels.
        """
        outputs = self.outputs if chosen == "labels" else self.known
        labels = self.rows.labels
        known = values_of_classes(network.model, network.class_names, labels)
        decided = decided_by(decision, outputs, chosen, noise, labels, known)
        if isinstance(decided, Values) and bool(_starts_to_vary(self.known, self.outputs).any()):
            raise InputError(
                "The noise of a value is in its deviations over the data, and there it is the same in all "
                "rows; pass data in which it varies, and these rows as background=."
            )
        return decided

    def total_is(self, decided: Decided) -> str:
        """The total, in words."""
        of_labels = getattr(decided, "labels", None) is not None
        if self.fixed:
            gain = "information about the label" if of_labels else "divergence from the mean decision"
            count = f"{len(self.outputs)} given row{'s' * (len(self.outputs) > 1)}"
            name = f"mean {gain} over {count}, with errors of the backgrounds alone"
        elif self.given is None:
            name = "mean information about the label" if of_labels else "I(X; Y)"
        elif self.given.each is None:
            name = "mean divergence from the mean decision of the background"
        else:
            name = "mean divergence from the decision at the backgrounds of each row"
        several = max(decided.independent) + 1
        return name if several == 1 else f"{name}, added up over {several} outputs"

    @property
    def fixed(self) -> bool:
        """Whether the user chooses the rows that are explained."""
        return self.given is not None and self.given.fixed

    def numbered(self, measured: Measured) -> Measured:
        """With the numbers that explained rows have in the data, of which some may have been drawn."""
        numbers, tables = self.rows.numbers, measured.currents
        if numbers is None or tables is None or tables.rows is None:
            return measured
        return replace(measured, currents=replace(tables, rows=numbers[tables.rows]))


def _starts_to_vary(
    known: Float[Tensor, "data output"], outputs: Float[Tensor, "row output"]
) -> Bool[Tensor, " output"]:
    """Whether an output that is the same in all rows of data is another at some of other rows."""
    rounding = 4 * torch.finfo(torch.float32).eps * known.abs().amax(0)
    varies = (known.amax(0) - known.amin(0)) > rounding
    return ~varies & ((outputs - known[0]).abs().amax(0) > rounding)


def _background(target: Target, signature: Signature, data: Rows, background: Any) -> Given:
    """The background rows that the user passes."""
    passed = read(background, signature)
    _check_fits(passed, data, "background")
    known, shapes = ([list(values.shape) for values in some.inputs] for some in (data, passed))
    paired = [shape[:1] + shape[2:] for shape in shapes] == known
    if not paired and [shape[1:] for shape in shapes] != [shape[1:] for shape in known]:
        raise InputError(
            f"The background has shape {_shapes(passed)} for data of shape {_shapes(data)}; expected a pool "
            "of such rows, or [row, background, ...]."
        )
    if paired and len({shape[1] for shape in shapes}) > 1:
        raise InputError(f"The inputs have {shapes} backgrounds a row; expected as many for each input.")
    inputs = [values.flatten(0, 1) if paired else values for values in passed.inputs]
    prepared = tuple(target.call.prepared(inputs))
    return Given(prepared, target.outputs(prepared), shapes[0][1] if paired else None)


def _check_fits(rows: Rows, data: Rows, what: str) -> None:
    """Compare the inputs and the columns of rows with those of data."""
    if rows.names != data.names:
        raise InputError(
            f"The {what} {'has' if what == 'background' else 'have'} the inputs "
            f"{_listed(rows.names)} and the data {_listed(data.names)}; expected the same."
        )
    check_column_order(rows.feature_names or (), data.feature_names or (), f"the {what}", "the data")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "in order"


def _shapes(rows: Rows) -> str:
    return ", ".join(str(list(values.shape)) for values in rows.inputs)
