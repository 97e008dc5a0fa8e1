"""What a flow is written as: a file, a figure, a page, and the objects of other libraries."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

from nif.core.arguments import checked_arguments
from nif.core.errors import InputError, memory_named
from nif.core.files import other_ending
from nif.core.pages import written_page
from nif.core.unit import shown_in
from nif.flow import export

if TYPE_CHECKING:
    import igraph
    import networkx
    import shap
    from matplotlib.axes import Axes

    from nif.flow.flow import Flow
    from nif.report.page import Embedded
    from nif.report.pruning import Removal


OTHER_FORMATS = {
    **dict.fromkeys((".html", ".htm"), "flow.report(path) writes a page"),
    **dict.fromkeys((".csv", ".tsv", ".parquet", ".xlsx"), "flow.edges() is a frame, which writes tables"),
    **dict.fromkeys((".png", ".svg", ".pdf"), "flow.plot().figure.savefig(path) writes a picture"),
}
"""What to write for files of other endings."""


class OutputViews:
    """Methods of `nif.Flow` that write it."""

    @property
    def _flow(self) -> Flow:
        return cast("Flow", self)

    @checked_arguments()
    def save(self, path: str | os.PathLike[str], *, keep: float | None = None) -> None:
        """Write the flow as one safetensors file; `nif.load` reads it. Nothing in it is code.

        Args:
            path: Of the file.
            keep: Fraction of the absolute nats to write, by the strongest links and weights. None takes all
                (1.0) up to 10 million and 0.999 above; the header, `repr` and the report say what is missing.
                P-values and silent units stay those of all links.

        Raises:
            InputError: `keep` is no fraction, the path cannot be written, or it ends in something else than
                .safetensors. An existing file is then unchanged.
        """
        from nif.flow.file import save

        if ending := other_ending(path):
            instead = OTHER_FORMATS.get(ending, "pass a path such as 'flow.safetensors'")
            raise InputError(f"A flow is written as safetensors, not as {ending}; {instead}.")
        save(self._flow, path, keep)

    @checked_arguments(
        dict.fromkeys(("kind", "type", "style"), "other pictures are in nif.plots."),
        hints={"ax": "Other pictures are functions of nif.plots, such as nif.plots.sankey(flow)."},
    )
    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the network: layers from left to right, links by their nats (see `nif.plots.network`).

        Args:
            ax: Axes to draw into; a new figure if None.

        Raises:
            InputError: matplotlib is not installed.
        """
        from nif.plots.network_graph import network

        return network(self._flow, ax)

    @checked_arguments()
    @memory_named("fewer links: flow.save(path, keep=0.9), then nif.load(path)")
    def report(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        pruned: Removal | None = None,
        association: Flow | None = None,
        data: str | None = None,
        unit: str = "nats",
    ) -> Path:
        """Write a page to explore the flow in a browser: one HTML file, without server or network.

        It holds up to 200,000 links, of more those that carry 99.9 % of the nats, and says what it left out.

        Args:
            path: Of the file, for example ``"flow.html"``. None writes a temporary file, opens it in the
                browser and prints its path.
            pruned: The result of `nif.prune` for this flow; the page then shows removed units and their cost.
            association: Of currents, a flow of `nif.DecisionInformation` of the same network and data: the
                page then shows what units know of the decision beside what it uses of them.
            data: Name of the data, for the title.
            unit: ``"nats"`` or ``"bits"``, in which the page states information.

        Returns:
            The path.

        Raises:
            InputError: The path cannot be written, or the pruning or the association is of another network.
                An existing file is then unchanged.
        """
        from nif.report.page import write

        return written_page(path, lambda target: write(self._flow, target, pruned, association, data), unit)

    @checked_arguments()
    def show(self, *, pruned: Removal | None = None, height: int = 700, unit: str = "nats") -> Embedded:
        """The page of `report` in a cell of a notebook, as the last expression of the cell.

        Args:
            pruned: As for `report`.
            height: Pixels.
            unit: As for `report`.

        Raises:
            InputError: `height` is less than 200, or the pruning is of another network.
        """
        from nif.report.page import embedded

        with shown_in(unit):
            return embedded(self._flow, pruned, height)

    def to_igraph(self) -> igraph.Graph:
        """The links as an igraph graph; vertices have the columns of `neurons`, edges have ``nats``."""
        return export.to_igraph(self._flow)

    def to_networkx(self) -> networkx.DiGraph:
        """The links with information as a networkx graph; nodes are ``(layer, unit)``.

        Nodes have the columns of `neurons`; edges have ``nats`` and ``distance`` (1 / nats). Equal names in
        one layer have their index appended.

        Raises:
            InputError: networkx is not installed.
        """
        return export.to_networkx(self._flow)

    @checked_arguments()
    def to_shap(self, *, by_class: bool = True) -> shap.Explanation | dict[str, shap.Explanation]:
        """The currents of explained rows for shap: base values plus currents are the information at a row.
        Of association, one for each class, of all data, with 95 % intervals; see `nif.flow.export.to_shap`.

        Args:
            by_class: ``[row, feature, class]`` where the flow has classes; False for their sum.

        Raises:
            InputError: shap is not installed, or the flow is of an earlier version.
        """
        return export.to_shap(self._flow, by_class=by_class)
