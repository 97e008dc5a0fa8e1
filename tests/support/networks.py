"""Small networks of every build that users have."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def nested_chain() -> nn.Module:
    """A chain of blocks, with all that stands between Linear layers."""
    head = nn.Sequential(nn.Linear(6, 3), nn.Softmax(dim=1))
    block = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5))
    return nn.Sequential(block, nn.Sequential(nn.Linear(6, 6), nn.Tanh()), head)


def chain(*sizes: int, seed: int = 0) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    torch.manual_seed(seed)
    modules: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        modules += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*modules[:-1]).eval()


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


class Twice(nn.Module):
    """One Linear that is run twice, so that its inputs and outputs are tied."""

    def __init__(self) -> None:
        super().__init__()
        self.f1, self.r1, self.f2, self.f3 = nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.r1(self.f1(x))
        return self.f3(torch.relu(self.f2(torch.relu(self.f2(x)))))


class FunctionalMLP(nn.Module):
    """Activations that are functions and methods."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = nn.Linear(4, 5), nn.Linear(5, 6), nn.Linear(6, 7), nn.Linear(7, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.a(x))
        x = self.b(x).relu_()
        x = torch.tanh(self.c(x))
        return F.log_softmax(self.d(x), dim=1)


class FunctionalCNN(nn.Module):
    """Activations, pooling and flattening that are functions and methods."""

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(1, 5, 3, stride=2)
        self.c2 = nn.Conv2d(5, 6, 2, padding="same", padding_mode="circular")
        self.f1, self.f2 = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.c1(x))
        x = F.max_pool2d(torch.tanh(self.c2(x)), 3).relu_()
        x = x.view(x.size(0), -1)
        return self.f2(F.gelu(self.f1(x)))


class ResidualMLP(nn.Module):
    """A Linear with a skip around it, and a sum in place."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 2)
        self.first, self.inner, self.last = nn.ReLU(), nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.a(x))
        x = x + self.inner(self.b(x))
        x += 1.0
        return self.c(self.last(x))


class ResidualCNN(nn.Module):
    """Two convolutions with BatchNorm around a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.b1, self.r1 = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()
        self.c2, self.b2, self.r2 = nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU()
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.r1(self.b1(self.c1(x)))
        x = self.r2(self.b2(self.c2(x)) + x)
        return self.head(x.mean((2, 3)))


class Branching(ResidualCNN):
    """The path depends on the data, so that it cannot be traced."""

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 1e9:
            x = x * 2
        return super().forward(x)


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


class Dense(nn.Module):
    """Each layer reads the concatenation of all before it."""

    def __init__(self, inputs: int, first: int, second: int, outputs: int) -> None:
        super().__init__()
        self.f1, self.r1 = nn.Linear(inputs, first), nn.ReLU()
        self.f2, self.r2 = nn.Linear(inputs + first, second), nn.Tanh()
        self.f3 = nn.Linear(inputs + first + second, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, self.r1(self.f1(x))], dim=1)
        x = torch.cat([x, self.r2(self.f2(x))], dim=-1)
        return self.f3(x)


def lenet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()),
        *(nn.Linear(24, 8), nn.ReLU(), nn.Linear(8, 3)),
    )


def conv_net() -> nn.Sequential:
    """Convolutions with BatchNorm and pooling, flattened into a Linear."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Dropout(),
        nn.Linear(32, 3),
    )  # fmt: skip


def conv1d() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(2, 5, 3), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(5, 2)
    )


def one_dimensional() -> nn.Sequential:
    """Convolutions over time, dilated and with padding."""
    return nn.Sequential(
        nn.Conv1d(2, 6, 3, dilation=2), nn.ReLU(), nn.Conv1d(6, 5, 3, padding=1), nn.ELU(),
        nn.AdaptiveAvgPool1d(2), nn.Flatten(), nn.Linear(10, 3),
    )  # fmt: skip


class Depthwise(nn.Module):
    """A depthwise convolution between two others, and PReLU with a slope for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.p1 = nn.Conv2d(1, 5, 3), nn.PReLU(5)
        self.c2, self.r2 = nn.Conv2d(5, 5, 3, groups=5), nn.ReLU()
        self.c3, self.flat, self.f = nn.Conv2d(5, 4, 1), nn.Flatten(), nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.r2(self.c2(self.p1(self.c1(x))))
        return self.f(self.flat(self.c3(x)))


class Mobile(nn.Module):
    """Not traceable: a convolution for each channel by itself behind padding, then convolutions in groups."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.b1, self.r1 = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU6()
        self.c2, self.b2, self.r2 = nn.Conv2d(6, 6, 3, groups=6, bias=False), nn.BatchNorm2d(6), nn.ReLU6()
        self.c3, self.r3 = nn.Conv2d(6, 4, 1), nn.ReLU6()
        self.c4, self.f = nn.Conv2d(4, 4, 1, groups=2), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 1e9:
            x = x * 2
        x = self.r1(self.b1(self.c1(x)))
        x = self.r2(self.b2(self.c2(F.pad(x, (1, 1, 1, 1)))))
        return self.f(self.c4(self.r3(self.c3(x))).mean((2, 3)))


class BasicBlock(nn.Module):
    """The block of a ResNet, with one ReLU at two places."""

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
        self.layer1, self.layer2 = BasicBlock(4, 4, 1), BasicBlock(4, 6, 2)
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


class FeedForward(nn.Module):
    """The feed-forward part of a transformer: tokens are rows, LayerNorm reads the stream."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Linear(5, 8), nn.LayerNorm(8)
        self.up, self.act, self.down = nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = x + self.down(self.act(self.up(self.norm(x))))
        return self.head(x.mean(1))


class Swish(nn.Module):
    """An activation that is not one of torch's."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.5 * x) + 0.1 * x**2


def custom_activation() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), Swish(), nn.Linear(5, 2), nn.Sigmoid())


class Tokens(FeedForward):
    """Not traceable, with an activation of its own and numbers for each position."""

    def __init__(self) -> None:
        super().__init__()
        self.act = Swish()
        self.positions = nn.Parameter(torch.randn(4, 8))

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 1e9:
            x = x * 2
        x = self.embed(x) + self.positions
        x = x + self.down(self.act(self.up(self.norm(x))))
        return self.head(x.mean(1))


class Gated(nn.Module):
    """A layer whose units are products, each of a unit that an activation of the user's own has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.up, self.down = nn.Linear(5, 8), nn.Linear(5, 8, bias=False), nn.Linear(8, 6)
        self.act, self.last, self.head = Swish(), Swish(), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.last(self.down(self.act(self.gate(x)) * self.up(x))))


class Halved(nn.Module):
    """A gate and what it gates are two halves of one layer, split by a module, a function and a chunk."""

    def __init__(self) -> None:
        super().__init__()
        self.zeroth, self.gated = nn.Linear(5, 14), nn.GLU()
        self.first, self.second, self.last = nn.Linear(7, 12), nn.Linear(6, 10), nn.Linear(5, 3)
        self.act, self.out = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(F.glu(self.first(self.gated(self.zeroth(x)))))
        value, gate = self.second(x).chunk(2, dim=-1)
        return self.last(self.out(value * F.silu(gate)))


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
