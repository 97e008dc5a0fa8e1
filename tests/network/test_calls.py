"""Models that are called in other ways than ``model(x)`` are measured as the same network called plainly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.core.errors import InputError
from nif.data.rows import read
from nif.network.network import Network
from support.networks import chain

X = torch.randn(150, 4, generator=torch.Generator().manual_seed(0))
USER, ITEM = torch.arange(150) % 5, torch.arange(150) * 7 % 11


def plain() -> nn.Module:
    torch.manual_seed(0)
    return chain(4, 6, 2)


class Called(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = plain()


class ByMapping(Called):
    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.net(torch.cat([batch["left"], batch["right"]], 1))


class ByKeyword(Called):
    def forward(self, *, left: Tensor, right: Tensor) -> Tensor:
        return self.net(torch.cat([left, right], 1))


class ByAnyKeyword(Called):
    def forward(self, **parts: Tensor) -> Tensor:
        return self.net(torch.cat([parts["left"], parts["right"]], 1))


class Optional(Called):
    def forward(self, left: Tensor, right: Tensor | None = None, flip: bool = False) -> Tensor:
        out = self.net(torch.cat([left, left if right is None else right], 1))
        return -out if flip else out


class Unused(Called):
    def forward(self, left: Tensor, right: Tensor, epoch: int, meta: Any) -> Tensor:
        return self.net(torch.cat([left, right], 1))


@dataclass(slots=True)
class Result:
    logits: Tensor
    steps: int = 3


class Slotted(Called):
    def forward(self, left: Tensor, right: Tensor) -> Result:
        return Result(self.net(torch.cat([left, right], 1)))


PARTS = {"left": X[:, :2], "right": X[:, 2:]}
LABELS = {"label": USER % 2}

CALLS: dict[str, tuple[nn.Module, Any]] = {
    "mapping": (ByMapping(), {**PARTS, **LABELS}),
    "mapping, in batches": (
        ByMapping(),
        [{name: part[at : at + 40] for name, part in PARTS.items()} for at in range(0, 150, 40)],
    ),
    "keywords": (ByKeyword(), tuple(PARTS.values())),
    "any keywords": (ByAnyKeyword(), PARTS),
    "optional input": (Optional(), (*PARTS.values(), USER % 2)),
    "unused arguments": (Unused(), {**PARTS, "epoch": 3, "meta": None}),
    "a dataclass with slots": (Slotted(), tuple(PARTS.values())),
}


def outputs(model: nn.Module, data: Any) -> tuple[Tensor, Network]:
    network = Network.of(model)
    rows = read(data, network.signature)
    with torch.no_grad():
        call = network.forward(rows)
        return call(call.prepared(rows.inputs)), network


@pytest.mark.parametrize("kind", CALLS)
def test_outputs_are_those_of_the_plain_call(kind: str) -> None:
    model, data = CALLS[kind]
    found, network = outputs(model, iter(data) if isinstance(data, list) else data)
    torch.testing.assert_close(found, outputs(plain(), X)[0])
    rows = read(iter(data) if isinstance(data, list) else data, network.signature)
    names = [place.name for place in network.plan(rows).places]
    assert names == ["input.left", "input.right", "net.1", "output"]


def test_currents_are_those_of_the_plain_call() -> None:
    method = nif.Currents(rows=48, backgrounds=8)
    flow = nif.measure(ByMapping(), CALLS["mapping"][1], method, progress=False)
    known = nif.measure(plain(), X, method, progress=False)
    np.testing.assert_allclose(flow.attribution().to_numpy(), known.attribution().to_numpy(), atol=1e-6)


def test_an_argument_that_is_no_row_reaches_the_model() -> None:
    model = Optional()
    torch.testing.assert_close(outputs(model, {**PARTS, "flip": True})[0], -outputs(model, PARTS)[0])


class Ratings(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.user, self.item, self.net = nn.Embedding(5, 3), nn.Embedding(11, 3), chain(6, 5, 1)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        return self.net(torch.cat([self.user(user), self.item(item)], 1))[:, 0]


class Columns(Ratings):
    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        return super().forward(user[:, 0], item[:, 0])


FRAME = pd.DataFrame({"user": USER, "item": ITEM, "day": ITEM})


FEW = nif.Currents(rows=48, steps=4, paths=0)


@cache
def of_columns() -> nif.Flow:
    return nif.measure(Columns(), (USER[:, None], ITEM[:, None]), FEW, progress=False)


@pytest.mark.parametrize(
    "data", [(USER, ITEM), {"user": USER, "item": ITEM}, FRAME, (USER.double(), ITEM.double())],
    ids=["tuple", "mapping", "frame", "floats"],
)  # fmt: skip
def test_ids_of_one_axis(data: Any) -> None:
    """As those of a model that takes columns."""
    known = of_columns()
    flow = nif.measure(Ratings(), data, FEW, progress=False)
    assert flow.total.nats == pytest.approx(known.total.nats, rel=1e-9)
    np.testing.assert_allclose(flow.attribution().to_numpy(), known.attribution().to_numpy(), atol=1e-9)
    assert list(flow.attribution().index) == ["user", "item"]


def test_pruned_with_ids_of_one_axis() -> None:
    model = Ratings()
    with torch.no_grad():
        model.net[0].weight[2], model.net[0].bias[2] = 0, -1  # silent
    flow = nif.measure(model, (USER, ITEM), FEW, progress=False)
    small = nif.prune(model, flow, (USER, ITEM), progress=False)
    assert small.model.net[0].out_features == 5 - len(small.removed) < 5
    with torch.no_grad():
        torch.testing.assert_close(small.model(USER, ITEM), model(USER, ITEM))


class Scalar(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = chain(1, 5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x[:, None])


def test_one_number_a_row() -> None:
    """As it comes, where the model takes it so, and as a column otherwise."""
    column = X[:, :1]
    known = nif.measure(Scalar().net, column, nif.Binned(), progress=False).attribution()
    for model in (Scalar(), Scalar().net):
        flow = nif.measure(model, pd.Series(column[:, 0], name="age"), nif.Binned(), progress=False)
        np.testing.assert_array_equal(flow.attribution().to_numpy(), known.to_numpy())
        assert list(flow.attribution().index) == ["age"]


def test_whole_columns_of_a_frame_and_whole_floats_are_ids() -> None:
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.table, self.net = nn.Embedding(11, 3), chain(6, 5, 2)

        def forward(self, ids: Tensor) -> Tensor:
            return self.net(self.table(ids).flatten(1))

    ids = torch.stack([USER, ITEM], 1)
    known = outputs(Table(), ids)[0]
    for data in (FRAME[["user", "item"]], FRAME[["user", "item"]].astype("Int16"), ids.double().numpy()):
        torch.testing.assert_close(outputs(Table(), data)[0], known)
    with pytest.raises(InputError, match="scalar types: Long, Int"):
        nif.measure(Table(), ids + 0.5, progress=False)
