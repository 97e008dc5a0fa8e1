"""Transformers whose weights are written by hand, so that the circuit of each is known.

Each reads tokens as one-hot rows and decides at the last position. What they know stands in parts of the
residual stream: the *token*, its *position*, the *previous* token, the *answer*. Beside the circuit there are
many weights of the same size that do nothing: *idle* heads and neurons read the token and write where nobody
reads, and *blind* ones read what is always 0 and write the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

SHARP = 12.0
"""Score of the position that a head attends to; all others have 0."""

IDLE, BLIND = 2, 1
"""Heads of a layer beside that of the circuit, and four times as many neurons."""

SCRATCH = 6
"""Dimensions that nobody reads, and as many that are always 0."""


class Head(nn.Module):
    """Causal attention of one head, without biases and without a scale."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, size, bias=False) for _ in range(3))
        self.out = nn.Linear(size, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """What the head adds to the stream."""
        scores = self.query(x) @ self.key(x).transpose(-1, -2)
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        added: Tensor = self.out(scores.masked_fill(later, -torch.inf).softmax(-1) @ self.value(x))
        return added


class Neurons(nn.Module):
    """A hidden layer of ReLU units at each position."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(width, count), nn.Linear(count, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """What the neurons add to the stream."""
        added: Tensor = self.out(self.into(x).relu())
        return added


class Layer(nn.Module):
    """Heads, then neurons, each added to the stream."""

    def __init__(self, width: int, size: int, neurons: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(Head(width, size) for _ in range(1 + IDLE + BLIND))
        self.neurons = Neurons(width, neurons)

    def forward(self, x: Tensor) -> Tensor:
        """The stream behind the layer."""
        x = x + sum(head(x) for head in self.heads)
        behind: Tensor = x + self.neurons(x)
        return behind

    @property
    def head(self) -> Head:
        """That of the circuit; the first one."""
        return cast(Head, self.heads[0])


class Transformer(nn.Module):
    """Of one-hot tokens ``[row, position, token]``; returns the answer at the last position.

    Args:
        tokens: Number of tokens.
        length: Number of positions.
        layers: Number of layers.
        answers: Number of outputs.
    """

    def __init__(self, tokens: int, length: int, layers: int, answers: int) -> None:
        super().__init__()
        sizes = {
            "token": tokens,
            "position": length,
            "previous": tokens,
            "answer": answers,
            "count": 1,
            "nothing": SCRATCH,
            "scratch": SCRATCH,
        }
        ends = torch.tensor(list(sizes.values())).cumsum(0).tolist()
        self.part = {
            name: range(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)
        }
        width = ends[-1]
        self.embed = nn.Linear(tokens, width, bias=False)
        self.positions = nn.Parameter(torch.zeros(length, width))
        self.layers = nn.ModuleList(
            Layer(width, max(tokens, length), 2 + 4 * (IDLE + BLIND)) for _ in range(layers)
        )
        self.unembed = nn.Linear(width, answers, bias=False)
        self._begin()

    def forward(self, x: Tensor) -> Tensor:
        """The answer at the last position."""
        x = self.embed(x) + self.positions
        for layer in self.layers:
            x = layer(x)
        answer: Tensor = self.unembed(x[:, -1])
        return answer

    @torch.no_grad()
    def _begin(self) -> None:
        """All weights 0, but for what each network has, and for the idle and the blind."""
        for parameter in self.parameters():
            parameter.zero_()
        self.write(self.embed, "token", None)
        self.positions[:, list(self.part["position"])] = torch.eye(len(self.positions))
        self.write(self.unembed, None, "answer", 4.0)
        generator = torch.Generator().manual_seed(1)
        for layer in cast(list[Layer], self.layers):
            for number, head in enumerate(cast(list[Head], layer.heads[1:])):
                reads, writes = ("token", "scratch") if number < IDLE else ("nothing", "answer")
                for module in (head.query, head.key, head.value):
                    self._at_random(module, reads, None, generator)
                self._at_random(head.out, None, writes, generator)
            first, count = 2, 4 * IDLE
            self._at_random(layer.neurons.into, "token", range(first, first + count), generator)
            self._at_random(layer.neurons.out, range(first, first + count), "scratch", generator)
            blind = range(first + count, layer.neurons.into.out_features)
            self._at_random(layer.neurons.into, "nothing", blind, generator)
            self._at_random(layer.neurons.out, blind, "answer", generator)

    def layer(self, number: int) -> Layer:
        """One of the layers."""
        return cast(Layer, self.layers[number])

    def _dims(self, part: str | range | None, count: int) -> list[int]:
        if part is None:
            return list(range(count))
        return list(self.part[part] if isinstance(part, str) else part)

    def _at_random(
        self,
        module: nn.Linear,
        reads: str | range | None,
        writes: str | range | None,
        generator: torch.Generator,
    ) -> None:
        rows = self._dims(writes, module.out_features)
        columns = self._dims(reads, module.in_features)
        values = torch.randn(len(rows), len(columns), generator=generator)
        module.weight[torch.tensor(rows)[:, None], torch.tensor(columns)] = values

    @torch.no_grad()
    def write(
        self,
        module: nn.Linear,
        writes: str | range | None,
        reads: str | range | None,
        size: float = 1.0,
        shift: int = 0,
    ) -> None:
        """Weights from the i-th dimension that is read to that of number i + shift which is written."""
        rows = self._dims(writes, module.out_features)
        columns = self._dims(reads, module.in_features)
        for number, column in enumerate(columns):
            if 0 <= number + shift < len(rows):
                module.weight[rows[number + shift], column] = size


@dataclass(frozen=True, eq=False)
class HandMade:
    """A network that is written by hand, and its data.

    Attributes:
        name: In words.
        net: In eval mode.
        x: One-hot tokens, ``[row, position, token]``.
        right: What the network must answer: classes, or values ``[row, 1]``.
    """

    name: str
    net: Transformer
    x: Tensor = field(repr=False)
    right: Tensor = field(repr=False)


def attend_to_previous(net: Transformer, head: Head) -> None:
    """Write the token of the position before into *previous*."""
    length = len(net.positions)
    net.write(head.query, range(length), "position", SHARP, shift=-1)
    net.write(head.key, range(length), "position")
    net.write(head.value, range(len(net.part["token"])), "token")
    net.write(head.out, "previous", range(len(net.part["token"])))


def previous_token(rows: int, generator: torch.Generator) -> HandMade:
    """Answers with the last token but one."""
    tokens, length = 5, 6
    net = Transformer(tokens, length, 1, tokens)
    attend_to_previous(net, net.layer(0).head)
    net.write(net.unembed, None, "previous", 4.0)
    ids = torch.randint(tokens, (rows, length), generator=generator)
    return HandMade("previous token", net.eval(), _one_hot(ids, tokens), ids[:, -2])


def induction(rows: int, generator: torch.Generator) -> HandMade:
    """Answers with the token that stood behind the earlier place of the last one, by two heads in a row."""
    tokens, length = 8, 7
    net = Transformer(tokens, length, 2, tokens)
    attend_to_previous(net, net.layer(0).head)
    head, number = net.layer(1).head, range(tokens)
    net.write(head.query, number, "token", SHARP)
    net.write(head.key, number, "previous")
    net.write(head.value, number, "token")
    net.write(head.out, "answer", number)
    ids = torch.rand(rows, tokens, generator=generator).argsort(1)[:, : length - 1]
    place = torch.randint(1, length - 2, (rows, 1), generator=generator)
    ids = torch.cat([ids, ids.gather(1, place)], dim=1)
    return HandMade("induction", net.eval(), _one_hot(ids, tokens), ids.gather(1, place + 1)[:, 0])


def fraction(rows: int, generator: torch.Generator) -> HandMade:
    """Answers with the fraction of the first token among all, by a head that attends to all alike."""
    tokens, length = 4, 8
    net = Transformer(tokens, length, 1, 1)
    _count(net)
    net.write(net.unembed, None, "count", 1.0)
    ids = torch.randint(tokens, (rows, length), generator=generator)
    right = (ids == 0).float().mean(1, keepdim=True)
    return HandMade("fraction", net.eval(), _one_hot(ids, tokens), right)


def majority(rows: int, generator: torch.Generator) -> HandMade:
    """Answers whether a third of all are the first token, by that head and two neurons."""
    tokens, length = 3, 7
    net = Transformer(tokens, length, 1, 2)
    _count(net)
    neurons = net.layer(0).neurons
    with torch.no_grad():
        for number, sign in enumerate((-1.0, 1.0)):
            neurons.into.weight[number, net.part["count"][0]] = 6 * sign
            neurons.into.bias[number] = -6 * sign * 5 / 14
            neurons.out.weight[net.part["answer"][number], number] = 1.0
    ids = torch.randint(tokens, (rows, length), generator=generator)
    return HandMade("majority", net.eval(), _one_hot(ids, tokens), ((ids == 0).sum(1) > 2.5).long())


def _count(net: Transformer) -> None:
    """The mean of the first token over all positions, into *count*."""
    head = net.layer(0).head
    net.write(head.value, range(1), range(1))
    net.write(head.out, "count", range(1))


def _one_hot(ids: Tensor, tokens: int) -> Tensor:
    return torch.nn.functional.one_hot(ids, tokens).float()


HAND_MADE = (previous_token, induction, fraction, majority)
