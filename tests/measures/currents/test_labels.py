"""Units are followed through every operation: a number moves only with the unit that it comes from."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import nn

from nif.measures.currents.labels import MIXED, NONE, WEIGHTED, Forward, labels_ahead
from nif.measures.currents.tape import Tape, record
from support.current_probes import PROBES
from support.current_steps import tensors

NUMBERS = 5
"""Numbers of the input of a probe that are moved, one after the other."""


def tape_of(run: object, x: torch.Tensor) -> Tape:
    return record(lambda mark, x: [one + 0.0 for one in tensors(run(x))], [x.clone()], {})  # type: ignore[operator]


@cache
def tapes_of(name: str) -> tuple[Tape, dict[int, Tape]]:
    """Of a probe, and of it where one number of the input has moved."""
    run, shape = PROBES[name]
    x = torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.8 + 0.1
    before, after = tape_of(run, x), {}
    for number in torch.linspace(0, x.numel() - 1, NUMBERS).long().tolist():
        moved = x.clone().flatten()
        moved[number] *= 0.7
        after[number] = tape_of(run, moved.reshape(x.shape))
    return before, after


@pytest.mark.parametrize("name", PROBES)
def test_a_number_moves_only_with_the_number_that_it_comes_from(name: str) -> None:
    before, moved = tapes_of(name)
    numbers = torch.arange(before.shape(before.inputs[0]).numel())
    labels = Forward.of(before, {before.inputs[0]: numbers}, (), NONE).labels
    for number, after in moved.items():
        for index, value in enumerate(before.values):
            known = labels.get(index, torch.full((value.numel(),), NONE))
            elsewhere = (known != number) & (known != MIXED)
            assert not (changed_numbers(before, after, index) & elsewhere).any()


@pytest.mark.parametrize("name", PROBES)
def test_a_number_leads_only_to_the_number_that_is_ahead(name: str) -> None:
    before, moved = tapes_of(name)
    target = before.outputs[0]
    count = before.shape(target).numel()
    ahead = labels_ahead(before, target, torch.arange(count)).get(
        before.inputs[0], torch.full(before.shape(before.inputs[0]), MIXED).flatten()
    )
    for number, after in moved.items():
        changed = changed_numbers(before, after, target)
        known = int(ahead[number])
        assert known == MIXED or set(changed.nonzero().flatten().tolist()) <= {known}


def changed_numbers(before: Tape, after: Tape, index: int) -> torch.Tensor:
    one, two = before.values[index], after.values[index]
    return ((one != two) & ~((one != one) & (two != two))).flatten()


@pytest.mark.parametrize(("run", "expected"), [
    (lambda x: torch.cat([x[:, 2:], x * 2], 1), [2, 0, 1, 2]),
    (lambda x: torch.stack([x.flip(1), x.roll(1, 1)], 2).flatten(1), [2, 2, 1, 0, 0, 1]),
    (lambda x: nn.functional.pad(x, (1, 0), value=7.0), [NONE, 0, 1, 2]),
    (lambda x: x[:, [1, 1, 0]].sigmoid(), [1, 1, 0]),
    (lambda x: x + x.flip(1), [MIXED, 1, MIXED]),
    (lambda x: x * x.amax(1, keepdim=True).ge(0), [MIXED, MIXED, MIXED]),
    (lambda x: x.cumsum(1), [MIXED, MIXED, MIXED]),
], ids=["cat", "stack", "pad", "index", "meet", "choice", "unknown"])  # fmt: skip
def test_labels_of_a_row_of_three(run: object, expected: list[int]) -> None:
    tape = tape_of(run, torch.ones(1, 3))
    forward = Forward.of(tape, {tape.inputs[0]: torch.arange(3)}, (), NONE)
    assert forward.labels[tape.outputs[0]].tolist() == expected


def test_what_is_written_in_place_keeps_the_units_of_both() -> None:
    def run(x: torch.Tensor) -> torch.Tensor:
        y = x.flip(1).clone()
        y[:, :1] = x[:, :1] * 2
        return y

    tape = tape_of(run, torch.ones(1, 3))
    forward = Forward.of(tape, {tape.inputs[0]: torch.arange(3)}, (), NONE)
    assert forward.labels[tape.outputs[0]].tolist() == [0, 1, 0]


def test_behind_a_weight_there_is_no_unit() -> None:
    weight = torch.eye(3)
    tape = record(
        lambda mark, x: [torch.cat([x, x @ weight], 1), x + x @ weight], [torch.ones(1, 3)], {"w": weight}
    )
    products = {place for place, operation in enumerate(tape.operations) if operation.kind == "mm"}
    given = {tape.inputs[0]: torch.arange(3)}
    joined, added = (
        Forward.of(tape, given, products, WEIGHTED).labels[index].tolist() for index in tape.outputs
    )
    assert joined == [0, 1, 2, WEIGHTED, WEIGHTED, WEIGHTED]
    assert added == [MIXED, MIXED, MIXED]
    assert Forward.of(tape, given, products, NONE).labels[tape.outputs[1]].tolist() == [0, 1, 2]


def test_a_channel_of_one_unit_keeps_it_through_pooling() -> None:
    tape = tape_of(lambda x: nn.functional.adaptive_avg_pool2d(x, 2), torch.ones(1, 2, 4, 4))
    of_channels = {tape.inputs[0]: torch.arange(2).repeat_interleave(16)}
    assert Forward.of(tape, of_channels, (), NONE).labels[tape.outputs[0]].tolist() == [0] * 4 + [1] * 4
    of_numbers = {tape.inputs[0]: torch.arange(32)}
    assert Forward.of(tape, of_numbers, (), NONE).labels[tape.outputs[0]].tolist() == [MIXED] * 8
