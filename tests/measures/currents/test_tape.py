"""The tape of a run: what it holds, and what is written in place."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nif.measures.currents.operation import Value
from nif.measures.currents.tape import Shape, Tape, record
from support.current_architectures import ARCHITECTURES
from support.current_probes import PROBES
from support.current_steps import ends, tensors


def tape_of(run: Any, *inputs: Tensor) -> Tape:
    return record(lambda mark, *x: tensors(run(*x)), [x.clone() for x in inputs], {})


@pytest.mark.parametrize("name", PROBES)
def test_the_tape_holds_the_results_of_the_run(name: str) -> None:
    run, shape = PROBES[name]
    values = ends(shape, torch.float64)[0]
    tape = tape_of(run, values)
    for number, expected in zip(tape.outputs, tensors(run(values.clone())), strict=True):
        torch.testing.assert_close(tape.values[number], expected, equal_nan=True)


@pytest.mark.parametrize("name", PROBES)
def test_every_operation_gives_its_results_again(name: str) -> None:
    run, shape = PROBES[name]
    tape = tape_of(run, ends(shape, torch.float64)[0])
    for operation in tape.operations:
        results = operation.again(lambda index: tape.values[index])
        for number, result in zip(operation.written, results, strict=True):
            if number in tape.moving and operation.kind != "rrelu_with_noise":
                torch.testing.assert_close(tape.values[number], result, equal_nan=True)


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_network_on_the_tape_returns_what_it_returns(name: str) -> None:
    torch.default_generator.manual_seed(0)
    model, shape = ARCHITECTURES[name]()
    values = torch.randn(3, *shape)
    tape = tape_of(model.eval(), values)
    with torch.no_grad():
        torch.testing.assert_close(tape.values[tape.outputs[0]], model(values), atol=1e-5, rtol=1e-5)


def test_names_marks_and_what_moves() -> None:
    model = nn.Linear(3, 2)
    values = torch.randn(4, 3)

    def run(mark: Any, x: Tensor) -> list[Tensor]:
        hidden = model(x)
        mark("hidden", hidden)
        mark("hidden", x)  # the first counts
        mark("elsewhere", torch.ones(1))
        return [hidden * (x.sum(1, True) > 0), model.bias * 2]

    tape = record(run, [values], dict(model.named_parameters()))
    assert set(tape.parameters.values()) == {"weight", "bias"}
    assert tape.marks is not None
    assert torch.equal(tape.values[tape.marks["hidden"]], model(values))
    first, second = tape.outputs
    assert first in tape.moving and second not in tape.moving
    masks = [tape.values[index] for index in tape.dependent]
    assert [mask.dtype for mask in masks] == [torch.bool]


def test_what_is_not_kept_has_its_shape_and_zeros() -> None:
    tape = tape_of(lambda x: (x + 1).sum(), torch.randn(4, 3))
    middle = tape.operations[0].written[0]
    assert middle is not None
    tape.forget(set(tape.outputs))
    assert isinstance(tape.values[middle], Shape)
    assert tape.shape(middle) == (4, 3)
    assert torch.equal(tape.tensor(middle), torch.zeros(4, 3))
    assert tape.value(Value(tape.outputs[0])).dim() == 0 and tape.value(3) == 3


@pytest.mark.parametrize("run", [
    lambda x: x * 2 if bool((x > 0).all()) else x + 2,
    lambda x: x[x > 0],
    lambda x: x.relu().nonzero() * 1.0,
    lambda x: torch.stack([one * 2 for one in x if bool(one.sum() > -2)] + [x[0]]),
])  # fmt: skip
def test_runs_of_different_operations_or_shapes_are_not_alike(run: Any) -> None:
    here, there = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[-1.0, -2.0], [3.0, -4.0]])
    assert tape_of(run, here).like(tape_of(run, here))
    assert not tape_of(run, here).like(tape_of(run, there))


def test_other_numbers_among_the_arguments_are_still_alike() -> None:
    run = lambda x: x * float(x.sum())  # noqa: E731
    one, two = tape_of(run, torch.ones(2)), tape_of(run, torch.zeros(2))
    assert one.like(two)
    assert not all(a.like(b) for a, b in zip(one.operations, two.operations, strict=True))


def test_several_inputs_and_an_input_that_is_returned() -> None:
    first, second = torch.ones(2), torch.zeros(2)
    tape = record(lambda mark, a, b: [b, a], [first, second], {})
    assert tape.outputs == (1, 0) and tape.inputs == (0, 1)


def test_an_input_that_is_written_in_place_keeps_its_value() -> None:
    values = torch.tensor([1.0, -1.0])
    tape = record(lambda mark, x: [x.relu_() * 2], [values.clone()], {})
    assert torch.equal(tape.values[tape.inputs[0]], values)


def test_memory_that_was_never_written_counts_as_zero() -> None:
    tape = tape_of(lambda x: torch.empty_like(x).copy_(x) + x.new_empty(3), torch.ones(3))
    assert torch.equal(tape.values[tape.outputs[0]], torch.ones(3))
