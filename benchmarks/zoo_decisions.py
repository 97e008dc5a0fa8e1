"""Networks of the zoo that decide something else than one class, or that read several inputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_cases import CLASSES, WORDS, Case, Net, Pair, Task, numbers, tokens
from zoo_tables import mlp, one

VALUES = numbers(8, classes=None)
BOTH = numbers(6, names=("left", "right"))


class Categories(nn.Module):
    """Numbers and categories, each category with a table: wide and deep."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(WORDS, 3) for _ in range(3))
        self.wide = nn.Embedding(WORDS, CLASSES)
        self.deep = nn.Sequential(nn.Linear(15, 10), nn.ReLU(), nn.Linear(10, CLASSES))

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        found = [table(categories[:, column]) for column, table in enumerate(self.tables)]
        return self.deep(torch.cat([numbers, *found], 1)) + self.wide(categories).sum(1)


def mixed() -> Task:
    """Numbers and three categories."""
    number, category = numbers(6)(), tokens(3)()
    return Task({"numbers": number.inputs["x"], "categories": category.inputs["input_ids"]}, category.labels)


def pair_of_ids() -> Task:
    """A user and an item, one column each."""
    ids = tokens(2)()
    both = ids.inputs["input_ids"]
    return Task({"left": both[:, :1], "right": both[:, 1:]}, ids.labels)


def multi_output(self: Any, x: Tensor) -> dict[str, Tensor]:
    hidden = self.body(x).relu()
    return {"logits": self.head(hidden), "value": self.value(hidden)}


CASES: list[Case] = [
    one("regression", lambda: mlp(nn.ReLU(), nn.ReLU(), out=1), task=VALUES, says="value"),
    one(
        "quantile regression",
        lambda: Net(
            lambda m, x: torch.cat([m.m(x), m.m(x) + F.softplus(m.u(x)), m.m(x) - F.softplus(m.l(x))], 1),
            m=mlp(nn.ReLU(), out=1),
            u=nn.Linear(8, 1),
            l=nn.Linear(8, 1),
        ),
        task=VALUES,
        says="value",
        options={"decision": "value"},
    ),
    one(
        "Poisson regression (exp)",
        lambda: Net(lambda m, x: (0.3 * m.a(x)).exp(), a=mlp(nn.ReLU(), out=1)),
        task=VALUES,
        says="value",
    ),
    one("multi-label", lambda: nn.Sequential(mlp(nn.ReLU()), nn.Sigmoid()), says="answers"),
    one(
        "autoencoder",
        lambda: nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 8)),
        says="value",
        options={"decision": "value"},
        loss=lambda out, task: F.mse_loss(out, task.data),
    ),
    one(
        "mixture density network",
        lambda: Net(
            lambda m, x: (m.b(x).softmax(-1) * m.c(x)).sum(-1, keepdim=True),
            b=mlp(nn.Tanh()),
            c=mlp(nn.Tanh()),
        ),
        task=VALUES,
        says="value",
    ),
    one(
        "several outputs (dict)",
        lambda: Net(multi_output, body=nn.Linear(8, 10), head=nn.Linear(10, 3), value=nn.Linear(10, 1)),
        options={"output": "logits"},
        decide=lambda found: found["logits"],
    ),
    one(
        "Siamese",
        lambda: Pair(
            lambda m, left, right: m.head((m.body(left) - m.body(right)).abs()),
            body=nn.Sequential(nn.Linear(6, 10), nn.Tanh()),
            head=nn.Linear(10, 3),
        ),
        task=BOTH,
    ),
    one(
        "two inputs, FiLM",
        lambda: Pair(
            lambda m, left, right: m.head((m.a(left) * (1 + m.scale(right)) + m.shift(right)).relu()),
            a=nn.Linear(6, 10),
            scale=nn.Linear(6, 10),
            shift=nn.Linear(6, 10),
            head=nn.Linear(10, 3),
        ),
        task=BOTH,
    ),
    one(
        "two inputs, joined",
        lambda: Pair(
            lambda m, left, right: m.head(torch.cat([m.a(left).relu(), m.b(right).relu()], 1)),
            a=nn.Linear(6, 8),
            b=nn.Linear(6, 8),
            head=nn.Linear(16, 3),
        ),
        task=BOTH,
    ),
    one(
        "two towers of ids",
        lambda: Pair(
            lambda m, left, right: m.head(m.a(left[:, 0]) * m.b(right[:, 0])),
            a=nn.Embedding(WORDS, 6),
            b=nn.Embedding(WORDS, 6),
            head=nn.Linear(6, 3),
        ),
        task=pair_of_ids,
        check=False,
    ),
    one("wide and deep, categories", Categories, task=mixed),
]
