"""The measured flow of a network, and every table and picture made from it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Bool

from nif.core.errors import InputError
from nif.core.types import CurrentTables, Layer, Links, SumErrors, Total
from nif.flow import currents as of_currents
from nif.flow import export, paths, summary, tables
from nif.flow.communities import Communities
from nif.flow.current_views import CurrentViews
from nif.flow.measurement import Measurement
from nif.flow.neurons import ALPHA, Neurons
from nif.flow.strongest import LeftOut
from nif.flow.unit_names import Named
from nif.flow.validation import check, check_currents, check_errors

if TYPE_CHECKING:
    import igraph
    import networkx
    import shap
    from matplotlib.axes import Axes

    from nif.report.page import Embedded
    from nif.report.pruning import Removal


@dataclass(frozen=True, eq=False, repr=False)
class Flow(CurrentViews):
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
        check_errors(self.graph.sizes, self.graph.feature_count, self.errors)
        check_currents(self.graph.sizes, self.graph.feature_count, self.currents)

    @property
    def total(self) -> Total | None:
        """Information that reaches the decision, and its error; None of association."""
        return None if self.currents is None else self.currents.total

    def attribution(self, clip: bool = True) -> pd.DataFrame:
        r"""Attribution of each feature to each class, summed over all paths (eq. 4).

        .. math:: A_{ij} = \sum_{\text{paths } i \to j} \; \prod_{\text{links on the path}} \text{nats}

        By currents, the current of the feature for the class: in nats, signed; the table sums to `total`.

        Args:
            clip: Links of less than 0 nats (more redundant than relevant) count as 0. False keeps their sign;
                then two such links on one path make a positive product, which has no meaning.

        Returns:
            Features x classes. By association a path of d links has the unit nats^d: show `shares`.
            ``attrs["shape"]`` is that of an image of features: ``table["cat"].to_numpy().reshape(shape)``.

        References:
            Davis et al. (2019), https://arxiv.org/abs/1901.08557

        Example:
            >>> example().attribution().round(3)
            class   yes
            feature
            left    0.1
            right   0.0
        """
        if self.currents is not None:
            return tables.by_class(self.currents, self.layers, self.currents.attribution)
        return tables.by_feature(self.graph.features, self.layers, paths.attribution(self.graph, clip=clip))

    def attribution_stderr(self, clip: bool = True) -> pd.DataFrame:
        r"""Standard error of `attribution`.

        .. math:: \operatorname{Var} A_{ij} \approx \frac1N \sum_s
            \Big( \sum_{u \to v} F_{iu} \, s_{uv} \, d_{uv}(s) \, B_{vj} \Big)^2

        It sums the influence of each row of data on all links (`nif.measures.association.errors`), to first
        order: accurate if errors are small compared with the links. With ``clip=False``, in a flow written by
        hand, and for the relevance of whole layers, links are taken as independent: mostly too small.

        Example:
            >>> print(example().attribution_stderr().loc["left", "yes"].round(4))
            0.0054
        """
        if self.currents is not None:
            return tables.by_class(self.currents, self.layers, self.currents.attribution_stderr)
        errors = self.sum_errors.attribution if clip else paths.attribution_stderr(self.graph, clip=False)
        return tables.by_feature(self.graph.features, self.layers, errors)

    def shares(self, *, by_class: bool = False) -> pd.DataFrame:
        r"""Share of each feature in the attribution to all classes, with its error; 0 if there is none.

        .. math:: s_i = \frac{\sum_j A_{ij}}{\sum_i \sum_j A_{ij}}

        ``by_class=True`` is a table of features x classes that adds up to 1, without errors.

        Example:
            >>> example().shares()["share"].to_dict()
            {'left': 1.0, 'right': 0.0}
        """
        if by_class:
            return self.attribution() / (self.attribution().to_numpy().sum() or 1.0)
        if self.currents is not None:
            shares = of_currents.shares(self.currents, self.graph.feature_count)
            return shares.set_index(self.attribution().index)
        table = tables.by_feature(self.graph.features, self.layers, self.sum_errors.attribution)[[]]
        return table.assign(share=paths.shares(self.graph)[0], stderr=self.sum_errors.shares)

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
        return tables.edges(self.layers, self.links, top, missing, absolute=signed)

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
            silent: Constant, or q_value of `alpha` or more; of currents, carries less than .1 % of the total.
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
        if not 0 < alpha < 1:
            raise InputError(f"alpha is {alpha}; expected a level between 0 and 1, such as 0.05.")
        return self.by_unit.table(alpha)

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
        return table[table["silent"]]

    @property
    def communities(self) -> Communities:
        """Leiden's grouping of the units of all layers in order."""
        return self.by_unit.communities

    @property
    def modularity(self) -> float:
        """Clarity of the communities: 0 is no better than chance, 1 is the maximum."""
        return self.communities.modularity

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
        return tables.strongest_paths(self.layers, self.graph, source, target, k, self.currents)

    def save(self, path: str | os.PathLike[str], *, keep: float | None = None) -> None:
        """Write the flow as one safetensors file; `nif.load` reads it. Nothing in it is code.

        Args:
            path: Of the file.
            keep: Fraction of the absolute nats to write, by the strongest links and weights. None takes all
                (1.0) up to 10 million and 0.999 above; the header, `repr` and the report say what is missing.
                P-values and silent units stay those of all links.

        Raises:
            InputError: `keep` is no fraction, or the path cannot be written; no file changes.
        """
        from nif.flow.file import save

        save(self, path, keep)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the network: layers from left to right, links by their nats (see `nif.plots.network`).

        Args:
            ax: Axes to draw into; a new figure if None.

        Raises:
            InputError: matplotlib is not installed.
        """
        from nif.plots.network_graph import network

        return network(self, ax)

    def report(self, path: str | os.PathLike[str], *, pruned: Removal | None = None) -> None:
        """Write a page to explore the flow in a browser: one HTML file, without server or network.

        It holds up to 200,000 links, of more those that carry 99.9 % of the nats; what is left out is said.

        Args:
            path: Of the file, for example ``"flow.html"``.
            pruned: The result of `nif.prune` for this flow; the page then shows removed units and their cost.

        Raises:
            InputError: The path cannot be written, or the pruning is of another network; no file changes.
        """
        from nif.report.page import write

        write(self, path, pruned)

    def show(self, *, pruned: Removal | None = None, height: int = 700) -> Embedded:
        """The page of `report` in a cell of a notebook, as the last expression of the cell.

        Args:
            pruned: As for `report`.
            height: Pixels.

        Raises:
            InputError: `height` is less than 200, or the pruning is of another network.
        """
        from nif.report.page import embedded

        return embedded(self, pruned, height)

    def to_igraph(self) -> igraph.Graph:
        """The links as an igraph graph; vertices have the columns of `neurons`, edges have ``nats``."""
        return export.to_igraph(self)

    def to_networkx(self) -> networkx.DiGraph:
        """The links with information as a networkx graph; nodes are ``(layer, unit)``, numbered if equal.

        Nodes have the columns of `neurons`; edges have ``nats`` and ``distance`` (1 / nats).

        Raises:
            InputError: networkx is not installed.
        """
        return export.to_networkx(self)

    def to_shap(self, *, by_class: bool = True) -> shap.Explanation | dict[str, shap.Explanation]:
        """The currents of explained rows for shap: base values plus currents are the information at a row.
        Of association, one for each class, of all data, with 95 % intervals; see `nif.flow.export.to_shap`.

        Args:
            by_class: ``[row, feature, class]`` where the flow has classes; False for their sum.

        Raises:
            InputError: shap is not installed, or the flow is of an earlier version.
        """
        return export.to_shap(self, by_class=by_class)

    def __eq__(self, other: object) -> bool:
        """The same layers, measurement, and bits in every array."""
        if not isinstance(other, Flow):
            return NotImplemented
        from nif.flow.file import same

        return same(self, other)

    __hash__ = None  # type: ignore[assignment] # arrays have no hash

    def __repr__(self) -> str:
        return "\n  ".join([summary.first_line(self), *self.notes()])

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
