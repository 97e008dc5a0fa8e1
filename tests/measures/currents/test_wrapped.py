"""Networks in wrappers, other memory layouts, and views: the numbers of the plain network, or a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import nif
from support.current_architectures import Run
from support.currents import measured, total, units
from support.networks import chain

X = torch.randn(30, 3, 6, 6, generator=torch.Generator().manual_seed(0))
FAST = {"steps": 4, "rows": 10, "backgrounds": 4}


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(16, 3),
    ).eval()  # fmt: skip


@pytest.fixture(scope="module")
def expected() -> list[np.ndarray]:
    return units(measured(net(), X, **FAST))


WRAPPED: dict[str, Callable[[], nn.Module]] = {
    "compiled": lambda: torch.compile(net()),
    "compiled inside": lambda: nn.Sequential(torch.compile(net()[:3]), net()[3:]),
    "parallel": lambda: nn.DataParallel(net()),
    "channels last": lambda: net().to(memory_format=torch.channels_last),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", WRAPPED)
def test_a_wrapper_changes_nothing(name: str, expected: list[np.ndarray]) -> None:
    result = measured(WRAPPED[name](), X, **FAST)
    for one, two in zip(units(result), expected, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6 * total(result))


def test_images_with_channels_last_change_nothing(expected: list[np.ndarray]) -> None:
    result = measured(net(), X.to(memory_format=torch.channels_last), **FAST)
    for one, two in zip(units(result), expected, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6 * total(result))


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
@pytest.mark.parametrize("where", ["whole", "part"])
def test_scripted_modules_are_refused_by_name(where: str) -> None:
    scripted = torch.jit.script(net()[5]) if where == "part" else torch.jit.script(net())
    model = nn.Sequential(net()[:5], scripted) if where == "part" else scripted
    with pytest.raises(nif.InputError, match="TorchScript module, which cannot be traced"):
        measured(model, X, **FAST)


def _expanded(x: Tensor) -> Tensor:
    return x.expand(2, -1, -1, -1, -1).mean(0)


def _strided(x: Tensor) -> Tensor:
    count, channels, height, width = x.shape
    windows = x.as_strided((count, channels, height - 1, width), x.stride(), x.storage_offset() + width)
    return F.pad(windows, (0, 0, 1, 0))


def _in_part(x: Tensor) -> Tensor:
    y = x.permute(0, 2, 3, 1).clone(memory_format=torch.preserve_format)
    y[:, ::2, 1].add_(y[:, 1::2, 2])
    y.transpose(1, 2)[:, :2].mul_(2)
    return y.permute(0, 3, 1, 2)


def _in_expanded(x: Tensor) -> Tensor:
    y = torch.zeros_like(x).transpose(2, 3)
    y[..., 1:] = x.transpose(2, 3)[..., :-1].tanh()
    y.diagonal(dim1=2, dim2=3).add_(x.diagonal(dim1=2, dim2=3))
    return y


def _out_of_place(x: Tensor) -> Tensor:
    """`_in_part`, without writing."""
    rows = torch.arange(6)
    y = x.permute(0, 2, 3, 1)
    more = torch.zeros_like(y).index_put(
        (torch.arange(len(x))[:, None], rows[::2], torch.tensor(1)), y[:, 1::2, 2]
    )
    scale = torch.where(rows < 2, 2.0, 1.0)[None, None, :, None]
    return ((y + more) * scale).permute(0, 3, 1, 2)


@pytest.mark.parametrize("run", [_expanded, _strided, _in_part, _in_expanded])
def test_views_and_writes_into_them_are_balanced(run: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    parts = {"conv": nn.Conv2d(3, 4, 3, padding=1), "out": nn.Linear(144, 3)}
    model = Run(lambda self, x: self.out(run(self.conv(run(x)[:, :3]).tanh()).flatten(1)[:, :144]), **parts)
    result = measured(model, X, **FAST)
    features, outputs = units(result)[0], units(result)[-1]
    assert abs(features.sum() - outputs.sum()) <= 1e-5 * np.abs(features).sum()


def test_a_write_into_a_view_has_the_currents_of_the_same_network_without_writes() -> None:
    results = []
    for run in (_in_part, _out_of_place):
        torch.manual_seed(0)
        parts = {"conv": nn.Conv2d(3, 4, 3, padding=1), "out": nn.Linear(144, 3)}
        model = Run(lambda self, x, run=run: self.out(run(self.conv(x).tanh()).flatten(1)), **parts)
        results.append(measured(model, X, **FAST))
    one, two = map(units, results)
    for first, second in zip(one, two, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5 * total(results[0]))


@pytest.mark.filterwarnings("ignore:.*backgrounds miss the total:UserWarning")
@pytest.mark.parametrize(
    "more", [{}, {"by_class": False, "paths": 0}, {"path": "orders", "orders": 2, "paths": 0}], ids=repr
)
@pytest.mark.parametrize(
    "unread", [torch.rand(30), torch.rand(30, 2), torch.arange(30) % 4], ids=["1-D", "2-D", "ids"]
)
def test_an_input_that_the_network_does_not_read_carries_nothing(
    unread: Tensor, more: dict[str, Any]
) -> None:
    class Unread(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = plain

        def forward(self, x: Tensor, time: Tensor) -> Tensor:
            return self.net(x)

    plain, x = chain(4, 6, 3), X[:, 0, 0, :4]
    method = nif.Currents(rows=10, backgrounds=16, steps=2, **more)
    found = nif.measure(Unread(), (x, unread), method, progress=False).attribution().to_numpy()
    assert len(found) > 4
    assert (found[4:] == 0).all()
    if "path" not in more:  # orders of more features are others
        expected = nif.measure(plain, x, method, progress=False).attribution().to_numpy()
        np.testing.assert_allclose(found[:4], expected, atol=1e-8)
