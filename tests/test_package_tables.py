"""Networks on tables of packages: numbers beside one-hot columns, by currents and by permuting."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch

import nif

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def frames() -> Iterator[ModuleType]:
    """The script, from a folder that is no package."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield import_module("zoo_frames")
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(FOLDER)):
            del sys.modules[name]


@cache
def fitted(frames: ModuleType, name: str):
    """A network on a table; skipped without its package."""
    table = next(each for each in frames.TABLES if each.name == name)
    try:
        frames.read(name)
    except frames.Absent as package:
        pytest.skip(f"{package} is not installed: pip install neural-information-flow[tables]")
    return frames.fitted(table, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name, least", [("titanic", 0.99), ("penguins", 0.4), ("cars", 0.7)])
def test_currents_rank_features_as_permuting_their_columns_does(frames, name: str, least: float) -> None:
    network = fitted(frames, name)
    rise = frames.permuted(network, 0)
    method = nif.Currents(rows=256, backgrounds=16, by_class=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flow = nif.measure(network.net, network.frame, method, input_groups="one-hot", progress=False)
    units = flow.neurons().loc["input"]
    assert [*units.index] == [*dict.fromkeys(network.features)] == [*rise.index]
    assert units["absolute"].idxmax() == units["current"].idxmax() == rise.idxmax()
    assert frames.spearmanr(units["absolute"], rise).statistic >= least
    assert not units["silent"].loc[rise[rise > 0.1 * rise.max()].index].any()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["titanic", "penguins", "HMDA", "cars", "weather", "diamonds"])
@pytest.mark.parametrize("groups", ["one-hot", None])
def test_association_sends_users_of_categories_beside_numbers_to_currents(
    frames, name: str, groups: str | None
) -> None:
    """Of titanic all are categories, which have more values than others as groups."""
    network = fitted(frames, name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nif.measure(network.net, network.frame, nif.GaussianCopula(), input_groups=groups, progress=False)
    warned = any(frames.WARNED in str(each.message) for each in caught)
    assert warned or (name == "titanic" and groups is None)  # flags alone


def test_columns_of_a_category_are_permuted_together(frames) -> None:
    net = torch.nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        net.weight[:] = torch.tensor([[1.0, 1.0, 0.0]])
    generator = torch.Generator().manual_seed(0)
    one_hot = torch.nn.functional.one_hot(torch.arange(60) % 2, 2).float()
    x = torch.cat([one_hot, torch.randn(60, 1, generator=generator)], 1)
    network = frames.Fitted(net, None, x, net(x).detach(), ("kind", "kind", "number"))
    assert frames.permuted(network, 0).to_dict() == pytest.approx({"kind": 0.0, "number": 0.0}, abs=1e-12)
    apart = frames.Fitted(net, None, x, net(x).detach(), ("one", "other", "number"))
    assert frames.permuted(apart, 0)["one"] > 0.3
