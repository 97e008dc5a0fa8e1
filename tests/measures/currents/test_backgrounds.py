"""Backgrounds: totals near their closed form for every kind of decision, and weights that sum to 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nif.measures.currents import backgrounds as module
from nif.measures.currents.backgrounds import Explained, geometric_edges, similar_backgrounds, strata, tilted
from nif.measures.currents.decisions import decided_by
from nif.network.decision import Decision, Scale


def explained(outputs: Tensor, chosen: str = "softmax", *, noise: float = 0.2, pool: Tensor | None = None):
    scale = Scale.VALUE if chosen == "value" else Scale.LOGIT
    decision = Decision(scale, outputs.shape[1], scale is Scale.LOGIT)
    decided = decided_by(decision, outputs, chosen, noise, None)
    rows = np.random.default_rng(1).permutation(len(outputs))[:200]
    return Explained.of(decided, outputs, rows, pool)


def ratio(of_rows: Explained, count: int = 32) -> float:
    """The total by backgrounds over its closed form."""
    backgrounds = similar_backgrounds(of_rows, count, np.random.default_rng(2))
    return float(of_rows.total(backgrounds).mean() / of_rows.information().mean())


def logits(rows: int, classes: int, scale: float) -> Tensor:
    return scale * torch.randn(rows, classes, generator=torch.Generator().manual_seed(5))


def low_rank() -> Tensor:
    """Mixes 100 logits so that many rows decide alike."""
    return logits(100, 6, 0.12) @ logits(6, 100, 0.5)


def rare(part: float) -> Tensor:
    """Two classes, the second in a small part of the rows."""
    sure = 4 * torch.randn(3000, 1, generator=torch.Generator().manual_seed(6))
    return torch.cat([torch.zeros_like(sure), sure - torch.quantile(sure, 1 - part)], dim=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "outputs, options, within",
    [
        (lambda: logits(1500, 2, 3.0), {}, 1e-4),
        (lambda: rare(0.1), {}, 1e-3),
        (lambda: rare(0.01), {}, 1e-3),
        (lambda: logits(1500, 10, 30.0), {}, 1e-3),
        (lambda: logits(3000, 10, 1.0), {}, 0.015),
        (lambda: logits(3000, 100, 4.0) @ low_rank(), {}, 0.03),
        (lambda: logits(1500, 3, 1.0), {"chosen": "bernoulli"}, 1e-3),
        (lambda: logits(1500, 20, 3.0), {"chosen": "bernoulli"}, 0.015),
        (lambda: logits(3000, 1, 1.0), {"chosen": "value"}, 0.01),
        (lambda: logits(3000, 1, 1.0), {"chosen": "value", "noise": 0.02}, 0.01),
        (lambda: logits(1500, 2, 1.0), {"chosen": "value"}, 0.01),
        (lambda: logits(3000, 1, 1.0).round(), {"chosen": "value"}, 0.01),
    ],
    ids=[
        *("2 classes", "class in 10 %", "class in 1 %", "saturated", "10 classes", "100 classes"),
        *("3 answers", "20 answers", "value", "value with little noise", "2 values", "tied values"),
    ],
)
def test_the_total_is_near_its_closed_form(
    outputs: Callable[[], Tensor], options: dict[str, Any], within: float
) -> None:
    assert ratio(explained(outputs(), **options)) == pytest.approx(1.0, abs=within)


def test_all_other_rows_are_exact() -> None:
    of_rows = explained(logits(30, 3, 2.0))
    backgrounds = similar_backgrounds(of_rows, 99, np.random.default_rng(0))
    assert backgrounds.index.shape == (30, 29)
    np.testing.assert_allclose(of_rows.total(backgrounds), of_rows.information(), atol=1e-6)


@pytest.mark.parametrize("count", [3, 32, 299])
@pytest.mark.parametrize("chosen", ["softmax", "value", "bernoulli"])
def test_a_row_is_not_among_its_own_backgrounds(chosen: str, count: int) -> None:
    of_rows = explained(logits(300, 2, 2.0), chosen)
    backgrounds = similar_backgrounds(of_rows, count, np.random.default_rng(0))
    assert backgrounds.index.shape == (200, count)
    assert (backgrounds.index != of_rows.rows[:, None]).all()
    np.testing.assert_allclose(np.exp(backgrounds.log_weights).sum(1), 1 - 1 / 300)
    assert backgrounds.own == 1 / 300


def test_rows_have_no_weight_in_a_pool_of_its_own() -> None:
    of_rows = explained(logits(300, 2, 2.0), pool=logits(50, 2, 1.0))
    for count in (20, 99):
        backgrounds = similar_backgrounds(of_rows, count, np.random.default_rng(0))
        assert backgrounds.own == 0.0
        assert backgrounds.index.shape == (200, min(count, 50))
        np.testing.assert_allclose(np.exp(backgrounds.log_weights).sum(1), 1.0)
    np.testing.assert_allclose(of_rows.total(backgrounds), of_rows.information(), atol=1e-6)
    assert ratio(of_rows, 20) == pytest.approx(1.0, abs=1e-3)


def test_parts_of_rows_have_the_same_totals(monkeypatch) -> None:
    of_rows = explained(logits(300, 2, 2.0), "value")
    backgrounds = similar_backgrounds(of_rows, 8, np.random.default_rng(0))
    whole = of_rows.total(backgrounds)
    monkeypatch.setattr(module, "CHUNK", 1000)
    np.testing.assert_allclose(of_rows.total(backgrounds), whole, rtol=1e-5)


@pytest.mark.parametrize("chosen", ["softmax", "value", "bernoulli"])
@pytest.mark.parametrize("total, count", [(9, 8), (100, 32), (100, 90), (9999, 32), (9999, 400), (50, 1)])
def test_strata_hold_all_rows(chosen: str, total: int, count: int) -> None:
    decided = explained(logits(300, 2, 2.0), chosen).decided
    falling = np.exp(-np.linspace(0, 50, total)) * (np.arange(total) < 7)
    for edges in strata(decided, np.stack([falling, np.zeros(total), np.ones(total)]), count):
        assert len(edges) == count + 1
        assert edges[0] == 0 and edges[-1] == pytest.approx(total)
        assert (np.diff(edges) > 0.99).all()


def test_no_weights_have_the_right_mean_without_rare_classes() -> None:
    alike = np.r_[np.full(990, 1.01), np.zeros(10)]
    decided = explained(logits(300, 2, 2.0)).decided
    assert (strata(decided, alike[None], 32)[0] >= 990).sum() >= 4


def test_edges_of_equal_widths() -> None:
    np.testing.assert_allclose(geometric_edges(8, np.zeros(4, dtype=np.int64)), [0, 2, 4, 6, 8])


def test_weights_within_reach_are_exact_and_others_finite() -> None:
    generator = np.random.default_rng(0)
    start = np.full((20, 30), -math.log(30))
    moments = generator.normal(size=(20, 30, 3))
    weights = np.exp(tilted(start, moments, np.ones((20, 3))))
    np.testing.assert_allclose(weights.sum(1), 1.0)
    np.testing.assert_allclose(np.einsum("rb,rbj->rj", weights, moments), 0.0, atol=1e-3)
    beyond = np.exp(tilted(start, np.abs(moments) * 1e5, np.ones((20, 3))))
    np.testing.assert_allclose(beyond.sum(1), 1.0)
    assert np.isfinite(beyond).all()
