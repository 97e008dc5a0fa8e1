"""The page of a training run: currents over the epochs, silent neurons, the score, the information plane."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from nif.core.files import whole_file
from nif.core.text import unbroken
from nif.core.unit import text_unit
from nif.flow.epochs import CurrentsOfRun, check_measured
from nif.flow.headline import percent, silent_neurons
from nif.plots.palette import COMMUNITIES, COMMUNITIES_ON_DARK
from nif.report.charts import Line, chart
from nif.report.page import asset

if TYPE_CHECKING:
    from nif.flow.flow import Flow

MOST_LAYERS = 8
"""Layers that are drawn: of more, evenly spaced ones."""

PLANE = (
    "The information plane places every layer by what it holds of the input (to the right) and of the {of} "
    "(upwards). A layer is a function of the input, so without noise it holds all of it, whatever is "
    "learned: the plane exists only at a stated noise. Here Gaussian noise of {noise:g} of a layer's own "
    "root mean square deviation is added to every unit, of {rows:,} rows that count alike, so nothing "
    "exceeds the entropy of the rows, {most:.2f} {unit}. Drawn is the middle of a lower and an upper bound; "
    "the table has both.",
    "It can show how many rows a layer tells apart at this noise, in which layers the classes become as "
    "clear as the rows allow, and when. It cannot show that a layer forgets its input: a path to the left "
    "means that the activations of different rows come closer together, as where units saturate, and "
    "another noise gives another picture. It says nothing about what the network uses; currents do. "
    "Channels of images are their means over positions.",
)
"""What the plane can show, and what it cannot."""


@runtime_checkable
class PlaneOfEpoch(Protocol):
    """What is read of `nif.measures.information_plane.Plane`."""

    @property
    def points(self) -> Sequence[Any]:
        """A point for each layer."""
        ...

    @property
    def noise(self) -> float:
        """Standard deviation, in those of the units."""
        ...

    @property
    def rows(self) -> int:
        """Number of rows."""
        ...

    @property
    def of(self) -> str:
        """``"labels"`` or ``"decisions"``."""
        ...


def write_run(
    flows: Mapping[int, Flow],
    planes: Mapping[int, PlaneOfEpoch],
    path: str | os.PathLike[str],
    data: str | None,
) -> None:
    """Write the page of a run; see `nif.Watch.report`."""
    check_measured(flows)
    with whole_file(path, "The report") as beside:
        beside.write_text(run_page(flows, planes, data), encoding="utf-8", newline="\n")


def run_page(flows: Mapping[int, Flow], planes: Mapping[int, PlaneOfEpoch], data: str | None = None) -> str:
    """The page as HTML, without scripts."""
    epochs, seen = list(flows), list(flows.values())
    figures = [_information(epochs, seen), *_silent(epochs, seen), *_score(epochs, seen), *_plane(planes)]
    style = asset("run.css") + _colours()
    title, sentence = html.escape(_title(flows, data)), html.escape(unbroken(sentence_of(flows)))
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n<title>{title}</title>\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n<header><p>{title}</p><h1>{sentence}</h1></header>\n"
        f'<main>\n<div class="figures">{"".join(figures)}</div>\n{_paragraphs(planes)}'
        f"<h2>Numbers</h2>\n{_table(run_table(flows, planes))}\n</main>\n</body>\n</html>\n"
    )


def sentence_of(flows: Mapping[int, Flow]) -> str:
    """What changed from the first epoch to the last.

    Example:
        >>> from nif.flow.flow import example
        >>> sentence_of({0: example(), 5: example()})
        'At epoch 5, left has 100 % of the attribution by association; none of 2 neurons is silent.'
    """
    begin, end = min(flows), max(flows)
    first, last = flows[begin], flows[end]
    top = last.importance().iloc[0]
    name, silent = str(last.importance().index[0]), silent_neurons(last)
    neurons = f"{silent[0] or 'none'} of {silent[1]} neurons {'is' if silent[0] <= 1 else 'are'} silent"
    share = percent(float(top["share"]), None)
    if first.total is None or last.total is None:
        return f"At epoch {end}, {name} has {share} of the attribution by association; {neurons}."
    of, unit = text_unit().of, text_unit().name
    if begin == end:
        total = f"{of(last.total.nats):.2f}"
        return f"At epoch {end}, {name} carries most, {share} of the {total} {unit} that decide; {neurons}."
    totals = f"{of(first.total.nats):.2f} to {of(last.total.nats):.2f}"
    change = f"From epoch {begin} to {end} the {unit} that decide went from {totals}"
    return f"{change}; at the end {name} carries most, {share}; {neurons}."


def _title(flows: Mapping[int, Flow], data: str | None) -> str:
    last = flows[max(flows)].measurement
    model, name = last.about.get("model", "a network"), data or last.about.get("data", "")
    subject = f"{model} on {name}" if name else str(model)
    began = (last.began or "")[:10]
    measured = "1 epoch measured" if len(flows) == 1 else f"{len(flows)} epochs measured"
    parts = [f"Training of {subject}", measured, f"{last.samples:,} rows", began]
    return " · ".join(filter(None, parts))


def _information(epochs: Sequence[int], seen: Sequence[Flow]) -> str:
    """The total, and the features of the largest currents; of association, what flows into each layer."""
    of, unit = text_unit().of, text_unit().name
    if any(flow.total is None for flow in seen):
        into = of(np.stack([flow.by_unit.by_layer()["inflow"] for flow in seen]))
        lines = [
            Line(seen[-1].layers[place].name, into[:, place], f"c{number}")
            for number, place in enumerate(_some(range(1, into.shape[1])))
        ]
        return _figure("Information into each layer", unit, chart(lines, epochs, ("epoch", unit)))
    total, half, features = CurrentsOfRun.of(seen)
    whole = [Line("total", of(total), "ink", of(total - half), of(total + half))]
    each = [Line(name, of(nats), f"c{number}") for number, (name, nats, _) in enumerate(features)]
    what, labels = f"{unit}; the band is the 95 % interval", ("epoch", unit)
    decides = _figure("Information that decides", what, chart(whole, epochs, labels))
    largest = f"{unit}, of those with the largest at the end"
    return decides + _figure("Currents of the features", largest, chart(each, epochs, labels))


def _silent(epochs: Sequence[int], seen: Sequence[Flow]) -> list[str]:
    """If any unit was silent at some epoch."""
    rows = [flow.by_unit.by_layer() for flow in seen]
    share = np.stack([(layers["silent"] / layers["units"]).to_numpy() for layers in rows])
    if not share.any():
        return []
    lines = [
        Line(seen[-1].layers[place].name, share[:, place], f"c{number}")
        for number, place in enumerate(_some(range(share.shape[1])))
    ]
    picture = chart(lines, epochs, ("epoch", "silent"), percent=True)
    return [_figure("Silent units", "part of each layer", picture)]


def _score(epochs: Sequence[int], seen: Sequence[Flow]) -> list[str]:
    """If labels came with the data."""
    known = [flow.measurement.about.get("value", np.nan) for flow in seen]
    name = next((flow.measurement.about["score"] for flow in seen if "score" in flow.measurement.about), None)
    if name is None:
        return []
    picture = chart(
        [Line(name, np.array(known, dtype=float), "ink")], epochs, ("epoch", name), percent=name != "R²"
    )
    return [_figure(f"{name[0].upper()}{name[1:]}", "on the watched rows", picture)]


def _plane(planes: Mapping[int, PlaneOfEpoch]) -> list[str]:
    if not planes:
        return []
    epochs, found = list(planes), list(planes.values())
    shown, about = text_unit(), f"about the {found[-1].of}"
    middles = shown.of(
        np.array([[(sum(p.input) / 2, sum(p.classes) / 2) for p in plane.points] for plane in found])
    )
    names = [point.layer for point in found[-1].points]
    lines = [
        Line(names[place], middles[:, place, 1], f"c{number}", x=middles[:, place, 0])
        for number, place in enumerate(_some(range(len(names))))
    ]
    picture = chart(lines, epochs, (f"{shown.name} about the input", f"{shown.name} {about}"))
    said = f"{shown.name} {about}, over {shown.name} about the input; a point for each epoch, the last larger"
    return [_figure("Information plane", said, picture)]


def _some(places: range) -> list[int]:
    """At most as many as there are colours, evenly spaced."""
    return sorted(
        {places[int(i)] for i in np.linspace(0, len(places) - 1, min(MOST_LAYERS, len(places))).round()}
    )


def _figure(title: str, said: str, picture: str) -> str:
    caption = f"<h2>{html.escape(title)}</h2><p>{html.escape(said)}</p>"
    return f"<figure><figcaption>{caption}</figcaption>{picture}</figure>\n"


def _paragraphs(planes: Mapping[int, PlaneOfEpoch]) -> str:
    if not planes:
        return ""
    last = planes[max(planes)]
    most, unit = text_unit().of(np.log(last.rows)), text_unit().name
    known = {"of": last.of, "noise": last.noise, "rows": last.rows, "most": most, "unit": unit}
    texts = [html.escape(paragraph.format(**known)) for paragraph in PLANE]
    return "<h2>What the information plane can show</h2>\n" + "".join(f"<p>{text}</p>\n" for text in texts)


def run_table(flows: Mapping[int, Flow], planes: Mapping[int, PlaneOfEpoch]) -> pd.DataFrame:
    """A row for each epoch, as text."""
    rows = []
    for epoch, flow in flows.items():
        row = {"epoch": str(epoch)}
        if flow.total is not None:
            of = text_unit().of
            row[f"total, {text_unit().name}"] = f"{of(flow.total.nats):.3f} ± {of(flow.total.stderr):.3f}"
        about, silent = flow.measurement.about, silent_neurons(flow)
        if "value" in about:
            row[about["score"]] = f"{about['value']:.3f}"
        row |= {"silent neurons": f"{silent[0]:,} of {silent[1]:,}", "modularity": f"{flow.modularity:.3f}"}
        for point in planes[epoch].points if epoch in planes else ():
            row[f"{point.layer}: about the input"] = _bounds(point.input)
            row[f"{point.layer}: about the {planes[epoch].of}"] = _bounds(point.classes)
        rows.append(row)
    return pd.DataFrame(rows).fillna("")


def _bounds(ends: tuple[float, float]) -> str:
    return " to ".join(f"{text_unit().of(end):.2f}" for end in ends)


def _table(rows: pd.DataFrame) -> str:
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in rows.columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(text)}</td>' for text in row)}</tr>" for row in rows.to_numpy()
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0" role="region" aria-label="Numbers">{table}</div>'


def _colours() -> str:
    """Of lines and names, on a light ground and a dark one."""
    light, dark = (
        "".join(f"  --c{number}: {colour};\n" for number, colour in enumerate(palette))
        for palette in (COMMUNITIES, COMMUNITIES_ON_DARK)
    )
    rules = "".join(f".c{number} {{ --own: var(--c{number}); }}\n" for number in range(len(COMMUNITIES)))
    at_night = f"@media screen and (prefers-color-scheme: dark) {{ :root {{\n{dark}}} }}\n"
    return f":root {{\n{light}}}\n{at_night}{rules}"
