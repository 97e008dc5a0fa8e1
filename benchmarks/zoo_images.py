"""Networks of the zoo that read images and volumes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_cases import Case, Net, numbers

IMAGE, COLOUR = numbers(1, 8, 8, side=2), numbers(3, 8, 8, side=2)


def conv(inputs: int, outputs: int, **options: Any) -> nn.Conv2d:
    """3 x 3, of the same size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1, **options)


def head(channels: int, size: int = 1) -> nn.Sequential:
    """Pools to some positions, and decides."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(size), nn.Flatten(), nn.Linear(channels * size**2, 3))


class Block(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = conv(width, width, bias=False), conv(width, width, bias=False)
        self.n, self.m = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.m(self.b(F.relu(self.n(self.a(x)), inplace=True))))


class Inverted(nn.Module):
    """An inverted residual of MobileNetV3: expand, depthwise, squeeze and excite, project."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.expand, self.depth = nn.Conv2d(width, 12, 1), conv(12, 12, groups=12)
        self.norm, self.act = nn.BatchNorm2d(12), nn.Hardswish()
        self.less, self.more, self.project = nn.Conv2d(12, 4, 1), nn.Conv2d(4, 12, 1), nn.Conv2d(12, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.act(self.norm(self.depth(F.relu6(self.expand(x)))))
        gate = F.hardsigmoid(self.more(F.relu(self.less(F.adaptive_avg_pool2d(hidden, 1)))))
        return x + self.project(hidden * gate)


class ConvNext(nn.Module):
    """A block of ConvNeXt, with its layer scale."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depth, self.norm = conv(width, width, groups=width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(self.depth(x).permute(0, 2, 3, 1))
        return x + (self.scale * self.down(F.gelu(self.up(hidden)))).permute(0, 3, 1, 2)


class Mixer(nn.Module):
    """MLP-Mixer on 16 patches."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.norm, self.norm2 = nn.Conv2d(1, 6, 2, 2), nn.LayerNorm(6), nn.LayerNorm(6)
        self.tokens = nn.Sequential(nn.Linear(16, 12), nn.GELU(), nn.Linear(12, 16))
        self.channels = nn.Sequential(nn.Linear(6, 12), nn.GELU(), nn.Linear(12, 6))
        self.out = nn.Linear(96, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = x + self.tokens(self.norm(x).transpose(1, 2)).transpose(1, 2)
        return self.out((x + self.channels(self.norm2(x))).flatten(1))


class Vision(nn.Module):
    """A vision transformer, by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.start = nn.Conv2d(1, 8, 2, 2), nn.Parameter(torch.randn(1, 1, 8))
        self.place = nn.Parameter(torch.randn(1, 17, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, "gelu", batch_first=True, norm_first=True)
        self.body, self.out = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        return self.out(self.body(torch.cat([self.start.expand(len(x), 1, 8), x], 1) + self.place)[:, 0])


class UNet(nn.Module):
    """Two scales with a skip between them; the class of every pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.deep = conv(1, 6), conv(6, 8)
        self.up, self.out = nn.ConvTranspose2d(8, 6, 2, 2), conv(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        first = F.leaky_relu(self.down(x), 0.1)
        deep = F.relu(self.deep(F.max_pool2d(first, 2)))
        return self.out(torch.cat([first, self.up(deep)], 1))


def dense(self: Any, x: Tensor) -> Tensor:
    for layer in self.layers:
        x = torch.cat([x, layer(x)], 1)
    return self.head(x)


def shuffled(self: Any, x: Tensor) -> Tensor:
    left, right = self.stem(x).chunk(2, 1)
    x = torch.cat([left, F.relu(self.branch(right))], 1)
    return self.head(F.channel_shuffle(x, 2))


def inception(self: Any, x: Tensor) -> Tensor:
    ways = [self.one(x), self.three(x), self.five(x), self.pooled(F.max_pool2d(x, 3, 1, 1))]
    return self.head(torch.cat(ways, 1).relu())


def attended(self: Any, x: Tensor) -> Tensor:
    """Attention of channels and of places (CBAM)."""
    x = self.stem(x).relu()
    x = x * (self.gate(x.mean((2, 3))) + self.gate(x.amax((2, 3)))).sigmoid()[:, :, None, None]
    places = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
    return self.head(x * self.place(places).sigmoid())


def sampled(self: Any, x: Tensor) -> Tensor:
    """A spatial transformer: the image is read at places that depend on it."""
    shift = 0.1 * self.where(x.flatten(1)).tanh().view(-1, 2, 1)
    theta = torch.cat([torch.eye(2).expand(len(x), 2, 2), shift], 2)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return self.body(F.grid_sample(x, grid, align_corners=False))


def denoised(self: Any, x: Tensor) -> Tensor:
    """Predicts the mean of the noise, given a fixed time, as in diffusion."""
    angles = torch.arange(4) * 0.3
    time = self.time(torch.cat([angles.sin(), angles.cos()]))
    hidden = F.silu(self.norm(self.into(x) + time[:, None, None]))
    return self.out(hidden).mean((2, 3))


def instances(self: Any, x: Tensor) -> Tensor:
    """Attention pooling over patches (multiple instance learning)."""
    bags = self.patch(x).flatten(2).transpose(1, 2).tanh()
    weights = self.score(bags).softmax(1)
    return self.head((weights * bags).sum(1))


def capsules(self: Any, x: Tensor) -> Tensor:
    """Lengths of capsules after one routing."""
    units = self.primary(x).unflatten(1, (4, 4)).flatten(2).transpose(1, 2)
    votes = torch.einsum("bic,coi->bo", units, self.votes)
    parts = votes.unflatten(1, (3, 4))
    squares = parts.square().sum(-1, keepdim=True)
    return 3 * (squares / (1 + squares) * parts / (squares + 1e-6).sqrt()).norm(dim=-1)


def one(name: str, make: Callable[[], Any], task: Any = IMAGE, **options: Any) -> Case:
    return Case(name, make, task, **options)


CASES: list[Case] = [
    one(
        "CNN, BatchNorm",
        lambda: nn.Sequential(
            conv(1, 6), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), conv(6, 8), nn.ReLU(), head(8, 2)
        ),
    ),
    one(
        "LeNet (tanh, average pooling)",
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.Tanh(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(36, 12),
            nn.Tanh(),
            nn.Linear(12, 3),
        ),
    ),
    one(
        "CNN, GroupNorm, colour",
        lambda: nn.Sequential(
            conv(3, 8), nn.GroupNorm(2, 8), nn.SiLU(), conv(8, 8, stride=2), nn.SiLU(), head(8, 2)
        ),
        COLOUR,
    ),
    one(
        "CNN, InstanceNorm, reflection",
        lambda: nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(1, 6, 3),
            nn.InstanceNorm2d(6, affine=True),
            nn.ReLU(),
            head(6, 4),
        ),
    ),
    one(
        "CNN, dilated, LocalResponseNorm",
        lambda: nn.Sequential(
            nn.Conv2d(1, 6, 3, dilation=2),
            nn.LocalResponseNorm(2),
            nn.ReLU(),
            nn.LPPool2d(2, 2),
            nn.Flatten(),
            nn.Linear(24, 3),
        ),
    ),
    one(
        "CNN, 1d",
        lambda: nn.Sequential(
            nn.Conv1d(2, 6, 3), nn.BatchNorm1d(6), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(30, 3)
        ),
        numbers(2, 12),
    ),
    one(
        "CNN, 3d",
        lambda: nn.Sequential(
            nn.Conv3d(1, 6, 3, padding=1), nn.ReLU(), nn.AvgPool3d(2), nn.Flatten(), nn.Linear(48, 3)
        ),
        numbers(1, 4, 4, 4, side=2),
    ),
    one("ResNet", lambda: nn.Sequential(conv(1, 6), nn.ReLU(), Block(6), Block(6), head(6, 2))),
    one(
        "DenseNet",
        lambda: Net(
            dense,
            head=nn.Sequential(nn.ReLU(), head(13, 2)),
            layers=nn.ModuleList(nn.Sequential(nn.BatchNorm2d(c), nn.ReLU(), conv(c, 4)) for c in (1, 5, 9)),
        ),
    ),
    one(
        "MobileNetV3 (depthwise, SE)", lambda: nn.Sequential(conv(1, 6), Inverted(6), Inverted(6), head(6, 2))
    ),
    one(
        "ConvNeXt, by hand",
        lambda: nn.Sequential(nn.Conv2d(1, 6, 2, 2), ConvNext(6), ConvNext(6), head(6, 2)),
    ),
    one("MLP-Mixer", Mixer),
    one("vision transformer, by hand", Vision),
    one(
        "ShuffleNet",
        lambda: Net(
            shuffled,
            stem=conv(1, 8),
            branch=nn.Sequential(nn.Conv2d(4, 4, 1), conv(4, 4, groups=4)),
            head=head(8, 2),
        ),
    ),
    one(
        "Inception",
        lambda: Net(
            inception,
            one=nn.Conv2d(1, 3, 1),
            three=conv(1, 3),
            five=nn.Conv2d(1, 3, 5, padding=2),
            pooled=nn.Conv2d(1, 3, 1),
            head=head(12, 2),
        ),
    ),
    one(
        "CBAM attention",
        lambda: Net(
            attended,
            stem=conv(1, 6),
            gate=nn.Sequential(nn.Linear(6, 3), nn.ReLU(), nn.Linear(3, 6)),
            place=conv(2, 1),
            head=head(6, 2),
        ),
    ),
    one("U-Net, class of a pixel", UNet, target=("output", 27), decide=lambda out: out.flatten(2)[:, :, 27]),
    one(
        "fully convolutional, upsampled",
        lambda: nn.Sequential(
            conv(1, 6, stride=2), nn.ReLU(), nn.Conv2d(6, 3, 1), nn.Upsample(scale_factor=2, mode="bilinear")
        ),
        target=("output", 27),
        decide=lambda out: out.flatten(2)[:, :, 27],
    ),
    one(
        "convolutional autoencoder",
        lambda: nn.Sequential(
            nn.Conv2d(1, 6, 2, 2),
            nn.ReLU(),
            nn.Conv2d(6, 4, 2, 2),
            nn.ReLU(),
            nn.ConvTranspose2d(4, 6, 2, 2),
            nn.ReLU(),
            nn.ConvTranspose2d(6, 1, 2, 2),
            nn.Flatten(),
        ),
        says="value",
        options={"decision": "value"},
        loss=lambda out, task: F.mse_loss(out, task.data.flatten(1)),
    ),
    one(
        "super-resolution (pixel shuffle)",
        lambda: nn.Sequential(
            conv(1, 8), nn.ReLU(), conv(8, 4), nn.PixelShuffle(2), nn.AvgPool2d(4), nn.Flatten()
        ),
        says="value",
        steps=0,
        options={"decision": "value"},
    ),
    one(
        "spatial transformer",
        lambda: Net(sampled, where=nn.Linear(64, 2), body=nn.Sequential(conv(1, 6), nn.ReLU(), head(6, 2))),
    ),
    one(
        "diffusion denoiser",
        lambda: Net(
            denoised, into=conv(1, 6), time=nn.Linear(8, 6), norm=nn.GroupNorm(2, 6), out=nn.Conv2d(6, 3, 3)
        ),
        says="value",
        steps=0,
        options={"decision": "value"},
    ),
    one(
        "GAN discriminator",
        lambda: nn.Sequential(
            nn.Conv2d(1, 6, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(6, 8, 4, 2, 1),
            nn.BatchNorm2d(8),
            nn.LeakyReLU(0.2),
            nn.Conv2d(8, 1, 2),
            nn.Flatten(),
            nn.Sigmoid(),
        ),
        says="answers",
        loss=lambda out, task: F.binary_cross_entropy(out[:, 0], (task.labels == 0).float()),
    ),
    one(
        "attention pooling (MIL)",
        lambda: Net(
            instances,
            patch=nn.Conv2d(1, 6, 2, 2),
            head=nn.Linear(6, 3),
            score=nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 1)),
        ),
    ),
    one(
        "capsules",
        lambda: Net(
            capsules, primary=nn.Conv2d(1, 16, 4, 4), votes=nn.Parameter(0.3 * torch.randn(4, 12, 16))
        ),
    ),
]
