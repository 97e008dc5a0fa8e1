"""What units tell of the decision, against closed forms, a slow twin and an independent estimator."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from torch import nn

import nif
from nif.core.errors import InputError
from nif.flow.flow import Flow
from nif.measures.association.with_decision import CELLS, FEWEST_IN_A_CELL, information_with


def normal(rows: int, features: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, features, generator=torch.Generator().manual_seed(seed))


def linear(*weights: float) -> nn.Linear:
    model = nn.Linear(len(weights), 1, bias=False)
    model.weight.data = torch.tensor([list(weights)])
    return model


def told(model: nn.Module, x: torch.Tensor, method: nif.DecisionInformation | None = None) -> Flow:
    return nif.measure(model, x, method or nif.DecisionInformation(), progress=False)


def entropy(p: float) -> float:
    return 0.0 if p in (0.0, 1.0) else -p * np.log(p) - (1 - p) * np.log(1 - p)


def of_logistic(slope: float) -> float:
    """Information of a normal number about a class of probability ``sigmoid(slope * number)``."""
    given = quad(lambda z: norm.pdf(z) * entropy(1 / (1 + np.exp(-slope * z))), -8, 8)[0]
    return float(np.log(2) - given)


@pytest.mark.parametrize(("slope", "rows"), [(1.0, 1000), (3.0, 300), (3.0, 1000), (3.0, 5000)])
def test_a_logistic_decision_has_a_closed_form(slope: float, rows: int) -> None:
    found = [
        told(nn.Sequential(linear(slope, 0.0), nn.Sigmoid()), normal(rows, 2, seed)) for seed in range(5)
    ]
    first = np.array([flow.links[0].nats[0, 0] for flow in found])
    stderr = np.array([flow.links[0].stderr[0, 0] for flow in found])
    assert (np.abs(first - of_logistic(slope)) < 2.6 * stderr + 0.004).all()
    assert max(flow.links[0].nats[1, 0] for flow in found) < 0.01  # independent of the decision
    assert max(stderr) < 0.6 / np.sqrt(rows)


@pytest.mark.slow
def test_the_error_covers_the_truth() -> None:
    truth, covered = of_logistic(2.0), 0
    for seed in range(60):
        links = told(nn.Sequential(linear(2.0), nn.Sigmoid()), normal(400, 1, seed)).links[0]
        covered += abs(links.nats[0, 0] - truth) < 1.96 * links.stderr[0, 0]
    assert covered >= 52  # 87 %, where 95 % less two deviations is 89 %


@pytest.mark.slow
def test_independent_units_are_called_significant_no_more_often_than_the_level() -> None:
    p_values = [
        told(nn.Sequential(linear(2.0, 0.0), nn.Sigmoid()), normal(200, 2, seed)).links[0].p_value[1, 0]
        for seed in range(60)
    ]
    assert np.mean(np.array(p_values) < 0.05) <= 0.05


def test_values_behind_noise_have_a_closed_form_that_is_not_exceeded() -> None:
    """Gaussian: f = 2 a + b of variance 5, noise of .2 deviations, .2 in variance."""
    truth = 0.5 * np.log(np.array([5.2 / 1.2, 5.2 / 4.2]))
    links = told(linear(2.0, 1.0), normal(3000, 2)).links[0]
    assert (links.nats[:, 0] < truth + 2 * links.stderr[:, 0]).all()
    assert (links.nats[:, 0] > truth - 0.06).all()


def test_several_answers_are_added_up() -> None:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Sigmoid())
    model[0].weight.data = torch.diag(torch.tensor([3.0, 1.0]))
    flow = told(model, normal(2000, 2))
    expected = [of_logistic(3.0), of_logistic(1.0)]
    np.testing.assert_allclose(flow.links[0].nats[:, 0], expected, atol=0.02)


def test_the_outcome_itself_tells_all_and_three_classes_are_not_in_order() -> None:
    kind = np.arange(600) % 3
    table = np.eye(3)[[1, 2, 0]][kind]
    nats, _, p_value = information_with(kind.astype(float), [table])
    assert nats == pytest.approx(np.log(3), abs=0.01) and p_value < 1e-9


def slow(unit: np.ndarray, table: np.ndarray, cells: int) -> float:
    """Row by row, from the words of the docstring."""
    rows, total = len(unit), 0.0
    rank = np.array([(unit <= value).sum() for value in unit])
    cell = np.ceil(rank * cells / rows)
    for row in range(rows):
        others = np.arange(rows) != row
        whole = table[others].mean(0)
        near = np.vstack([table[others & (cell == cell[row])], whole]).mean(0)
        for outcome in range(table.shape[1]):
            if table[row, outcome] > 0:
                total += table[row, outcome] * np.log(near[outcome] / whole[outcome])
    return total / rows


def test_the_estimate_is_that_of_a_slow_twin() -> None:
    rng = np.random.default_rng(0)
    unit = np.maximum(rng.normal(size=90), 0.0).round(1)  # ties, and half of it 0
    table = rng.dirichlet(np.ones(3), 90) + np.eye(3)[(unit > 0.4).astype(int)]
    table /= table.sum(1, keepdims=True)
    cells = [count for count in CELLS if count <= 90 // FEWEST_IN_A_CELL]
    expected = max(slow(unit, table, count) for count in cells)
    assert information_with(unit, [table])[0] == pytest.approx(expected)


def test_an_independent_estimator_agrees() -> None:
    """Of classes that are drawn from the probabilities."""
    net = nn.Sequential(linear(2.0, -1.0), nn.Sigmoid())
    x = normal(4000, 2)
    drawn = torch.bernoulli(net(x).detach(), generator=torch.Generator().manual_seed(1)).numpy()
    binned = nif.pairwise(x.numpy(), drawn, estimator=nif.Binned())
    links = told(net, x).links[0]
    np.testing.assert_allclose(links.nats, binned.nats, atol=0.03)


def test_monotone_maps_and_the_order_of_rows_change_nothing() -> None:
    rng = np.random.default_rng(0)
    unit, order = rng.normal(size=200), rng.permutation(200)
    table = np.eye(2)[(unit + rng.normal(size=200) > 0).astype(int)]
    nats = information_with(unit, [table])[0]
    assert information_with(np.exp(unit), [table])[0] == nats
    assert information_with(unit[order], [table[order]])[0] == pytest.approx(nats)


def test_layers_and_decision_are_those_of_currents() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2))
    x = normal(120, 3)
    for target in (None, ("3", 2)):
        known = told(net, x, nif.DecisionInformation(target=target))
        used = nif.measure(
            net, x, nif.Currents(rows=20, backgrounds=32, steps=2, target=target), progress=False
        )
        assert known.layers[:-1] == used.layers
        assert known.measurement.options["decision"] == used.measurement.options["decision"]
        assert len(nif.known_and_used(known, used)) == sum(map(len, used.layers[:-1]))
        unit = known.links[-1].nats[0, 0]  # the target itself, or a logit
        assert unit >= max(float(each.nats.max()) for each in known.links) - 0.05


def test_constant_units_tell_nothing_and_flows_are_kept(tmp_path: object) -> None:
    x = normal(100, 2)
    x[:, 1] = 3.0
    flow = told(nn.Sequential(linear(2.0, 1.0), nn.Sigmoid()), x)
    assert flow.links[0].nats[1, 0] == 0 and flow.links[0].p_value[1, 0] == 1 and flow.constant[0][1]
    flow.save(f"{tmp_path}/known.safetensors")
    assert nif.load(f"{tmp_path}/known.safetensors") == flow


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="rows is 0; expected a whole number"):
        nif.DecisionInformation(rows=0)
    with pytest.raises(InputError, match="noise is 0"):
        nif.DecisionInformation(noise=0)
    with pytest.raises(InputError, match="decision is 'sofmax'"):
        nif.DecisionInformation(decision="sofmax")
