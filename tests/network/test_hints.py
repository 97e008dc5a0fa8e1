"""Common mistakes of shape are named where a module refuses what it is given."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import nif
from nif.core.errors import InputError
from nif.network.hints import hint


class Image(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(channels, 4, 3), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.relu(self.conv(x)).mean((2, 3)))


DENSE = nn.Sequential(nn.Linear(64, 4), nn.ReLU(), nn.Linear(4, 2))
IMAGES = torch.rand(60, 3, 8, 8, generator=torch.Generator().manual_seed(0))

CASES = {
    "channels last": (Image(3), IMAGES.movedim(1, -1), lambda x: x.movedim(-1, 1), "pass x.movedim(-1, 1)"),
    "no channel": (Image(1), IMAGES[:, 0], lambda x: x[:, None], "pass x[:, None]"),
    "one channel": (
        Image(3),
        IMAGES[:, :1],
        lambda x: x.expand(-1, 3, -1, -1),
        "pass x.expand(-1, 3, -1, -1)",
    ),
    "flat": (
        Image(3),
        IMAGES.flatten(1),
        lambda x: x.unflatten(1, (3, 8, 8)),
        "pass x.unflatten(1, (3, 8, 8))",
    ),
    "not flat": (DENSE, IMAGES[:, 0], lambda x: x.flatten(1), "pass x.flatten(1)"),
    "sequence": (DENSE, torch.rand(60, 64, 5), lambda x: x.movedim(1, -1), "pass x.movedim(1, -1)"),
}


@pytest.mark.parametrize("kind", CASES)
def test_what_to_try_is_said_and_works(kind: str) -> None:
    model, x, remedy, sentence = CASES[kind]
    with pytest.raises(InputError) as raised:
        nif.measure(model, x, nif.Binned(), progress=False)
    assert sentence in str(raised.value)
    model(remedy(x))


def test_nothing_is_said_where_nothing_is_known() -> None:
    for module, shape in (
        (nn.Linear(5, 2), (60, 4)),
        (nn.Conv2d(3, 4, 3), (60, 5, 8, 8)),
        (nn.Conv2d(3, 4, 3), (60, 100)),
        (nn.Conv1d(3, 4, 3), (60, 9)),
        (nn.LayerNorm(5), (60, 4)),
    ):
        assert hint(module, torch.zeros(shape)) == ""
