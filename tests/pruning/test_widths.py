"""Widths that are multiples, rows held out, and the times of networks in turns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.network.forward import Forward
from nif.pruning.result import read_record
from nif.pruning.size import Size, sizes_of


@pytest.fixture(scope="module")
def task() -> tuple[nn.Module, nif.Flow, Tensor, Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 30), nn.ReLU(), nn.Linear(30, 3))
    x = torch.randn(300, 4, generator=torch.Generator().manual_seed(1))
    return net, nif.measure(net, x, nif.Binned(), progress=False), x, net(x).argmax(1)


@pytest.fixture(scope="module")
def free_widths() -> dict[float, list[int]]:
    """By the fraction that is removed, once a test has needed them: widths that are not rounded."""
    return {}


def widths(model: nn.Module) -> list[int]:
    return [module.out_features for module in model if isinstance(module, nn.Linear)][:-1]


@pytest.mark.parametrize("multiple", [1, 4, 8, 16])
@pytest.mark.parametrize("fraction", [0.1, 0.4, 0.8])
def test_kept_widths_are_rounded_up(
    task: tuple[nn.Module, nif.Flow, Tensor, Tensor],
    free_widths: dict[float, list[int]],
    multiple: int,
    fraction: float,
) -> None:
    net, flow, x, y = task
    options = {"remove": fraction, "tolerance": None, "exchanges": 0, "progress": False}
    if fraction not in free_widths:
        free_widths[fraction] = widths(nif.prune(net, flow, x, y, **options).model)
    free = free_widths[fraction]
    small = nif.prune(net, flow, x, y, **options, round_to=multiple)
    expected = [
        min(whole, -(-kept // multiple) * multiple) for kept, whole in zip(free, [32, 30], strict=True)
    ]
    assert widths(small.model) == expected
    restored = int((small.restored["reason"] == f"multiple of {multiple}").sum())
    assert restored == sum(expected) - sum(free)
    assert any("multiples of" in note for note in small.notes) == (restored > 0)


def test_units_that_stay_for_the_width_are_those_that_would_have_gone_last(
    task: tuple[nn.Module, nif.Flow, Tensor, Tensor],
) -> None:
    """The rounded removal is what a rule that orders units removes first within each layer."""
    net, flow, x, y = task

    def by_number(problem: object, units: np.ndarray, seed: int) -> np.ndarray:
        return units.astype(float)

    small = nif.prune(
        net, flow, x, y, remove=0.3, rule=by_number, tolerance=None, round_to=8, exchanges=0, progress=False
    )
    gone = small.removed.groupby("layer")["index"].apply(list)
    assert gone.to_dict() == {"1": list(range(16))}  # 19 of 62 would go, all of the first layer


def test_the_tolerance_holds_with_rounded_widths(task: tuple[nn.Module, nif.Flow, Tensor, Tensor]) -> None:
    net, flow, x, y = task
    small = nif.prune(net, flow, x, y, remove="most", tolerance=0.03, round_to=8, progress=False)
    assert small.score_after >= small.score_before - 0.03
    assert float((small.model(x).argmax(1) == y).float().mean()) == pytest.approx(small.score_after)
    assert all(width % 8 == 0 or width == 30 for width in widths(small.model))


def test_units_that_are_added_stay_together() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.last = nn.Linear(3, 20), nn.Linear(20, 20), nn.Linear(20, 2)
            self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            one = self.relu1(self.first(x))
            return self.last(self.relu2(one + self.second(one)))

    torch.manual_seed(0)
    net, x = Residual(), torch.randn(100, 3)
    flow = nif.measure(net, x, nif.Binned(), progress=False)
    small = nif.prune(net, flow, x, remove=0.3, tolerance=None, round_to=8, progress=False).model
    assert small.first.out_features == small.second.out_features == small.last.in_features == 16


@pytest.mark.parametrize("value", [0, 2.5, "8"])
def test_a_width_is_a_whole_number(task: tuple[nn.Module, nif.Flow, Tensor, Tensor], value: object) -> None:
    with pytest.raises(nif.InputError, match="round_to is"):
        nif.prune(*task, round_to=value, progress=False)  # type: ignore[arg-type]


def test_zeroed_units_change_no_width(task: tuple[nn.Module, nif.Flow, Tensor, Tensor]) -> None:
    with pytest.raises(nif.InputError, match="only what is cut changes widths"):
        nif.prune(*task, round_to=8, cut=False, progress=False)


# Rows held out


def test_both_networks_are_scored_on_rows_held_out(
    task: tuple[nn.Module, nif.Flow, Tensor, Tensor], tmp_path: Path
) -> None:
    net, flow, x, y = task
    other = torch.randn(200, 4, generator=torch.Generator().manual_seed(2))
    answers = net(other).argmax(1)
    answers[:50] = 0
    small = nif.prune(net, flow, x, y, remove=0.5, tolerance=None, held_out=(other, answers), progress=False)
    right = [float((model(other).argmax(1) == answers).float().mean()) for model in (net, small.model)]
    assert small.held_out == pytest.approx(right)
    assert small.table().loc["held-out accuracy"].tolist() == pytest.approx(right)
    assert "held-out accuracy" in repr(small) and "held-out accuracy" in small._repr_html_()
    small.save(tmp_path / "small.safetensors")
    record = read_record(tmp_path / "small.safetensors")
    assert record.held_out == pytest.approx(right) and repr(record) == repr(small)


def test_a_fall_on_rows_held_out_is_said(task: tuple[nn.Module, nif.Flow, Tensor, Tensor]) -> None:
    """The rows that units are chosen by vary in one feature alone, so that they need few units."""
    net, flow, x, _ = task
    few = x * torch.tensor([4.0, 0.0, 0.0, 0.0])
    narrow = few, net(few).argmax(1)
    small = nif.prune(net, flow, narrow, remove="most", held_out=(x, net(x).argmax(1)), progress=False)
    assert small.held_out is not None and small.score_after == 1 and small.held_out[1] < 0.9
    fall = f"the accuracy fell by {1 - small.held_out[1]:.3g}, more than tolerance=0"
    assert sum(fall in note for note in small.notes) == 1
    same = nif.prune(net, flow, narrow, remove="most", held_out=narrow, progress=False)
    assert not any("held out" in note for note in same.notes)


def test_rows_held_out_have_labels_where_the_data_have(
    task: tuple[nn.Module, nif.Flow, Tensor, Tensor],
) -> None:
    net, flow, x, y = task
    with pytest.raises(nif.InputError, match="pass labels with both"):
        nif.prune(net, flow, x, y, held_out=x, progress=False)
    changed = nif.prune(net, flow, x, remove=0.5, tolerance=None, held_out=x, progress=False)
    assert changed.held_out == pytest.approx((changed.score_before, changed.score_after))


# Times


def test_networks_are_timed_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that becomes slower while it works makes both slower, not the one that is timed last."""
    clock, passes = [0.0], [0]
    monkeypatch.setattr("nif.pruning.size.time.perf_counter", lambda: clock[0])

    class Slow(nn.Module):
        def __init__(self, seconds: float) -> None:
            super().__init__()
            self.seconds = seconds

        def forward(self, x: Tensor) -> Tensor:
            passes[0] += 1
            clock[0] += self.seconds * (1 + passes[0] // 4)
            return x

    first, second = sizes_of([Forward(Slow(0.1)), Forward(Slow(0.1))], (torch.zeros(7, 2),))
    assert second.milliseconds / first.milliseconds == pytest.approx(1, abs=0.1)
    assert (first.batch, first.threads) == (7, torch.get_num_threads()) and first.spread > 0


def test_a_size_of_an_earlier_version_has_no_spread(task: tuple[nn.Module, nif.Flow, Tensor, Tensor]) -> None:
    small = nif.prune(*task, remove=0.5, tolerance=None, progress=False)
    size = small.size_before
    known = repr(small)
    assert f"batch of {min(256, 300)} rows, {size.threads} thread" in known and "±" in known
    old = Size(size.parameters, size.flops, size.bytes, size.milliseconds)
    assert (old.spread, old.batch, old.threads) == (0.0, 0, 0)
