"""A flow goes through a file unchanged; what is no flow is refused and nothing is half written."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from safetensors.numpy import save as serialised

from nif.core.errors import InputError
from nif.core.types import Links
from nif.flow.file import FORMAT, VERSION, load
from nif.flow.flow import Flow
from support.flows import random_flow


@pytest.fixture
def flow() -> Flow:
    made = random_flow([4, 6, 5, 3], [(1, 3)])
    made.constant[1][2] = True
    hostile = ("<script>alert(1)</script>", 'quote " and \\', "\u202eright to left", "🧠\n\t", "")
    layers = list(made.layers)
    layers[2] = replace(layers[2], units=hostile)
    return replace(made, layers=tuple(layers))


@pytest.fixture
def path(flow: Flow, tmp_path: Path) -> Path:
    flow.save(tmp_path / "flow.safetensors")
    return tmp_path / "flow.safetensors"


def test_a_loaded_flow_equals_the_saved_one(flow: Flow, path: Path) -> None:
    loaded = load(path)
    assert loaded == flow
    assert loaded.measurement == flow.measurement and loaded.layers == flow.layers
    for one, other in zip(loaded.links, flow.links, strict=True):
        for name in ("nats", "stderr", "p_value", "relevance"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert loaded.neurons().equals(flow.neurons())


def test_views_and_transposed_arrays_are_saved_as_they_read(flow: Flow, tmp_path: Path) -> None:
    first = flow.links[0]
    turned = {name: np.asfortranarray(getattr(first, name)) for name in ("nats", "stderr", "p_value")}
    shared = np.broadcast_to(np.float64(0.5), first.nats.shape)
    other = replace(flow, links=(Links(0, 1, relevance=shared, **turned), *flow.links[1:]))
    other.save(tmp_path / "views")
    assert load(tmp_path / "views") == other


def test_a_picture_keeps_its_shape(flow: Flow, tmp_path: Path) -> None:
    first = flow.layers[0]
    picture = replace(flow, layers=(replace(first, shape=(1, len(first))), *flow.layers[1:]))
    picture.save(tmp_path / "picture")
    assert load(tmp_path / "picture") == picture != flow
    assert load(tmp_path / "picture").attribution().attrs["shape"] == (1, len(first))
    assert "shape" not in flow.attribution().attrs


def test_a_file_from_before_pictures_is_read(flow: Flow, tmp_path: Path) -> None:
    whole = serialised_without_shape(flow, tmp_path / "old")
    assert load(whole) == flow


def serialised_without_shape(flow: Flow, path: Path) -> Path:
    flow.save(path)
    with safe_open(path, framework="numpy") as file:
        header = file.metadata()
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    layers = json.loads(header["layers"])
    for layer in layers:
        del layer["shape"]
    path.write_bytes(serialised(arrays, metadata=header | {"layers": json.dumps(layers)}))
    return path


def test_the_header_says_what_the_file_is(path: Path) -> None:
    with safe_open(path, framework="numpy") as file:
        header = file.metadata()
    assert header["format"] == FORMAT and header["version"] == str(VERSION)
    measured = json.loads(header["measurement"])
    options = measured["options"]
    assert options["noise"] == 0.1 and measured["version"] == "0.1" and options["estimator"] == "Mine()"


def test_the_time_of_the_measurement_is_kept(flow: Flow, path: Path) -> None:
    timed = replace(
        flow, measurement=replace(flow.measurement, began="2026-03-01T09:30:12+00:00", seconds=3.5)
    )
    timed.save(path)
    assert (load(path).measurement.began, load(path).measurement.seconds) == (timed.measurement.began, 3.5)


def test_a_file_of_nif_0_1_loads(flow: Flow, path: Path) -> None:
    options = dict(flow.measurement.options)
    fields = {name: options.pop(name) for name in ("estimator", "automatic", "noise", "terms")}
    older = {"samples": 400, "not_converged": 2, "seed": 0, "version": "0.1", "decomposition": options}
    rewrite(path, measurement=json.dumps({**older, **fields}))
    loaded = load(path)
    assert loaded.measurement.options == flow.measurement.options
    choices = "relevance='unit', order='average', critic='separate', noise=0.1"
    assert loaded.measurement.method == f"Association(estimator=None, beta=None, {choices})"
    for one, other in zip(loaded.links, flow.links, strict=True):
        np.testing.assert_array_equal(one.nats, other.nats)


def test_a_file_from_before_times_were_kept_loads(flow: Flow, path: Path) -> None:
    older = {
        name: value for name, value in asdict(flow.measurement).items() if name not in ("began", "seconds")
    }
    rewrite(path, measurement=json.dumps(older))
    assert load(path) == flow and load(path).measurement.seconds is None


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused(path: Path, share: float) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError, match="cannot be read as a flow"):
        load(path)


def rewrite(path: Path, **changes: str | None) -> None:
    with safe_open(path, framework="numpy") as file:
        header = {**file.metadata(), **changes}
    kept = {name: text for name, text in header.items() if text is not None}
    save_file(load_file(path), path, metadata=kept)


FOREIGN = {
    "of another program": ({"format": None}, "holds tensors but no flow"),
    "a pruned network": ({"format": "nif-pruned"}, "holds tensors but no flow"),
    "of a newer version": ({"version": str(VERSION + 1)}, "upgrade neural-information-flow"),
    "without layers": ({"layers": None}, "is not a complete flow"),
    "with broken layers": ({"layers": "[{"}, "is not a complete flow"),
    "with fewer layers": ({"layers": '[{"name": "a", "kind": "b", "units": ["c"]}]'}, "of 1 layers"),
    "with odd options": ({"measurement": '{"estimator": "x"}'}, "is not a complete flow"),
    "with links to nowhere": ({"links": "[[0, 1], [1, 2], [2, 3], [1, 9]]"}, "from layer 1 to layer 9 of 4"),
}


@pytest.mark.parametrize(("changes", "said"), FOREIGN.values(), ids=FOREIGN.keys())
def test_a_foreign_file_is_refused(path: Path, changes: dict[str, str | None], said: str) -> None:
    rewrite(path, **changes)
    with pytest.raises(InputError, match=said):
        load(path)


def test_what_is_no_tensor_file_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a flow")
    for path in (text, tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match="cannot be read as a flow"):
            load(path)


def test_a_path_that_cannot_be_written_leaves_nothing_behind(flow: Flow, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        flow.save(tmp_path / "missing" / "flow")
    taken = tmp_path / "taken"
    taken.mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        flow.save(taken)
    assert list(tmp_path.iterdir()) == [taken] and list(taken.iterdir()) == []


def test_saving_again_replaces_the_file_whole(flow: Flow, path: Path) -> None:
    other = random_flow([2, 2])
    other.save(path)
    assert load(path) == other and list(path.parent.iterdir()) == [path]


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"flow cannot be written to .*; pass a path"):
        random_flow([30, 40, 2], []).save(tmp_path / "flow.safetensors")
    assert not list(tmp_path.iterdir())
