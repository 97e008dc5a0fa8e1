"""What tasks share comes back as it was, and is pickled once."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from joblib import delayed, parallel_config
from torch import nn

from nif.core import shared as module
from nif.core.errors import InputError
from nif.core.parallel import in_parallel
from nif.core.shared import LARGE, Shared
from support.tasks import sum_and_file

COUNT = 2 * LARGE // 4


def received(value: object) -> object:
    """The value in a process that has never seen it."""
    text = pickle.dumps(Shared(value))
    module._known.clear()
    module._made.clear()
    return pickle.loads(text).value


def test_arrays_and_tensors_large_and_small_come_back() -> None:
    value = {
        "large": np.arange(COUNT, dtype=np.float32),
        "turned": np.arange(COUNT, dtype=np.float64).reshape(2, -1).T,
        "small": np.arange(3),
        "half": torch.arange(2 * COUNT).to(torch.bfloat16),
        "number": torch.tensor(2.0),
        "words": np.array(["a", None], dtype=object),
        "flags": torch.ones(LARGE, dtype=torch.bool),
    }
    found = received(value)
    assert isinstance(found, dict)
    for name, values in value.items():
        assert found[name].dtype == values.dtype
        assert (found[name] == values).all()
    found["half"].add_(1)
    assert value["half"][0] == 0


def test_weights_that_are_one_stay_one_and_views_stay_views() -> None:
    net = nn.Sequential(nn.Linear(600, 600, bias=False), nn.Linear(600, 600, bias=False))
    net[1].weight = net[0].weight
    whole = torch.arange(float(COUNT))
    back, whole_back, part = received((net, whole, whole[10:20]))  # type: ignore[misc]
    assert back[1].weight is back[0].weight
    assert isinstance(back[0].weight, nn.Parameter)
    assert torch.equal(back[0].weight, net[0].weight)
    whole_back[12] = -1.0
    assert part[2] == -1.0


def test_a_function_of_the_main_module_comes_back() -> None:
    offset = 3
    assert received(lambda number: number + offset)(4) == 7  # type: ignore[operator]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
def test_it_is_pickled_once_and_its_arrays_are_in_one_file(
    monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    pickled, parts_of = [], module._parts_of
    monkeypatch.setattr(module, "_parts_of", lambda value: (pickled.append(1), parts_of(value))[1])
    shared = Shared((np.ones(COUNT), torch.ones(COUNT)))
    with parallel_config(backend=backend):
        results = list(in_parallel(2, (delayed(sum_and_file)(shared, number) for number in range(20))))
    assert [total for total, _ in results] == [2 * COUNT + number for number in range(20)]
    [file] = {file for _, file in results}
    assert (file is None) == (backend == "threading")
    assert len(pickled) == (0 if backend == "threading" else 1)


def test_tasks_of_the_same_value_find_it_there() -> None:
    shared = Shared(np.zeros(5))
    text = pickle.dumps(shared)
    assert pickle.loads(text) is shared
    module._made.clear()
    found = pickle.loads(text)
    assert found is not shared
    assert pickle.loads(text) is found
    assert pickle.dumps(found) == text
    for _ in range(5):
        pickle.loads(pickle.dumps(Shared(np.zeros(5))))
    assert len(module._known) <= module.MOST_KNOWN


@pytest.mark.slow
def test_in_a_folder_it_is_written_once_and_mapped(tmp_path: Path) -> None:
    shared = Shared((np.ones(COUNT), torch.ones(COUNT)), tmp_path)
    assert len(pickle.dumps(shared)) < 1_000
    files = sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy"))
    results = list(in_parallel(2, (delayed(sum_and_file)(shared, number) for number in range(20))))
    assert [total for total, _ in results] == [2 * COUNT + number for number in range(20)]
    [file] = {file for _, file in results}
    assert file is not None
    assert tmp_path in Path(file).parents
    assert sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")) == files


def test_what_a_worker_writes_does_not_reach_the_files(tmp_path: Path) -> None:
    text = pickle.dumps(Shared((np.ones(COUNT), torch.ones(COUNT)), tmp_path))
    module._made.clear()
    for one in pickle.loads(text).value:
        one[0] = 7.0
    module._known.clear()
    assert [float(one[0]) for one in pickle.loads(text).value] == [1.0, 1.0]


def test_files_of_somebody_else_are_not_loaded(tmp_path: Path) -> None:
    text = pickle.dumps(Shared([1, 2], tmp_path))
    module._made.clear()
    [file] = tmp_path.rglob("*.npy")
    np.save(file, module._parts_of([1, 3])[0])
    with pytest.raises(InputError, match="is not what was written there; pass a scratch= that is yours"):
        _ = pickle.loads(text).value
    file.unlink()
    with pytest.raises(InputError, match="pass as scratch= a folder that all workers see"):
        _ = pickle.loads(text).value


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="What processes share cannot be written to scratch="):
        Shared([1], tmp_path / "file")
