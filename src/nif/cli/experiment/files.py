"""Write the results of an experiment: figure, flow file, report, tables, and the printed text."""

from __future__ import annotations

from collections.abc import Callable
from csv import QUOTE_NONNUMERIC
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pandas.api.types import is_numeric_dtype

from nif import plots
from nif.core.files import whole_file
from nif.core.text import guarded
from nif.flow.known_and_used import known_and_used

if TYPE_CHECKING:
    import pandas as pd

    from nif.cli.experiment.run import Run

DOTS_PER_INCH = 150


def write(run: Run, out: Path) -> list[Path]:
    """Write all files of a run; returns their paths."""
    from matplotlib.figure import Figure

    flows = {"association": run.association, "currents": run.currents}
    for name, flow in flows.items():
        flow.save(out / f"{name}.safetensors")
        pruned, known = (run.pruned, run.known) if flow is run.currents else (None, None)
        page = out / f"{name}.html"
        flow.report(page, pruned=pruned, association=known, data=run.split.train.name)
        # No pyplot: it would choose a window system and keep a global list of figures.
        figure = Figure(figsize=(10, 6), layout="constrained")
        flow.plot(figure.subplots())
        _whole(out / f"{name}.png", partial(figure.savefig, format="png", dpi=DOTS_PER_INCH))
    figure = Figure(figsize=(7, 5), layout="constrained")
    plots.known_and_used(run.known, run.currents, ax=figure.subplots())
    _whole(out / "known_and_used.png", partial(figure.savefig, format="png", dpi=DOTS_PER_INCH))
    run.pruned.save(out / "pruned.safetensors")
    _whole(out / "summary.txt", lambda beside: beside.write_text(run.text, encoding="utf-8"))
    tables: dict[str, pd.DataFrame] = {
        "removed": run.pruned.removed,
        "known_and_used": known_and_used(run.known, run.currents).reset_index(),
        "comparison": run.comparison.reset_index(),
        "compared_attributions": run.comparison.attributions,
    }
    for name, flow in flows.items():
        tables[f"{name}_links"] = flow.edges()
        tables[f"{name}_neurons"] = flow.neurons().reset_index()
        tables[f"{name}_attribution"] = flow.attribution().reset_index()
        tables[f"{name}_attribution_stderr"] = flow.attribution_stderr().reset_index()
    for name, frame in tables.items():
        table = partial(_guarded(frame).to_csv, index=False, quoting=QUOTE_NONNUMERIC)
        _whole(out / f"{name}.csv", table)
    files = [f"{name}.{ending}" for name in flows for ending in ("safetensors", "html", "png")]
    files += ["known_and_used.png", "pruned.safetensors", "summary.txt"]
    return [out / name for name in (*files, *(f"{name}.csv" for name in tables))]


def _whole(path: Path, write_to: Callable[[Path], object]) -> None:
    with whole_file(path, "The demo") as beside:
        write_to(beside)


def _guarded(frame: pd.DataFrame) -> pd.DataFrame:
    """A table whose names no spreadsheet calculates."""
    safe = frame.apply(lambda column: column if is_numeric_dtype(column) else guarded(column))
    return safe.set_axis(guarded(map(str, frame.columns)), axis=1)
