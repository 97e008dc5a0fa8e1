"""Links through operations that only move units are those of the weights, each at the unit that it reads."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.measures.measure import Measured
from support.currents import measured, units

X = torch.randn(120, 4, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(60, 2, 4, 4, generator=torch.Generator().manual_seed(0))
CLOSE = 1e-5


class Moved(nn.Module):
    """Six units of a layer are moved, read by a weight, and four of the result by the next layer."""

    def __init__(self, move: Callable[[Tensor], Tensor], width: int = 6) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.move = move
        self.first, self.act, self.second = nn.Linear(4, 6), nn.ReLU(), nn.Linear(width, 5)
        self.act2, self.last = nn.ReLU(), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.act2(self.second(self.move(self.act(self.first(x))))))


INDEX = torch.tensor([5, 0, 0, 2])
MOVES: dict[str, tuple[Callable[[Tensor], Tensor], list[int]]] = {
    "flip": (lambda h: h.flip(1), [5, 4, 3, 2, 1, 0]),
    "roll": (lambda h: h.roll(2, 1), [4, 5, 0, 1, 2, 3]),
    "index": (lambda h: h[:, INDEX], [5, 0, 0, 2]),
    "select": (lambda h: torch.stack([h[:, 4], h[:, 1]], 1), [4, 1]),
    "cat": (lambda h: torch.cat([h[:, 3:], h, 2 * h[:, :1]], 1), [3, 4, 5, 0, 1, 2, 3, 4, 5, 0]),
    "chunk": (lambda h: torch.cat(h.chunk(3, 1)[::-1], 1), [4, 5, 2, 3, 0, 1]),
    "transpose": (lambda h: h.view(-1, 2, 3).transpose(1, 2).flatten(1), [0, 3, 1, 4, 2, 5]),
    "permute": (lambda h: h.view(-1, 1, 2, 3).permute(0, 3, 1, 2).reshape(-1, 6), [0, 3, 1, 4, 2, 5]),
    "repeat": (lambda h: h.repeat(1, 2), [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]),
    "pad": (lambda h: nn.functional.pad(h, (1, 1), value=3.0), [-1, 0, 1, 2, 3, 4, 5, -1]),
    "shuffle": (lambda h: nn.functional.channel_shuffle(h[:, :, None], 3).flatten(1), [0, 2, 4, 1, 3, 5]),
}


def links_of(result: Measured, source: int, target: int) -> np.ndarray:
    return next(links.nats for links in result.links if (links.source, links.target) == (source, target))


def weight_of(result: Measured, name: str) -> np.ndarray:
    """Currents of a parameter as it lies."""
    assert result.currents is not None
    weight = next(weight for weight in result.currents.weights if name in weight.names)
    if weight.links is None:
        return weight.dense("nats")
    links = result.links[weight.links].nats
    return links.T if weight.transposed else links


def added_by(columns: np.ndarray, index: list[int], count: int) -> np.ndarray:
    """Columns ``[target, read]`` of a weight, added up by the unit that each reads."""
    expected = np.zeros((count, columns.shape[0]))
    for place, unit in enumerate(index):
        if unit >= 0:
            expected[unit] += columns[:, place]
    return expected


@pytest.mark.parametrize("name", MOVES)
def test_a_column_of_the_weight_belongs_to_the_unit_that_it_reads(name: str) -> None:
    move, index = MOVES[name]
    result = measured(Moved(move, len(index)), X)
    assert result.options["in_proportion"] == []
    expected = added_by(weight_of(result, "second.weight"), index, 6)
    np.testing.assert_allclose(links_of(result, 1, 2), expected, rtol=0, atol=CLOSE)
    np.testing.assert_allclose(expected.sum(1), units(result)[1], rtol=0, atol=CLOSE)
    np.testing.assert_allclose(expected.sum(0), units(result)[2], rtol=0, atol=CLOSE)


def test_a_flip_is_a_weight_with_its_columns_exchanged() -> None:
    flipped = Moved(lambda h: h.flip(1))
    plain = Moved(lambda h: h)
    plain.load_state_dict(flipped.state_dict())
    with torch.no_grad():
        plain.second.weight.copy_(flipped.second.weight.flip(1))
    one, other = measured(flipped, X), measured(plain, X)
    for links, expected in zip(one.links, other.links, strict=True):
        np.testing.assert_allclose(links.nats, expected.nats, rtol=0, atol=CLOSE)
        np.testing.assert_allclose(links.stderr, expected.stderr, rtol=0, atol=CLOSE)


def test_units_that_meet_in_one_number_share_in_proportion() -> None:
    result = measured(Moved(lambda h: h[:, :3] + h[:, 3:], 3), X)
    assert result.options["in_proportion"] == ["act to act2"]
    np.testing.assert_allclose(links_of(result, 1, 2).sum(1), units(result)[1], rtol=0, atol=CLOSE)


class Joined(nn.Module):
    """Two branches side by side, as in a dense block or behind a skip of a U-Net."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.relu1 = nn.Linear(4, 3), nn.ReLU()
        self.b, self.relu2 = nn.Linear(3, 4), nn.ReLU()
        self.c, self.relu3, self.last = nn.Linear(7, 5), nn.ReLU(), nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        one = self.relu1(self.a(x))
        two = self.relu2(self.b(one))
        both = torch.cat([two, one], 1)
        return self.last(torch.cat([both, self.relu3(self.c(both))], 1))


def test_each_branch_of_a_join_has_links_of_its_own() -> None:
    result = measured(Joined(), X)
    assert result.options["in_proportion"] == []
    dense, last = weight_of(result, "c.weight"), weight_of(result, "last.weight")
    np.testing.assert_allclose(links_of(result, 2, 3), dense[:, :4].T, rtol=0, atol=CLOSE)
    np.testing.assert_allclose(links_of(result, 1, 3), dense[:, 4:].T, rtol=0, atol=CLOSE)
    np.testing.assert_allclose(links_of(result, 2, 4), last[:, :4].T, rtol=0, atol=CLOSE)
    np.testing.assert_allclose(links_of(result, 1, 4), last[:, 4:7].T, rtol=0, atol=CLOSE)
    np.testing.assert_allclose(links_of(result, 3, 4), last[:, 7:].T, rtol=0, atol=CLOSE)
    for layer, currents in enumerate(units(result)[:-1]):
        out = sum(links.nats.sum(1) for links in result.links if links.source == layer)
        np.testing.assert_allclose(out, currents, rtol=0, atol=CLOSE)


class UNet(nn.Module):
    """Down, up again, and a skip beside it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.down, self.relu1, self.pool = nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
        self.deep, self.relu2 = nn.Conv2d(4, 8, 3, padding=1), nn.ReLU()
        self.up, self.join, self.relu3 = nn.PixelShuffle(2), nn.Conv2d(6, 3, 3, padding=1), nn.ReLU()
        self.last = nn.Linear(48, 2)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.relu1(self.down(x))
        deep = self.up(self.relu2(self.deep(self.pool(skip))))
        return self.last(self.relu3(self.join(torch.cat([deep, skip], 1))).flatten(1))


def test_links_of_a_u_net_are_exact_through_shuffle_join_and_flatten() -> None:
    result = measured(UNet(), IMAGES)
    assert result.options["in_proportion"] == []
    join, last = weight_of(result, "join.weight"), weight_of(result, "last.weight")
    assert join.shape == (3, 6)
    np.testing.assert_allclose(links_of(result, 1, 3), join[:, 2:].T, rtol=0, atol=CLOSE)
    shuffled = links_of(result, 2, 3)  # four channels of the deep layer make one of the shuffled image
    np.testing.assert_allclose(shuffled.reshape(2, 4, 3).sum(1), join[:, :2].T, rtol=0, atol=CLOSE)
    np.testing.assert_allclose(links_of(result, 3, 4), last.reshape(2, 3, 16).sum(2).T, rtol=0, atol=CLOSE)
    for layer, currents in enumerate(units(result)):
        for side, axis in (("source", 1), ("target", 0)):
            sides = [links.nats.sum(axis) for links in result.links if getattr(links, side) == layer]
            if sides:
                np.testing.assert_allclose(np.sum(sides, axis=0), currents, rtol=0, atol=CLOSE)


class Copies(nn.Module):
    """No weight between two layers: functions of single units, and a layer whose units stand elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.relu, self.gelu, self.tanh = nn.Linear(4, 5), nn.ReLU(), nn.GELU(), nn.Tanh()
        self.last = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.tanh(self.gelu(self.relu(self.first(x))).flip(1) * 3))


def test_a_unit_without_a_weight_behind_it_leads_to_its_copy() -> None:
    result = measured(Copies(), X)
    assert result.options["in_proportion"] == []
    currents = units(result)
    np.testing.assert_allclose(links_of(result, 1, 2), np.diag(currents[1]), rtol=0, atol=CLOSE)
    np.testing.assert_allclose(links_of(result, 2, 3), np.diag(currents[2])[:, ::-1], rtol=0, atol=CLOSE)


class Flattened(nn.Module):
    """Channels become one unit for each of their numbers, without a weight."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.relu, self.tanh = nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Tanh()
        self.last = nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.tanh(self.relu(self.conv(x)).flatten(1)))


def test_a_channel_leads_to_each_of_its_numbers() -> None:
    result = measured(Flattened(), IMAGES)
    assert result.options["in_proportion"] == []
    expected = np.zeros((3, 12))
    for channel in range(3):
        expected[channel, 4 * channel : 4 * channel + 4] = units(result)[2][4 * channel : 4 * channel + 4]
    np.testing.assert_allclose(links_of(result, 1, 2), expected, rtol=0, atol=CLOSE)
    np.testing.assert_allclose(expected.sum(1), units(result)[1], rtol=0, atol=CLOSE)


class Mixer(nn.Module):
    """A weight that joins the tokens of each channel; each channel may have one of its own."""

    def __init__(self, alone: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.relu1 = nn.Linear(2, 3), nn.ReLU()
        self.tokens = nn.ModuleList([nn.Linear(16, 4)] * 3)
        self.relu2, self.last, self.alone = nn.ReLU(), nn.Linear(12, 2), alone
        if alone:
            self.tokens = nn.ModuleList([copy.deepcopy(self.tokens[0]) for _ in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        h = self.relu1(self.embed(x.flatten(2).mT)).mT  # [row, channel, token]
        if self.alone:
            h = torch.stack([one(h[:, channel]) for channel, one in enumerate(self.tokens)], 1)
        else:
            h = self.tokens[0](h)
        return self.last(self.relu2(h).flatten(1))


def test_a_weight_over_tokens_leads_from_each_channel() -> None:
    result, alone = measured(Mixer(False), IMAGES), measured(Mixer(True), IMAGES)
    assert result.options["in_proportion"] == []
    expected = [weight_of(alone, f"tokens.{channel}.weight").sum(1) for channel in range(3)]
    np.testing.assert_allclose(links_of(result, 1, 2), expected, rtol=0, atol=CLOSE)
    pixels = links_of(result, 0, 1)
    assert pixels.shape == (32, 3)
    by_channel = pixels.reshape(2, 16, 3).sum(1)
    np.testing.assert_allclose(by_channel, weight_of(result, "embed.weight").T, rtol=0, atol=CLOSE)
    np.testing.assert_allclose(pixels.sum(1), units(result)[0], rtol=0, atol=CLOSE)


class FirstTokens(nn.Module):
    """Reads some tokens of a longer row, as a model does that predicts the last from those before it."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.tokens, self.relu = nn.Embedding(10, 4), nn.Linear(4, 3), nn.ReLU()
        self.out = nn.Linear(9, 2)

    def forward(self, ids: Tensor) -> Tensor:
        return self.out(self.relu(self.tokens(self.words(ids[:, :3]))).flatten(1))


def test_tokens_at_the_end_that_are_not_read_have_links_of_zero() -> None:
    torch.manual_seed(0)
    ids = torch.randint(0, 10, (60, 5))
    method = nif.Currents(rows=12, backgrounds=4, steps=2)
    flow = nif.measure(FirstTokens(), ids, method, progress=False)
    links = flow.edges().set_index(["source_unit", "target_unit"])["nats"]
    assert not links.loc[["x4", "x5"]].any()
    units = flow.neurons()["current"]
    np.testing.assert_allclose(
        links.groupby("source_unit").sum()[["x1", "x2", "x3"]], units["input"][:3], atol=1e-9
    )
    np.testing.assert_allclose(units["input"].sum(), flow.total.nats, rtol=1e-5)
