"""Save a pruned network and load it onto a fresh one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from nif.core.errors import InputError
from nif.pruning.file import save_pruned, shapes_of, shrink
from nif.pruning.prune import prune
from nif.pruning.result import read_record
from support.networks import chain
from support.pruning_cases import NETWORKS, flow_of, network
from support.tensor_files import Tensor, TensorFile


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("cut", [True, False], ids=["cut", "zeroed"])
def test_a_fresh_network_becomes_the_pruned_one(name: str, cut: bool, tmp_path: Path) -> None:
    model, x, _, layers = network(name)
    x = x[:60]
    options = {"remove": 0.3, "tolerance": None, "rule": "magnitude"}  # a quick one: any will do
    small = prune(model, flow_of(model, x, layers), x, cut=cut, **options)
    small.save(tmp_path / "small.safetensors")
    fresh, *_ = network(name, seed=5)
    before = copy.deepcopy(fresh.state_dict())
    loaded = shrink(fresh, tmp_path / "small.safetensors")
    with torch.no_grad():
        assert torch.equal(loaded(x), small.model(x))
    assert type(loaded) is type(model)
    assert all(torch.equal(value, before[name]) for name, value in fresh.state_dict().items())
    assert sum(weight.numel() for weight in loaded.parameters()) == small.size_after.parameters


@pytest.fixture(scope="module")
def chain_saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    model, x, _, layers = network("chain")
    small = prune(model, flow_of(model, x, layers), x, remove=0.3, tolerance=None)
    small.save(path := tmp_path_factory.mktemp("chain") / "small.safetensors")
    return path.read_bytes()


@pytest.fixture
def saved(chain_saved: bytes, tmp_path: Path) -> Path:
    """A file of its own for every test, which may damage it."""
    path = tmp_path / "small.safetensors"
    path.write_bytes(chain_saved)
    return path


def test_a_file_of_another_network_is_refused(saved: Path) -> None:
    with pytest.raises(InputError, match=r"saved for a different network: its '0.weight' had shape \[8, 5\]"):
        shrink(chain(5, 9, 6, 3), saved)
    with pytest.raises(InputError, match="saved for a different network"):
        shrink(chain(5, 8, 6, 3, 2), saved)


def test_a_network_that_is_already_small_is_refused(saved: Path) -> None:
    model, *_ = network("chain")
    with pytest.raises(InputError, match="at its original size"):
        shrink(shrink(model, saved), saved)


@pytest.mark.parametrize("remove", ["silent", 0.3])
def test_a_file_of_nif_0_1_is_read(remove: str | float, tmp_path: Path) -> None:
    """Its record had other names: "told" for the record, "put_back" for restored units."""
    model, x, _, layers = network("chain")
    small = prune(model, flow_of(model, x, layers, silent=[(layers[0], 0)]), x, remove=remove, tolerance=1e-9)
    path = tmp_path / "small.safetensors"
    small.save(path)
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    record = json.loads(header.pop("record"))
    record["put_back"] = record.pop("restored")
    save_file(load_file(path), path, metadata={**header, "told": json.dumps(record)})
    read = read_record(path)
    assert len(read.restored) > 0
    assert read.restored.to_numpy().tolist() == small.restored.to_numpy().tolist()
    assert read.removed.to_numpy().tolist() == small.removed.to_numpy().tolist()
    assert read.put_back is read.restored and small.put_back is small.restored
    with torch.no_grad():
        assert torch.equal(shrink(model, path)(x), small.model(x))


def test_a_file_without_a_complete_record_has_none_to_read(saved: Path) -> None:
    with safe_open(saved, framework="pt") as file:
        header = file.metadata()
    record = json.loads(header.pop("record"))
    save_file(load_file(saved), saved, metadata=header)
    with pytest.raises(InputError, match="has no pruning record"):
        read_record(saved)
    del record["score"]
    save_file(load_file(saved), saved, metadata={**header, "record": json.dumps(record)})
    with pytest.raises(InputError, match="is incomplete"):
        read_record(saved)


def test_a_truncated_file_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:200])
    with pytest.raises(InputError, match="Cannot read"):
        shrink(network("chain")[0], saved)


def test_a_foreign_file_is_refused(saved: Path) -> None:
    save_file({"weight": torch.zeros(1)}, saved)
    with pytest.raises(InputError, match="contains no pruned network"):
        shrink(network("chain")[0], saved)


def test_a_file_of_a_newer_format_is_refused(saved: Path) -> None:
    save_file(load_file(saved), saved, metadata={"format": "nif-pruned", "version": "3", "original": "{}"})
    with pytest.raises(InputError, match="newer version"):
        shrink(network("chain")[0], saved)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Cannot read"):
        shrink(network("chain")[0], tmp_path / "none")


def test_a_path_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    model, x, _, layers = network("chain")
    small = prune(model, flow_of(model, x, layers), x)
    with pytest.raises(InputError, match="cannot be written"):
        small.save(tmp_path / "no such folder" / "small.safetensors")
    (tmp_path / "taken").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        small.save(tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_the_file_has_the_mode_of_any_other(tmp_path: Path) -> None:
    net = chain(3, 4, 2)
    (tmp_path / "other").write_bytes(b"")
    save_pruned(tmp_path / "small", net, {}, shapes_of(net))
    assert (tmp_path / "small").stat().st_mode == (tmp_path / "other").stat().st_mode


def changed(path: Path, change: Callable[[TensorFile], object]) -> Path:
    file = TensorFile.read(path.read_bytes())
    change(file)
    path.write_bytes(file.write())
    return path


def set_kept(values: list[int]) -> Callable[[TensorFile], None]:
    return lambda file: next(
        tensor for name, tensor in file.tensors.items() if name.startswith("kept/0/")
    ).put(np.array(values))


DAMAGE: dict[str, tuple[Callable[[TensorFile], object], str]] = {
    "an axis of 0 beside one of 2^63": (
        lambda file: file.tensors.update(other=Tensor("F32", [0, 2**63], b"")),
        "Cannot read",
    ),
    "a version in words": (lambda file: file.header.update(version="one"), "has the format 'one'"),
    "no version": (lambda file: file.header.pop("version"), "has the format ''"),
    "bad JSON": (lambda file: file.header.update(original="{"), "original is no JSON"),
    "shapes in words": (lambda file: file.header.update(original='{"0.weight": "wide"}'), "is 'wide'"),
    "no original": (lambda file: file.header.pop("original"), "original is no JSON"),
    "a missing weight": (lambda file: file.tensors.pop("weights/0.weight"), "'0.weight' is missing"),
    "another weight": (
        lambda file: file.tensors.update({"weights/a.b": file.tensors["weights/0.weight"]}),
        r"'a.b' is real of shape .*; expected none",
    ),
    "indices beyond": (set_kept([0, 99]), "expected 0 to"),
    "indices twice": (set_kept([1, 1]), "each once in order"),
    "no indices": (set_kept([]), "type|each once in order|of shape"),
    "another axis": (
        lambda file: file.tensors.update({"kept/7/0.weight": file.tensors["weights/0.bias"]}),
        "expected torch.int64",
    ),
}


@pytest.mark.parametrize(("change", "said"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_file_is_refused(saved: Path, change: Callable[[TensorFile], object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        shrink(network("chain")[0], changed(saved, change))


@pytest.mark.parametrize("record", ["{", "[]", '{"removed": 3}', "9" * 5000, "[" * 100_000])
def test_a_damaged_record_is_refused(saved: Path, record: str) -> None:
    with pytest.raises(InputError, match="is incomplete"):
        read_record(changed(saved, lambda file: file.header.update(record=record)))
