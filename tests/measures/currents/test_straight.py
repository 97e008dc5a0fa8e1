"""What moves in a straight line, and what need not be computed on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nif.measures.currents.straight import StraightProducts, straight_products, straight_values
from nif.measures.currents.tape import Tape, record

Run = Callable[[Tensor], Tensor]


def straight_kinds(run: Run, parameters: dict[str, Tensor], x: Tensor) -> set[str]:
    """Operations that write what moves in a straight line."""
    tape = taped(run, parameters, x)
    straight = straight_values(tape)
    return {operation.kind for operation in tape.operations if not straight.isdisjoint(operation.written)}


def taped(run: Run, parameters: dict[str, Tensor], x: Tensor, *known: Any) -> Tape:
    return record(lambda mark, values: [run(values)], [x], parameters, *known)


def test_values_move_straight_as_far_as_operations_are_linear() -> None:
    x, norm = torch.randn(4, 3, 6, 6), nn.BatchNorm2d(5).eval()
    conv = nn.Conv2d(3, 5, 3)

    def run(values: Tensor) -> Tensor:
        linear = norm(conv(values * 2)).mean((2, 3)) / 3
        product = linear * linear
        return (product @ torch.ones(5, 2)) / linear[:, :2] + linear.relu()[:, :2]

    kinds = straight_kinds(run, {**dict(conv.named_parameters()), **dict(norm.named_buffers())}, x)
    assert kinds >= {"mul", "convolution", "mean", "div", "slice"}
    assert any("batch_norm" in kind for kind in kinds)
    assert not kinds & {"mm", "relu", "add"}


def test_what_masks_or_indices_of_the_data_choose_does_not_move_straight() -> None:
    def run(values: Tensor) -> Tensor:
        return torch.where(values > 0, values, 0.0) + values.masked_fill(values.sum() > 0, 1.0)

    assert not straight_kinds(run, {}, torch.randn(4, 3)) & {"where", "masked_fill", "add"}


def products(run: Run, parameters: dict[str, Tensor], ends: Sequence[Tensor]) -> StraightProducts:
    """Of the way from one input to another."""
    first, last = (taped(run, parameters, x) for x in ends)
    return StraightProducts.of(first, last, straight_values(first))


@pytest.mark.parametrize(
    "net",
    [
        nn.Sequential(nn.Linear(12, 9), nn.Unflatten(1, (3, 3)), nn.Linear(3, 4), nn.ReLU(inplace=True)),
        nn.Sequential(
            nn.Unflatten(1, (3, 2, 2)), nn.Conv2d(3, 5, 2, padding=1), nn.BatchNorm2d(5), nn.Tanh()
        ),
    ],
)
def test_products_on_the_way_are_as_if_they_were_computed(net: nn.Module) -> None:
    net, ends = net.eval(), torch.randn(2, 6, 12)
    parameters = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    known = products(net, parameters, ends)
    halfway = ends[0] + 0.3 * (ends[1] - ends[0])
    with FlopCounterMode(display=False) as counted:
        tape = taped(net, parameters, halfway, partial(known.result, 0.3))
    assert counted.get_total_flops() == 0 and known.products
    plain = taped(net, parameters, halfway)
    assert tape.like(plain)
    for value, expected in zip(tape.values, plain.values, strict=True):
        torch.testing.assert_close(value, expected)


def test_products_with_what_the_data_may_change_are_computed() -> None:
    """The number of `.item()` is a constant of each run, and not of all."""
    weight = torch.randn(3, 3)
    layers = {"weight": weight}
    for run in (
        lambda x: x @ torch.full((3, 3), x.sum().item()),
        lambda x: x.relu() @ weight,
        lambda x: x @ x.T,
    ):
        tape = taped(run, layers, torch.ones(2, 3))
        assert not straight_products(tape, straight_values(tape))


def test_products_with_weights_of_another_run_are_computed() -> None:
    weight = torch.randn(3, 3)

    def run(x: Tensor) -> Tensor:
        return x @ (weight * x.sum().item())

    known = products(run, {"weight": weight}, [torch.zeros(2, 3), torch.ones(2, 3)])
    x = torch.full((2, 3), 0.5)
    tape = taped(run, {"weight": weight}, x, partial(known.result, 0.5))
    torch.testing.assert_close(tape.values[tape.outputs[0]], run(x))


def test_products_of_another_run_are_computed() -> None:
    """A branch on the way, or another part of the input."""
    weight, ends = torch.randn(2, 2), torch.tensor([[[1.0, 0.0, 0.0]], [[3.0, 2.0, 0.0]]])

    def run(x: Tensor) -> Tensor:
        first = int(1 < float(x[0, 0]) < 3)
        return x[:, first : first + 2] @ weight

    known = products(run, {"weight": weight}, ends)
    assert known.products
    on_the_way = torch.tensor([[2.0, 1.0, 0.0]])
    tape = taped(run, {"weight": weight}, on_the_way, partial(known.result, 0.5))
    torch.testing.assert_close(tape.values[tape.outputs[0]], on_the_way[:, 1:] @ weight)
