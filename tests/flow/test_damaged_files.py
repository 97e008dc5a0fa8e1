"""Flow files with one entry or array of another form: refused in a sentence that names it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nif
from nif.core.errors import InputError
from nif.flow.file import load
from support.flows import current_flow, random_flow
from support.tensor_files import Tensor, TensorFile


def damaged(path: Path, change: Callable[[TensorFile], object], *, currents: bool = False) -> Path:
    (current_flow if currents else random_flow)([3, 4, 2]).save(path)
    file = TensorFile.read(path.read_bytes())
    change(file)
    path.write_bytes(file.write())
    return path


def entry(name: str, change: Callable[[Any], object]) -> Callable[[TensorFile], None]:
    def changed(file: TensorFile) -> None:
        tree = json.loads(file.header[name])
        change(tree)
        file.header[name] = json.dumps(tree)

    return changed


def numbers(name: str, values: np.ndarray, kind: str = "F64") -> Callable[[TensorFile], None]:
    def changed(file: TensorFile) -> None:
        file.tensors[name] = Tensor(kind, list(values.shape), values.tobytes())

    return changed


def header(name: str, value: str) -> Callable[[TensorFile], None]:
    return lambda file: file.header.update({name: value})


NATS = np.zeros((3, 4))
DAMAGE: dict[str, tuple[Callable[[TensorFile], object], str]] = {
    "an axis of 0 beside one of 2^62": (
        lambda file: file.tensors.update(other=Tensor("F32", [0, 2**62], b"")),
        "cannot be read as a flow",
    ),
    "a hundred axes": (
        lambda file: file.tensors.update(other=Tensor("F32", [0] * 100, b"")),
        "cannot be read as a flow",
    ),
    "bad JSON": (header("layers", "[{"), "layers is no JSON"),
    "5,000 digits": (header("links", f"[[0, {'9' * 5000}]]"), "links is no JSON"),
    "deep nesting": (header("measurement", "[" * 100_000), "measurement is no JSON"),
    "duplicated keys": (header("measurement", '{"seed": 1, "seed": 2}'), "measurement has a key twice"),
    "a name that is no text": (
        entry("layers", lambda layers: layers[0].update(name=3)),
        r"layers\[0\].name is 3; expected text",
    ),
    "a unit that is half a letter": (
        entry("layers", lambda layers: layers[0]["units"].insert(0, "\ud800")),
        r"layers\[0\].units\[0\]",
    ),
    "a negative shape": (entry("layers", lambda layers: layers[0].update(shape=[-3])), "whole number from 1"),
    "a cycle": (entry("links", lambda links: links.append([2, 0])), "from layer 2 to layer 0"),
    "onto itself": (entry("links", lambda links: links.__setitem__(0, [1, 1])), "from layer 1 to layer 1"),
    "a seed below 0": (entry("measurement", lambda found: found.update(seed=-1)), "measurement.seed is -1"),
    "terms in words": (
        entry("measurement", lambda found: found["options"].update(terms="many")),
        "options.terms is 'many'",
    ),
    "a version of digits elsewhere": (header("version", "²"), "has the flow format"),
    "a version of 5,000 digits": (header("version", "9" * 5000), "has the flow format"),
    "float8": (numbers("links/0/nats", NATS.astype(np.uint8), "F8_E4M3"), "no array 'links/0/nats'"),
    "bfloat16": (numbers("links/0/nats", NATS.astype(np.uint16), "BF16"), "no array 'links/0/nats'"),
    "complex": (numbers("links/0/nats", NATS.astype(np.complex64), "C64"), "no array|cannot be read"),
    "whole nats": (numbers("links/0/nats", NATS.astype(int), "I64"), "type int64; expected float32"),
    "NaN": (numbers("links/0/stderr", NATS * np.nan), "stderr of the links .* 12 NaN"),
    "too large": (numbers("links/0/nats", NATS + 1e200), "nats of the links .* expected -1e"),
    "another shape": (numbers("links/0/nats", NATS.T), r"shape \(4, 3\); expected \(3, 4\)"),
    "flags in numbers": (numbers("constant/0", np.zeros(3)), "constant .* type float64; expected bool"),
    "a missing array": (lambda file: file.tensors.pop("constant/1"), "no array 'constant/1'"),
}


@pytest.mark.parametrize(("change", "said"), DAMAGE.values(), ids=DAMAGE.keys())
def test_what_is_of_another_form_is_refused(
    change: Callable[[TensorFile], object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said) as refusal:
        load(damaged(tmp_path / "flow", change))
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 500


TABLES: dict[str, tuple[Callable[[TensorFile], object], str]] = {
    "no decision": (
        entry("measurement", lambda found: found["options"].pop("decision")),
        "has no 'decision'",
    ),
    "a total that is none": (
        entry("currents", lambda found: found.update(nats=float("nan"))),
        "currents.nats is nan",
    ),
    "classes in numbers": (
        entry("currents", lambda found: found.update(classes=[1, 2])),
        r"classes\[0\] is 1",
    ),
    "a huge weight": (
        entry("currents", lambda found: found.update(weights=[[["w"], [2**20, 2**20], None, False]])),
        "expected up to 2,147,483,648 numbers",
    ),
    "a weight of links that are not there": (
        entry("currents", lambda found: found.update(weights=[[["w"], [2, 2], 9, False]])),
        "are number 9",
    ),
    "units of another layer": (numbers("currents/0/nats", np.zeros(4)), "nats of layer 'input' of the cur"),
    "rows without numbers": (
        numbers("currents/row_base", np.zeros((5, 2))),
        r"row_base .* expected \(0, 2\)",
    ),
}


@pytest.mark.parametrize(("change", "said"), TABLES.values(), ids=TABLES.keys())
def test_currents_of_another_form_are_refused(
    change: Callable[[TensorFile], object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        load(damaged(tmp_path / "flow", change, currents=True))


SPARSE = {
    "beyond the columns": ([0, 1, 2, 2], [0, 9]),
    "not at 0": ([1, 1, 2, 2], [0, 1]),
    "backward": ([0, 2, 1, 2], [0, 1]),
    "twice": ([0, 2, 2, 2], [1, 1]),
    "beyond the links": ([0, 1, 2, 5], [0, 1]),
}


@pytest.mark.parametrize(("begin", "columns"), SPARSE.values(), ids=SPARSE.keys())
def test_indices_that_are_no_sparse_rows_are_refused(
    begin: list[int], columns: list[int], tmp_path: Path
) -> None:
    def change(file: TensorFile) -> None:
        for name in ("nats", "stderr", "p_value", "relevance"):
            numbers(f"links/0/{name}", np.zeros(len(columns)))(file)
        numbers("links/0/indptr", np.array(begin), "I64")(file)
        numbers("links/0/indices", np.array(columns), "I64")(file)

    with pytest.raises(InputError, match=r"indptr|indices"):
        load(damaged(tmp_path / "flow", change))


def test_tiny_nats_and_layers_without_links_have_tables(tmp_path: Path) -> None:
    """What fuzzing found: lengths of 1 / nats overflowed, and no path ended where no link begins."""
    tiny = damaged(tmp_path / "tiny", numbers("links/0/nats", NATS + 5e-324))
    assert np.isfinite(nif.load(tiny).neurons()["betweenness"]).all()

    def without(file: TensorFile) -> None:
        for name in ("nats", "stderr", "p_value", "relevance"):
            numbers(f"links/0/{name}", np.zeros(0))(file)
        numbers("links/0/indptr", np.zeros(4, np.int64), "I64")(file)
        numbers("links/0/indices", np.zeros(0, np.int64), "I64")(file)

    assert len(nif.load(damaged(tmp_path / "none", without)).paths()) == 0


def test_squares_of_errors_in_single_precision_are_finite(tmp_path: Path) -> None:
    """What fuzzing found: 1e30 is a `float32`, its square is none."""
    errors = np.full((3, 4), 1e30, np.float32)
    flow = nif.load(damaged(tmp_path / "wide", numbers("links/0/stderr", errors, "F32")))
    assert np.isfinite(flow.attribution_stderr(clip=False)).all(axis=None)
    assert np.isfinite(flow.attribution_stderr()).all(axis=None)
