"""Standard errors of currents: what is left out, what is counted, and how often intervals cover the truth."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from nif.flow.current_views import p_values
from nif.measures.currents.backgrounds import Backgrounds, Explained
from nif.measures.currents.decisions import Bernoullis, Classes, Values
from nif.measures.currents.errors import Jackknife, spread, total_stderr, totals_without
from nif.measures.currents.grouped_sums import GROUPS, GroupedSum
from nif.measures.currents.information import Decided
from nif.measures.currents.kinds import Kind, Samples
from nif.measures.currents.sample import Sample
from support.currents import measured, total, trained, units
from support.networks import chain

X = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
OUTPUTS = torch.randn(60, 3, generator=torch.Generator().manual_seed(1))


def log_softmax(outputs: Tensor) -> Tensor:
    return outputs.log_softmax(-1)


def answers(outputs: Tensor) -> Tensor:
    logit = outputs.reshape(-1, 1)
    return torch.cat([-logit, logit], 1).sigmoid().log().reshape(len(outputs), -1)


DECISIONS: list[Decided] = [Classes(log_softmax, 3, ""), Bernoullis(answers, 3, "")]


def sample_of(outputs: Tensor, rows: np.ndarray, groups: np.ndarray) -> Samples:
    """A sample of some rows, all with one weight."""
    nothing = Backgrounds(np.zeros((len(rows), 1), dtype=np.int64), np.zeros((len(rows), 1)), 0.0)
    weights = np.full(len(rows), 1 / len(rows))
    known = np.zeros(len(outputs))
    sample = Sample(rows, weights, nothing, known, groups, outputs, groups, paired=False, exact=0.0)
    every = np.arange(len(outputs))
    return Samples((Kind(sample, every, every),), groups, groups)


def exact_total(decided: Decided, outputs: Tensor) -> float:
    """The total of all rows, in closed form."""
    return float(Explained.of(decided, outputs, np.arange(len(outputs)), None).information().mean())


@pytest.mark.parametrize("decided", DECISIONS, ids=["classes", "answers"])
def test_totals_without_a_group_are_those_of_the_other_rows(decided: Decided) -> None:
    groups, rows = np.arange(60) % GROUPS, np.arange(60)
    totals = totals_without(decided, OUTPUTS, sample_of(OUTPUTS, rows, groups))
    for group, value in totals.items():
        kept = OUTPUTS[torch.from_numpy(groups != group)]
        exact = exact_total(decided, kept)
        assert value == pytest.approx(exact, rel=1e-5)


def test_the_noise_of_a_value_follows_the_rows_that_are_left() -> None:
    outputs = OUTPUTS[:, :2] * torch.tensor([1.0, 5.0])
    groups, rows = np.arange(60) % GROUPS, np.arange(60)
    decided = Values(0.2 * outputs.std(0), "")
    totals = totals_without(decided, outputs, sample_of(outputs, rows, groups))
    for group, value in totals.items():
        kept = outputs[torch.from_numpy(groups != group)]
        exact = exact_total(Values(0.2 * kept.std(0), ""), kept)
        assert value == pytest.approx(float(exact), rel=0.005)


def of_pairs(pairs: Tensor) -> GroupedSum:
    """Sums of numbers of ``[row group, background group, element]``."""
    sums = GroupedSum()
    for group, parts in enumerate(pairs):
        sums.add(group, list(parts))
    return sums


def test_each_group_is_left_out_in_both_roles() -> None:
    pairs = torch.randn(GROUPS, GROUPS, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sums = of_pairs(pairs)
    for group in range(GROUPS):
        others = [other for other in range(GROUPS) if other != group]
        without = sums.total - sums.involving[group]
        np.testing.assert_allclose(without, pairs[others][:, others].sum((0, 1)))


def test_contrasts_see_only_what_is_particular_to_pairs() -> None:
    generator = torch.Generator().manual_seed(0)
    of_rows, of_backgrounds = torch.randn(2, GROUPS, 5, generator=generator, dtype=torch.float64)
    for contrast in of_pairs(of_rows[:, None] + of_backgrounds[None]).contrasts.values():
        np.testing.assert_allclose(contrast, 0, atol=1e-12)


@pytest.mark.parametrize(("of_groups", "of_pairs_alone"), [(1.0, 0.0), (0.0, 1.0), (1.0, 3.0)])
def test_the_error_is_the_deviation_of_sums_of_groups_and_pairs(
    of_groups: float, of_pairs_alone: float
) -> None:
    generator, elements = torch.Generator().manual_seed(0), 4000
    rows, backgrounds = torch.randn(2, GROUPS, elements, generator=generator, dtype=torch.float64)
    pairs = torch.randn(GROUPS, GROUPS, elements, generator=generator, dtype=torch.float64)
    summands = of_groups * (rows[:, None] + backgrounds[None]) + of_pairs_alone * pairs
    scales = dict.fromkeys(range(GROUPS), (GROUPS / (GROUPS - 1)) ** 2)
    stderr = Jackknife(dict.fromkeys(range(GROUPS), 1.0), scales).stderr(of_pairs(summands))
    expected = of_groups**2 * 2 * GROUPS**3 + of_pairs_alone**2 * GROUPS**2
    assert float(np.square(stderr).mean()) == pytest.approx(expected, rel=0.1)


def test_large_sums_keep_one_contrast(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = torch.randn(GROUPS, GROUPS, 500, generator=torch.Generator().manual_seed(0))
    assert len(of_pairs(pairs).contrasts) == GROUPS - 1
    monkeypatch.setattr("nif.measures.currents.grouped_sums.FULL_CONTRASTS", 100)
    assert len(of_pairs(pairs).contrasts) == 1


def test_spread_is_that_of_a_jackknife() -> None:
    values = np.random.default_rng(0).normal(size=GROUPS)
    without = (values.sum() - values) / (GROUPS - 1)
    assert spread(without) == pytest.approx(values.std(ddof=1) / np.sqrt(GROUPS))


def test_p_values_are_two_sided_by_students_t() -> None:
    jackknife = Jackknife(dict.fromkeys(range(GROUPS), 1.0), {})
    nats, stderr = np.array([0.0, -2.0, 2.0, 1.0]), np.array([0.0, 1.0, 1.0, 0.0])
    t = 2 * stats.t.sf(2, GROUPS - 1)
    np.testing.assert_allclose(jackknife.p_value(nats, stderr), [1, t, t, 0])


# Of networks.


@cache
def trained_net() -> nn.Module:
    return trained(chain(4, 8, 6, 2), X, (X[:, 0] + X[:, 1] * X[:, 2] > 0).long())


def new_net() -> nn.Module:
    """Two classes, trained on `X`."""
    return copy.deepcopy(trained_net())


@pytest.mark.slow
def test_intervals_cover_the_value_of_a_large_sample() -> None:
    """A dozen redraws, whose parts are dependent; `benchmarks/currents_errors.py` counts many."""
    net = new_net()
    large = torch.randn(3000, 4, generator=torch.Generator().manual_seed(1))
    truth = measured(net, large, rows=1500)
    strong = np.argsort(-np.abs(truth.links[0].nats).ravel())[:10]
    covered = []
    for seed in range(12):
        x = torch.randn(300, 4, generator=torch.Generator().manual_seed(100 + seed))
        result = measured(net, x, seed=seed)
        assert result.currents is not None
        stderr = result.currents.units[0].stderr
        covered += list(np.abs(units(result)[0] - units(truth)[0]) <= 2.26 * stderr)
        error = (result.links[0].nats - truth.links[0].nats).ravel()[strong]
        covered += list(np.abs(error) <= 2.26 * result.links[0].stderr.ravel()[strong])
    assert 0.86 <= np.mean(covered) <= 0.995


def test_units_that_are_not_used_are_certain_to_carry_nothing() -> None:
    net = new_net()
    assert isinstance(net, nn.Sequential)
    with torch.no_grad():
        net[2].weight[:, 0] = 0  # of no use
        net[0].bias[1] = -100  # dead
    result = measured(net, X)
    assert result.currents is not None
    hidden = result.currents.units[1]
    for unit in (0, 1):
        assert hidden.nats[unit] == hidden.stderr[unit] == hidden.absolute[unit] == 0
        assert (result.links[0].p_value[:, unit] == 1).all()
        assert (result.links[1].p_value[unit] == 1).all()
        assert result.constant[1][unit]
    assert hidden.absolute[2:].min() > 0


def test_what_cancels_over_rows_is_not_silent() -> None:
    """A feature that only matters with the sign of another: for the decision here, against it there."""
    result = measured(new_net(), X)
    assert result.currents is not None
    features = result.currents.units[0]
    assert (features.absolute >= np.abs(features.nats)).all()
    bound = features.absolute + stats.t.ppf(0.95, GROUPS - 1) * features.absolute_stderr
    assert (bound > 1e-3 * total(result)).all()


@pytest.mark.parametrize("count", [2, 5, 12])
def test_a_few_rows_have_finite_errors(count: int) -> None:
    result = measured(new_net(), X[:count])
    assert result.currents is not None
    assert np.isfinite(result.currents.total.stderr)
    assert all(np.isfinite(links.stderr).all() for links in result.links)


def test_the_error_of_a_total_holds_the_bias_of_a_few_rows() -> None:
    some = sample_of(OUTPUTS, np.arange(60), np.arange(60) % GROUPS)
    (kind,) = some.kinds
    totals = dict.fromkeys(range(GROUPS), 1.0) | {0: 2.0}
    without = np.array(list(totals.values()))
    for exact in (1.1, 1.2):
        known = replace(some, kinds=(replace(kind, sample=replace(kind.sample, exact=exact)),))
        expected = np.hypot(spread(without), (GROUPS - 1) * (without.mean() - exact))
        assert total_stderr(totals, known) == pytest.approx(expected)


@pytest.mark.parametrize("decision", ["softmax", "bernoulli", "value"])
def test_the_error_of_a_total_is_that_of_all_rows_however_few_are_explained(decision: str) -> None:
    net, errors = new_net(), []
    for rows in (48, 300):
        result = measured(net, X, rows=rows, decision=decision)
        assert result.currents is not None
        errors.append(result.currents.total.stderr)
    assert errors[0] == pytest.approx(errors[1], rel=0.5)


def sums_of(values: Tensor) -> GroupedSum:
    """Sums over pairs, of values ``[group, group of the background, unit]``."""
    sums = GroupedSum()
    for group, parts in enumerate(values):
        sums.add(group, list(parts))
    return sums


def test_deviations_are_those_of_each_sum_and_of_differences() -> None:
    values = (
        torch.randn(GROUPS, GROUPS, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1
    )
    sums = sums_of(values)
    jackknife = Jackknife(
        dict.fromkeys(range(GROUPS), 1.0), {group: 1 + group / 50 for group in range(GROUPS)}
    )
    deviations = jackknife.deviations(sums)
    np.testing.assert_allclose(np.square(deviations).sum(0), jackknife.stderr(sums) ** 2, rtol=1e-9)
    sums.contrasts.clear()  # without what single pairs are counted twice for
    deviations = jackknife.deviations(sums)
    apart = sums_of(values[..., [0]] - values[..., [2]])
    apart.contrasts.clear()
    expected = float(jackknife.stderr(apart)[0])
    assert np.linalg.norm(deviations[:, 0] - deviations[:, 2]) == pytest.approx(expected, rel=1e-9)


def test_what_is_not_used_has_no_error_and_a_p_value_of_1() -> None:
    net = chain(4, 6, 2)
    with torch.no_grad():
        net[0].weight[:, 3] = 0
        net[2].weight[:, 2] = 0
    result = measured(net, X[:60], steps=2)
    assert result.currents is not None
    features, hidden = result.currents.units[:2]
    assert features.nats[3] == features.stderr[3] == features.absolute[3] == 0
    assert hidden.nats[2] == hidden.stderr[2] == 0
    assert (result.links[0].p_value[3] == 1).all() and (result.links[1].p_value[2] == 1).all()
    assert p_values(features.nats, features.stderr, result.currents.degrees)[3] == 1


@pytest.mark.slow
def test_p_values_of_a_feature_that_speaks_both_ways_are_uniform() -> None:
    """The second feature is noise of the first that it takes away again: used, with a mean current of 0."""
    net = nn.Sequential(nn.Linear(2, 1, bias=False))
    net[0].weight.data = torch.ones(1, 2)
    found = []
    for seed in range(40):
        signal, noise = torch.randn(2, 60, generator=torch.Generator().manual_seed(seed))
        x = torch.stack([signal - noise, noise], 1)
        result = measured(net, x, seed=seed, steps=1, decision="value", noise=1.0, backgrounds=59)
        assert result.currents is not None
        units_of = result.currents.units[0]
        found.append(p_values(units_of.nats, units_of.stderr, result.currents.degrees))
        np.testing.assert_allclose(result.links[0].p_value[:, 0], found[-1], rtol=0, atol=1e-3)
    p = np.array(found)
    assert (p[:, 0] < 0.01).all()
    assert (p[:, 1] < 0.05).sum() <= 6  # of 40; more than 6 in one of 300 cases
    assert 10 <= (p[:, 1] < 0.5).sum() <= 30
