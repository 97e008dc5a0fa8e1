"""Sections of the printed results: flow, links, attribution, neurons, pruning, comparison."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd

from nif.cli import currents
from nif.cli.text import INDENT, WIDTH, by_label, names, numbers, p_values, paragraph, table
from nif.comparison.compare import Comparison
from nif.core.unit import text_unit
from nif.flow.flow import Flow
from nif.flow.headline import headline
from nif.flow.known_and_used import DECISION, IGNORED, SYNERGY
from nif.pruning.result import Pruned

STRONGEST = 10


def measurement(flow: Flow) -> str:
    """The `repr` of the flow, and a note on critics that did not converge."""
    text = "\n".join(
        textwrap.fill(line, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT * 2)
        for line in repr(flow).splitlines()
    )
    if not flow.measurement.not_converged:
        return text
    return f"{text}\n" + paragraph(
        "Not converged: the bound was still rising after the last step; the value may be slightly low."
    )


def measured(flow: Flow) -> list[str]:
    """What `nif measure` prints below the `repr`."""
    if flow.currents is not None:
        return [currents.features(flow), currents.layers(flow), currents.paths(flow)]
    if flow.layers[-1].name == DECISION:  # every unit has one link, to the decision
        return [links(flow)]
    return [attribution(flow), layers(flow)]


def links(flow: Flow) -> str:
    """The strongest links with their standard errors and p-values."""
    strongest = flow.edges(top=STRONGEST)
    text = table(
        {
            "strongest links from": _unit(strongest["source_layer"], strongest["source_unit"]),
            "to": _unit(strongest["target_layer"], strongest["target_unit"]),
            text_unit().name: numbers(text_unit().of(strongest["nats"]), ".3f"),
            "± stderr": numbers(text_unit().of(strongest["stderr"]), ".3f"),
            "p": p_values(strongest["p_value"]),
        },
        left=2,
    )
    significant = sum(int((between.values("p_value") < 0.05).sum()) for between in flow.links)
    return f"{text}\n" + paragraph(f"{significant} of {flow.count} links have p < .05.")


def difference(table_: pd.DataFrame, name: str, other: str) -> str:
    """What one flow uses more of each feature than another, the largest differences first."""
    shown = table_.loc[table_["nats"].abs().sort_values(ascending=False, kind="stable").index[:STRONGEST]]
    columns = {
        "feature": map(str, shown.index),
        text_unit().name: numbers((round(value, 3) + 0.0 for value in text_unit().of(shown["nats"])), "+.3f"),
        "± stderr": numbers(text_unit().of(shown["stderr"]), ".3f"),
        "p": p_values(shown["p_value"]),
        "q": p_values(shown["q_value"]),
    }
    return f"{table(columns)}\n" + paragraph(
        f"What {name} uses more than {other}, on the same rows; below 0, less. Of the totals: "
        f"{table_.attrs['total']}."
    )


def attribution(flow: Flow) -> str:
    """Features from the most to the least important, one column for each class."""
    parts = flow.shares(by_class=True)
    share = parts.sum(axis=1)
    order = np.argsort(-share.to_numpy(), kind="stable")[:STRONGEST]
    columns: dict[str, list[str]] = {"feature": list(share.index[order])}
    columns |= by_label(parts.columns, [numbers(values, ".1%") for values in parts.to_numpy()[order].T])
    columns["share"] = numbers(share.to_numpy()[order], ".1%")
    return f"{table(columns)}\n" + paragraph(
        "Shares of the sum over all paths from features to classes of the product of the links on it."
    )


def neurons(flow: Flow) -> str:
    """The hidden neurons with the largest throughput."""
    frame = flow.neurons()
    hidden = frame[~frame.index.get_level_values("layer").isin([flow.layers[0].name, flow.layers[-1].name])]
    shown = hidden.nlargest(STRONGEST, "throughput")
    layers, units = (shown.index.get_level_values(level) for level in ("layer", "unit"))
    text = table(
        {
            "neuron": _unit(layers, units),
            f"{text_unit().name} in": numbers(text_unit().of(shown["inflow"]), ".3f"),
            f"{text_unit().name} out": numbers(text_unit().of(shown["outflow"]), ".3f"),
            "throughput": numbers(shown["throughput"], ".1%"),
            "betweenness": numbers(shown["betweenness"], ".3g"),
            "community": [str(label) if label >= 0 else "-" for label in shown["community"]],
            "q": p_values(shown["q_value"]),
            "silent": ["silent" if silent else "" for silent in shown["silent"]],
        }
    )
    rest = len(hidden) - len(shown)
    return text + (f"\n{INDENT}{rest} more hidden neurons have a smaller throughput." if rest else "")


def communities(flow: Flow) -> str:
    """The members of each community, and the modularity."""
    frame = flow.neurons()
    groups = frame[frame["community"] >= 0].groupby("community", sort=True)
    lines = [f"{INDENT}{len(groups)} communities, modularity {flow.modularity:.3f}:"]
    for community, members in groups:
        units = members.index.get_level_values("unit")
        lines.append(paragraph(names(map(str, units), most=STRONGEST), first=f"{INDENT}{community:>3}: "))
    return "\n".join(lines)


def layers(flow: Flow) -> str:
    """Size, silence and information of each layer."""
    rows = flow.by_unit.by_layer()
    return table(
        {
            "layer": rows["layer"],
            "units": rows["units"],
            "constant": [int(constant.sum()) for constant in flow.constant],
            "silent": rows["silent"],
            f"{text_unit().name} in": numbers(text_unit().of(rows["inflow"]), ".2f"),
            f"{text_unit().name} out": numbers(text_unit().of(rows["outflow"]), ".2f"),
            "communities": flow.by_unit.communities_of_layers(),
        }
    )


def known_and_used(frame: pd.DataFrame) -> str:
    """The features and the outliers: what each tells of the decision, and what of it is used."""
    layer = frame.index[0][0]
    strongest = frame[["known", "used"]].abs().max(axis=1).sort_values(ascending=False, kind="stable")
    frame = frame.loc[strongest.index]
    first = frame.index.get_level_values("layer") == layer
    others = frame[~first & (frame["outlier"] != "")]
    shown, of = pd.concat([frame[first].head(STRONGEST), others.head(STRONGEST)]), text_unit().of
    text = table(
        {
            "unit": _unit(shown.index.get_level_values("layer"), shown.index.get_level_values("unit")),
            "tells": numbers(of(shown["known"]), ".3f"),
            "± stderr": numbers(of(shown["known_stderr"]), ".3f"),
            "is used for": numbers((round(used, 3) + 0.0 for used in of(shown["used"])), ".3f"),
            "± stderr ": numbers(of(shown["used_stderr"]), ".3f"),
            "outlier": list(shown["outlier"]),
        }
    )
    counts = [int((frame["outlier"] == kind).sum()) for kind in (IGNORED, SYNERGY)]
    return f"{text}\n" + paragraph(
        f"In {text_unit().name}: the mutual information of the unit and the decision, and the current of "
        "the unit. Ignored, "
        f"used for less than a quarter of their part by what they tell: {counts[0]} of {len(frame)} units. "
        f"Synergy, used for more than they tell alone: {counts[1]}."
    )


def pruning(pruned: Pruned) -> str:
    """Removed units, scores and sizes."""
    lines = [INDENT + line for line in repr(pruned).splitlines()]
    if len(pruned.removed):
        units = _unit(pruned.removed["layer"], pruned.removed["unit"])
        lines.append(paragraph(f"removed: {names(units, most=STRONGEST)}", first=INDENT * 2))
    return "\n".join(lines)


def units_of_layers(heading: str, units: pd.DataFrame) -> str:
    """The number of removed or restored units of each layer, why, and the names of the first of them.

    Args:
        heading: Such as "Removed".
        units: `removed` or `restored` of a pruning; empty if there are none.

    Example:
        >>> rows = pd.DataFrame({"layer": "relu1", "unit": [f"relu1[{i}]" for i in range(500)], "how": "cut"})
        >>> print(units_of_layers("Removed", rows))
        Removed:
          relu1, cut, 500 units: relu1[0], relu1[1], relu1[2], relu1[3], relu1[4], relu1[5], relu1[6],
          relu1[7], relu1[8], relu1[9] and 490 more
    """
    lines = [f"{heading}:"]
    for (layer, why), rows in units.groupby(["layer", units.columns[-1]], sort=False):
        named = names(_unit(rows["layer"], rows["unit"]), most=STRONGEST)
        count = f"{len(rows):,} unit{'' if len(rows) == 1 else 's'}"
        lines.append(paragraph(f"{layer}, {why}, {count}: {named}"))
    return "\n".join(lines)


def in_short(currents: Flow, pruned: Pruned) -> str:
    """The answers in two sentences: what the network uses, and what can go."""
    count, before, after = len(pruned.removed), pruned.size_before.parameters, pruned.size_after.parameters
    units = "1 neuron" if count == 1 else f"{count} neurons"
    scores = [f"{score:.3f}" for score in (pruned.score_before, pruned.score_after)]
    changed = f"stays {scores[0]}" if scores[0] == scores[1] else f"is {scores[1]} in place of {scores[0]}"
    gone = f"Without {units}, {1 - after / before:.0%} of the parameters, the {pruned.score} {changed}."
    return "\n".join(paragraph(text) for text in (headline(currents), gone if count else "No neuron can go."))


def shares(comparison: Comparison) -> str:
    """The share of each feature by every method, sorted by raw mutual information."""
    wide = comparison.attributions.pivot(index="feature", columns="method", values="attribution")
    methods = list(comparison.index)
    shown = wide.sort_values(methods[0], ascending=False, kind="stable").head(STRONGEST)
    return table({"feature": shown.index} | {method: numbers(shown[method], ".1%") for method in methods})


def agreement(comparison: Comparison) -> str:
    """Each method compared with raw mutual information, and its deletion and insertion."""
    areas = {
        test: [
            f"{area:.3f} ± {spread:.3f}" for area, spread in comparison[[test, f"{test}_spread"]].to_numpy()
        ]
        for test in ("deletion", "insertion")
    }
    text = table(
        {
            "method": comparison.index,
            "D": numbers(comparison["ks"], ".2f"),
            "p": p_values(comparison["ks_p_exact"]),
            "Spearman": numbers(comparison["spearman"], ".2f"),
            "Kendall": numbers(comparison["kendall"], ".2f"),
            **areas,
        }
    )
    return f"{text}\n" + paragraph(
        "D, p, Spearman and Kendall compare a method with raw mutual information. Deletion is the area under "
        "the accuracy curve as features are removed, the most important first: lower is better. Insertion is "
        "the area as they are added: higher is better. A useful attribution beats the random ranking."
    )


def _unit(layer: pd.Series | pd.Index, unit: pd.Series | pd.Index) -> list[str]:
    """Names of units; those of hidden units begin with their layer."""
    return [
        str(name) if str(name).startswith(str(of)) or of in {"input", "output"} else f"{of}:{name}"
        for of, name in zip(np.asarray(layer), np.asarray(unit), strict=True)
    ]
