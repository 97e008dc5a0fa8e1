"""What each unit tells of the decision: the mutual information of the two, in nats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from scipy.special import ndtr
from torch import Tensor

from nif.core.arguments import checked_options
from nif.core.types import Advance, Layer, Links
from nif.data.rows import Rows
from nif.estimators.pairs import Resources
from nif.flow.known_and_used import DECISION
from nif.measures.currents.currents import Currents
from nif.measures.currents.decisions import Values, decided_by
from nif.measures.currents.information import Decided
from nif.measures.currents.moves import Moves
from nif.measures.currents.targets import Target
from nif.measures.measure import Measured
from nif.network.network import Network
from nif.network.preserve import preserved
from nif.network.recording import Recording

CELLS = (2, 4, 8, 16, 32, 64)
"""Numbers of cells of equal probability that the values of a unit are cut into."""

FEWEST_IN_A_CELL = 4

REACH = 6
"""Standard deviations of the noise of a value on either side of it that are integrated over."""

Table = Float[np.ndarray, "row outcome"]


@checked_options
@dataclass(frozen=True)
class DecisionInformation:
    r"""Association of every unit with the decision of the network: what the unit alone tells of it.

    .. math:: I(H; Y) = \operatorname{E}_x \sum_y p(y \mid x) \log \frac{p(y \mid h(x))}{p(y)}

    The decision Y is that of `Currents`, so the two measures compare unit by unit: this is what a unit
    *knows*, by whatever way it came to know it, and its current is what the decision *uses* of it. No unit
    knows more than `Flow.total` of currents. A unit that is not connected with the output may know much, and
    one that matters only together with others knows nothing by itself; see `nif.plots.known_and_used`.

    The probabilities of the network are used as they are, so no decisions are drawn. :math:`p(y \mid h)` is
    their mean over the other rows whose unit is in the same of 2 to 64 cells of equal probability; the number
    of cells is the one of the largest information, leaving out each row in turn. Predicting rows that were
    left out gives no more than the true information on average, and cells lose what varies inside them. An
    estimate below 0 counts as 0.

    Args:
        decision: What is decided, as for `Currents`.
        noise: Of a value, as for `Currents`.
        target: What decides in place of the output, as for `Currents`.
        rows: Rows of data above this number are sampled at random.

    Raises:
        InputError: An option is out of range.

    References:
        Leave-one-out choice of a histogram (Rudemo, 1982), https://www.jstor.org/stable/4615859

    Example:
        >>> import nif, torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(2, 1, bias=False), torch.nn.Sigmoid())
        >>> net[0].weight.data = torch.tensor([[3.0, 0.0]])
        >>> x = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))
        >>> known = nif.measure(net, x, nif.DecisionInformation(), progress=False)
        >>> known.neurons()["outflow"].round(1).loc["input"].to_dict()  # 0.299 and 0 in closed form
        {'x1': 0.3, 'x2': 0.0}
    """

    decision: str | Callable[[Tensor], Tensor] | None = None
    noise: float = 0.2
    target: tuple[str, int] | None = None
    rows: int = 5_000

    def __post_init__(self) -> None:
        Currents(decision=self.decision, noise=self.noise, target=self.target)  # the same options

    @property
    def rows_read(self) -> int | None:
        """See `Measure`."""
        return self.rows

    def work(self, network: Network, rows: Rows) -> float:
        """Rows to record, and units to estimate."""
        return len(rows) + sum(len(layer) for layer in network.architecture(rows).layers)

    def measure(
        self, network: Network, rows: Rows, *, seed: int, resources: Resources, advance: Advance
    ) -> Measured:
        """Record every unit and the decision, and estimate their information; see `Measure`."""
        recording = Recording.of(network, rows, advance=advance)
        plan, network = network.plan(rows), network.in_full_precision()
        call = network.forward(rows)
        with preserved(network.module), torch.no_grad():
            inputs = tuple(call.prepared(rows.inputs))
            moves = Moves.of(call, inputs, rows.inputs)
            target = Target.of(network, plan, moves, inputs, self.target)
            outputs = target.outputs(inputs)
            decision = target.decision(inputs, network.model)
        decided = decided_by(decision, outputs, self.decision, self.noise, rows.labels)
        places = target.places(plan, moves)
        layers = target.architecture(network.architecture(rows), places).layers
        activations = [recording.activations[place] for place in places]
        if target.unit is not None:
            activations[-1] = activations[-1][:, [target.unit]]
        tables = outcomes_of(decided, outputs)
        links = [
            _links(layer, len(layers), values, tables, advance) for layer, values in enumerate(activations)
        ]
        at = f", at {target.name}" if target.name else ""
        return Measured(
            layers=(*layers, Layer(DECISION, "decision", (DECISION,))),
            links=tuple(links),
            constant=(*(np.ptp(values, axis=0) == 0 for values in activations), np.zeros(1, dtype=bool)),
            errors=None,
            currents=None,
            samples=recording.samples,
            options={"decision": decided.name + at, "noise_of_values": self.noise},
        )


def outcomes_of(decided: Decided, outputs: Float[Tensor, "row output"]) -> list[Table]:
    """The probabilities of the outcomes at each row, a table for each independent decision.

    A value behind noise has the points of a grid as outcomes, one noise deviation apart, those near an
    output. For a Gaussian density such a sum is the integral to 1e-8 (trapezoid rule).

    Example:
        >>> values = Values(torch.tensor([0.5]), "a value")
        >>> [table] = outcomes_of(values, torch.tensor([[0.0], [1.0]]))
        >>> table.shape, table.sum(1).round(6).tolist()
        ((2, 15), [1.0, 1.0])
    """
    if isinstance(decided, Values):
        scaled = outputs.double().numpy(force=True) / decided.deviation.double().numpy(force=True)
        return [_on_a_grid(column) for column in scaled.T]
    weight = decided.outcomes(outputs.double(), torch.arange(len(outputs))).weight.numpy(force=True)
    of = np.asarray(decided.independent)
    return [weight[:, of == number] for number in range(of.max() + 1)]


def _on_a_grid(value: Float[np.ndarray, " row"]) -> Table:
    points = np.unique(np.rint(value)[:, None] + np.arange(-REACH, REACH + 1))
    density = np.exp(-0.5 * (points - value[:, None]) ** 2)
    table: Table = density / density.sum(1, keepdims=True)
    return table


def _links(
    layer: int, last: int, values: Float[np.ndarray, "row unit"], tables: Sequence[Table], advance: Advance
) -> Links:
    """From each unit of a layer to the decision."""
    found = np.zeros((values.shape[1], 3))
    for unit, column in enumerate(values.T):
        found[unit] = information_with(column, tables)
        advance(1)
    nats, stderr, p_value = found.T[:, :, None]
    return Links(layer, last, nats, stderr, p_value, nats)


def information_with(unit: Float[np.ndarray, " row"], tables: Sequence[Table]) -> tuple[float, float, float]:
    """Information of a unit and independent decisions together, its standard error and p-value.

    Args:
        unit: Its value at each row.
        tables: Probabilities of the outcomes of each decision at each row.

    Example:
        >>> sign = np.repeat([-1.0, 1.0], 100)
        >>> nats, stderr, p_value = information_with(sign, [np.eye(2)[(sign > 0).astype(int)]])
        >>> round(nats, 2), p_value < 1e-9  # ln 2
        (0.69, True)
    """
    place = np.searchsorted(np.sort(unit), unit, side="right") / len(unit)
    found = []
    for count in CELLS:
        if count > max(2, len(unit) // FEWEST_IN_A_CELL):
            break
        cell = np.ceil(place * count).astype(np.int64) - 1  # equal values share one
        found.append(np.sum([_gained(table, cell, count) for table in tables], axis=0))
    gained = max(found, key=lambda each: float(each.mean()))
    nats, stderr = float(gained.mean()), float(gained.std(ddof=1) / np.sqrt(len(gained)))
    if nats <= 0 or np.ptp(unit) == 0:
        return 0.0, stderr, 1.0
    return nats, stderr, float(ndtr(-nats / stderr)) if stderr > 0 else 0.0


def _gained(table: Table, cell: Int[np.ndarray, " row"], count: int) -> Float[np.ndarray, " row"]:
    """How much more probable its outcome is by the other rows of its cell than by all other rows, in nats.

    The others of a cell count as one more with the probabilities of all, so that none are impossible.
    """
    rows = len(table)
    whole = (table.sum(0) - table) / (rows - 1)
    member = csr_array((np.ones(rows), (cell, np.arange(rows))), shape=(count, rows))
    others = (member @ table)[cell] - table
    near = (others + whole) / np.bincount(cell, minlength=count)[cell, None]
    known = (table > 0) & (whole > 0)  # an outcome of this row alone is as good as unknown to both
    ratio = np.divide(near, whole, out=np.ones_like(whole), where=known)
    gained: np.ndarray = (table * np.log(np.maximum(ratio, np.finfo(float).tiny))).sum(1)
    return gained
