"""Every rule is balanced, agrees with the gradient on a short step, and gives nothing to what is not used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nif.network.operators import BY_NAME, Rule
from support import operator_probes
from support.current_probes import ELEMENTWISE, GENERAL, NO_GRADIENT, PROBES
from support.current_steps import ends, step_of, tensors
from support.operator_probes import DRAWS, Probe, special
from support.probe_functions import ROWS


def of_numbers(probe: Probe) -> bool:
    return not probe.random and all(values.is_floating_point() for values in probe.drawn(0))


TABLE_PROBES = {
    name: kept
    for name, probes in operator_probes.PROBES.items()
    if DRAWS.get(name) is not special and (kept := [probe for probe in probes if of_numbers(probe)])
}
"""Those of the table of operators whose numbers may move."""


def gradient_of(run: Callable[[Tensor], Any], at: Tensor, numbers: tuple[int, ...]) -> Tensor:
    """By autograd, from the random slopes of `step_of`."""
    at = at.clone().requires_grad_()
    outputs = dict(zip(reversed(numbers), reversed(tensors(run(at))), strict=True))
    generator, total = torch.Generator().manual_seed(0), torch.zeros(())
    for number in dict.fromkeys(numbers):
        seed = torch.rand(outputs[number].shape, generator=generator, dtype=torch.float64) + 0.5
        total = total + (seed * outputs[number].nan_to_num(0, 0, 0)).sum()
    return torch.autograd.grad(total, at)[0]


@pytest.mark.parametrize("name", PROBES)
@pytest.mark.parametrize(
    "dtype, limit, seeds", [(torch.float64, 1e-10, (0, 1)), (torch.float32, 1e-5, (1, 2))], ids=str
)
def test_what_flows_in_flows_out(name: str, dtype: torch.dtype, limit: float, seeds: tuple[int, int]) -> None:
    run, shape = PROBES[name]
    for seed in seeds:
        step = step_of(run, *ends(shape, dtype, seed=seed))
        assert step.imbalance < limit
        assert bool(torch.isfinite(step.slopes).all())
        assert set(step.general) <= GENERAL or "moving weight" in name


@pytest.mark.parametrize("name", [name for name in PROBES if name not in NO_GRADIENT])
def test_a_short_step_has_the_gradient(name: str) -> None:
    run, shape = PROBES[name]
    start, end = ends(shape, torch.float64, seed=5, length=1e-5)
    step = step_of(run, start, end)
    gradient = gradient_of(run, (start + end) / 2, step.start.outputs)
    torch.testing.assert_close(step.slopes, gradient, atol=1e-4 * float(gradient.abs().mean()), rtol=1e-3)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_a_number_that_is_not_used_carries_nothing(name: str) -> None:
    run, _ = ELEMENTWISE[name]
    start, end = ends(ROWS, torch.float32)
    step = step_of(
        lambda x: [one[0] for one in tensors(run(x * torch.tensor([[1.0], [0], [0], [0]])))], start, end
    )
    assert (step.carried[1:] == 0).all()
    assert (step.carried[(start == end)] == 0).all()


@pytest.mark.parametrize(
    "run",
    [
        lambda x: x.softmax(1),
        lambda x: x.log_softmax(1),
        lambda x: (30 * x).softmax(1),
        lambda x: torch.logaddexp(x[:, :3], x[:, 3:]) - x.logsumexp(1, True),
        lambda x: (x > x.mean(1, True)) * 1.0,
        lambda x: x.amax(1) - x.mean(1),
        lambda x: torch.maximum(x, x.flip(1)) - x.amax(1, True),
        lambda x: x.sort(1).values.diff(dim=1),
        lambda x: x.argmax(1, True) * 1.0,
        lambda x: F.layer_norm(x, (6,)),
    ],
)
def test_a_constant_that_is_added_to_all_changes_nothing(run: Callable[[Tensor], Tensor]) -> None:
    start, end = ends(ROWS, torch.float64)
    shift = torch.tensor([[3.0], [-1], [0.5], [7]], dtype=torch.float64)
    plain, moved = step_of(run, start, end), step_of(run, start + 2, end + shift)
    torch.testing.assert_close(plain.slopes, step_of(run, start + 2, end + 2).slopes, atol=1e-9, rtol=1e-9)
    jump = (moved.slopes * (shift - 2)).sum(1)  # what the constant itself carries
    torch.testing.assert_close(jump, torch.zeros_like(jump), atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    "written",
    [
        lambda x: x * (x > 0),
        lambda x: torch.where(x > 0, x, 0.0),
        lambda x: x.masked_fill(x < 0, 0.0),
        lambda x: torch.maximum(x, torch.zeros_like(x)),
        lambda x: x.clamp(min=0),
        lambda x: (x + x.abs()) / 2,
        lambda x: torch.stack([x, x * 0], 2).amax(2),
        lambda x: x.clamp(min=torch.zeros(6, dtype=x.dtype)),
        lambda x: torch.stack([x, x * 0], 2).sort(2).values[..., 1],
        lambda x: x * torch.heaviside(x, x * 0),
        lambda x: torch.stack([x, x * 0], 2).gather(2, (x < 0).long()[..., None])[..., 0],
    ],
)
def test_relu_in_other_words_has_the_slopes_of_relu(written: Callable[[Tensor], Tensor]) -> None:
    start, end = ends(ROWS, torch.float64)
    expected, step = step_of(F.relu, start, end), step_of(written, start, end)
    moves = start != end
    torch.testing.assert_close(step.slopes[moves], expected.slopes[moves], atol=1e-6, rtol=1e-6)


def normalized(x: Tensor, axis: int) -> Tensor:
    """A norm by operations that have rules of their own."""
    centred = x - x.mean(axis, True)
    result: Tensor = centred * (centred * centred).mean(axis, True).add(1e-5).rsqrt()
    return result


SCALE = torch.arange(1.0, 7, dtype=torch.float64)


@pytest.mark.parametrize(
    "norm, written",
    [
        (lambda x: F.layer_norm(x, (6,), SCALE, SCALE), lambda x: normalized(x, 1) * SCALE + SCALE),
        (
            lambda x: F.layer_norm(x.unflatten(1, (2, 3)), (2, 3), SCALE.view(2, 3)).flatten(1),
            lambda x: normalized(x, 1) * SCALE,
        ),
        (
            lambda x: F.group_norm(x[..., None], 2, SCALE).flatten(1),
            lambda x: normalized(x.unflatten(1, (2, 3)), 2).flatten(1) * SCALE,
        ),
        (
            lambda x: F.instance_norm(x.unflatten(1, (2, 3))).flatten(1),
            lambda x: normalized(x.unflatten(1, (2, 3)), 2).flatten(1),
        ),
        (lambda x: F.batch_norm(x, None, None, SCALE, training=True), lambda x: normalized(x, 0) * SCALE),
    ],
    ids=["layer", "layer of two axes", "group", "instance", "batch"],
)
def test_a_norm_in_other_words_has_its_slopes(
    norm: Callable[[Tensor], Tensor], written: Callable[[Tensor], Tensor]
) -> None:
    start, end = ends(ROWS, torch.float64)
    step, expected = step_of(norm, start, end), step_of(written, start, end)
    assert not step.general
    torch.testing.assert_close(step.slopes, expected.slopes, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1e3, 1e8])
@pytest.mark.parametrize("name", ["relu", "max", "maximum", "leaky_relu", "abs"])
def test_the_unit_of_measurement_of_relu_does_not_matter(name: str, scale: float) -> None:
    run = {
        "relu": F.relu,
        "leaky_relu": F.leaky_relu,
        "abs": torch.abs,
        "max": lambda x: x.amax(1),
        "maximum": lambda x: torch.maximum(x, x.flip(1)),
    }[name]
    start, end = ends(ROWS, torch.float64)
    plain, scaled = step_of(run, start, end), step_of(run, start * scale, end * scale)
    torch.testing.assert_close(scaled.slopes, plain.slopes, atol=1e-9, rtol=1e-6)


def test_a_mask_of_minus_infinity_gives_no_nan() -> None:
    mask = torch.ones(5, 5).triu(1).bool()
    start, end = ends((2, 5, 5), torch.float64)
    for run in (
        lambda x: x.masked_fill(mask, -torch.inf).softmax(-1),
        lambda x: (x + torch.zeros(5, 5).masked_fill(mask, -torch.inf)).softmax(-1),
        lambda x: x.masked_fill(mask, -torch.inf).log_softmax(-1).masked_fill(mask, 0),
        lambda x: torch.where(mask, -torch.inf, x).logsumexp(-1),
        lambda x: x.masked_fill(mask, -torch.inf).amax(-1),
        lambda x: torch.logaddexp(x.masked_fill(mask, -torch.inf), x),
    ):
        step = step_of(run, start, end)
        assert bool(torch.isfinite(step.slopes).all())
        assert step.imbalance < 1e-10


def test_the_bits_depend_on_nothing_else() -> None:
    model = nn.Sequential(nn.Linear(6, 5), nn.Mish(), nn.Linear(5, 2))
    start, end = ends(ROWS, torch.float32)
    assert torch.equal(step_of(model, start, end).slopes, step_of(model, start, end).slopes)


def in_one(probe: Probe) -> tuple[Callable[[Tensor], Any], Tensor, Tensor]:
    """A call of an operator as a function of all its numbers in a row, and two draws of them."""
    drawn = [probe.drawn(seed) for seed in (0, 1)]
    sizes = [values.numel() for values in drawn[0]]

    def run(x: Tensor) -> Any:
        torch.default_generator.manual_seed(0)
        parts = zip(x.split(sizes), drawn[0], strict=True)
        return probe.run(*[part.reshape(values.shape) * 1.0 for part, values in parts])

    start, end = (torch.cat([values.flatten() for values in draw]) for draw in drawn)
    return run, start, end


@pytest.mark.filterwarnings("ignore:`nn.functional.upsample")
@pytest.mark.parametrize("name", sorted(TABLE_PROBES))
def test_every_operator_of_the_table_is_balanced(name: str) -> None:
    limit = 2e-3 if name in ("bfloat16", "half", "to") else 1e-5  # these round
    for probe in TABLE_PROBES[name]:
        step = step_of(*in_one(probe))
        assert step.imbalance < limit
        assert bool(torch.isfinite(step.slopes).all())
        assert not step.general or BY_NAME[name].rule is Rule.GENERAL


def inverse(x: Tensor) -> Tensor:
    """Of a matrix for each row."""
    return torch.linalg.inv(x[:, :, None] * x[:, None] + 6 * torch.eye(x.shape[1], dtype=x.dtype))


def test_an_unknown_operation_is_counted_and_balanced() -> None:
    step = step_of(inverse, *ends(ROWS, torch.float64))
    assert step.general == {"linalg_inv_ex": 1}
    assert step.imbalance < 1e-10


@pytest.mark.parametrize(
    "run",
    [
        lambda x: x * float(x.sum()),
        lambda x: x.roll(int(x.abs().sum()), 1).exp(),
        lambda x: x.clamp(max=x.max().item()),
        lambda x: x[:, int(x[0, 0] > 0) :][:, :4] + 1,
        lambda x: F.pad(x, (k := int(x[0, 1] > 0), 1 - k)),
        lambda x: x.softmax(int(x[0, 0] > 0)),
    ],
)
def test_arguments_that_depend_on_the_data(run: Callable[[Tensor], Tensor]) -> None:
    for seed in range(4):
        step = step_of(run, *ends(ROWS, torch.float64, seed=seed))
        assert step.imbalance < 1e-10


def test_rows_share_nothing_by_the_general_rule() -> None:
    start, end = ends(ROWS, torch.float64)
    end[2:] = start[2:]
    whole, part = (step_of(inverse, a, b) for a, b in ((start, end), (start[:2], end[:2])))
    assert torch.isfinite(whole.slopes).all()
    assert whole.imbalance < 1e-10 and part.imbalance < 1e-10
