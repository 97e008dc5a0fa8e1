"""Small networks of every build that users have, with the layers and connections to be found in them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROWS = 60


@dataclass(frozen=True)
class Case:
    """A network with what is to be found: layers by name and number of units, and which feeds which."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    layers: dict[str, int]
    feeds: set[tuple[str, str]]
    options: dict[str, Any] = field(default_factory=dict)
    warns: str = ""

    def model(self) -> nn.Module:
        """The network, with the same random weights each time, in train mode as users leave it."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.build().train()

    def inputs(self) -> Tensor:
        return torch.randn(ROWS, *self.shape, generator=torch.Generator().manual_seed(1))


def chain() -> nn.Module:
    head = nn.Sequential(nn.Linear(6, 3), nn.Softmax(dim=1))
    block = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5))
    return nn.Sequential(block, nn.Sequential(nn.Linear(6, 6), nn.Tanh()), head)


def in_place() -> nn.Module:
    return nn.Sequential(
        nn.Linear(4, 5), nn.Tanh(), nn.ReLU(inplace=True), nn.Hardtanh(inplace=True), nn.Linear(5, 2)
    )


class Reused(nn.Module):
    """One ReLU at three places."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = nn.Linear(4, 5), nn.Linear(5, 6), nn.Linear(6, 7), nn.Linear(7, 2)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.d(self.act(self.c(self.act(self.b(self.act(self.a(x)))))))


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = nn.Linear(4, 5), nn.Linear(5, 6), nn.Linear(6, 7), nn.Linear(7, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.a(x))
        x = self.b(x).relu_()
        x = torch.tanh(self.c(x))
        return F.log_softmax(self.d(x), dim=1)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 2)
        self.first, self.inner, self.last = nn.ReLU(), nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.a(x))
        x = x + self.inner(self.b(x))
        x += 1.0
        return self.c(self.last(x))


class Dense(nn.Module):
    """Each layer reads all before it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 3), nn.Linear(7, 5), nn.Linear(12, 2)
        self.act_a, self.act_b = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, self.act_a(self.a(x))], dim=1)
        x = torch.cat([x, self.act_b(self.b(x))], dim=1)
        return self.c(x)


def lenet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()),
        *(nn.Linear(24, 8), nn.ReLU(), nn.Linear(8, 3)),
    )


class Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(after), nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Identity() if stride == 1 else nn.Conv2d(before, after, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += self.downsample(x)
        return self.relu(y)


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.relu = nn.Conv2d(3, 4, 3, 1, 1), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        self.layer1, self.layer2 = Block(4, 4, 1), Block(4, 6, 2)
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(self.relu(self.bn(self.conv(x)))))
        return self.fc(torch.flatten(self.pool(x), 1))


class ViT(nn.Module):
    """Patches of an image as tokens, a class token, and a transformer encoder."""

    def __init__(self, *, batch_first: bool = True) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, 8, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.place = nn.Parameter(torch.randn(1, 5, 8))
        block = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.1, activation="gelu", batch_first=batch_first)
        self.encoder = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
        self.batch_first = batch_first
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1) + self.place
        x = self.encoder(x) if self.batch_first else self.encoder(x.transpose(0, 1)).transpose(0, 1)
        return self.head(self.norm(x)[:, 0])


class Attention(nn.Module):
    """Attention by heads, written out."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.project, self.head = nn.Linear(8, 24), nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.head(F.gelu(self.project(y) + x).mean(dim=1))


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.head = nn.Linear(4, 3), nn.Linear(2, 5), nn.Linear(8, 2)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.head(torch.cat([self.left(left).relu(), self.right(right).tanh()], dim=1))


class TwoOutputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.first, self.second = nn.Linear(4, 5), nn.Linear(5, 3), nn.Linear(5, 6)
        self.act, self.act_second, self.last = nn.ReLU(), nn.ReLU(), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.act(self.body(x))
        return self.first(x), self.last(self.act_second(self.second(x)))


class Decides(nn.Module):
    """The path depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 2)
        self.act_a, self.act_b = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.act_a(self.a(x))
        if x.sum() > 0:
            x = self.act_b(self.b(x))
        return self.c(x)


class Swish(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)


def custom_activation() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), Swish(), nn.Linear(5, 2), nn.Sigmoid())


def conv1d() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(2, 5, 3), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(5, 2)
    )


class Views(nn.Module):
    """In-place calls on parts, a buffer that is filled, and a way through numpy."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        left, _ = h.chunk(2, dim=1)
        left.relu_()
        filled = torch.zeros(len(x), 6)
        filled[:, :] = self.b(h)
        return self.c(torch.from_numpy(filled.tanh().numpy()))


def lstm() -> nn.Module:
    return nn.LSTM(3, 4, batch_first=True)


def chained(*names: str) -> set[tuple[str, str]]:
    """Each feeds the next, from input to output."""
    every = ("input", *names, "output")
    return set(pairwise(every))


def of_type(kind: torch.dtype) -> Callable[[], nn.Module]:
    return lambda: chain().to(kind)


CHAIN = {"input": 4, "0.2": 6, "1.1": 6, "output": 3}
CHAIN_FEEDS = chained("0.2", "1.1")


def compiled(model: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, on import of its compiler
        return torch.compile(model)  # type: ignore[return-value]


def compiled_part() -> nn.Module:
    model = chain()
    model[1].compile()
    return model


CASES = {
    "plain chain": Case(chain, (4,), CHAIN, CHAIN_FEEDS),
    "reused module": Case(
        Reused,
        (4,),
        {"input": 4, "act": 5, "act#2": 6, "act#3": 7, "output": 2},
        chained("act", "act#2", "act#3"),
    ),
    "in-place": Case(
        in_place, (4,), {"input": 4, "1": 5, "2": 5, "3": 5, "output": 2}, chained("1", "2", "3")
    ),
    "functional": Case(
        Functional,
        (4,),
        {"input": 4, "relu": 5, "relu#2": 6, "tanh": 7, "output": 2},
        chained("relu", "relu#2", "tanh"),
    ),
    "residual": Case(
        Residual,
        (4,),
        {"input": 4, "first": 5, "inner": 5, "last": 5, "output": 2},
        chained("first", "inner", "last") | {("first", "last")},
    ),
    "concatenation": Case(
        Dense,
        (4,),
        {"input": 4, "act_a": 3, "act_b": 5, "output": 2},
        chained("act_a", "act_b") | {("input", "act_b"), ("input", "output"), ("act_a", "output")},
    ),
    "LeNet": Case(
        lenet, (1, 8, 8), {"input": 64, "1": 4, "4": 6, "8": 8, "output": 3}, chained("1", "4", "8")
    ),
    "ResNet": Case(
        ResNet,
        (3, 8, 8),
        {
            **{"input": 192, "relu": 4, "layer1.relu": 4, "layer1.relu#2": 4},
            **{"layer2.relu": 6, "layer2.relu#2": 6, "output": 3},
        },
        chained("relu", "layer1.relu", "layer1.relu#2", "layer2.relu", "layer2.relu#2")
        | {("relu", "layer1.relu#2"), ("layer1.relu#2", "layer2.relu#2")},
    ),
    "LSTM": Case(lstm, (5, 3), {}, set()),
    "two outputs": Case(
        TwoOutputs, (4,), {"input": 4, "act": 5, "output": 3}, chained("act"), options={"output": 0}
    ),
    "second output": Case(
        TwoOutputs,
        (4,),
        {"input": 4, "act": 5, "act_second": 6, "output": 2},
        chained("act", "act_second"),
        options={"output": -1},
    ),
    "float16": Case(of_type(torch.float16), (4,), CHAIN, CHAIN_FEEDS),
    "bfloat16": Case(of_type(torch.bfloat16), (4,), CHAIN, CHAIN_FEEDS),
    "float64": Case(of_type(torch.float64), (4,), CHAIN, CHAIN_FEEDS),
    "compiled": Case(lambda: compiled(chain()), (4,), CHAIN, CHAIN_FEEDS),
    "compiled part": Case(compiled_part, (4,), CHAIN, CHAIN_FEEDS),
    "DataParallel": Case(lambda: nn.DataParallel(chain()), (4,), CHAIN, CHAIN_FEEDS),
    "data decide the path": Case(
        Decides,
        (4,),
        {"input": 4, "act_a": 5, "act_b": 5, "output": 2},
        chained("act_a", "act_b"),
        warns="chooses its path by the data .* hooks",
    ),
    "custom activation": Case(custom_activation, (4,), {"input": 4, "1": 5, "output": 2}, chained("1")),
    "Conv1d": Case(conv1d, (2, 7), {"input": 14, "1": 5, "output": 2}, chained("1")),
    "views, buffers, numpy": Case(
        Views,
        (4,),
        {"input": 4, "relu": 3, "tanh": 6, "output": 2},
        chained("relu", "tanh") | {("input", "tanh")},
    ),
}


def vit_case(*, batch_first: bool) -> Case:
    blocks = [f"encoder.layers.{depth}" for depth in (0, 1)]
    attention, gelu = [f"{block}.self_attn" for block in blocks], [f"{block}.gelu" for block in blocks]
    return Case(
        lambda: ViT(batch_first=batch_first),
        (1, 8, 8),
        {"input": 64, attention[0]: 8, gelu[0]: 12, attention[1]: 8, gelu[1]: 12, "output": 3},
        chained(attention[0], gelu[0], attention[1], gelu[1])
        # Around attention and around the multilayer perceptron of each block runs a residual branch.
        | {("input", gelu[0]), ("input", attention[1]), ("input", gelu[1]), ("input", "output")}
        | {(attention[0], attention[1]), (attention[0], gelu[1]), (attention[0], "output")}
        | {(gelu[0], gelu[1]), (gelu[0], "output"), (attention[1], "output")},
    )


CASES["transformer"] = vit_case(batch_first=True)
CASES["transformer, tokens first"] = vit_case(batch_first=False)
CASES["attention by heads"] = Case(
    Attention,
    (6, 8),
    {"input": 48, "scaled_dot_product_attention": 8, "gelu": 8, "output": 2},
    chained("scaled_dot_product_attention", "gelu") | {("input", "gelu")},
)


def state_of(model: nn.Module) -> dict[str, Any]:
    """All of a model that recording must leave as it is."""
    modules = dict(model.named_modules())
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_forward_hooks_with_kwargs")
    return {
        "weights": {
            name: (
                value.clone(),
                value.data_ptr(),
                value._version,
                value.requires_grad,
                value.dtype,
                value.grad,
            )
            for name, value in [*model.named_parameters(), *model.named_buffers()]
        },
        "training": {name: module.training for name, module in modules.items()},
        "hooks": {name: [len(getattr(module, hook)) for hook in hooks] for name, module in modules.items()},
        "random": copy.deepcopy(torch.get_rng_state()),
    }
