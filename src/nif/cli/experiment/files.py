"""Write the results of an experiment: figure, flow file, report, tables, and the printed text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from nif.cli.experiment.run import Run

DOTS_PER_INCH = 150


def write(run: Run, out: Path) -> list[Path]:
    """Write all files of a run; returns their paths."""
    from matplotlib.figure import Figure

    run.flow.save(out / "flow.safetensors")
    run.flow.report(out / "flow.html", pruned=run.pruned)
    run.pruned.save(out / "pruned.safetensors")
    # No pyplot: it would choose a window system and keep a global list of figures.
    figure = Figure(figsize=(10, 6), layout="constrained")
    run.flow.plot(figure.subplots())
    figure.savefig(out / "flow.png", dpi=DOTS_PER_INCH)
    (out / "summary.txt").write_text(run.text, encoding="utf-8")
    tables: dict[str, pd.DataFrame] = {
        "links": run.flow.edges(),
        "neurons": run.flow.neurons().reset_index(),
        "attribution": run.flow.attribution().reset_index(),
        "attribution_stderr": run.flow.attribution_stderr().reset_index(),
        "removed": run.pruned.removed,
        "comparison": run.comparison.reset_index(),
        "compared_attributions": run.comparison.attributions,
    }
    for name, frame in tables.items():
        frame.to_csv(out / f"{name}.csv", index=False)
    names = ["flow.safetensors", "flow.html", "pruned.safetensors", "flow.png", "summary.txt"]
    return [out / name for name in (*names, *(f"{name}.csv" for name in tables))]
