"""Everything that reads a file of nif, and everything that reads a flow."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

import nif
from nif import plots
from nif.cli import sections
from nif.cli.data import columns, read
from nif.cli.models import network
from nif.core.errors import InputError
from nif.flow.flow import Flow
from nif.pruning.file import shrink
from nif.pruning.result import read_record
from support.networks import chain

SIZES = (3, 4, 3, 2)


def made() -> torch.nn.Module:
    """The network of the flows and weights."""
    return chain(*SIZES)


def rows() -> torch.Tensor:
    """Rows for it."""
    return torch.randn(60, SIZES[0], generator=torch.Generator().manual_seed(0))


def load_flow(path: Path) -> Flow:
    return nif.load(path)


def load_pruned(path: Path) -> None:
    """Weights onto a fresh network, and the record."""
    refusals = []
    for reader in (lambda: shrink(made(), path), lambda: read_record(path)):
        try:
            _shown(reader())
        except InputError as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]


def _shown(result: object) -> None:
    if isinstance(result, torch.nn.Module):
        assert all(torch.is_tensor(value) for value in result.state_dict().values())
    else:
        str(result), result._repr_html_(), result.table()  # type: ignore[attr-defined]


def load_rows(path: Path) -> None:
    """Rows of the command line: all columns, those of some names, and a label."""
    found = read(path)
    with suppress(InputError):
        labelled = read(path, "a", "word")
        assert labelled.y is not None and len(labelled.y) == len(labelled.x)
    with suppress(InputError):
        columns(path, "a,b")
    assert found.x is not None


def load_weights(path: Path) -> None:
    network("support.read_everything:made", path)


def use(flow: Flow, folder: Path, figure: int = 0) -> None:
    """All that reads a flow, and one of the figures; what cannot be had of this flow is refused."""
    drawn = _figure(PLOTS[figure % len(PLOTS)])
    for step in (*OF_ALL, drawn, *(OF_CURRENTS if flow.currents is not None else ())):
        with suppress(InputError):
            step(flow, folder)


def _tables(flow: Flow, folder: Path) -> None:
    for frame in (
        flow.attribution(), flow.attribution(clip=False), flow.attribution_stderr(), flow.shares(),
        flow.attribution_stderr(clip=False), flow.edges(), flow.edges(top=3), flow.neurons(), flow.silent(),
    ):  # fmt: skip
        frame.to_csv(io.StringIO())
        str(frame)


def _words(flow: Flow, folder: Path) -> None:
    assert repr(flow) and flow._repr_html_() and isinstance(flow.notes(), list)
    "\n".join(sections.measured(flow)).encode()


def _paths(flow: Flow, folder: Path) -> None:
    found = flow.paths(k=5)
    assert found.attrs.get("summary", "") is not None
    first, last = flow.layers[0], flow.layers[-1]
    flow.paths((first.name, 0), (last.name, len(last) - 1), k=2)
    flow.paths((flow.layers[1].name, 0), k=2)


def _graphs(flow: Flow, folder: Path) -> None:
    flow.to_igraph()
    flow.to_networkx()


def _shap(flow: Flow, folder: Path) -> None:
    flow.to_shap()
    flow.to_shap(by_class=False)


def _saved(flow: Flow, folder: Path) -> None:
    flow.save(folder / "again.safetensors")
    assert nif.load(folder / "again.safetensors") == flow
    flow.save(folder / "fewer.safetensors", keep=0.9)
    assert nif.load(folder / "fewer.safetensors").count <= flow.count
    repr(nif.load(folder / "fewer.safetensors"))


def _page(flow: Flow, folder: Path) -> None:
    flow.report(folder / "flow.html")
    assert "</html>" in (folder / "flow.html").read_text("utf-8")


def _figure(draw: Callable[..., object]) -> Callable[[Flow, Path], None]:
    def drawn(flow: Flow, folder: Path) -> None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5, 4), layout="constrained")
        draw(flow, ax=figure.subplots())
        figure.savefig(folder / "figure.png", dpi=40)

    return drawn


def _pruned(flow: Flow, folder: Path) -> None:
    nif.prune(made(), flow, rows(), remove=0.3, tolerance=None, rule="magnitude")
    nif.prune(made(), flow, rows(), remove="silent", tolerance=0.1)


def _views(flow: Flow, folder: Path) -> None:
    for name in flow.weight_names:
        flow.weights(name).strongest(3)
    str(flow.heads())


def _differences(flow: Flow, folder: Path) -> None:
    first = flow.layers[0].name
    repr(flow.difference((first, 0), (flow.layers[-1].name, 0)))
    str(flow.ranks())


def _rows(flow: Flow, folder: Path) -> None:
    str(flow.local())
    for row in np.asarray(flow.rows)[:2].tolist():
        str(flow.local(row))


PLOTS = [plots.network, plots.attribution, plots.communities, plots.profile, plots.links]

OF_ALL = (_words, _tables, _paths, _graphs, _shap, _saved, _page, _pruned)
OF_CURRENTS = (_views, _differences, _rows)

READERS: dict[str, Callable[[Path], object]] = {
    "flow": load_flow,
    "pruned": load_pruned,
    "csv": load_rows,
    "npy": load_rows,
    "npz": load_rows,
    "pt": load_weights,
    "weights": load_weights,
}

ENDINGS = {"flow": "safetensors", "pruned": "safetensors", "weights": "safetensors"}


def place(folder: Path, kind: str, content: bytes) -> Path:
    """The content as a file with the ending of its kind."""
    path = folder / f"{kind}.{ENDINGS.get(kind, kind)}"
    with path.open("wb", buffering=0) as file:
        os.truncate(file.fileno(), 0)
        file.write(content)
    return path
