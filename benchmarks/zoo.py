"""Every kind of network that users bring: measured, refused in a sentence, or wrong.

``python benchmarks/zoo.py [NAME ...]`` runs each row of `zoo_tables.py`, `zoo_decisions.py`, `zoo_images.py`,
`zoo_sequences.py`, `zoo_graphs.py`, `zoo_transformers.py`, `zoo_wrapped.py` and, of packages that are
installed, `zoo_pretrained.py` through `nif.layers`, `nif.measure` by currents
and by association, attribution, `nif.prune` and the report, and prints a table. Rows that are finished are
kept in ``--save``, and a second run continues from them. Networks are small and trained for a few steps on
data of which some features matter much and some little.

A row is *wrong* if

- a full cut carries another sum than the total, by more than 1e-4 of its absolute sum;
- a weight that the output depends on is neither measured nor listed as not measured, or an activation that
  ran is no layer;
- the rank correlation of absolute currents with occlusion is below .7 (column ``rank``, empty where no
  feature matters twice as much as another, so that ranks are noise);
- attributions do not add up to the total, or are not finite;
- a pruned network returns other numbers than the one in which its units are zeroed, or has more parameters;
- the model is changed; or anything but `nif.InputError` is raised.

It is *refused* if a measure raises `nif.InputError`; the sentence is printed below the table. Pruning may
have nothing to cut; it then says so.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import json
import logging
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

import nif
from environment import environment, peak
from zoo_cases import Case, trained
from zoo_checks import (
    LARGEST_IMBALANCE,
    LOWEST_CORRELATION,
    SMALLEST_SPREAD,
    called,
    correlation,
    imbalance,
    missing_layers,
    occlusion,
    spread,
    unlisted,
)

FILES = ("tables", "decisions", "images", "sequences", "graphs", "transformers", "wrapped", "pretrained")

CURRENTS: dict[str, Any] = {"rows": 32, "backgrounds": 8, "steps": 4}

ROUNDING = 1e-3
"""Of the largest output, by which a cut network may differ from a zeroed one."""


def cases() -> dict[str, tuple[str, Case]]:
    """All rows, by name, and the file of each."""
    found = {}
    for name in FILES:
        for case in importlib.import_module(f"zoo_{name}").CASES:
            assert case.name not in found, case.name
            found[case.name] = name, case
    return found


class Row:
    """What happens to one network."""

    def __init__(self, case: Case) -> None:
        data = case.task()
        self.case, self.task, self.model = case, data.measured, trained(case, data)
        self.found: dict[str, Any] = {"network": case.name}
        self.wrong: list[str] = []
        self.refused: list[str] = []

    def run(self) -> dict[str, Any]:
        """The row of the table."""
        before = _state(self.model)
        _reset_peak()
        start, memory = time.perf_counter(), peak()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            layers = self.tried(
                "layers", lambda: nif.layers(self.model, self.task.data, **self.chosen("output"))
            )
            currents, association = self.measured("currents"), self.measured("association")
        self.found |= {"seconds": time.perf_counter() - start, "MB": peak() - memory}
        self.found["warnings"] = sorted(
            {str(one.message) for one in caught if issubclass(one.category, UserWarning)}
        )
        if currents is not None:
            self.tried("checks of currents", lambda: self.check_currents(currents))
        if association is not None:
            self.tried("checks of association", lambda: self.check_association(association, layers))
            self.tried("prune", lambda: self.check_pruning(association))
        for flow in (currents, association):
            if flow is not None:
                self.tried("report", lambda flow=flow: self.check_report(flow))
        if _state(self.model) != before:
            self.wrong.append("the model was changed")
        verdict = "wrong" if self.wrong else "refused" if self.refused else "measured"
        return {**self.found, "verdict": verdict, "wrong": self.wrong, "refused": self.refused}

    def chosen(self, *names: str) -> dict[str, Any]:
        return {name: self.case.options[name] for name in names if name in self.case.options}

    def tried(self, what: str, run: Any) -> Any:
        """The result; None if it is refused, or fails."""
        try:
            return run()
        except nif.InputError as error:
            if what == "prune":
                self.found["prune"] = str(error)
            else:
                self.refused.append(f"{what}: {error}")
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            at = f"{Path(place.filename).name}:{place.lineno}"
            self.wrong.append(f"{what}: {type(error).__name__} at {at}: {error}"[:500])
        return None

    def measured(self, what: str) -> Any:
        start, options = time.perf_counter(), self.chosen("output")
        if what == "currents":
            method: Any = nif.Currents(**CURRENTS, target=self.case.target, **self.chosen("decision"))
        else:
            method = nif.GaussianCopula()
        if self.task.groups is not None:
            options["input_groups"] = self.task.groups
        flow = self.tried(
            what, lambda: nif.measure(self.model, self.task.data, method, progress=False, **options)
        )
        self.found[what] = time.perf_counter() - start if flow is not None else None
        return flow

    def check_currents(self, flow: nif.Flow) -> None:
        assert flow.total is not None
        self.found |= {
            "layers": len(flow.layers),
            "units": sum(map(len, flow.layers)),
            "nats": flow.total.nats,
        }
        self.found["imbalance"] = imbalance(flow)
        if not self.found["imbalance"] <= LARGEST_IMBALANCE:
            self.wrong.append(f"a cut is out of balance by {self.found['imbalance']:.1g}")
        added = float(flow.attribution().to_numpy().sum())
        if not abs(added - flow.total.nats) <= LARGEST_IMBALANCE * max(1.0, abs(flow.total.nats)):
            self.wrong.append(f"attributions add up to {added:.4g} and the total is {flow.total.nats:.4g}")
        if missed := list(unlisted(_module(self.model), self.task, flow)):
            self.wrong.append(f"not listed: {', '.join(missed)}")
        if self.case.check:
            effects = occlusion(self.model, self.task, self.case)
            rank = correlation(flow, effects)
            differ = spread(effects) >= SMALLEST_SPREAD
            self.found["rank" if differ else "rank of equals"] = rank
            if differ and not rank >= LOWEST_CORRELATION:
                self.wrong.append(f"rank correlation with occlusion {rank:.3f}")

    def check_association(self, flow: nif.Flow, layers: pd.DataFrame | None) -> None:
        values = flow.attribution().to_numpy()
        if not (np.isfinite(values).all() and (values >= 0).all()):
            self.wrong.append("attributions of association are negative or not finite")
        names = [layer.name for layer in flow.layers]
        if layers is not None and names != layers["name"].tolist():
            self.wrong.append(f"nif.layers lists {layers['name'].tolist()} and the flow has {names}")
        if missed := list(missing_layers(_module(self.model), self.task, flow)):
            self.wrong.append(f"activations that are no layers: {', '.join(missed)}")

    def check_pruning(self, flow: nif.Flow) -> None:
        options: dict[str, Any] = {
            **self.chosen("output"),
            "remove": 0.3,
            "tolerance": None,
            "progress": False,
        }
        cut = nif.prune(self.model, flow, self.task.data, **options)
        zeroed = nif.prune(self.model, flow, self.task.data, **options, cut=False)
        before, after = cut.size_before.parameters, cut.size_after.parameters
        self.found["prune"] = f"{after / before:.0%}"
        if after > before:
            self.wrong.append(f"{before} parameters became {after} by pruning")
        if cut.removed.empty:  # nothing can be cut, and zeroed units are not asked for
            return
        with torch.no_grad():
            one, other = (self.case.decided(called(p.model.eval(), self.task)) for p in (cut, zeroed))
        difference = float((one - other).abs().max() / other.abs().max().clamp_min(1e-12))
        if not difference <= ROUNDING:
            self.wrong.append(f"the cut network differs from the zeroed one by {difference:.1g}")

    def check_report(self, flow: nif.Flow) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "flow.html"
            flow.report(path)
            if path.stat().st_size < 10_000:
                self.wrong.append("the report is empty")


def _module(model: Any) -> Any:
    """Without the wrappers of compiled and parallel modules, under whose names nothing is listed."""
    if not isinstance(model, nn.Module):
        return None
    for name in ("_orig_mod", "module"):
        if isinstance(model._modules.get(name), nn.Module):
            return getattr(model, name)
    return model


def _state(model: Any) -> Any:
    if not isinstance(model, nn.Module):
        return None
    state = copy.deepcopy({k: v for k, v in model.state_dict().items() if isinstance(v, torch.Tensor)})
    return {k: v.double().numpy().tobytes() for k, v in state.items() if not v.is_complex()}, model.training


def _reset_peak() -> None:
    """Peak memory counts from now on (Linux)."""
    path = Path("/proc/self/clear_refs")
    if path.exists():
        path.write_text("5")


SHOWN = [
    "network",
    "verdict",
    "layers",
    "units",
    "nats",
    "imbalance",
    "rank",
    "association",
    "prune",
    "seconds",
    "MB",
]


def table(rows: list[dict[str, Any]]) -> str:
    """The rows, how many of each verdict, and what was wrong or refused."""
    # Rows that were refused at once, or are not held against occlusion, have not all of the columns.
    frame = pd.DataFrame(rows).reindex(columns=SHOWN)
    frame["rank"] = frame["rank"].map(lambda value: "" if pd.isna(value) else f"{value:.2f}")
    frame["association"] = np.where(frame["association"].isna(), "no", "yes")
    frame["prune"] = frame["prune"].map(lambda value: "no" if pd.isna(value) or len(value) > 4 else value)
    frame[["layers", "units"]] = frame[["layers", "units"]].astype("Int64")
    lines = [frame[SHOWN].to_string(index=False, na_rep="", float_format=lambda value: f"{value:.3g}"), ""]
    counts = frame["verdict"].value_counts()
    ranks = [row["rank"] for row in rows if row.get("rank") is not None and row["rank"] == row["rank"]]
    lines.append(f"{len(rows)} networks: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    if ranks:
        held = f"{len(ranks)} held against occlusion: rank correlation"
        lines.append(f"{held} {np.median(ranks):.2f} in the median, {min(ranks):.2f} at least")
    lines += [f"{row['network']}: {text}" for row in rows for text in (*row["wrong"], *row["refused"])]
    return "\n".join(lines)


def main() -> None:
    every = cases()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="parts of names, or a file; all if none")
    parser.add_argument(
        "--save", type=Path, default=Path("build/zoo.jsonl"), help="where finished rows are kept"
    )
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    options.save.parent.mkdir(parents=True, exist_ok=True)
    kept = (
        [json.loads(line) for line in options.save.read_text().splitlines()] if options.save.exists() else []
    )
    done = {row["network"]: row for row in kept}
    wanted = [
        name
        for name, (file, _) in every.items()
        if not options.names or file in options.names or any(part in name for part in options.names)
    ]
    for name in wanted:
        if name not in done:
            done[name] = attempted(every[name][1])
            with options.save.open("a") as file:
                file.write(json.dumps(done[name]) + "\n")
            print(
                done[name]["verdict"],
                name,
                *done[name]["wrong"],
                *done[name]["refused"],
                sep=" | ",
                flush=True,
            )
    print(environment(), table([done[name] for name in wanted]), sep="\n\n")


def attempted(case: Case) -> dict[str, Any]:
    """The row of a network; one that cannot be built is wrong, as it was not tried."""
    try:
        return Row(case).run()
    except Exception as error:
        wrong = [f"not built: {type(error).__name__}: {error}"[:300]]
        return {"network": case.name, "verdict": "wrong", "wrong": wrong, "refused": [], "prune": None}


if __name__ == "__main__":
    main()
