"""Rankings of links, and what of the decision they carry: by hand, and against slow twins."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.neural_network import MLPClassifier, MLPRegressor
from torch import nn

import nif
from nif.comparison.link_comparison import SHARES, carried, strongest
from nif.comparison.link_problem import LinkProblem, link_problem
from nif.comparison.link_rankings import (
    EAP_STEPS,
    LINK_RANKINGS,
    eap_ig,
    pairs,
    patching,
    weight_times_deviation,
)
from nif.core.errors import InputError
from nif.flow.flow import Flow

FEW = nif.Currents(rows=60, backgrounds=32, steps=4, by_class=False, paths=0)


def mlp(*sizes: int, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])


def normal(rows: int, features: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, features, generator=torch.Generator().manual_seed(seed))


def measured(net: object, x: object, method: object = FEW) -> Flow:
    return nif.measure(net, x, method, progress=False)  # type: ignore[arg-type]


def problem(net: nn.Module, x: torch.Tensor) -> LinkProblem:
    return link_problem(net, measured(net, x, nif.Binned()), x, currents=measured(net, x))


MIDPOINTS = [(step + 0.5) / EAP_STEPS for step in range(EAP_STEPS)]


@pytest.mark.parametrize("stops", [MIDPOINTS, [0.0]], ids=["EAP-IG", "EAP"])
def test_patching_is_the_whole_change_times_the_mean_gradient(stops: list[float]) -> None:
    """Row by row, with gradients with respect to each target by themselves."""
    net, x = mlp(3, 4, 2), normal(60, 3)
    links = replace(problem(net, x), x=x[:10])
    found = patching(links, *pairs(links), stops)
    if stops == MIDPOINTS:
        assert all(np.array_equal(values, found[name]) for name, values in eap_ig(links).items())
    generator = torch.Generator().manual_seed(0)
    rows = torch.randperm(10, generator=generator).repeat(8)
    others = torch.randint(10, (len(rows),), generator=generator)
    first, second = net[0], net[2]
    totals = [torch.zeros(4, 3), torch.zeros(2, 4)]
    for a, b in zip(x[rows], x[others], strict=True):
        known = net(a).log_softmax(0).detach()
        change = [a - b, (first(a).relu() - first(b).relu()).detach()]
        for stop in stops:
            inside = first(b + stop * (a - b)).detach().requires_grad_()
            outside = second(inside.relu())
            divergence = (known.exp() * (known - outside.log_softmax(0))).sum()
            slopes = torch.autograd.grad(divergence, [inside, outside])
            for place in range(2):
                totals[place] += slopes[place][:, None] * change[place] / len(stops)
    expected = [(first.weight * totals[0]).abs(), (second.weight * totals[1]).abs()]
    for name, values in zip(("0", "2"), expected, strict=True):
        np.testing.assert_allclose(found[name], values.detach(), rtol=2e-3, atol=1e-4 * values.max().item())


def test_the_sums_of_eap_ig_are_the_divergence_in_a_linear_network() -> None:
    net = nn.Sequential(nn.Linear(3, 1))
    net[0].weight.data = net[0].weight.data.abs()
    x = normal(100, 3)
    links = problem(net, x)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randperm(100, generator=generator).repeat(8)
    others = torch.randint(100, (len(rows),), generator=generator)
    with torch.no_grad():
        a, b = net(x[rows]), net(x[others])
        divergence = float(((a - b).square() / a.var(0)).sum())
        signed = net[0].weight * ((x[rows] - x[others]) * ((b - a) / a.var(0))).sum(0)
    assert float(signed.sum()) == pytest.approx(-divergence, rel=1e-4)  # of the quadratic way: 2 times half
    np.testing.assert_allclose(eap_ig(links)["0"], signed.abs(), rtol=1e-4)


def test_the_other_rankings_have_closed_forms() -> None:
    net, x = mlp(3, 5, 2), normal(200, 3)
    association, currents = measured(net, x, nif.Binned()), measured(net, x)
    links = link_problem(net, association, x, currents=currents)
    ranked = {name: rank(links) for name, rank in LINK_RANKINGS.items()}
    with torch.no_grad():
        deviation = net[0](x).relu().std(0)
        by_hand = (net[2].weight.abs() * deviation).numpy()
    np.testing.assert_allclose(weight_times_deviation(links)["2"], by_hand, rtol=1e-5)
    for place, name in enumerate(("0", "2")):
        np.testing.assert_allclose(ranked["currents"][name], np.abs(currents.links[place].nats.T), rtol=1e-6)
        np.testing.assert_array_equal(ranked["association"][name], association.links[place].nats.T)
        assert ranked["random ranking"][name].shape == ranked["EAP-IG"][name].shape


def slow(net: nn.Sequential, x: torch.Tensor, masks: list[torch.Tensor]) -> torch.Tensor:
    """Unit by unit: a link that is not kept carries the mean of its source."""
    with torch.no_grad():
        hidden, intact = x, x
        for place, module in enumerate((net[0], net[2])):
            mean, after = intact.mean(0), torch.zeros(len(x), module.out_features)
            for target in range(module.out_features):
                for source in range(module.in_features):
                    carried = hidden[:, source] if masks[place][target, source] else mean[source]
                    after[:, target] += module.weight[target, source] * carried
                after[:, target] += module.bias[target]
            hidden, intact = after, module(intact)
            if place == 0:
                hidden, intact = hidden.relu(), intact.relu()
    return hidden


def test_kept_and_lost_are_those_of_a_slow_twin() -> None:
    net, x = mlp(3, 5, 2), normal(150, 3)
    links = problem(net, x)
    ranked = eap_ig(links)
    found = carried(links, ranked, x, "mean", (0.2,)).iloc[0]
    masks = list(strongest(ranked, 0.2, 0).values())
    assert sum(int(mask.sum()) for mask in masks) == 5  # of 25 links
    none = [torch.zeros_like(mask) for mask in masks]
    with torch.no_grad():
        full = net(x)
    nothing, kept, left = (slow(net, x, part) for part in (none, masks, [~mask for mask in masks]))

    def divergence(other: torch.Tensor) -> float:
        known = full.log_softmax(1)
        return float((known.exp() * (known - other.log_softmax(1))).sum(1).mean())

    def same(other: torch.Tensor) -> float:
        return float((other.argmax(1) == full.argmax(1)).float().mean())

    for part, name, sign in ((kept, "kept", 1), (left, "lost", -1)):
        by_divergence = max(1 - divergence(part) / divergence(nothing), 0.0)
        by_outcome = (same(part) - same(nothing)) / (1 - same(nothing))
        first = 0 if sign == 1 else 1
        assert found[f"{name}_divergence"] == pytest.approx(first + sign * by_divergence, abs=1e-4)
        assert found[name] == pytest.approx(first + sign * by_outcome, abs=1e-6)


@pytest.mark.parametrize("replacement", ["mean", "row"])
def test_with_all_links_all_is_kept(replacement: str) -> None:
    net, x = mlp(3, 5, 2), normal(150, 3)
    links = problem(net, x)
    ranked = {name: np.ones(module.weight.shape) for name, module in links.linears.items()}
    found = carried(links, ranked, x, replacement, (1.0,)).iloc[0]
    np.testing.assert_allclose(found[["kept", "kept_divergence", "lost", "lost_divergence"]], 1.0, atol=1e-5)


def test_links_that_are_used_are_ahead_of_chance_and_of_links_that_only_tell() -> None:
    """The second feature is a copy of the first that the network does not use."""
    x = normal(400, 6)
    x[:, 1] = x[:, 0] + 0.1 * x[:, 1]
    net = mlp(6, 8, 2)
    net[0].weight.data *= torch.tensor([3.0, 0.0, 1.0, 0.5, 0.1, 0.1])
    association = measured(net, x, nif.Binned())
    table = nif.compare_links(net, association, x, currents=measured(net, x))
    assert list(table.index) == list(LINK_RANKINGS)
    assert len(table.curves) == len(LINK_RANKINGS) * len(SHARES)
    means = table.curves.groupby("method")[list(table.columns)].mean().loc[list(table.index)]
    np.testing.assert_allclose(table, means)
    for method in ("currents", "EAP-IG"):
        for other in ("random ranking", "association"):
            ahead = table.loc[method] - table.loc[other]
            assert (ahead[["kept_divergence", "lost_divergence"]] > 0).all()
            assert (ahead >= 0).all()


def regressor(x: np.ndarray) -> object:
    return MLPRegressor(hidden_layer_sizes=(6,), max_iter=300, random_state=0).fit(x, x[:, 0] - x[:, 1])


def with_names(x: np.ndarray) -> object:
    y = np.where(x[:, 0] > 0, "yes", "no")
    return MLPClassifier((6,), max_iter=300, random_state=0).fit(x, y)


CASES: dict[str, Callable[[np.ndarray], object]] = {
    "regressor": regressor,
    "names of classes": with_names,
    "several answers": lambda x: nn.Sequential(mlp(4, 6, 3), nn.Sigmoid()),
    "float64": lambda x: mlp(4, 6, 3).double(),
}


@pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_every_kind_of_decision_is_compared(make: Callable[[np.ndarray], object]) -> None:
    x = normal(200, 4).numpy()
    model = make(x)
    if isinstance(model, nn.Module):
        x = x.astype(str(next(model.parameters()).dtype).removeprefix("torch."))
    table = nif.compare_links(model, measured(model, x), x, replacement="row")
    assert list(table.index) == [name for name in LINK_RANKINGS if name != "association"]
    assert np.isfinite(table.to_numpy()).all()
    assert (table.loc["currents"] > table.loc["random ranking"]).all()


def test_currents_are_measured_where_they_are_not_given() -> None:
    net, x = mlp(3, 5, 2), normal(100, 3)
    association = measured(net, x, nif.Binned())
    here = nif.compare_links(net, association, x, methods=["currents", "association"])
    flow = measured(net, x, nif.Currents(by_class=False))
    given = nif.compare_links(net, association, x, currents=flow, methods=["currents", "association"])
    assert here.equals(given)
    with pytest.raises(InputError, match="currents is a flow of association"):
        nif.compare_links(net, association, x, currents=association)


def test_links_behind_convolutions_and_over_positions_are_compared() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 6), nn.ReLU(), nn.Linear(6, 2)
    )
    images = normal(100, 36).reshape(100, 1, 6, 6)
    table = nif.compare_links(net, measured(net, images), images)
    assert table.loc["currents", "kept_divergence"] > table.loc["random ranking", "kept_divergence"]
    words = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2), nn.Flatten(), nn.Linear(10, 2))
    sequences = normal(100, 15).reshape(100, 5, 3)
    links = link_problem(words, measured(words, sequences), sequences)
    ranked = {name: np.ones(module.weight.shape) for name, module in links.linears.items()}
    assert links.links == 18 + 12 + 20
    found = carried(links, ranked, links.x, "row", (1.0,)).iloc[0]
    np.testing.assert_allclose(found[["kept_divergence", "lost_divergence"]], 1.0, atol=1e-5)
    assert all((values >= 0).all() for values in eap_ig(links).values())


def test_the_model_is_left_as_it_was_and_the_same_seed_gives_the_same_bits() -> None:
    net, x = mlp(3, 4, 2).train(), normal(80, 3)
    before, state = {k: v.clone() for k, v in net.state_dict().items()}, torch.random.get_rng_state()
    flow = measured(net, x)
    first, again = (nif.compare_links(net, flow, x, replacement="row", seed=2) for _ in range(2))
    assert first.equals(again)
    assert net.training and all(p.requires_grad and p.grad is None for p in net.parameters())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())
    assert torch.equal(state, torch.random.get_rng_state())


def test_what_does_not_fit_is_refused() -> None:
    net, x = mlp(3, 4, 2), normal(80, 3)
    flow = measured(net, x)
    with pytest.raises(InputError, match="Unknown ranking 'EAP'; expected one or more of currents, EAP-IG"):
        nif.compare_links(net, flow, x, methods=["EAP"])
    with pytest.raises(InputError, match="the flow is one of currents; pass one measured with"):
        nif.compare_links(net, flow, x, methods=["association"])
    with pytest.raises(InputError, match="replacement is 'zero'"):
        nif.compare_links(net, flow, x, replacement="zero")
    with pytest.raises(InputError, match="shares is"):
        nif.compare_links(net, flow, x, shares=(0.5, 2))
    with pytest.raises(InputError, match="x has 2 features and the flow was measured on 3"):
        nif.compare_links(net, flow, x[:, :2])
    with pytest.raises(InputError, match=r"No nn\.Linear runs in the model"):
        nif.compare_links(nn.Sequential(nn.ReLU()), flow, x)
    shared = nn.Linear(3, 3)
    with pytest.raises(InputError, match="runs 2 times for a row"):
        nif.compare_links(nn.Sequential(shared, nn.ReLU(), shared), flow, x)


def test_columns_in_another_order_are_refused_also_in_a_table_of_arrow() -> None:
    arrow = pytest.importorskip("pyarrow")
    frame = pd.DataFrame(normal(60, 2).numpy(), columns=["a", "b"])
    net = mlp(2, 3, 2)
    flow = measured(net, frame)
    for table in (frame[["b", "a"]], arrow.table({name: frame[name] for name in ("b", "a")})):
        with pytest.raises(InputError, match="of the flow in another order: b, a and a, b"):
            nif.compare_links(net, flow, table, progress=False)
