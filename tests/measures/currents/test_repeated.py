"""Constants with a copy for each row, as learned queries, are no weights; currents past them are right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import nif

X = torch.randn(60, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
METHOD = nif.Currents(rows=20, backgrounds=32, steps=2, by_class=False, paths=0)

Scores = Callable[[Tensor, Tensor], Tensor]


def expanded(queries: Tensor, keys: Tensor) -> Tensor:
    return torch.bmm(queries.expand(len(keys), 2, 6), keys.transpose(1, 2))


def repeated(queries: Tensor, keys: Tensor) -> Tensor:
    return torch.bmm(keys, queries.repeat(len(keys), 1, 1).transpose(1, 2)).transpose(1, 2)


def added(queries: Tensor, keys: Tensor) -> Tensor:
    return torch.bmm(queries + keys.new_zeros(len(keys), 1, 1), keys.transpose(1, 2))


def once(queries: Tensor, keys: Tensor) -> Tensor:
    return (keys @ queries[0].T).transpose(1, 2)


class Queries(nn.Module):
    """Learned queries that attend to the inputs, as those of a Perceiver."""

    def __init__(self, scores: Scores) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.scores, self.queries = scores, nn.Parameter(2 * torch.randn(1, 2, 6))
        self.embed, self.key, self.head = nn.Linear(3, 6), nn.Linear(6, 6), nn.Linear(12, 3)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.embed(x))
        scores = self.scores(self.queries, self.key(hidden))
        return self.head(torch.bmm(scores.softmax(-1), hidden).flatten(1))


@pytest.fixture(scope="module")
def expected() -> nif.Flow:
    return nif.measure(Queries(once), X, METHOD, progress=False)


@pytest.mark.parametrize("scores", [expanded, repeated, added])
def test_currents_are_those_of_the_same_function_with_one_copy(scores: Scores, expected: nif.Flow) -> None:
    flow = nif.measure(Queries(scores), X, METHOD, progress=False)
    columns = ["current", "absolute"]
    np.testing.assert_allclose(flow.neurons()[columns], expected.neurons()[columns], atol=1e-10)
    for name in ("embed.weight", "key.weight", "head.weight"):
        np.testing.assert_allclose(flow.weights(name).nats, expected.weights(name).nats, atol=1e-10)
    assert flow.total is not None
    for link in flow.links:  # each of the two pairs of layers is a cut
        assert abs(link.values("nats").sum() - flow.total.nats) < 1e-10
    assert any(name.startswith("queries") for name in flow.measurement.options["not_measured"])


def test_the_one_copy_is_a_weight(expected: nif.Flow) -> None:
    assert "queries" in expected.weight_names


def test_relative_positions_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.DebertaV2Config(
        vocab_size=23, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=16, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=4,
        initializer_range=0.5, num_labels=3,
    )  # fmt: skip
    model = transformers.DebertaV2ForSequenceClassification(config).eval()
    ids = torch.randint(1, 23, (60, 5), generator=torch.Generator().manual_seed(1))
    flow = nif.measure(model, {"input_ids": ids}, METHOD, progress=False)
    assert flow.total is not None and flow.total.nats > 0.01
    sums = flow.neurons()["current"].groupby("layer").sum()
    np.testing.assert_allclose(sums[["input", "output"]], flow.total.nats, rtol=1e-4)
