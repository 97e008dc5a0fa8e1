"""Networks of every common kind, small, for the tests of currents."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations


class Run(nn.Module):
    """Parts, and what is done with them."""

    def __init__(self, run: Callable[..., Tensor], **parts: Any) -> None:
        super().__init__()
        self.run = run
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


def recurrent(kind: type[nn.RNNBase], **options: Any) -> tuple[nn.Module, tuple[int, ...]]:
    layer = kind(4, 5, **options)
    ways = 2 if options.get("bidirectional") else 1

    def run(self: Any, x: Tensor) -> Tensor:
        x = x if options.get("batch_first") else x.transpose(0, 1)
        hidden, _ = self.layer(x)
        return self.head(hidden if options.get("batch_first") else hidden.transpose(0, 1))

    return Run(run, layer=layer, head=nn.Linear(5 * ways, 3)), (6, 4)


def attention(**options: Any) -> tuple[nn.Module, tuple[int, ...]]:
    def run(self: Any, x: Tensor) -> Tensor:
        return self.head(self.attention(x, x, x, **options)[0])

    return Run(run, attention=nn.MultiheadAttention(8, 2, batch_first=True), head=nn.Linear(8, 3)), (5, 8)


def encoder(**options: Any) -> tuple[nn.Module, tuple[int, ...]]:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, **options)
    return nn.Sequential(layer, nn.Flatten(), nn.Linear(40, 3)), (5, 8)


class Residual(nn.Module):
    def __init__(self, width: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(width), nn.BatchNorm2d(width)])
        self.short = nn.Conv2d(width, width, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.norms[0](self.first(x)), inplace=True)
        hidden = self.norms[1](self.second(hidden))
        hidden += self.short(x)
        return F.relu(hidden, inplace=True)


class Causal(nn.Module):
    """A block of GPT, with a mask in a buffer."""

    def __init__(self, width: int, heads: int, length: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.projections, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.hidden, self.back = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.register_buffer("mask", torch.ones(length, length).tril().bool())
        self.position = nn.Parameter(torch.randn(length, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.position
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.projections(self.norms[0](x)).chunk(3, -1)
        )
        scores = (q @ k.transpose(-1, -2)) / q.shape[-1] ** 0.5
        scores = scores.masked_fill(~self.mask, float("-inf"))
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + self.out(mixed)
        return x + self.back(F.gelu(self.hidden(self.norms[1](x))))


def rotated(x: Tensor) -> Tensor:
    """Rotary positions."""
    length, width = x.shape[-2:]
    angle = torch.arange(length)[:, None] / 10 ** (torch.arange(width // 2) / width)
    first, second = x.chunk(2, -1)
    cos, sin = torch.cat([angle.cos()] * 2, -1), torch.cat([angle.sin()] * 2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin


class Llama(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.RMSNorm(width), nn.RMSNorm(width)])
        self.q, self.out = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.k, self.v = nn.Linear(width, width // 2, bias=False), nn.Linear(width, width // 2, bias=False)
        self.gate, self.up = nn.Linear(width, 12, bias=False), nn.Linear(width, 12, bias=False)
        self.down = nn.Linear(12, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        hidden, size = self.norms[0](x), x.shape[-1] // self.heads
        q, k, v = (
            part(hidden).unflatten(-1, (-1, size)).transpose(1, 2) for part in (self.q, self.k, self.v)
        )
        q, k = rotated(q), rotated(k)
        k, v = (part.repeat_interleave(2, 1) for part in (k, v))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        hidden = self.norms[1](x)
        return x + self.down(F.silu(self.gate(hidden)) * self.up(hidden))


class Windows(nn.Module):
    """Attention in windows that are rolled, with a mask, as in Swin."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.qkv = nn.Conv2d(3, 8, 2, 2), nn.Linear(8, 24)
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.embed(x).permute(0, 2, 3, 1)
        rolled = torch.roll(hidden, (-1, -1), (1, 2))
        count, height, width, size = rolled.shape
        windows = rolled.view(count, height // 2, 2, width // 2, 2, size).permute(0, 1, 3, 2, 4, 5)
        q, k, v = self.qkv(self.norm(windows.reshape(-1, 4, size))).chunk(3, -1)
        mixed = F.scaled_dot_product_attention(q, k, v)
        mixed = mixed.view(count, height // 2, width // 2, 2, 2, size).permute(0, 1, 3, 2, 4, 5)
        hidden = hidden + torch.roll(mixed.reshape(count, height, width, size), (1, 1), (1, 2))
        return self.head(hidden.mean((1, 2)))


class Experts(nn.Module):
    """A mixture of experts whose router weighs all, with the best two kept."""

    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(6, 4)
        self.experts = nn.ModuleList([nn.Sequential(nn.Linear(6, 5), nn.GELU()) for _ in range(4)])

    def forward(self, x: Tensor) -> Tensor:
        scores = self.router(x)
        best, index = scores.topk(2, -1)
        weight = torch.zeros_like(scores).scatter(-1, index, best.softmax(-1))
        return torch.einsum("be,beo->bo", weight, torch.stack([expert(x) for expert in self.experts], 1))


class Attended(nn.Module):
    """Squeeze and excitation, a depthwise convolution and a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.expand, self.depth = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm, self.less, self.more = nn.BatchNorm2d(8), nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.hardswish(self.norm(self.depth(F.relu6(self.expand(x)))))
        gate = F.hardsigmoid(self.more(F.relu(self.less(F.adaptive_avg_pool2d(hidden, 1)))))
        return self.head((hidden * gate).mean((2, 3)))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.deep = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
        self.up, self.out = nn.ConvTranspose2d(8, 4, 2, 2), nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        first = F.leaky_relu(self.down(x), 0.1)
        deep = F.instance_norm(self.deep(F.max_pool2d(first, 2))).relu()
        same = F.interpolate(F.interpolate(self.up(deep), scale_factor=0.5), size=first.shape[2:])
        return self.out(torch.cat([first, same], 1))


class StateSpace(nn.Module):
    """A selective scan, as in Mamba."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.rate = nn.Linear(4, 8), nn.Linear(4, 4)
        self.decay = nn.Parameter(torch.rand(4, 3))
        self.b, self.c, self.out = nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x, gate = self.into(x).chunk(2, -1)
        rate, b, c = F.softplus(self.rate(x)), self.b(x), self.c(x)
        state, outputs = x.new_zeros(len(x), 4, 3), []
        for step in range(x.shape[1]):
            state = state * torch.exp(-rate[:, step, :, None] * self.decay)
            state = state + (rate * x)[:, step, :, None] * b[:, step, None]
            outputs.append((state * c[:, step, None]).sum(-1))
        return self.out(torch.stack(outputs, 1) * F.silu(gate))


class Graph(nn.Module):
    """Messages along fixed edges."""

    def __init__(self) -> None:
        super().__init__()
        self.message, self.update = nn.Linear(8, 6), nn.Linear(10, 3)
        self.register_buffer("edges", torch.tensor([[0, 1, 2, 3, 0], [1, 2, 3, 0, 2]]))

    def forward(self, x: Tensor) -> Tensor:
        source, target = self.edges
        messages = F.elu(self.message(torch.cat([x[:, source], x[:, target]], -1)))
        sums = x.new_zeros(len(x), 4, 6).index_add_(1, target, messages)
        return self.update(torch.cat([x, sums], -1))


def _mlp(activation: nn.Module) -> Callable[[], tuple[nn.Module, tuple[int, ...]]]:
    def made() -> tuple[nn.Module, tuple[int, ...]]:
        own = copy.deepcopy(activation)  # a test may change its precision
        return nn.Sequential(nn.Linear(6, 8), own, nn.Linear(8, 8), own, nn.Linear(8, 3)), (6,)

    return made


ARCHITECTURES: dict[str, Callable[[], tuple[nn.Module, tuple[int, ...]]]] = {
    **{
        f"mlp {type(activation).__name__}": _mlp(activation)
        for activation in (
            nn.ReLU(inplace=True),
            nn.Tanh(),
            nn.GELU(),
            nn.Mish(),
            nn.SELU(inplace=True),
            nn.PReLU(),
            nn.Softmax(-1),
            nn.LayerNorm(8),
            nn.Hardswish(inplace=True),
            nn.CELU(inplace=True),
        )
    },
    "maxout": lambda: (
        Run(
            lambda self, x: self.b(self.a(x).unflatten(1, (4, 3)).amax(2)),
            a=nn.Linear(6, 12),
            b=nn.Linear(4, 3),
        ),
        (6,),
    ),
    "gated": lambda: (nn.Sequential(nn.Linear(6, 8), nn.GLU(), nn.Linear(4, 3)), (6,)),
    "bilinear": lambda: (Run(lambda self, x: self.b(x.tanh(), x), b=nn.Bilinear(6, 6, 3)), (6,)),
    "residual mlp": lambda: (
        Run(lambda self, x: self.b(x + self.a(x).relu()), a=nn.Linear(6, 6), b=nn.Linear(6, 3)),
        (6,),
    ),
    "weight norm": lambda: (
        nn.Sequential(
            parametrizations.weight_norm(nn.Linear(6, 8)),
            nn.ReLU(),
            parametrizations.spectral_norm(nn.Linear(8, 3)),
        ),
        (6,),
    ),
    "embedding bag": lambda: (
        Run(
            lambda self, x: self.head(self.bag(torch.arange(6).expand(len(x), 6), per_sample_weights=x)),
            bag=nn.EmbeddingBag(6, 5, mode="sum"),
            head=nn.Linear(5, 3),
        ),
        (6,),
    ),
    "cnn": lambda: (
        nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(True),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(36, 3),
        ),
        (3, 8, 8),
    ),
    "cnn 1d": lambda: (
        nn.Sequential(
            nn.Conv1d(3, 4, 3, dilation=2),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.AdaptiveAvgPool1d(2),
            nn.Flatten(),
            nn.Linear(8, 3),
        ),
        (3, 12),
    ),
    "cnn 3d": lambda: (
        nn.Sequential(
            nn.Conv3d(1, 4, 2), nn.GroupNorm(2, 4), nn.ReLU(), nn.AvgPool3d(2), nn.Flatten(), nn.Linear(4, 3)
        ),
        (1, 4, 4, 4),
    ),
    "resnet": lambda: (
        nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            Residual(4),
            Residual(4, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, 3),
        ),
        (3, 8, 8),
    ),
    "squeeze": lambda: (Attended(), (3, 8, 8)),
    "unet": lambda: (UNet(), (3, 8, 8)),
    "pixel shuffle": lambda: (
        nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.PixelShuffle(2),
            nn.ReflectionPad2d(1),
            nn.Conv2d(2, 2, 3),
            nn.LocalResponseNorm(2),
        ),
        (3, 4, 4),
    ),
    "windows": lambda: (Windows(), (3, 8, 8)),
    "attention": attention,
    "attention, weights needed": lambda: attention(need_weights=True, average_attn_weights=False),
    "attention, padding": lambda: attention(key_padding_mask=torch.tensor([[False] * 4 + [True]] * 3)),
    "attention, causal": lambda: attention(
        attn_mask=nn.Transformer.generate_square_subsequent_mask(5), is_causal=True, need_weights=False
    ),
    "encoder": encoder,
    "encoder, norm first": lambda: encoder(norm_first=True, activation="gelu"),
    "decoder": lambda: (
        Run(lambda self, x: self.d(x, x.flip(1)), d=nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)),
        (5, 8),
    ),
    "gpt": lambda: (
        nn.Sequential(Causal(8, 2, 5), Causal(8, 2, 5), nn.LayerNorm(8), nn.Linear(8, 3)),
        (5, 8),
    ),
    "llama": lambda: (nn.Sequential(Llama(8, 2), Llama(8, 2), nn.RMSNorm(8), nn.Linear(8, 3)), (5, 8)),
    "experts": lambda: (Experts(), (6,)),
    "state space": lambda: (StateSpace(), (5, 4)),
    "graph": lambda: (Graph(), (4, 4)),
    "fourier": lambda: (
        Run(
            lambda self, x: self.head(torch.fft.irfft(torch.fft.rfft(x) * self.filter).relu()),
            filter=nn.Parameter(torch.randn(5, dtype=torch.cfloat)),
            head=nn.Linear(8, 3),
        ),
        (8,),
    ),
    "einsum": lambda: (
        Run(lambda self, x: torch.einsum("btc,co->bto", x, self.w).tanh(), w=nn.Parameter(torch.randn(8, 3))),
        (5, 8),
    ),
    **{
        f"{kind.__name__} {options}": lambda kind=kind, options=options: recurrent(kind, **options)
        for kind in (nn.RNN, nn.GRU, nn.LSTM)
        for options in (
            {},
            {"batch_first": True},
            {"num_layers": 2, "batch_first": True},
            {"bidirectional": True},
            {"num_layers": 2, "bidirectional": True, "batch_first": True},
            {"bias": False},
        )
    },
    "projected lstm": lambda: (Run(lambda self, x: self.l(x)[0], l=nn.LSTM(4, 5, proj_size=3)), (6, 4)),
    "relu rnn": lambda: recurrent(nn.RNN, nonlinearity="relu"),
    "cells": lambda: (
        Run(
            lambda self, x: self.gru(x[:, 1], self.lstm(x[:, 0])[0]),
            lstm=nn.LSTMCell(4, 5),
            gru=nn.GRUCell(4, 5),
        ),
        (2, 4),
    ),
}
"""By name; a function returns a network and the shape of a row."""
