"""Networks of the zoo that read series, sets, graphs and tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_cases import TRAINED, WORDS, Case, Inputs, Net, Pair, numbers, tokens

SERIES, SET, TEXT = numbers(6, 4), numbers(5, 4), tokens(6)


class Recurrent(nn.Module):
    """A recurrent layer, and what is decided at its last step."""

    def __init__(self, layer: nn.RNNBase, width: int) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.layer(x)[0][:, -1])
        return out


class Both(nn.Module):
    """A bidirectional LSTM of two layers, by its last states."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(4, 6, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        states = self.layer(x)[1][0]
        return self.head(torch.cat([states[-2], states[-1]], 1))


class Translator(nn.Module):
    """A GRU that reads, and one that writes and attends to what was read."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.writer = nn.GRU(4, 6, batch_first=True), nn.GRUCell(6, 6)
        self.score, self.out = nn.Linear(12, 1), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        read, last = self.reader(x)
        state, outputs = last[0], []
        for _ in range(2):
            both = torch.cat([read, state[:, None].expand_as(read)], -1)
            context = (self.score(both).softmax(1) * read).sum(1)
            state = self.writer(context, state)
            outputs.append(self.out(state))
        return torch.stack(outputs, 1)


class Wave(nn.Module):
    """Gated dilated convolutions with skips, as WaveNet."""

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Conv1d(4, 6, 1)
        self.filters = nn.ModuleList(nn.Conv1d(6, 6, 2, dilation=2**i) for i in range(2))
        self.gates = nn.ModuleList(nn.Conv1d(6, 6, 2, dilation=2**i) for i in range(2))
        self.skips = nn.ModuleList(nn.Conv1d(6, 6, 1) for i in range(2))
        self.out = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x, total = self.into(x.transpose(1, 2)), torch.zeros(len(x), 6, 6)
        for number, (filtered, gate, skip) in enumerate(
            zip(self.filters, self.gates, self.skips, strict=True)
        ):
            padded = F.pad(x, (2**number, 0))
            hidden = filtered(padded).tanh() * gate(padded).sigmoid()
            x, total = x + hidden, total + skip(hidden)
        return self.out(total.relu()[:, :, -1])


class Perceiver(nn.Module):
    """Latents that attend to the inputs, and then to themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.latents, self.embed = nn.Parameter(torch.randn(1, 3, 8)), nn.Linear(4, 8)
        self.place = nn.Parameter(torch.randn(1, 6, 8))
        self.cross = nn.MultiheadAttention(8, 2, batch_first=True)
        self.itself = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        inputs, latents = self.embed(x) + self.place, self.latents.expand(len(x), 3, 8)
        latents = latents + self.cross(latents, inputs, inputs, need_weights=False)[0]
        return self.out(self.itself(latents).mean(1))


class Selective(nn.Module):
    """A state space with selection, as Mamba, step by step."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.rate, self.b, self.c = (nn.Linear(4, n) for n in (8, 4, 3, 3))
        self.decay, self.out = nn.Parameter(torch.rand(4, 3)), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x, gate = self.into(x).chunk(2, -1)
        rate, b, c = F.softplus(self.rate(x)), self.b(x), self.c(x)
        state = x.new_zeros(len(x), 4, 3)
        for t in range(x.shape[1]):
            state = state * torch.exp(-rate[:, t, :, None] * self.decay)
            state = state + (rate * x)[:, t, :, None] * b[:, t, None]
        return self.out((state * c[:, -1, None]).sum(-1) * F.silu(gate[:, -1]))


class Messages(nn.Module):
    """A graph network along fixed edges, whose nodes are pooled."""

    def __init__(self) -> None:
        super().__init__()
        self.message, self.update, self.out = nn.Linear(8, 6), nn.Linear(10, 6), nn.Linear(6, 3)
        self.edges = nn.Buffer(torch.tensor([[0, 1, 2, 3, 4, 0], [1, 2, 3, 4, 0, 2]]))

    def forward(self, x: Tensor) -> Tensor:
        source, target = self.edges
        messages = F.elu(self.message(torch.cat([x[:, source], x[:, target]], -1)))
        sums = x.new_zeros(len(x), 5, 6).index_add_(1, target, messages)
        return self.out(self.update(torch.cat([x, sums], -1)).relu().mean(1))


def convolved(self: Any, x: Tensor) -> Tensor:
    """Graph convolutions by a fixed adjacency (GCN)."""
    return self.out((self.adjacency @ self.b((self.adjacency @ self.a(x)).relu())).mean(1))


def attended_graph(self: Any, x: Tensor) -> Tensor:
    """Attention along fixed edges (GAT)."""
    hidden = self.a(x)
    scores = F.leaky_relu(self.left(hidden) + self.right(hidden).transpose(1, 2), 0.2)
    weights = scores.masked_fill(self.adjacency == 0, float("-inf")).softmax(-1)
    return self.out((weights @ hidden).relu().mean(1))


def set_transformer(self: Any, x: Tensor) -> Tensor:
    hidden = self.embed(x)
    hidden = hidden + self.inside(hidden, hidden, hidden, need_weights=False)[0]
    seeds = self.seed.expand(len(x), 1, 8)
    return self.out(self.pool(seeds, hidden, hidden, need_weights=False)[0][:, 0])


def linear_attention(self: Any, x: Tensor) -> Tensor:
    q, k, v = self.qkv(x).chunk(3, -1)
    q, k = F.elu(q) + 1, F.elu(k) + 1
    return self.out((q @ (k.transpose(1, 2) @ v) / (q @ k.sum(1)[:, :, None]))[:, -1])


def backcast(self: Any, x: Tensor) -> Tensor:
    """Two blocks of N-BEATS."""
    x, forecast = x.flatten(1), torch.zeros(len(x), 3)
    for block in self.blocks:
        back, ahead = block(x).split([24, 3], -1)
        x, forecast = x - back, forecast + ahead
    return forecast


def cells(self: Any, x: Tensor) -> Tensor:
    state = x.new_zeros(len(x), 6), x.new_zeros(len(x), 6)
    for t in range(x.shape[1]):
        state = self.cell(x[:, t], state)
    return self.head(state[0])


def filtered(self: Any, x: Tensor) -> Tensor:
    """A filter of frequencies (FNet, Fourier operators)."""
    spectrum = torch.fft.rfft(x, dim=1) * self.filter
    return self.out(torch.fft.irfft(spectrum, n=6, dim=1).relu().flatten(1))


def words(self: Any, ids: Tensor) -> Tensor:
    return self.head(self.body(self.words(ids) + self.places))


class Padded(nn.Module):
    """A transformer with a mask of padding; the class at every token."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.head, self.place = (
            nn.Embedding(WORDS, 8),
            nn.Linear(8, 3),
            nn.Parameter(torch.randn(6, 8)),
        )
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)

    def forward(self, input_ids: Tensor, padding_mask: Tensor) -> Tensor:
        hidden = self.encoder(self.words(input_ids) + self.place, src_key_padding_mask=padding_mask)
        return self.head(hidden)


def last_of_padded(found: Tensor) -> Tensor:
    return found[:, 3]


class Last(nn.Module):
    """The last step, or the mean."""

    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.run = run

    def forward(self, x: Any) -> Tensor:
        return self.run(x)


def text(*body: nn.Module) -> Net:
    return Net(words, words=nn.Embedding(WORDS, 8), places=nn.Parameter(torch.randn(6, 8)),
               body=nn.Sequential(*body), head=nn.Linear(8, 3))  # fmt: skip


def encoder(**options: Any) -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True, **options)


def decoded(self: Any, left: Tensor, right: Tensor) -> Tensor:
    found: Tensor = self.out(self.body(self.words(left) + self.place, self.words(right) + self.place[:4]))
    return found


def pooled() -> Last:
    return Last(lambda x: x.flatten(1) if x.dim() < 3 else x.mean(1))


def one(name: str, make: Callable[[], Any], task: Any = SERIES, **options: Any) -> Case:
    return Case(name, make, task, **options)


MASK: Inputs = {"padding_mask": torch.tensor([[False] * 4 + [True] * 2]).expand(TRAINED, 6).contiguous()}
ADJACENCY = torch.eye(5) + torch.eye(5).roll(1, 0) + torch.eye(5).roll(-1, 0)

CASES: list[Case] = [
    one("LSTM", lambda: Recurrent(nn.LSTM(4, 6, batch_first=True), 6)),
    one("LSTM, 2 layers, both ways", Both),
    one("GRU", lambda: Recurrent(nn.GRU(4, 6, batch_first=True), 6)),
    one("RNN, tanh", lambda: Recurrent(nn.RNN(4, 6, batch_first=True), 6)),
    one("LSTM cell in a loop", lambda: Net(cells, cell=nn.LSTMCell(4, 6), head=nn.Linear(6, 3))),
    one(
        "CNN and LSTM",
        lambda: nn.Sequential(
            Last(lambda x: x.transpose(1, 2)),
            nn.Conv1d(4, 6, 3, padding=1),
            nn.ReLU(),
            Last(lambda x: x.transpose(1, 2)),
            Recurrent(nn.LSTM(6, 6, batch_first=True), 6),
        ),
    ),
    one("sequence to sequence, GRU with attention", Translator),
    one(
        "temporal convolutions (TCN)",
        lambda: nn.Sequential(
            Last(lambda x: F.pad(x.transpose(1, 2), (2, 0))),
            nn.Conv1d(4, 6, 3),
            nn.ReLU(),
            Last(lambda x: F.pad(x, (4, 0))),
            nn.Conv1d(6, 6, 3, dilation=2),
            nn.ReLU(),
            Last(lambda x: x[:, :, -1]),
            nn.Linear(6, 3),
        ),
    ),
    one("WaveNet", Wave),
    one(
        "transformer encoder, post-norm",
        lambda: nn.Sequential(nn.Linear(4, 8), encoder(), nn.Flatten(), nn.Linear(48, 3)),
    ),
    one(
        "transformer encoder, pre-norm, GELU",
        lambda: nn.Sequential(
            nn.Linear(4, 8), encoder(norm_first=True, activation="gelu"), nn.Flatten(), nn.Linear(48, 3)
        ),
    ),
    one("Perceiver", Perceiver),
    one("state space (Mamba), by hand", Selective),
    one("linear attention", lambda: Net(linear_attention, qkv=nn.Linear(4, 18), out=nn.Linear(6, 3))),
    one(
        "N-BEATS",
        lambda: Net(
            backcast,
            blocks=nn.ModuleList(
                nn.Sequential(nn.Linear(24, 12), nn.ReLU(), nn.Linear(12, 27)) for _ in range(2)
            ),
        ),
    ),
    one(
        "Fourier filter",
        lambda: Net(
            filtered, filter=nn.Parameter(torch.randn(4, 4, dtype=torch.cfloat)), out=nn.Linear(24, 3)
        ),
    ),
    one(
        "DeepSets",
        lambda: nn.Sequential(
            nn.Linear(4, 8), nn.ReLU(), Last(lambda x: x.sum(1)), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)
        ),
        SET,
    ),
    one(
        "set transformer",
        lambda: Net(
            set_transformer,
            embed=nn.Linear(4, 8),
            inside=nn.MultiheadAttention(8, 2, batch_first=True),
            pool=nn.MultiheadAttention(8, 2, batch_first=True),
            seed=nn.Parameter(torch.randn(1, 1, 8)),
            out=nn.Linear(8, 3),
        ),
        SET,
    ),
    one(
        "PointNet",
        lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), Last(lambda x: x.amax(1)), nn.Linear(8, 3)),
        SET,
    ),
    one("graph, messages along edges", Messages, SET),
    one(
        "graph convolutions (GCN)",
        lambda: Net(
            convolved, a=nn.Linear(4, 8), b=nn.Linear(8, 8), out=nn.Linear(8, 3), adjacency=ADJACENCY / 3
        ),
        SET,
    ),
    one(
        "graph attention (GAT)",
        lambda: Net(
            attended_graph,
            a=nn.Linear(4, 8),
            left=nn.Linear(8, 1),
            right=nn.Linear(8, 1),
            out=nn.Linear(8, 3),
            adjacency=ADJACENCY,
        ),
        SET,
    ),
    one(
        "text, EmbeddingBag",
        lambda: nn.Sequential(nn.EmbeddingBag(WORDS, 8), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)),
        TEXT,
        check=False,
    ),
    one(
        "text, embedding and LSTM",
        lambda: nn.Sequential(nn.Embedding(WORDS, 6), Recurrent(nn.LSTM(6, 6, batch_first=True), 6)),
        TEXT,
    ),
    one(
        "text, CNN",
        lambda: text(
            Last(lambda x: x.transpose(1, 2)), nn.Conv1d(8, 8, 2), nn.ReLU(), Last(lambda x: x.amax(2))
        ),
        TEXT,
    ),
    one("text, transformer", lambda: text(encoder(), pooled()), TEXT),
    one("text, transformer with padding", Padded, tokens(6, more=MASK), decide=last_of_padded),
    one(
        "text, flattened embeddings",
        lambda: nn.Sequential(
            nn.Embedding(WORDS, 4), nn.Flatten(), nn.Linear(24, 10), nn.ReLU(), nn.Linear(10, 3)
        ),
        TEXT,
    ),
    one(
        "nn.Transformer, encoder and decoder",
        lambda: Pair(
            decoded,
            words=nn.Embedding(WORDS, 8),
            place=nn.Parameter(torch.randn(6, 8)),
            out=nn.Linear(8, 3),
            body=nn.Transformer(8, 2, 1, 1, 16, 0.0, batch_first=True),
        ),
        tokens(6, 4, names=("left", "right")),
    ),
]
