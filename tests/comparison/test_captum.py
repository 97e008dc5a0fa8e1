"""The local attribution: its mean is the flow's, and it follows the density ratio of a sample."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import Attribution
from torch import Tensor, nn

import nif
from nif.comparison.captum import InformationFlow
from nif.core.errors import InputError
from nif.measures.association.decomposition import beta_for, redundancy_weights
from nif.measures.association.pointwise import MOST, Columns, Tables
from support.networks import chain, lenet

X = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))


class Skips(nn.Module):
    """Two inputs and a skip."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.head = nn.Linear(3, 4), nn.Linear(2, 4), nn.Linear(4, 2)
        self.relu, self.tanh = nn.ReLU(), nn.Tanh()
        self.middle = nn.Linear(4, 4)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        joined = self.relu(self.first(left) + self.second(right))
        return self.head(joined + self.tanh(self.middle(joined)))


def measured(model: nn.Module, x: Any, noise: float = 0.0, **options: Any) -> nif.Flow:
    return nif.measure(model, x, nif.Association(nif.Binned(), noise=noise), progress=False, **options)


def test_it_is_an_attribution_of_captum_whose_mean_is_that_of_the_flow() -> None:
    model = chain(3, 6, 4, 2)
    flow = measured(model, X)
    method = InformationFlow(model, flow, X)
    assert isinstance(method, Attribution)
    for target in (0, 1):
        local = method.attribute(X, target=target)
        assert local.shape == X.shape and local.dtype == X.dtype
        np.testing.assert_allclose(local.mean(0), flow.attribution().iloc[:, target], atol=1e-5)
        assert (local.std(0) > 0).any()


def test_every_row_can_have_its_target_and_rows_do_not_depend_on_one_another() -> None:
    model = chain(3, 5, 2)
    method = InformationFlow(model, measured(model, X), X)
    targets = torch.arange(6) % 2
    together = method.attribute(X[:6], target=targets)
    for row in range(6):
        alone = method.attribute(X[row : row + 1], target=int(targets[row]))
        torch.testing.assert_close(together[row : row + 1], alone)


def test_it_is_the_first_order_change_of_the_attribution() -> None:
    """By finite differences: links moved by a little of the sample's deviation."""
    model = chain(3, 5, 4, 2)
    flow = measured(model, X)
    local = InformationFlow(model, flow, X).attribute(X[:3], target=1).double().numpy()
    columns = nif.network.recording.record(model, X).activations
    for row in range(3):
        step, moved = 1e-6, []
        for found in flow.links:
            within = deviations(columns[found.source], columns[found.source], row)
            own = beta_for(None, len(within)) * (redundancy_weights("average", len(within)) * within).sum(1)
            change = deviations(columns[found.source], columns[found.target], row) - own[:, None]
            moved.append(
                replace(found, nats=np.where(found.nats > 0, found.nats + step * change, found.nats))
            )
        after = replace(flow, links=tuple(moved)).attribution().iloc[:, 1]
        before = flow.attribution().iloc[:, 1]
        np.testing.assert_allclose(local[row], before + (after - before) / step, atol=1e-4)


def deviations(x: np.ndarray, y: np.ndarray, row: int) -> np.ndarray:
    """Pointwise information at one row less its mean, pair by pair and cell by cell."""
    left, right = Columns.of(x).bins(x), Columns.of(y).bins(y)
    found = np.zeros((x.shape[1], y.shape[1]))
    for i, a in enumerate(left.T):
        for k, b in enumerate(right.T):
            kappa = len(np.unique(a)) * len(np.unique(b)) / 2
            logs = [
                np.log(
                    (((a == a[n]) & (b == b[n])).sum() / ((a == a[n]).mean() * (b == b[n]).mean()) + kappa)
                    / (len(a) + kappa)
                )
                for n in range(len(a))
            ]
            found[i, k] = logs[row] - np.mean(logs)
    return found


def test_tables_follow_the_density_ratio_of_a_normal_pair() -> None:
    generator, rho = np.random.default_rng(0), 0.8
    x = generator.normal(size=4000)
    y = rho * x + np.sqrt(1 - rho**2) * generator.normal(size=4000)
    true = -0.5 * np.log(1 - rho**2) - (rho**2 * (x**2 + y**2) - 2 * rho * x * y) / (2 * (1 - rho**2))
    bins = [Columns.of(side[:, None]).bins(side[:, None]) for side in (x, y)]
    tables = Tables.of(*bins)
    ones = np.ones((1, 1))
    found = np.array([tables.weighed(a, b, ones)[0] for a, b in zip(*bins, strict=True)])
    assert abs(found.mean()) < 1e-5
    inside = (np.abs(x) < 2) & (np.abs(y) < 2)  # the outer bins are wide
    assert np.corrcoef(found[inside], true[inside])[0, 1] > 0.9


def test_bins_keep_atoms_apart_and_constant_columns_say_nothing() -> None:
    generator = np.random.default_rng(0)
    relu = np.maximum(generator.normal(size=(1000, 1)), 0)
    bins = Columns.of(relu).bins(relu)
    assert set(np.unique(bins[relu == 0])) == {0} and set(np.unique(bins)) == set(range(bins.max() + 1))
    assert (bins[relu > 0] > 0).all() and bins.max() < MOST
    constant = np.ones((1000, 1))
    nothing = Tables.of(bins, Columns.of(constant).bins(constant))
    np.testing.assert_allclose(nothing.deviation, 0, atol=1e-6)


def test_the_chances_of_bins_are_those_of_drawn_noise() -> None:
    generator = np.random.default_rng(0)
    values, noise = generator.normal(size=(5, 3)), np.array([0.3, 0.0, 1.0])
    columns = Columns.of(generator.normal(size=(1000, 3)))
    found = columns.chances(values, noise)
    np.testing.assert_allclose(found.sum(axis=2), 1, rtol=1e-6)
    drawn = [columns.bins(values + noise * generator.normal(size=values.shape)) for _ in range(4000)]
    often = (np.array(drawn)[..., None] == np.arange(found.shape[2])).mean(axis=0)
    np.testing.assert_allclose(found, often, atol=0.04)
    assert (found[:, 1].max(axis=1) == 1).all()


def test_the_noise_of_a_flow_is_that_of_its_samples() -> None:
    """One feature that decides one unit: its pointwise information is that of the channel."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False))
    noise, x = 0.5, torch.randn(4000, 1, generator=torch.Generator().manual_seed(2))
    flow = measured(model, x, noise=noise)
    local = InformationFlow(model, flow, x).attribute(x).numpy().ravel()
    np.testing.assert_allclose(local.mean(), flow.attribution().to_numpy().item(), atol=1e-4)
    rho2, scores = 1 / (1 + noise**2), x.numpy().ravel()
    # E log p(y | x) / p(y) over y = x + noise, for normal x
    true = -0.5 * np.log(1 - rho2) + (rho2 * (scores**2 - 1)) / 2
    inside = np.abs(scores) < 1.5  # the outer bins are wide
    assert np.corrcoef(local[inside], true[inside])[0, 1] > 0.95
    assert 0.75 < np.polyfit(true[inside], local[inside], 1)[0] < 1.15


def test_with_noise_the_mean_is_still_the_attribution_of_the_flow() -> None:
    model = chain(3, 5, 4, 2)
    flow = measured(model, X, noise=0.3)
    local = InformationFlow(model, flow, X).attribute(X, target=1)
    np.testing.assert_allclose(local.mean(0), flow.attribution().iloc[:, 1], atol=1e-5)
    assert (local.std(0) > 0).any()


def test_a_feature_says_most_where_it_decides() -> None:
    """The output is on only where x1 is large: there a sample says more than the mean, in x1 alone."""
    model = nn.Sequential(nn.Linear(3, 1), nn.ReLU(), nn.Linear(1, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[2.0, 0.0, 0.0]]))
        model[0].bias.fill_(-2.0)
        model[2].weight.fill_(1.0)
    x = torch.randn(2000, 3, generator=torch.Generator().manual_seed(1))
    flow = measured(model, x)
    local = InformationFlow(model, flow, x).attribute(x)
    on = x[:, 0] > 1
    assert local[on, 0].mean() > 2 * local[~on, 0].mean() > 0
    assert local[:, 1:].abs().mean() < 0.05 * local[:, 0].mean()


def test_two_inputs_and_a_skip() -> None:
    model, inputs = Skips(), (X, torch.randn(400, 2, generator=torch.Generator().manual_seed(1)))
    flow = measured(model, inputs)
    left, right = InformationFlow(model, flow, inputs).attribute(inputs, target=0)
    assert left.shape == (400, 3) and right.shape == (400, 2)
    mean = torch.cat([left, right], dim=1).mean(0)
    np.testing.assert_allclose(mean, flow.attribution().iloc[:, 0], atol=1e-5)


def test_an_image_gets_an_image_and_a_group_one_number() -> None:
    x, model = torch.randn(120, 1, 8, 8, generator=torch.Generator().manual_seed(0)), lenet()
    flow = measured(model, x, input_groups=4)
    local = InformationFlow(model, flow, x, input_groups=4).attribute(x[:5], target=2)
    assert local.shape == (5, 1, 8, 8)
    patches = local.unfold(2, 4, 4).unfold(3, 4, 4).flatten(4)
    assert (patches == patches[..., :1]).all()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (None, "2 outputs; choose one with target=0"),
        (2, "target is 2; expected an index from 0 to 1"),
        (-1, "target is -1"),
        (0.5, "target is 0.5"),
        ([0, 1], "one for each of the 4 rows"),
    ],
)
def test_targets_that_are_not_there(target: Any, message: str) -> None:
    model = chain(3, 5, 2)
    method = InformationFlow(model, measured(model, X), X)
    with pytest.raises(InputError, match=message):
        method.attribute(X[:4], target=target)


def test_what_does_not_belong_together_is_refused() -> None:
    model = chain(3, 5, 2)
    flow = measured(model, X)
    with pytest.raises(InputError, match=r"layers .* and the flow"):
        InformationFlow(chain(3, 6, 2), flow, X)
    of_layer = nif.measure(
        model, X, nif.Association(nif.Binned(), relevance="layer", noise=0.1), progress=False
    )
    with pytest.raises(InputError, match="relevance='unit'"):
        InformationFlow(model, of_layer, X)
    with pytest.raises(InputError, match="at least 50"):
        InformationFlow(model, flow, X[:40])
