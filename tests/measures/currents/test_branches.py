"""Networks that choose their operations by the data, row by row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.measures.currents.branches import by_both_ends, repeated
from nif.measures.currents.tape import Tape, record
from support.currents import measured, total, units

X = torch.randn(24, 3, generator=torch.Generator().manual_seed(0))


class Branching(nn.Module):
    """One number a row decides which of two operations runs; or, in one piece, is passed by a module."""

    def __init__(self, branch: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.relu, self.middle = nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 1)
        self.leaky, self.out = nn.LeakyReLU(0.3), nn.Linear(1, 2)
        with torch.no_grad():
            self.middle.weight.mul_(8)
            self.out.weight.mul_(4)
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.middle(self.relu(self.first(x)))
        if self.branch is None:
            return self.out(self.leaky(hidden))
        return self.out(torch.stack([self.branch(row) for row in hidden]))


def leaky(number: Tensor) -> Tensor:
    """LeakyReLU, by a branch."""
    return number if number > 0 else number * 0.3


def jump(number: Tensor) -> Tensor:
    """Half of the rows are given a constant."""
    return number + 1 if number > 0 else number


NO_GRAPH = pytest.mark.filterwarnings("ignore:The model chooses its path by the data")


@pytest.mark.slow
@NO_GRAPH
def test_a_continuous_branch_has_the_currents_of_the_same_network_in_one_piece() -> None:
    expected = measured(Branching(), X, steps=64, rows=8, backgrounds=4)
    with pytest.warns(
        UserWarning, match=r"different operations along the way.* miss 0\.\d\d% of the total\."
    ):
        result = measured(Branching(leaky), X, steps="auto", rows=8, backgrounds=4)
    assert 0 < result.options["missed_by_branches"] <= 0.01
    assert total(result) == pytest.approx(expected.options["exact_total"], rel=0.02)
    for layer in (0, 1):  # the input and the units of the first layer
        np.testing.assert_allclose(units(result)[layer], units(expected)[layer], atol=0.01 * total(expected))
        assert units(result)[layer].sum() == pytest.approx(total(result), rel=1e-5)
    assert set(result.options["in_proportion"]) == {"input to relu", "relu to output"}


@NO_GRAPH
def test_a_jump_that_no_number_of_steps_closes_is_said() -> None:
    with pytest.warns(UserWarning, match=r"more than 1%|pass more steps, such as Currents\(steps=16\)"):
        result = measured(Branching(jump), X, steps=4, rows=4, backgrounds=4)
    missed = result.options["missed_by_branches"]
    assert abs(total(result) - result.options["exact_total"]) <= 1.01 * missed * abs(total(result)) + 1e-5
    assert missed > 0.01


def test_rows_one_at_a_time_without_a_branch_are_exact() -> None:
    expected = measured(Branching(), X, rows=8, backgrounds=4)
    result = measured(Branching(lambda row: nn.functional.leaky_relu(row, 0.3)), X, rows=8, backgrounds=4)
    np.testing.assert_allclose(units(result)[0], units(expected)[0], atol=1e-5 * total(expected))
    assert "missed_by_branches" not in result.options


class RowByRow(nn.Module):
    """Weights are read by each row alone."""

    def __init__(self, batched: bool) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.net, self.batched = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), batched

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) if self.batched else torch.stack([self.net(row) for row in x])


def test_links_of_weights_that_read_single_rows_are_shared_in_proportion() -> None:
    expected, result = (measured(RowByRow(batched), X, rows=4, backgrounds=4) for batched in (True, False))
    assert result.options["in_proportion"] == ["input to output"]
    np.testing.assert_allclose(units(result)[0], units(expected)[0], atol=1e-5 * total(expected))
    np.testing.assert_allclose(result.links[0].nats.sum(1), units(expected)[0], atol=1e-5 * total(expected))


def tape_of(run: Callable[[Tensor], Tensor], x: Tensor) -> Tape:
    return record(lambda mark, x: [run(x)], [x], {})


def test_shares_are_those_of_the_parts_on_either_side_of_a_branch() -> None:
    def run(x: Tensor) -> Tensor:
        return (x * 3 if x > 0 else x)[None, None]

    ends = torch.tensor(-1.0), torch.tensor(3.0)
    parts, missed = by_both_ends(
        *(tape_of(run, x) for x in ends), lambda share: [torch.tensor(4 * share - 1)], torch.ones(1, 1)
    )
    assert missed == 0
    torch.testing.assert_close([float(slopes) for *_, slopes in parts], [0.25, 0.75])


def test_operations_with_no_numbers_at_the_other_end_are_taken_over_less_of_the_step() -> None:
    def run(x: Tensor) -> Tensor:
        return (x.log() if x > 0 else 2 * x - 2)[None, None]

    tapes = [tape_of(run, torch.tensor(x)) for x in (-1.0, 1.0)]
    parts, missed = by_both_ends(*tapes, lambda share: [torch.tensor(2 * share - 1)], torch.ones(1, 1))
    (start, end, slopes), (_, last, others) = parts
    assert (start, last) == (tapes[0], tapes[1])
    assert float(end.values[end.outputs[0]]) == 0  # 2 x - 2 at x = 1
    assert float(missed) == pytest.approx(0, abs=1e-6)
    assert (
        float(last.values[0]) == 1 and float(parts[1][0].values[0]) == 0.5
    )  # half of the way would be log 0
    assert (float(slopes), float(others)) == (1, 0)
    with pytest.raises(nif.InputError, match="give no numbers on the other"):
        by_both_ends(*tapes, lambda share: [torch.tensor(-1.0)], torch.ones(1, 1))


def test_repeated_operations_return_what_the_run_returns() -> None:
    def run(x: Tensor) -> Tensor:
        hidden = x.clone()
        hidden[:, 0] *= 2
        return hidden.sort(1).values * (x > 0) + x[:, [0]].relu_()

    here, there = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(3))
    again = repeated(tape_of(run, here), [there])
    assert again is not None
    torch.testing.assert_close(again.values[again.outputs[0]], run(there))


def test_indices_that_lead_to_other_shapes_stay_as_they_are() -> None:
    def run(x: Tensor) -> Tensor:
        return (x * 2)[x > 0].sum()

    here, there = torch.tensor([1.0, -1.0, 2.0]), torch.tensor([3.0, 4.0, 5.0])
    assert repeated(tape_of(run, here), [there]) is None
    again = repeated(tape_of(run, here), [there], fixed=True)
    assert again is not None
    assert float(again.values[again.outputs[0]]) == 16
