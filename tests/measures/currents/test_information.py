"""The information of partial knowledge, from nothing to all."""

from __future__ import annotations

import math

import pytest
import torch

from nif.measures.currents import information as module
from nif.measures.currents.decisions import decided_by
from nif.measures.currents.information import information, mean_log_likelihood, own_log_likelihood
from nif.network.decision import Decision, Scale

LOGITS = Decision(Scale.LOGIT, 3, exclusive=True)


@pytest.fixture
def outputs() -> torch.Tensor:
    return torch.randn(40, 3, generator=torch.Generator().manual_seed(3))


def test_it_rises_from_the_cross_entropy_to_the_negative_entropy(outputs) -> None:
    decided = decided_by(LOGITS, outputs, None, 0.2, None)
    outcomes = decided.outcomes(outputs, torch.arange(40))
    p, weights = outputs.softmax(1), torch.full((40, 40), -math.log(40))
    start = information(outcomes, outputs.expand(40, 40, 3), weights, None)
    torch.testing.assert_close((outcomes.weight * start).sum(1), (p * p.mean(0).log()).sum(1))
    end = information(outcomes, outputs[:, None].expand(40, 40, 3), weights, None)
    torch.testing.assert_close((outcomes.weight * end).sum(1), (p * p.log()).sum(1))


def test_the_row_itself_is_one_of_the_backgrounds(outputs) -> None:
    decided = decided_by(LOGITS, outputs, None, 0.2, None)
    outcomes = decided.outcomes(outputs[:1], torch.arange(1))
    own = own_log_likelihood(outcomes, outputs[:1]) - math.log(40)
    with_own = information(outcomes, outputs[None, 1:], torch.full((1, 39), -math.log(40)), own)
    torch.testing.assert_close(with_own, mean_log_likelihood(decided, outputs[:1], outputs))


@pytest.mark.parametrize("chosen, shape", [("softmax", (1, 3)), ("value", (40, 27)), ("bernoulli", (1, 6))])
def test_means_over_the_pool_are_the_same_in_small_parts(outputs, chosen, shape, monkeypatch) -> None:
    decided = decided_by(LOGITS, outputs, chosen, 0.2, None)
    whole = mean_log_likelihood(decided, outputs, outputs[:31])
    assert whole.shape == shape
    monkeypatch.setattr(module, "CHUNK", 100)
    torch.testing.assert_close(mean_log_likelihood(decided, outputs, outputs[:31]), whole)
