"""What commands print with --json: objects of lists, text and numbers, information in nats."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nif.cli.experiment.run import Run
    from nif.comparison.compare import Comparison
    from nif.estimators.estimate import Estimate
    from nif.flow.flow import Flow
    from nif.pruning.result import PruningRecord

STRONGEST = 20
"""Links and paths."""


def flow(found: Flow) -> dict[str, Any]:
    """The tables of a flow."""
    from nif.flow.headline import headline

    total, paths = found.total, found.paths(k=STRONGEST)
    paths["path"] = paths["path"].map(lambda path: list(map(list, path)))
    return {
        "headline": headline(found),
        "unit": "nats",
        "total": None if total is None else {"nats": total.nats, "stderr": total.stderr},
        "features": records(found.importance().reset_index()),
        "layers": records(found.by_unit.by_layer()),
        "links": records(found.edges(top=STRONGEST)),
        "paths": records(paths.reset_index()),
        "measurement": found.measurement.lines(),
    }


def pruned(record: PruningRecord) -> dict[str, Any]:
    """Criterion and sizes before and after, units and notes."""
    return {
        "criterion": record.score,
        "table": json.loads(record.table().to_json(orient="index")),
        "removed": records(record.removed),
        "restored": records(record.restored),
        "notes": list(record.notes),
    }


def comparison(compared: Comparison) -> dict[str, Any]:
    """One row for each method, and the share of every feature."""
    features = set(compared.attributions["feature"])
    rows = compared[[name for name in compared.columns if name not in features]]
    return {"methods": records(rows.reset_index()), "attributions": records(compared.attributions)}


def estimate(found: Estimate) -> dict[str, Any]:
    """The estimate of one pair."""
    low, high = found.interval()
    return {
        "unit": "nats",
        "nats": float(found.nats),
        "stderr": float(found.stderr),
        "interval": [float(low), float(high)],
        "p_value": float(found.p_value),
        "samples": int(found.samples),
        "estimator": str(found.estimator),
    }


def demo(run: Run) -> dict[str, Any]:
    """All results of an experiment."""
    return {
        "data": str(run.split.whole),
        "currents": flow(run.currents),
        "association": flow(run.association),
        "pruned": pruned(run.pruned),
        "comparison": comparison(run.comparison),
    }


def records(table: Any) -> list[dict[str, Any]]:
    """The rows of a table; what is not finite is null."""
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=15))
    return rows
