"""Currents of whole networks: conserved at any number of steps, and shared as by many midpoint gradients."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from support.current_architectures import ARCHITECTURES
from support.current_steps import conductances, step_of, unit_currents
from support.trained_networks import TRAINED, trained


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("steps", [1, 2])
def test_the_inputs_carry_the_change_of_the_output(name: str, steps: int) -> None:
    torch.manual_seed(0)
    model, shape = ARCHITECTURES[name]()
    tensors = {**dict(model.eval().named_parameters()), **dict(model.named_buffers())}
    start, end = torch.randn(2, 3, *shape)
    grid = [start + step / steps * (end - start) for step in range(steps + 1)]
    for here, there in itertools.pairwise(grid):
        step = step_of(model, here, there, tensors)
        assert step.imbalance < 1e-5
        assert not step.general


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_rows_do_not_mix(name: str) -> None:
    torch.manual_seed(0)
    model, shape = ARCHITECTURES[name]()
    model = model.eval().double()
    start, end = torch.randn(2, 3, *shape, dtype=torch.float64)
    end[1:] = start[1:]
    step = step_of(model, start, end)
    assert (step.carried[1:] == 0).all()
    assert step.imbalance < 1e-10


INSIDE = {"1.self_attn", "1.linear1"}
"""Layers beside which a residual stream carries current as well."""


def by_unit(currents: Tensor) -> Tensor:
    """Sums over rows and over positions: images have their units second, sequences last."""
    sums = currents.detach().sum(0)
    return sums.flatten(1).sum(1) if sums.dim() == 3 else sums.reshape(-1, sums.shape[-1]).sum(0)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_units_share_as_by_many_midpoint_gradients(name: str) -> None:
    model, rows, names = trained(name)
    start, end = rows[:24], rows[24:48]
    weight = model(end).softmax(-1).detach()

    def decide(outputs: Tensor) -> Tensor:
        return (weight * outputs.log_softmax(-1)).sum(-1)

    with torch.no_grad():
        total = float((decide(model(end)) - decide(model(start))).sum())
    expected = conductances(model, names, start, end, 512, decide)
    currents = unit_currents(model, names, start, end, 16, decide)
    for layer in names:
        error = (by_unit(currents[layer]) - by_unit(expected[layer])).abs().max()
        assert float(error) < 0.01 * abs(total)
        if layer not in INSIDE:
            assert float(currents[layer].sum()) == pytest.approx(total, rel=1e-9)


def test_the_output_itself_has_the_conductance_of_captum() -> None:
    captum = pytest.importorskip("captum.attr")
    model, rows, names = trained("mlp")
    start, end = rows[:1].expand(8, -1).contiguous(), rows[1:9]
    currents = unit_currents(model, names, start, end, 64, lambda outputs: outputs[..., 1])
    for name in names:
        twin = captum.LayerConductance(model, dict(model.named_modules())[name])
        expected = twin.attribute(end, start, target=1, n_steps=1000, internal_batch_size=16000).detach()
        error = (currents[name] - expected).abs().sum(1) / expected.abs().sum(1)
        assert float(error.max()) < 0.01
        assert float(error.median()) < 0.002


def test_a_unit_in_two_halves_splits_its_current() -> None:
    torch.manual_seed(0)
    first, second = nn.Linear(4, 3).double(), nn.Linear(3, 1).double()
    whole = nn.Sequential(first, nn.GELU(), second)
    halves = nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 1)).double()
    with torch.no_grad():
        order = [0, 1, 2, 2]
        halves[0].weight.copy_(first.weight[order])
        halves[0].bias.copy_(first.bias[order])
        halves[2].weight.copy_(second.weight[:, order] * torch.tensor([1, 1, 0.5, 0.5]))
        halves[2].bias.copy_(second.bias)
    start, end = torch.randn(2, 5, 4, dtype=torch.float64)
    one, two = (
        unit_currents(model, ["1"], start, end, 3, lambda outputs: outputs[..., 0].sigmoid())["1"]
        for model in (whole, halves)
    )
    torch.testing.assert_close(two[:, :2], one[:, :2])
    torch.testing.assert_close(two[:, 2:], one[:, 2:].expand(-1, 2) / 2)


def test_rescaled_layers_have_the_same_currents() -> None:
    model, rows, names = trained("mlp")
    before = unit_currents(model, names, rows[:8], rows[8:16], 4, lambda outputs: outputs[..., 0])
    with torch.no_grad():
        model[0].weight.mul_(1e-6)
        model[0].bias.mul_(1e-6)
        model[2].weight.mul_(1e6)
    after = unit_currents(model, names, rows[:8], rows[8:16], 4, lambda outputs: outputs[..., 0])
    for name in names:
        torch.testing.assert_close(after[name], before[name], atol=1e-8, rtol=1e-8)
