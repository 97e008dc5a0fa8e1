"""What a watch leaves out so that it stays cheap, and that nothing else changes by it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

import nif
from nif.data.rows import Rows
from nif.estimators.estimate import Estimate
from nif.measures.association.cached import cached
from nif.watch import FEWEST_SAMPLES, MOST_SAMPLES, rows_for, thinned
from support.training_runs import network, rows

WIDE = 400
"""Inputs: 79,800 terms among themselves."""


@dataclass
class Counting:
    """Binned, with the widths of what it was asked."""

    asked: list[tuple[int, int]] = field(default_factory=list)

    def estimate(self, x: Any, y: Any, **options: Any) -> Estimate:
        return nif.Binned().estimate(x, y, **options)

    def pairwise(self, x: Any, y: Any, **options: Any) -> Estimate:
        self.asked.append((x.shape[1], y.shape[1]))
        return nif.Binned().pairwise(x, y, **options)


def moved(model: nn.Module, epoch: int) -> None:
    """As if it had been trained for an epoch."""
    generator = torch.Generator().manual_seed(epoch)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator))


def test_inputs_are_compared_with_one_another_twice_and_no_more() -> None:
    model, counting = network(), Counting()
    inputs = rows()[0].shape[1]
    watch = nif.Watch(model, rows()[0], counting)
    for epoch in range(5):
        watch.step(epoch)
        moved(model, epoch)
    assert counting.asked.count((inputs, inputs)) == 2
    once = len(set(counting.asked)) - 1
    assert len(counting.asked) == 2 + 5 * once


def test_what_is_remembered_has_the_bits_of_what_is_measured() -> None:
    model = network()
    watch = nif.Watch(model, rows()[0], max_samples=10_000, seed=4)
    for epoch in range(4):
        flow = watch.step(epoch)
        fresh = nif.measure(model, rows()[0], nif.Binned(), seed=4, progress=False)
        assert flow is not None and flow.measurement.options["estimator"] == "Binned()"
        for found, expected in zip(flow.links, fresh.links, strict=True):
            np.testing.assert_array_equal(found.nats, expected.nats)
            np.testing.assert_array_equal(found.stderr, expected.stderr)
            np.testing.assert_array_equal(found.p_value, expected.p_value)
        moved(model, epoch)


def test_other_numbers_another_seed_and_two_arrays_alike_are_not_mixed_up() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, 300, 3))
    memory = cached(nif.Binned())
    for first, second, seed in ((x, x, 0), (x, y, 0), (y, x, 0), (x, x, 1), (x, x.copy(), 0)):
        expected = nif.Binned().pairwise(first, second, seed=seed)
        for _ in range(4):
            found = memory.pairwise(first, second, seed=seed)  # type: ignore[attr-defined]
            np.testing.assert_array_equal(found.nats, expected.nats)
    assert cached(nif.Mine()) == nif.Mine()  # it has no such way


def test_a_network_of_many_terms_is_watched_on_fewer_rows() -> None:
    data = torch.randn(3000, WIDE, generator=torch.Generator().manual_seed(0))
    wide = nif.Watch(nn.Linear(WIDE, 2), data)
    wide.step(0)
    seen = rows_for(WIDE * (WIDE - 1) // 2 + 2 * WIDE)
    assert FEWEST_SAMPLES < seen < MOST_SAMPLES
    assert wide.flows[0].measurement.samples == seen and f", {seen} rows, " in repr(wide)
    asked = nif.Watch(nn.Linear(4, 2), data[:400, :4], max_samples=300)
    asked.step(0)
    assert asked.flows[0].measurement.samples == 300
    small = nif.Watch(nn.Linear(4, 2), data[:, :4])
    small.step(0)
    assert small.flows[0].measurement.samples == MOST_SAMPLES


def test_rows_are_thinned_alike_in_all_inputs() -> None:
    both = Rows((torch.arange(500)[:, None], 2 * torch.arange(500)[:, None]), names=("a", "b"))
    few = thinned(both, 90, seed=1)
    assert len(few) == 90 and torch.equal(2 * few.inputs[0], few.inputs[1])
    assert len(few.first.unique()) == 90
    assert torch.equal(thinned(both, 90, seed=1).first, few.first)
