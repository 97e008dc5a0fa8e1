"""The measured flow of a network, and every table and picture made from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import pandas as pd
from jaxtyping import Bool

from nif.core.arguments import checked_arguments
from nif.core.errors import memory_named
from nif.core.guesses import OF_FLOW, no_attribute
from nif.core.text import visible
from nif.core.types import CurrentTables, Layer, Links, SumErrors, Total
from nif.core.whole_table import WholeTable
from nif.flow import flow_difference, paths, summary, tables
from nif.flow.communities import Communities
from nif.flow.current_views import CurrentViews
from nif.flow.feature_views import FeatureViews
from nif.flow.measurement import Measurement
from nif.flow.neurons import ALPHA, Neurons
from nif.flow.output_views import OutputViews
from nif.flow.strongest import LeftOut
from nif.flow.unit_names import Named
from nif.flow.validation import check, check_tables


@dataclass(frozen=True, eq=False, repr=False)
class Flow(FeatureViews, CurrentViews, OutputViews):
    """The information that flows between the units of a network, in nats.

    `nif.measure` makes one; `nif.load` reads one from a file. A flow does not change: slow results are kept.

    Attributes:
        layers: In order of execution, from the inputs to the output.
        links: Weights between the units of connected layers; each leads from an earlier to a later layer.
        constant: For each layer, flags of the units that had one value on all the data.
        measurement: How the flow was measured.
        errors: Of sums of links, from the rows of data; without them, links are taken as independent.
        currents: Of units and features, which sum to the total; None in a flow of association.
        left_out: The weakest links, if the file of a large flow does not hold them.

    Raises:
        InputError: No layers or links, links that lead backward, shapes that do not fit, NaN or infinity.

    Example:
        >>> flow = example()
        >>> flow
        Flow of 2-2-1 units: 6 links, 0 of 5 units silent at 0.05
          Association(estimator=Binned(), beta=None)
          500 samples, 7 terms; seed 0; nif 0.1
    """

    layers: tuple[Layer, ...]
    links: tuple[Links, ...]
    constant: tuple[Bool[np.ndarray, " _"], ...]
    measurement: Measurement
    errors: SumErrors | None = None
    currents: CurrentTables | None = None
    left_out: LeftOut | None = None

    def __post_init__(self) -> None:
        check(self.layers, self.links, self.constant)
        check_tables(self)

    @property
    def total(self) -> Total | None:
        """Information that reaches the decision, and its error; None of association."""
        known = self.currents
        return None if known is None else replace(known.total, degrees=known.degrees)

    @checked_arguments({"k": "write flow.edges(top=10).", "n": "write flow.edges(top=10)."})
    @memory_named("top=, the number of the largest links")
    def edges(self, top: int | None = None) -> pd.DataFrame:
        """Every link: source, target, nats (may be negative), standard error, p-value (of no information).

        The q-value is the p-value adjusted for the number of links (Benjamini–Hochberg): of the links with
        ``q_value < 0.05``, at most 5 % on average carry nothing. Units that no path connects have no row.

        Args:
            top: The number of links with the most nats to return, largest first (currents without their
                sign); their index is the row in the table of all links. None returns all, in the order of
                their units: gigabytes of names for many million links.

        Raises:
            InputError: `top` is less than 1.

        Example:
            >>> edges = example().edges()
            >>> edges.head(2)[["source_unit", "target_unit", "nats", "stderr", "p_value", "q_value"]]
              source_unit target_unit  nats  stderr  p_value  q_value
            0        left        h[0]   0.5    0.01    0.001    0.001
            1        left        h[1]   0.0    0.01    0.001    0.001
        """
        missing, signed = self.left_out.links if self.left_out else 0, self.currents is not None
        return WholeTable.of(tables.edges(self.layers, self.links, top, missing, absolute=signed))

    @checked_arguments({"layer": "write flow.neurons().loc['relu1']."})
    def neurons(self, alpha: float = ALPHA) -> pd.DataFrame:
        """Every unit, by (layer, unit).

        Columns:
            current, stderr, absolute: Of currents only: the current, and its mean over rows without sign.
            inflow, outflow: Sum of the nats of links from earlier and to later layers, negative ones as 0; of
                currents the current.
            throughput: Share of the whole attribution, or of the total current, that passes through the unit.
                If no link skips a layer, the shares of a layer sum to 1.
            p_value: Of "no information flows through it": the larger of the Simes p-value of its links in and
                that of its links out; two-sided of currents.
            q_value: The p-value, adjusted for the number of units (Benjamini–Hochberg).
            silent: Constant, or q_value of `alpha` or more; of currents, below 0.1 % of the total.
            community: Leiden's grouping, 0 for the largest; -1 for units without information.
            betweenness: Pairs of units whose shortest path (a link is 1 / nats long) passes through the unit;
                in large networks estimated from paths that start at ``attrs["betweenness_starts"]`` units.

        Communities and betweenness are those of the strongest 1,000,000 links;
        ``attrs["communities_left_out"]`` is the number of weaker ones.

        Args:
            alpha: False discovery rate: the expected fraction of units called active that carry nothing.

        Example:
            >>> example().neurons()[["inflow", "outflow", "throughput", "silent"]].loc["hidden"]
                  inflow  outflow  throughput  silent
            unit
            h[0]     0.5      0.2         1.0   False
            h[1]     0.3      0.0         0.0   False
        """
        return WholeTable.of(self.by_unit.table(alpha))

    @checked_arguments()
    def silent(self, alpha: float = ALPHA) -> pd.DataFrame:
        """The rows of `neurons` in which no information was detected.

        With few samples or little training that may be for want of data: `nif.prune` therefore measures the
        cost of removing units.

        Args:
            alpha: See `neurons`.

        Example:
            >>> len(example().silent())
            0
        """
        table = self.neurons(alpha)
        return WholeTable.of(table[table["silent"]])

    @property
    def communities(self) -> Communities:
        """Leiden's grouping of the units of all layers in order."""
        return self.by_unit.communities

    @property
    def modularity(self) -> float:
        """Clarity of the communities: 0 is no better than chance, 1 is the maximum."""
        return self.communities.modularity

    @checked_arguments(dict.fromkeys(("top", "n"), "write flow.paths(k=10)."))
    def paths(self, source: Named | None = None, target: Named | None = None, k: int = 10) -> pd.DataFrame:
        """The k strongest paths from one unit to another, in time linear in links times k.

        Args:
            source: Name of a feature, or any unit as ``(layer, name or index)``; all features if None.
            target: Name of an output, or the same; in a later layer. All outputs if None.
            k: The number of paths; fewer are returned if fewer carry information.

        Returns:
            By rank from 1: share of all paths between the two, units of the path as ``(layer, unit)``;
            ``attrs["products"]`` of nats. Of currents, the current along the path, its share of the total,
            error, p- and q-value, as far as the measurement evaluated paths; see `Currents`.

        Raises:
            InputError: No such unit (the nearest name is suggested), or the target does not come later.

        Example:
            >>> example().paths("left", "yes").iloc[0]["path"]
            (('input', 'left'), ('hidden', 'h[0]'), ('output', 'yes'))
        """
        found = tables.strongest_paths(self.layers, self.graph, source, target, k, self.currents)
        return WholeTable.of(found)

    def __eq__(self, other: object) -> bool:
        """The same layers, measurement, and bits in every array."""
        if not isinstance(other, Flow):
            return NotImplemented
        from nif.flow.file import same

        return same(self, other)

    @checked_arguments()
    def __sub__(self, other: Flow) -> pd.DataFrame:
        """Current of each feature less that in a flow of the same rows, see `nif.flow.flow_difference`."""
        return flow_difference.difference(self, other)

    if not TYPE_CHECKING:  # which then knows what a flow has

        def __getattr__(self, name: str) -> NoReturn:
            """Say what to write in place of a name that a flow does not have."""
            no_attribute("A flow", name, OF_FLOW, self)

    __hash__ = None  # type: ignore[assignment] # arrays have no hash

    def __repr__(self) -> str:
        return "\n  ".join(map(visible, [summary.first_line(self), *self.notes()]))

    def _repr_html_(self) -> str:
        return summary.html_table(self)

    def notes(self) -> list[str]:
        """Sentences on the total, on how it was measured, and on what was left out."""
        left_out = [str(self.left_out)] if self.left_out else []
        return [*summary.of_currents(self), *self.measurement.lines(), *left_out]

    @property
    def count(self) -> int:
        """The number of links: of connected pairs of units."""
        return sum(links.count for links in self.links)

    @cached_property
    def graph(self) -> paths.Dag:
        """The layers and links as a directed acyclic graph, for sums over paths."""
        return paths.Dag.of(self.layers, self.links)

    @cached_property
    def sum_errors(self) -> SumErrors:
        """`errors`, or without them those of independent links."""
        return self.errors or paths.independent_errors(self.graph)

    @cached_property
    def by_unit(self) -> Neurons:
        """The columns of `neurons` as arrays, and their sums for each layer."""
        return Neurons(self)


def example() -> Flow:
    """A flow of five units written by hand, for examples.

    Example:
        >>> example().attribution().to_numpy().round(3).tolist()
        [[0.1], [0.0]]
    """
    layers = (
        Layer("input", "input", ("left", "right")),
        Layer("hidden", "ReLU", ("h[0]", "h[1]")),
        Layer("output", "Linear", ("yes",)),
    )
    weights = np.array([[0.5, 0.0], [-0.1, 0.3]]), np.array([[0.2], [0.0]])
    links = tuple(
        Links(place, place + 1, nats, np.full_like(nats, 0.01), np.full_like(nats, 0.001), nats)
        for place, nats in enumerate(weights)
    )
    constant = tuple(np.zeros(len(layer), dtype=bool) for layer in layers)
    options = {"estimator": "Binned()", "beta": None, "noise": 0.0, "terms": 7}
    measured = Measurement("Association(estimator=Binned(), beta=None)", options, 500, 0, 0, "0.1")
    return Flow(layers, links, constant, measured)
