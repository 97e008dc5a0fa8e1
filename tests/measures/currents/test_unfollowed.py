"""Networks of which torch shows a part only, and views that show a number twice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.measures.currents.selections import is_dense
from support.currents import measured, total, units

X = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))


class Between(nn.Module):
    """A function of eight hidden numbers, between two Linears."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.out, self.function = nn.Linear(5, 8), nn.Linear(8, 3), function

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.function(self.first(x)))


def by_numpy(hidden: Tensor) -> Tensor:
    return torch.from_numpy(np.tanh(hidden.detach().numpy()))


def half_by_numpy(hidden: Tensor) -> Tensor:
    return torch.cat([hidden[:, :4], by_numpy(hidden[:, 4:])], 1)


def windows(hidden: Tensor) -> Tensor:
    """Two windows of four numbers, of which two are in both."""
    return hidden.contiguous().as_strided((len(hidden), 2, 4), (8, 2, 1)).flatten(1)


def copied_windows(hidden: Tensor) -> Tensor:
    return torch.cat([hidden[:, :4], hidden[:, 2:6]], 1)


def written_in_a_loop(hidden: Tensor) -> Tensor:
    memory = torch.zeros(len(hidden), 8)
    for place in range(4):
        before = memory[:, place - 1] if place else 0
        memory[:, place] = torch.tanh(hidden[:, place] + before)
        memory[:, place + 4] += memory[:, place]
    return memory


def by_rows(hidden: Tensor) -> Tensor:
    return torch.cat([hidden[:20].relu(), hidden[20:].relu()])


def test_what_leaves_torch_in_part_is_a_warning() -> None:
    with pytest.warns(UserWarning, match=r"inputs sum to 0\.\d+ nats and the total is 0\.\d+: .* numpy"):
        result = measured(Between(half_by_numpy), X, rows=20, backgrounds=8)
    assert units(result)[0].sum() < 0.9 * total(result)


@pytest.mark.parametrize("steps", ["auto", 2])
def test_what_leaves_torch_as_a_whole_is_refused(steps: int | str) -> None:
    with pytest.raises(nif.InputError, match="No operation of torch leads from the inputs"):
        measured(Between(by_numpy), X, rows=20, backgrounds=8, steps=steps)


def test_a_layer_on_some_of_the_rows_is_refused_by_name() -> None:
    with pytest.raises(nif.InputError, match=r"Layer 'relu' ran on 20 of \d+ rows.*layers="):
        measured(Between(by_rows), X, rows=30, backgrounds=8, steps=2)


def test_a_layer_whose_first_result_is_not_read_is_refused_by_name() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(1, 4, batch_first=True), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.lstm(x[..., None])[1][0][-1])

    with pytest.raises(nif.InputError, match=r"'lstm' returns first does not lead.*leave it out"):
        measured(Last(), X, rows=20, backgrounds=8, steps=2, layers=["lstm"])


def test_a_view_that_shows_numbers_twice_has_the_currents_of_its_copy() -> None:
    one, other = (
        measured(Between(function), X, rows=20, backgrounds=8, by_class=True)
        for function in (windows, copied_windows)
    )
    np.testing.assert_allclose(units(one)[0], units(other)[0], atol=1e-5 * total(other))
    assert units(one)[0].sum() == pytest.approx(total(one), rel=1e-4)
    assert one.currents is not None
    np.testing.assert_allclose(one.currents.attribution.sum(1), units(one)[0], atol=1e-5 * total(one))


def test_layers_that_are_written_one_after_another_add_up() -> None:
    result = measured(Between(written_in_a_loop), X, rows=12, backgrounds=6, steps=2)
    assert units(result)[0].sum() == pytest.approx(total(result), rel=1e-4)
    for place, layer in enumerate(units(result)[1:], 1):
        into = [links.dense("nats").sum(0) for links in result.links if links.target == place]
        np.testing.assert_allclose(sum(into), layer, atol=1e-4 * total(result))


def test_views_are_dense_where_no_number_is_shown_twice() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        size, stride = (generator.integers(1, 5, 3).tolist() for _ in range(2))
        places = torch.arange(100).as_strided(size, stride).flatten()
        if is_dense(size, stride):
            assert len(places.unique()) == len(places)


class MeanOfKnown(nn.Module):
    """The mean over steps that are not padding, whose number is a layer of whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(2, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        known = x.abs().sum(2) > 0
        steps = self.body(x).relu() * known[:, :, None]
        head: Tensor = self.head(steps.sum(1) / known.sum(1, keepdim=True).clamp_min(1))
        return head


def test_a_layer_of_whole_numbers_that_count_what_is_known() -> None:
    x = torch.randn(60, 4, 2, generator=torch.Generator().manual_seed(0))
    x[::3, 2:] = 0
    flow = nif.measure(
        MeanOfKnown(),
        x,
        nif.Currents(rows=60, backgrounds=59, steps=4, by_class=False, paths=0),
        progress=False,
    )
    p = MeanOfKnown()(x).detach().double().softmax(1)
    assert float(flow.total) == pytest.approx(float((p * (p / p.mean(0)).log()).sum(1).mean()), rel=0.02)
    layers = flow.neurons()["current"].groupby("layer").sum()
    assert layers["input"] == pytest.approx(layers["output"], abs=1e-6)
