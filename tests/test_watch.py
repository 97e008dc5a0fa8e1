"""A watch shows what the flow of each epoch says, and the training does not notice it."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neural_network import MLPClassifier
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import nif
from nif.core import progress
from nif.core.errors import InputError
from nif.flow.epochs import match_communities, silent_since
from support.training_runs import FEW, WATCHES, dying, network, rows, trained


@pytest.mark.slow
@pytest.mark.parametrize("watch_of", WATCHES.values(), ids=WATCHES.keys())
def test_the_training_is_bitwise_the_same(watch_of: Callable[[nn.Module, Any], nif.Watch]) -> None:
    plain, (torch_state, numpy_state, python_state, optimiser) = trained(
        lambda model, loader: lambda epoch: None
    )
    watches: list[nif.Watch] = []

    def begin(model: nn.Module, loader: Any) -> Callable[[int], Any]:
        watches.append(watch_of(model, loader))
        return watches[0].step

    watched, found = trained(begin)
    assert watches[0].flows
    for (name, one), other in zip(plain.state_dict().items(), watched.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    assert torch.equal(torch_state, found[0]) and python_state == found[2]
    assert all(np.array_equal(one, other) for one, other in zip(numpy_state, found[1], strict=True))
    for index, state in optimiser["state"].items():
        assert all(torch.equal(value, found[3]["state"][index][key]) for key, value in state.items())
    assert [module.training for module in plain.modules()] == [
        module.training for module in watched.modules()
    ]
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in watched.modules())
    for one, other in zip(plain.parameters(), watched.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)  # type: ignore[arg-type]


class Untouchable(DataLoader):  # type: ignore[type-arg]
    def __iter__(self) -> Any:
        raise AssertionError("the loader was iterated")


def test_a_loader_is_not_iterated_when_its_data_can_be_indexed() -> None:
    loader = Untouchable(TensorDataset(*rows()), batch_size=10)
    watch = nif.Watch(network(), loader, max_samples=60)
    flow = watch.step(0)
    assert flow is not None and flow.measurement.samples == 60


def test_a_long_measurement_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BEFORE_SHOWN", 0)
    nif.Watch(network(), rows()[0], FEW, max_samples=60).step(4)
    nif.Watch(network(), rows()[0], FEW, max_samples=60, progress=False).step(5)
    said = capsys.readouterr().err
    assert "nif: measuring: epoch 4" in said and "epoch 5" not in said


def test_all_epochs_are_measured_on_the_same_rows() -> None:
    class Noisy(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return 300

        def __getitem__(self, index: int) -> Tensor:
            return torch.rand(4)

    watch = nif.Watch(network(), Noisy(), FEW, max_samples=100)
    assert watch() == watch() and list(watch.flows) == [0, 1]


def test_several_inputs_are_named_as_the_model_names_them() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(2, 3), nn.Linear(1, 2)

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return torch.cat([self.left(left).relu(), self.right(right).relu()], dim=1).sum(
                dim=1, keepdim=True
            )

    flow = nif.Watch(Two(), (9 * torch.rand(300, 2), torch.rand(300, 1)), max_samples=100).step(0)
    assert flow is not None and flow.measurement.samples == 100
    assert [layer.kind for layer in flow.layers[:2]] == ["input", "input"]


def test_the_flow_is_that_of_measure() -> None:
    model, (x, _) = network().eval(), rows()
    names = {"feature_names": ["a", "b", "c", "d"], "class_names": ["no", "yes"]}
    watch = nif.Watch(model, x, nif.Association(noise=0.1), layers=["2"], seed=7, **names)  # type: ignore[arg-type]
    expected = nif.measure(
        model, x, nif.Association(nif.Binned(), noise=0.1), layers=["2"], seed=7, progress=False, **names
    )
    found = watch.step(0)
    assert found is not None
    for one, other in zip(found.links, expected.links, strict=True):
        np.testing.assert_array_equal(one.nats, other.nats)
    assert found.layers == expected.layers


@pytest.mark.slow
def test_only_the_epochs_asked_for_are_measured() -> None:
    watch = nif.Watch(network(), rows()[0], FEW, every=3, max_samples=60)
    assert [epoch for epoch in range(8) if watch.step(epoch) is not None] == [0, 3, 6]
    numpys = nif.Watch(network(), rows()[0], FEW, every=np.int64(4), max_samples=60)  # type: ignore[arg-type]
    assert [epoch for epoch in range(6) if numpys.step(epoch) is not None] == [0, 4]
    chosen = nif.Watch(network(), rows()[0], FEW, every=[1, 5], max_samples=60)
    assert [epoch for epoch in range(8) if chosen.step(epoch) is not None] == [1, 5]


@pytest.mark.slow
def test_neurons_that_fall_silent_are_found_with_the_epoch() -> None:
    watch, _ = dying()
    since = watch.neurons()["silent_since"].loc["1"]
    assert since["1[2]"] == 2 and since.isna()["1[5]"]
    last = list(watch.flows.values())[-1].neurons()
    np.testing.assert_array_equal(watch.neurons()["silent"], last["silent"])
    np.testing.assert_array_equal(since.notna(), last.loc["1"]["silent"])
    assert watch.neurons().index.equals(last.index)


def test_the_table_is_the_sums_of_each_flow() -> None:
    watch, _ = dying()
    table = watch.table().set_index(["epoch", "layer"])
    assert len(table) == 5 * 3
    for epoch, flow in watch.flows.items():
        units = flow.neurons()
        sums = units[["inflow", "outflow", "silent"]].groupby(level="layer", sort=False).sum()
        np.testing.assert_allclose(table.loc[epoch][["inflow", "outflow", "silent"]], sums.to_numpy(float))
        groups = units["community"][units["community"] >= 0].groupby(level="layer").nunique()
        assert table.loc[epoch]["communities"].to_dict() == groups.to_dict()
        assert set(table.loc[epoch]["modularity"]) == {flow.modularity}


def test_the_page_of_a_run_has_its_epochs_and_the_plane(tmp_path: Path) -> None:
    watch = nif.Watch(network(), TensorDataset(*rows()), max_samples=60, every=2)
    for epoch in range(4):
        watch.step(epoch)
    assert list(watch.planes) == [0, 2] and watch.planes[0].noise == 0.1 and watch.planes[0].rows == 60
    names = [point.layer for point in watch.planes[0].points]
    assert names == [layer.name for layer in watch.flows[0].layers[1:]]
    page = watch.report(tmp_path / "run.html", data="noise").read_text("utf-8")
    assert "Training of Sequential on noise · 2 epochs measured · 60 rows" in page
    assert "What the information plane can show" in page and "noise of 0.1" in page


def test_the_plane_can_be_left_out() -> None:
    watch = nif.Watch(network(), TensorDataset(*rows()), max_samples=60, plane_noise=None)
    watch()
    assert watch.planes == {}
    with pytest.raises(InputError, match="plane_noise is -1; expected a number above 0"):
        nif.Watch(network(), None, plane_noise=-1)


def test_before_the_first_measurement() -> None:
    watch = nif.Watch(network(), rows()[0])
    assert watch.table().empty and watch.flows == {} and "no epoch yet" in repr(watch)
    for ask in (watch.plot, watch.neurons):
        with pytest.raises(InputError, match="Nothing has been measured yet"):
            ask()


def test_communities_keep_their_number_while_their_units_stay() -> None:
    rng = np.random.default_rng(0)
    last = rng.integers(0, 4, 60)
    renamed = [rng.permutation(4)[last] for _ in range(3)]
    for label in match_communities([*renamed, last]):
        np.testing.assert_array_equal(label, last)
    moved = last.copy()
    moved[:5] = -1
    np.testing.assert_array_equal(match_communities([rng.permutation(4)[last], moved])[1], moved)


def test_silent_since_against_a_loop() -> None:
    silent = np.random.default_rng(0).random((6, 50)) < 0.7
    epochs = [0, 2, 3, 7, 8, 20]
    for unit, found in enumerate(silent_since(epochs, silent)):
        expected = None
        for epoch, quiet in zip(reversed(epochs), silent[::-1, unit], strict=True):
            if not quiet:
                break
            expected = epoch
        assert found == expected


def test_a_model_that_cannot_be_measured_is_refused_before_the_training() -> None:
    x = torch.randn(50, 2)
    with pytest.raises(InputError, match="The model is of type Tensor"):
        nif.Watch(x, x, every=[100])
    with pytest.raises(InputError, match="on the meta device"):
        nif.Watch(nn.Linear(2, 2, device="meta"), x)
    for later in (nn.LazyLinear(2), MLPClassifier(), None):  # have weights after a first step
        nif.Watch(later, x)


def test_a_later_failure_warns_and_the_first_raises() -> None:
    model, (x, _) = network(), rows()
    with pytest.raises(InputError, match="failed on these data"):
        nif.Watch(model, x[:, :3]).step(0)
    watch = nif.Watch(model, x, FEW)
    watch.step(0)
    with torch.no_grad():
        model[0].weight.fill_(float("nan"))
    with pytest.warns(UserWarning, match="Epoch 1 was skipped"):
        assert watch.step(1) is None
    assert list(watch.flows) == [0] and list(watch.failed) == [1] and "1 skipped" in repr(watch)


def test_duplicate_rows_are_warned_of_once() -> None:
    x = rows()[0][:100].repeat(2, 1)
    watch = nif.Watch(network(), x, nif.Association())
    with pytest.warns(UserWarning, match="100% of the rows are duplicates|50% of the rows are duplicates"):
        watch.step(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watch.step(1)


@pytest.mark.parametrize("every", [0, -2, True, 2.5, None], ids=str)
def test_every_is_a_number_of_epochs(every: Any) -> None:
    with pytest.raises(InputError, match="every is"):
        nif.Watch(network(), rows()[0], every=every)


def test_without_a_model_it_says_so() -> None:
    with pytest.raises(InputError, match="No model was given"):
        nif.Watch(None, rows()[0]).step(0)


# TensorBoard


@pytest.mark.slow
def test_curves_are_written_for_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        watches = [nif.Watch(network(), rows()[0], method, writer=writer) for method in (nif.Binned(), FEW)]
        for watch in watches:
            for _ in range(3):
                watch()
    read = EventAccumulator(str(tmp_path))
    read.Reload()
    assert len(read.Tags()["scalars"]) == 3 * 4 + 2
    total = [float(flow.total) for flow in watches[1].flows.values()]
    into = watches[0].table().query("layer == '2'")["inflow"]
    for tag, expected in (("nif/inflow/2", into), ("nif/total", total)):
        curve = read.Scalars(tag)
        assert [event.step for event in curve] == [0, 1, 2]
        np.testing.assert_allclose([event.value for event in curve], expected, rtol=1e-6)


# Callbacks


class Kept:
    """A writer that keeps what it is given."""

    def __init__(self) -> None:
        self.curves: dict[str, list[tuple[int, float]]] = {}

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        self.curves.setdefault(tag, []).append((global_step, scalar_value))


def test_of_currents_the_total_is_written_once() -> None:
    writer = Kept()
    watch = nif.Watch(network(), rows()[0], FEW, writer=writer)
    watch.step(0)
    watch.step(1)
    totals = [(epoch, float(flow.total or 0)) for epoch, flow in watch.flows.items()]
    assert writer.curves["nif/total"] == totals
    assert {tag.split("/")[1] for tag in writer.curves} == {"total", "silent", "modularity"}


def test_skorch_calls_it_after_every_epoch_and_trains_the_same() -> None:
    skorch = pytest.importorskip("skorch")
    x, y = (part.numpy() for part in rows())

    def fitted(callbacks: list[Any]) -> Any:
        torch.manual_seed(0)
        net = skorch.NeuralNetClassifier(
            network, criterion=nn.CrossEntropyLoss, max_epochs=4, lr=0.05, verbose=0, callbacks=callbacks
        )
        return net.fit(x, y)

    watch = nif.Watch(None, x, FEW, every=2)
    watched, plain = fitted([watch.skorch()]), fitted([])
    assert list(watch.flows) == [2, 4]
    for one, other in zip(
        plain.module_.state_dict().values(), watched.module_.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)
    assert plain.history[:, "train_loss"] == watched.history[:, "train_loss"]


LIGHTNING = """
import sys, warnings
warnings.simplefilter("ignore")
import logging
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
import torch
import lightning.pytorch as pl
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
import nif

class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 2))
    def forward(self, x):
        return self.net(x)
    def training_step(self, batch, index):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

def fitted(watch):
    torch.manual_seed(0)
    x = torch.randn(200, 4); y = (x[:, 0] > 0).long()
    model, loader = Net(), DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True)
    trainer = pl.Trainer(
        max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[watch(loader).lightning()] if watch else [],
    )
    trainer.fit(model, loader)
    return model

FEW = nif.Currents(rows=16, backgrounds=8, steps=2, by_class=False, paths=0)
watches = []
watched = fitted(lambda loader: watches.append(nif.Watch(None, loader, FEW, every=2)) or watches[0])
plain = fitted(None)
assert list(watches[0].flows) == [0, 2], watches
assert all(map(torch.equal, plain.state_dict().values(), watched.state_dict().values()))
assert [layer.name for layer in watches[0].flows[2].layers] == ["input", "net.2", "output"]
"""


@pytest.mark.slow
def test_lightning_calls_it_after_every_epoch_and_trains_the_same(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    subprocess.run([sys.executable, "-c", LIGHTNING], check=True, cwd=tmp_path, timeout=300)


@pytest.mark.parametrize(
    ("ask", "modules"),
    [
        (nif.Watch.skorch, ["skorch", "skorch.callbacks"]),
        (nif.Watch.lightning, ["lightning", "lightning.pytorch"]),
    ],
    ids=["skorch", "lightning"],
)
def test_a_library_that_is_not_there_is_named(
    ask: Callable[[nif.Watch], Any], modules: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=f"pip install {modules[0]}"):
        ask(nif.Watch(None, rows()[0]))
