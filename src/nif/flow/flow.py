"""The flow of a network: what a measurement gives, and every table and picture that is made of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from nif.core.errors import InputError
from nif.core.types import Layer, Links, SumErrors
from nif.flow import communities as centrality
from nif.flow import communities as structure
from nif.flow import export as explanations
from nif.flow import export as graphs
from nif.flow import paths, summary, tables
from nif.flow.measurement import Measurement
from nif.flow.significance import unit_p_values, unit_q_values
from nif.flow.unit_names import Named, place_of
from nif.flow.validation import check, check_errors

if TYPE_CHECKING:
    import igraph
    import networkx
    import shap
    from matplotlib.axes import Axes

    from nif.report.page import Embedded
    from nif.report.pruning import Removal

ALPHA = 0.05
"""Level at which a unit counts as silent unless another is asked for."""


@dataclass(frozen=True, eq=False, repr=False)
class Flow:
    """The information that flows between the units of a network, in nats.

    `nif.measure` makes one; `nif.load` reads one from a file. It is not changed after that: what takes time
    is computed when first asked for, and kept.

    Attributes:
        layers: In order of execution, from the inputs to the output.
        links: Weights between the units of connected layers; each leads from an earlier to a later layer.
        constant: For each layer, which units had one value on all the data.
        measurement: How it was measured.
        errors: Of sums of links, where the rows of data told them; else the links are taken as independent.

    Raises:
        InputError: No layers or links, links that lead backward, shapes that do not fit, NaN or infinity.

    Example:
        >>> flow = example()
        >>> flow
        Flow of 2-2-1 units: 6 links, 0 of 5 units silent at 0.05
          Binned(); 500 samples, 7 terms
          beta=None; noise 0.0; seed 0; nif 0.1
    """

    layers: tuple[Layer, ...]
    links: tuple[Links, ...]
    constant: tuple[Bool[np.ndarray, " _"], ...]
    measurement: Measurement
    errors: SumErrors | None = None

    def __post_init__(self) -> None:
        check(self.layers, self.links, self.constant)
        check_errors(self._dag.sizes, self._dag.feature_count, self.errors)

    def attribution(self, clip: bool = True) -> pd.DataFrame:
        r"""How much each feature says to each class along all paths (eq. 4).

        .. math:: A_{ij} = \sum_{\text{paths } i \to j} \; \prod_{\text{links on the path}} \text{nats}

        Args:
            clip: Links of less than 0 nats (more redundant than relevant) count as 0. False keeps their sign;
                then two such links on one path make a positive product, which means nothing.

        Returns:
            Features x classes. A path of d links has the unit nats^d, so compare features and classes of one
            network, not of networks of different depth. Of images, ``attrs["shape"]`` is the shape of the
            picture: ``table["cat"].to_numpy().reshape(table.attrs["shape"])``.

        References:
            Davis et al. (2019), https://arxiv.org/abs/1901.08557

        Example:
            >>> flow = example()
            >>> flow.attribution().round(3)
            class   yes
            feature
            left    0.1
            right   0.0
        """
        return tables.by_feature(self._dag.features, self.layers, paths.attribution(self._dag, clip=clip))

    def attribution_stderr(self, clip: bool = True) -> pd.DataFrame:
        r"""Standard error of `attribution`.

        .. math:: \operatorname{Var} A_{ij} \approx \frac1N \sum_s
            \Big( \sum_{u \to v} F_{iu} \, s_{uv} \, d_{uv}(s) \, B_{vj} \Big)^2

        The links rest on the same rows of data: `nif.measures.association.errors` adds up what each row
        moves. It is of first order: good where errors are small beside the links. With ``clip=False``, in a
        flow written by hand, and where relevance is that of whole layers, links are taken as independent:
        mostly too small.

        Example:
            >>> flow = example()
            >>> print(flow.attribution_stderr().loc["left", "yes"].round(4))
            0.0054
        """
        if clip:
            return tables.by_feature(self._dag.features, self.layers, self._errors.by_class)
        return tables.by_feature(
            self._dag.features, self.layers, paths.attribution_stderr(self._dag, clip=False)
        )

    def shares(self) -> pd.DataFrame:
        r"""Share of each feature in the attribution to all classes, 0 where there is none; with its error.

        .. math:: s_i = \frac{\sum_j A_{ij}}{\sum_i \sum_j A_{ij}}

        Example:
            >>> example().shares()["share"].to_dict()
            {'left': 1.0, 'right': 0.0}
        """
        table = tables.by_feature(self._dag.features, self.layers, self._errors.by_class)[[]]
        return table.assign(share=paths.shares(self._dag)[0], stderr=self._errors.shares)

    def edges(self) -> pd.DataFrame:
        """Every link: where from, where to, nats (may be negative), standard error, p-value of its relevance.

        The q-value is the p-value adjusted for the number of links (Benjamini–Hochberg): of the links with
        ``q_value < 0.05``, at most 5 % on average carry nothing.

        Example:
            >>> flow = example()
            >>> flow.edges().head(2)[["source_unit", "target_unit", "nats", "stderr", "p_value", "q_value"]]
              source_unit target_unit  nats  stderr  p_value  q_value
            0        left        h[0]   0.5    0.01    0.001    0.001
            1        left        h[1]   0.0    0.01    0.001    0.001
        """
        return tables.edges(self.layers, self.links)

    def neurons(self, alpha: float = ALPHA) -> pd.DataFrame:
        """Every unit, by (layer, unit).

        Columns:
            inflow, outflow: Nats of its links from earlier and to later layers in all, negative ones as 0.
            throughput: Share of the whole attribution that passes through it. Where no link skips a layer,
                the shares of a layer sum to 1.
            p_value: Of "no information flows through it": the larger of the Simes p-value of its links in and
                that of its links out.
            q_value: The same, adjusted for the number of units (Benjamini–Hochberg).
            silent: Constant, or q_value of `alpha` or more.
            community: Leiden's grouping, 0 for the largest; -1 for units that no information reaches.
            betweenness: Pairs of units whose shortest path (a link is 1 / nats long) leads through it. In a
                network of tens of thousands of units it is estimated from the paths that start at some of
                them: at ``attrs["betweenness_starts"]`` units.

        Args:
            alpha: False discovery rate: the share of units called active that may carry nothing.

        Example:
            >>> flow = example()
            >>> flow.neurons()[["inflow", "outflow", "throughput", "silent"]].loc["hidden"]
                  inflow  outflow  throughput  silent
            unit
            h[0]     0.5      0.2         1.0   False
            h[1]     0.3      0.0         0.0   False
        """
        if not 0 < alpha < 1:
            raise InputError(f"alpha is {alpha}; expected a level between 0 and 1, such as 0.05.")
        columns = {
            "inflow": structure.inflow(self._dag.sizes, self.links),
            "outflow": structure.outflow(self._dag.sizes, self.links),
            "throughput": np.concatenate(paths.throughput(self._dag)),
            "p_value": self._p_values,
            "q_value": self._q_values,
            "silent": self._silent(alpha),
            "community": self._communities.label,
            "betweenness": self._betweenness.pairs,
        }
        table = pd.DataFrame(columns, index=tables.unit_index(self.layers))
        table.attrs["betweenness_starts"] = self._betweenness.starts
        return table

    def silent(self, alpha: float = ALPHA) -> pd.DataFrame:
        """The rows of `neurons` through which no information is shown to flow.

        With few samples or little training a unit may be called silent because the data can not show what it
        carries: `nif.prune` therefore checks what removing them costs.

        Args:
            alpha: See `neurons`.

        Example:
            >>> flow = example()
            >>> len(flow.silent())
            0
        """
        table = self.neurons(alpha)
        return table[table["silent"]]

    @property
    def modularity(self) -> float:
        """How clear the communities are: 0 is no better than chance, 1 is the most."""
        return self._communities.modularity

    def paths(self, source: Named, target: Named, k: int = 10) -> pd.DataFrame:
        """The k strongest paths from one unit to another, in time linear in links times k.

        Args:
            source: Name of a feature; ``(layer, unit)`` by name or index for any unit.
            target: Name of a class, or the same; in a later layer.
            k: How many. Fewer come back where fewer paths carry information.

        Returns:
            By rank from 1: the product of the nats of the links, its share of all paths between the two, and
            the units on the way as ``(layer, unit)``.

        Raises:
            InputError: No such unit (the nearest name is suggested), or the target does not come later.

        Example:
            >>> flow = example()
            >>> flow.paths("left", "yes").iloc[0]["path"]
            (('input', 'left'), ('hidden', 'h[0]'), ('output', 'yes'))
        """
        last = len(self.layers) - 1
        begin = place_of(self.layers, source, self._dag.features)
        end = place_of(self.layers, target, [last])
        if begin[0] >= end[0]:
            raise InputError(
                f"{source!r} is in layer {self.layers[begin[0]].name!r} and {target!r} in "
                f"{self.layers[end[0]].name!r}; paths lead to a later layer. Exchange them?"
            )
        if k < 1:
            raise InputError(f"k is {k}; expected 1 or more paths.")
        found = paths.strongest_paths(self._dag, begin, end, k)
        return tables.paths(self.layers, found, whole=paths.between(self._dag, begin, end))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the flow as one safetensors file; `nif.load` reads it. Nothing in it is code.

        Raises:
            InputError: The path can not be written. A file that was there before is then unchanged.
        """
        from nif.flow.file import save

        save(self, path)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the network: layers from left to right, links by their nats.

        A unit's colour is its community, its size its betweenness; silent ones are hollow.

        Args:
            ax: Where to draw; a new figure if None.

        Raises:
            InputError: matplotlib is not installed.
        """
        from nif.plots.network_graph import network

        return network(self, ax)

    def report(self, path: str | os.PathLike[str], *, pruned: Removal | None = None) -> None:
        """Write a page to explore the flow in a browser: one HTML file, without server or network.

        The strongest 200,000 links go into it; the page says what was left out.

        Args:
            path: Of the file, for example ``"flow.html"``.
            pruned: What `nif.prune` gave for this flow; the page then shows what went, and what that costs.

        Raises:
            InputError: The path can not be written, or the pruning is of another network. A file that was
                there before is then unchanged.
        """
        from nif.report.page import write

        write(self, self._dag, path, pruned)

    def show(self, *, pruned: Removal | None = None, height: int = 700) -> Embedded:
        """The same page in a cell of a notebook; let it be the last expression of the cell.

        Args:
            pruned: As for `report`.
            height: Pixels.

        Raises:
            InputError: `height` is less than 200, or the pruning is of another network.
        """
        from nif.report.page import embedded

        return embedded(self, self._dag, pruned, height)

    def to_igraph(self) -> igraph.Graph:
        """The links with information as an igraph graph.

        Vertices have ``layer``, ``unit`` and the columns of `neurons`; edges have ``nats``.
        """
        return graphs.to_igraph(self.layers, self.neurons(), self._graph)

    def to_networkx(self) -> networkx.DiGraph:
        """The links with information as a networkx graph; nodes are ``(layer, unit)``.

        Nodes have the columns of `neurons`; edges have ``nats`` and ``distance`` (1 / nats). Of units with
        equal names in one layer each has its place behind its name.

        Raises:
            InputError: networkx is not installed.
        """
        return graphs.to_networkx(self.layers, self.neurons(), self._graph)

    def to_shap(self) -> dict[str, shap.Explanation]:
        """The attribution as an explanation of shap for each class, with 95 % intervals.

        The plots of shap draw one: The numbers are
        of a whole data set, nats multiplied along paths, and not shares of one prediction.

        Raises:
            InputError: shap is not installed.
        """
        return explanations.to_shap(self.attribution(), self.attribution_stderr())

    def __eq__(self, other: object) -> bool:
        """The same layers, measurement, and bits in every array."""
        if not isinstance(other, Flow):
            return NotImplemented
        if self.layers != other.layers or self.measurement != other.measurement:
            return False
        same = tables.same_numbers(self.links, other.links, self.constant, other.constant)
        return same and tables.same_errors(self.errors, other.errors)

    __hash__ = None  # type: ignore[assignment] # arrays have no hash

    def __repr__(self) -> str:
        sizes = "-".join(map(str, self._dag.sizes))
        links = sum(found.count for found in self.links)
        first = f"Flow of {sizes} units: {links} links, {self._silent(ALPHA).sum()} of {sum(self._dag.sizes)}"
        return "\n  ".join([f"{first} units silent at {ALPHA}", *self.measurement.lines()])

    def _repr_html_(self) -> str:
        return summary.html_table(self.layers, self._dag, self._silent(ALPHA), self.measurement)

    @cached_property
    def _dag(self) -> paths.Dag:
        return paths.Dag.of(self.layers, self.links)

    @cached_property
    def _errors(self) -> SumErrors:
        return self.errors or paths.independent_errors(self._dag)

    @cached_property
    def _graph(self) -> structure.Graph:
        return structure.Graph.of(self._dag.sizes, self.links)

    @cached_property
    def _communities(self) -> structure.Communities:
        return structure.communities(self._graph, seed=self.measurement.seed)

    @cached_property
    def _betweenness(self) -> centrality.Betweenness:
        return centrality.betweenness(self._graph, seed=self.measurement.seed)

    @cached_property
    def _p_values(self) -> Float[np.ndarray, " unit"]:
        return unit_p_values(self.links, self.constant)

    @cached_property
    def _q_values(self) -> Float[np.ndarray, " unit"]:
        return unit_q_values(self._p_values, np.concatenate(self.constant))

    def _silent(self, alpha: float) -> Bool[np.ndarray, " unit"]:
        return np.concatenate(self.constant) | (self._q_values >= alpha)


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
    measured = Measurement("Binned()", False, {"beta": None}, 0.0, 500, 7, 0, 0, "0.1")
    return Flow(layers, links, constant, measured)
