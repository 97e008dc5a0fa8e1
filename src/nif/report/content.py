"""The data embedded in the page: JSON for names and options, typed arrays for numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nif.core.text import unbroken
from nif.core.types import Layer
from nif.core.unit import text_unit
from nif.flow import communities as structure
from nif.flow.headline import headline
from nif.flow.paths import Dag, attribution
from nif.flow.strongest import Strongest, strongest
from nif.plots import palette
from nif.plots.layout import heights
from nif.report import currents
from nif.report.caveats import caveats, caveats_of_currents
from nif.report.examples import Examples, examples
from nif.report.images import pixels
from nif.report.known import known_content
from nif.report.pruning import pruning_content
from nif.report.sankey import sankey_content
from nif.report.titles import title

if TYPE_CHECKING:
    from nif.flow.flow import Flow
    from nif.report.pruning import Removal

MOST_LINKS = 200_000
"""The strongest links of a larger network are in the page, which says how many it leaves out."""

CARRIED = 0.999
"""Fraction of all nats above 0 that suffices for fewer links still."""

STARTS = "betweenness_starts"

FROM_ROWS = "from the influence of each row of the data"

FROM_LINKS = "from the errors of the links, taken as independent: likely too narrow"
"""The source of the interval of an attribution."""

MOST_WIDTHS = 8
"""Layers up to which all widths are listed."""


@dataclass(frozen=True, eq=False)
class Content:
    """The data of the page.

    Attributes:
        meta: Names, options and sums for each layer; JSON.
        arrays: Numbers by name, one for each unit, link, or feature and class; little-endian.
    """

    meta: dict[str, Any]
    arrays: dict[str, np.ndarray]


def content(
    flow: Flow,
    pruned: Removal | None = None,
    association: Flow | None = None,
    data: str | None = None,
) -> Content:
    """The data of a page about a flow.

    Args:
        flow: Of currents or association.
        pruned: The pruning of its network.
        association: What units know of the decision, for what is known beside what is used.
        data: The name of the data.
    """
    dag, neurons, tables = flow.graph, flow.neurons(), flow.currents
    strength = flow.by_unit.strength
    links = strongest(flow.links, dag.sizes, MOST_LINKS, CARRIED, strength)
    last = len(dag.sizes) - 1
    places = heights(dag.sizes, flow.links, [*dag.features, last], strength)
    shown = examples(flow)
    arrays = {
        **_units(neurons, np.concatenate(places)),
        "source": links.source.astype("<u4"),
        "target": links.target.astype("<u4"),
        "nats": links.nats,
        "stderr": links.stderr,
        "link_p_value": links.p_value,
        **(_sums_over_paths(flow, dag) if tables is None else currents.arrays(flow, tables)),
        **({} if shown is None else {"row_currents": shown.currents}),
        **({} if shown is None or shown.values is None else {"row_values": shown.values}),
    }
    meta = {
        **_meta(flow, dag, neurons, links, shown),
        "title": title(flow, data),
        "pruning": pruned and pruning_content(pruned, flow.layers),
        "known": association and known_content(association, flow),
    }
    return Content(meta, {name: _compact(name, values) for name, values in arrays.items()})


def _compact(name: str, values: np.ndarray) -> np.ndarray:
    """Real numbers in 32 bits, where none is too large for them."""
    if values.dtype.kind != "f":
        return values
    # A product over many layers can leave the range of 32 bits at either end.
    fits = not name.startswith("attribution") and not (np.abs(values) > np.finfo(np.float32).max).any()
    return values.astype("<f4" if fits else "<f8")


def _units(neurons: pd.DataFrame, places: np.ndarray) -> dict[str, np.ndarray]:
    real = ["betweenness", "p_value", "q_value"]
    return {
        "y": places,
        **{name: neurons[name].to_numpy() for name in real},
        "community": neurons["community"].to_numpy().astype("<i4"),
        "silent": neurons["silent"].to_numpy().astype("u1"),
    }


def _sums_over_paths(flow: Flow, dag: Dag) -> dict[str, np.ndarray]:
    """Of units, nats in and out; of features to each class, and last to all classes together; with errors."""
    into, out = structure.flow_stderr(dag.sizes, flow.links, flow.errors)
    units, errors = flow.by_unit, flow.sum_errors
    labels = dag.sizes[-1]
    whole = float(attribution(dag).sum())
    of = np.concatenate([np.eye(labels), np.ones((labels, 1))], axis=1)
    return {
        "throughput": units.throughput,
        "inflow": units.inflow,
        "outflow": units.outflow,
        "inflow_stderr": into,
        "outflow_stderr": out,
        "attribution": attribution(dag, of=of),
        # The page shows shares of the whole: the errors of all classes together are those of shares.
        "attribution_stderr": np.column_stack([errors.attribution, errors.shares * whole]),
    }


def _meta(
    flow: Flow, dag: Dag, neurons: pd.DataFrame, links: Strongest, shown: Examples | None
) -> dict[str, Any]:
    tables, strength = flow.currents, flow.by_unit.strength
    return {
        "headline": unbroken(headline(flow)),
        "unit": {"name": text_unit().name, "nats": text_unit().nats},
        "summary": _summary(flow, links),
        "sankey": tables and sankey_content(flow, links.of - len(links.nats)),
        "currents": tables and currents.meta(flow, tables),
        "examples": shown and shown.meta,
        "deviations": flow.by_unit.deviations(currents.LEVEL),
        "layers": _layers(flow, neurons),
        "features": list(dag.features),
        "pairs": sorted([between.source, between.target] for between in flow.links),
        "interval": FROM_ROWS if flow.errors else FROM_LINKS,
        "links": {
            "left_out": links.of - len(links.nats),
            "all_nats": float(sum(strength(between.stored("nats")).sum() for between in flow.links)),
        },
        "modularity": flow.modularity,
        "central": "betweenness, estimated" if _sampled(neurons) else "betweenness",
        "images": [pixels(flow.layers[layer]) for layer in dag.features],
        "palette": {
            "light": palette.COMMUNITIES,
            "dark": palette.COMMUNITIES_ON_DARK,
            "other": palette.OTHER,
            "signs": [palette.FOR, palette.AGAINST],
            "signs_dark": [palette.FOR_ON_DARK, palette.AGAINST_ON_DARK],
        },
        "method": _method(flow),
        "caveats": _caveats(flow, neurons, links),
    }


def _summary(flow: Flow, links: Strongest) -> str:
    """What was measured, in a line."""
    measured, sizes = flow.measurement, flow.graph.sizes
    network = f"{_widths(sizes)} units, {flow.count:,} links"
    silent = flow.by_unit.by_layer()["silent"].iloc[list(flow.graph.features)].sum()
    quiet = f"{silent:,} of {flow.graph.feature_count:,} features silent"  # of neurons the headline says it
    if flow.currents is not None:
        about = currents.summary(flow, flow.currents)
        return f"{about}; {network}; {quiet}; {measured.samples:,} rows explained"
    estimator = measured.options.get("estimator", measured.method)
    return (
        f"{network}, {links.of:,} of them with information; {quiet} at .05; {estimator}, "
        f"{measured.samples:,} samples"
    )


def _widths(sizes: Sequence[int]) -> str:
    """
    Example:
        >>> _widths([4, 10, 3]), _widths([500] * 20)
        ('4-10-3', '20 layers of 500-500-500-…-500-500')
    """
    if len(sizes) <= MOST_WIDTHS:
        return "-".join(map(str, sizes))
    return f"{len(sizes)} layers of {'-'.join(map(str, sizes[:3]))}-…-{'-'.join(map(str, sizes[-2:]))}"


def _layers(flow: Flow, neurons: pd.DataFrame) -> list[dict[str, Any]]:
    sums = [
        [float(part.sum()) for part in flow.by_unit.split(neurons[name].to_numpy())]
        for name in ("silent", "inflow", "outflow")
    ]
    return [
        {
            "name": layer.name,
            "kind": layer.kind,
            "size": len(layer),
            "units": _names(layer),
            "silent": int(quiet),
            "constant": int(flags.sum()),
            "inflow": into,
            "outflow": out,
        }
        for layer, flags, quiet, into, out in zip(flow.layers, flow.constant, *sums, strict=True)
    ]


def _names(layer: Layer) -> Sequence[str] | None:
    """None if the page can make the names itself: they would be most of its size in a wide network."""
    numbered = tuple(f"{layer.name}[{index}]" for index in range(len(layer)))
    return None if layer.units == numbered else layer.units


def _method(flow: Flow) -> list[tuple[str, str]]:
    measured = flow.measurement
    return [
        *(_options(flow) if flow.currents is None else currents.method(flow, flow.currents)),
        ("seed", str(measured.seed)),
        ("nif", measured.version),
        *([("measured", measured.began[:16].replace("T", " ") + " UTC")] if measured.began else []),
        *([("took", _how_long(measured.seconds))] if measured.seconds is not None else []),
    ]


def _options(flow: Flow) -> list[tuple[str, str]]:
    """Of association."""
    measured = flow.measurement
    options = dict(measured.options)
    chosen = " (chosen automatically)" if options.pop("automatic", False) else ""
    terms = options.pop("terms", None)
    return [
        *(
            (name.replace("_", " "), _shown(value) + chosen * (name == "estimator"))
            for name, value in options.items()
        ),
        ("samples", f"{measured.samples:,}"),
        *([("terms of mutual information", f"{terms:,}")] if terms else []),
        ("not converged", f"{measured.not_converged:,}"),
    ]


def _shown(value: Any) -> str:
    """
    Example:
        >>> _shown(None), _shown([]), _shown(["lstm", "gru"]), _shown(100000)
        ('none', 'none', 'lstm, gru', '100,000')
    """
    if value is None or (isinstance(value, (list, tuple)) and not value):
        return "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def _how_long(seconds: float) -> str:
    """
    Example:
        >>> _how_long(0.04), _how_long(59.2), _how_long(3725.0)
        ('0.04 s', '59.2 s', '1 h 2 min')
    """
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _sampled(neurons: pd.DataFrame) -> bool:
    """Whether betweenness was estimated from paths that start at some of the units."""
    return bool(neurons.attrs[STARTS] < len(neurons))


def _caveats(flow: Flow, neurons: pd.DataFrame, links: Strongest) -> list[str]:
    sentences = []
    if not links.of:
        sentences.append("No link carries information, so the network shows nothing.")
    if flow.left_out:
        sentences.append(f"{flow.left_out}. They are in no sum here.")
    if left_out := links.of - len(links.nats):
        sentences.append(
            f"This page holds the strongest {len(links.nats):,} links, which carry {links.fraction:.1%} of "
            f"the information, and leaves out {left_out:,} weaker ones. Sums, attributions and centralities "
            "were computed from all links; paths shown here use those in the page."
        )
    if _sampled(neurons):
        sentences.append(
            f"Betweenness is estimated from the shortest paths that start at {neurons.attrs[STARTS]:,} of "
            f"{len(neurons):,} units, drawn at random: do not rank units by small differences."
        )
    if neurons.attrs["communities_left_out"]:
        sentences.append(
            f"Communities and betweenness are those of the strongest {structure.MOST_LINKS:,} links; "
            f"{neurons.attrs['communities_left_out']:,} weaker ones are not in them."
        )
    if flow.currents is None:
        return [*sentences, *caveats(flow.measurement)]
    cancelling = currents.left_out(flow, flow.currents)
    return [*sentences, *([cancelling] if cancelling else []), *caveats_of_currents(flow.measurement)]
