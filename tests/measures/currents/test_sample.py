"""Explained rows and their weights, backgrounds that are enough, and those that the user passes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif import InputError
from nif.data.rows import read
from nif.estimators.pairs import Resources
from nif.measures.currents.backgrounds import Explained
from nif.measures.currents.currents import Currents
from nif.measures.currents.decisions import decided_by
from nif.measures.currents.sample import Given, Sample, explained_rows, known
from nif.measures.measure import Measured
from nif.network.decision import Decision, Scale
from nif.network.network import Network


def drawn(rows: int, outputs: int, scale: float = 2.0) -> Tensor:
    return scale * torch.randn(rows, outputs, generator=torch.Generator().manual_seed(rows))


def sample(
    outputs: Tensor,
    chosen: str = "softmax",
    *,
    rows: int = 512,
    most: int = 32,
    given: Given | None = None,
    limit: int | None = None,
) -> Sample:
    decided = decided_by(Decision(Scale.LOGIT, outputs.shape[1], True), outputs, chosen, 0.2, None)
    return Sample.of(decided, outputs, rows, most, np.random.default_rng(0), given, limit=limit)


def test_few_rows_are_all_explained() -> None:
    rows, weights = explained_rows(np.arange(5.0), 9, np.random.default_rng(0))
    assert rows.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(weights, 0.2)


@pytest.mark.parametrize("size", [np.ones(3000), np.r_[np.zeros(2990), np.full(10, 5.0)], np.zeros(3000)])
def test_weights_sum_to_one_and_keep_the_mean(size) -> None:
    rows, weights = explained_rows(size, 200, np.random.default_rng(0))
    assert len(np.unique(rows)) == len(rows) and abs(len(rows) - 200) <= 1
    assert weights.sum() == pytest.approx(1.0) and weights.min() > 0
    assert weights @ size[rows] == pytest.approx(size.mean(), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.02, 0.2])
def test_the_total_of_the_explained_rows_is_that_of_all(noise: float) -> None:
    values = drawn(1500, 1) ** 3
    decided = decided_by(Decision(Scale.VALUE, 1), values, None, noise, None)
    all_rows = Explained.of(decided, values, np.arange(1500)).information()
    totals = []
    for seed in range(12):
        generator = np.random.default_rng(seed)
        rows, weights = explained_rows(known(decided, values, generator), 200, generator)
        totals.append(weights @ all_rows[rows])
    assert np.std(totals) < 0.005 * all_rows.mean()
    assert np.mean(totals) == pytest.approx(all_rows.mean(), rel=0.005)


def test_rare_classes_are_not_missed() -> None:
    rare = torch.cat([torch.zeros(5000, 1), 4 * drawn(5000, 1) - 20], dim=1)
    assert (rare.argmax(1) == 1).float().mean() < 0.02
    decided = decided_by(Decision(Scale.LOGIT, 2, True), rare, None, 0.2, None)
    all_rows = Explained.of(decided, rare, np.arange(5000)).information().mean()
    some = sample(rare, rows=200)
    assert some.exact == pytest.approx(all_rows, rel=1e-4)


def test_backgrounds_are_added_where_the_total_is_missed() -> None:
    with pytest.warns(UserWarning, match="2 backgrounds miss the total of .* nats; [0-9]+ are used"):
        some = sample(drawn(150, 4), "value", most=2)
    assert some.backgrounds.index.shape[1] > 2


def test_what_a_limit_of_backgrounds_misses_is_said() -> None:
    match = "2 backgrounds miss the total of .* nats; 3 are used, which are [0-9.]+ nats off; .*backgrounds=6"
    with pytest.warns(UserWarning, match=match):
        some = sample(drawn(150, 4), "value", most=2, limit=3)
    assert some.backgrounds.index.shape[1] == 3
    with pytest.warns(UserWarning, match="nats; [0-9]+ are used.$"):
        sample(drawn(150, 4), "value", most=2, limit=1000)


@pytest.mark.parametrize("chosen", ["softmax", "value", "bernoulli"])
def test_constant_outputs_need_no_more_backgrounds(chosen: str) -> None:
    some = sample(torch.full((100, 2), 0.3), chosen, most=4)
    assert some.exact == pytest.approx(0.0, abs=1e-6)
    assert some.backgrounds.index.shape == (100, 4)


def test_two_rows_are_enough_and_one_is_not() -> None:
    assert sample(torch.eye(2)).backgrounds.index.tolist() == [[1], [0]]
    with pytest.raises(InputError, match="One row has no others"):
        sample(torch.eye(2)[:1])


def test_a_pilot_keeps_the_weights() -> None:
    part = sample(drawn(300, 3)).pilot(20, 8)
    assert part.backgrounds.index.shape == (20, 8)
    assert part.weights.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(np.exp(part.backgrounds.log_weights).sum(1) + part.backgrounds.own, 1.0)


def test_a_pool_and_pairs() -> None:
    outputs, pool = drawn(40, 3), drawn(80, 3)
    p, others = outputs.log_softmax(1), pool.softmax(1)
    by_pool = sample(outputs, given=Given((), pool))
    divergence = (p.exp() * (p - others.mean(0).log())).sum(1).mean()
    assert by_pool.exact == pytest.approx(float(divergence), rel=1e-5)
    assert by_pool.backgrounds.own == 0 and not by_pool.paired
    by_pairs = sample(outputs, given=Given((), pool, each=2))
    divergence = (p.exp() * (p - others.reshape(40, 2, 3).mean(1).log())).sum(1).mean()
    assert by_pairs.exact == pytest.approx(float(divergence), rel=1e-5)
    assert by_pairs.paired and by_pairs.backgrounds.index[3].tolist() == [6, 7]
    assert (by_pairs.pool_groups[by_pairs.backgrounds.index] == by_pairs.groups[by_pairs.rows][:, None]).all()


def measured(net: nn.Module, data, method: Currents) -> Measured:
    network = Network.of(net)
    rows = read(data, network.signature)
    return method.measure(network, rows, seed=0, resources=Resources(10**9, 1), advance=lambda steps: None)


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))


@pytest.mark.parametrize(
    "background, name",
    [
        (None, "I(X; Y)"),
        (drawn(30, 3).numpy(), "mean divergence from the mean decision of the background"),
        (drawn(60, 6).reshape(60, 2, 3), "mean divergence from the decision at the backgrounds of each row"),
    ],
)
def test_currents_sum_to_the_total_for_every_background(net, background, name: str) -> None:
    found = measured(net, drawn(60, 3), Currents(background=background, steps=2))
    assert found.currents is not None
    assert found.options["total_is"] == name
    assert found.currents.total.nats == pytest.approx(found.options["exact_total"], rel=0.01)
    for units in found.currents.units:
        assert float(units.nats.sum()) == pytest.approx(found.currents.total.nats, rel=1e-4)


def test_a_background_of_another_shape_is_refused(net) -> None:
    with pytest.raises(InputError, match=r"The background has shape \[60, 4\] for data of shape \[60, 3\]"):
        measured(net, drawn(60, 3), Currents(background=drawn(60, 4)))


def test_a_row_that_is_its_own_background_carries_nothing(net) -> None:
    x = drawn(60, 3)
    found = measured(net, x, Currents(background=x[:, None], steps=1))
    assert found.currents is not None and found.currents.total.nats == 0.0


def test_constant_values_carry_exactly_nothing(net) -> None:
    nn.init.zeros_(net[2].weight)
    found = measured(net, drawn(60, 3), Currents("value", steps=1))
    assert found.currents is not None and found.currents.total.nats == 0.0


def test_background_is_for_currents(net) -> None:
    with pytest.raises(InputError, match="background is for currents"):
        nif.measure(net, drawn(60, 3), nif.GaussianCopula(), background=drawn(9, 3))
