"""The scripts of the evidence: what they compute is what they say."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import nif
from nif.comparison import link_rankings
from nif.comparison.link_problem import link_problem

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Imports a script of the folder, which is no package."""
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)

    def imported(name: str) -> ModuleType:
        return import_module(name)

    yield imported
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(FOLDER)):
            del sys.modules[name]


def network(script, outputs: int = 3):
    """Untrained, with data of two classes."""
    data = script("faithfulness_data")
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, outputs)).eval()
    x, y = torch.randn(80, 4, generator=generator), torch.arange(80) % 2
    return data.Trained(data.DATA[0], net, 1, 0, x[:60], y[:60], x[60:], y[60:])


@torch.no_grad()
def test_all_links_or_units_are_the_network_and_none_the_others(script) -> None:
    links, units, decision = (script(f"faithfulness_{name}") for name in ("links", "units", "decision"))
    known = network(script)
    others = [values[torch.randperm(20)] for values in decision.sources(known.net, known.test_x)]
    output = known.net(known.test_x)
    for carried, ranked in (
        (links.with_links, links.at_random(known)),
        (units.with_units, units.at_random(known)),
    ):
        every = [torch.ones(values.shape, dtype=torch.bool) for values in ranked]
        kept = carried(known.net, known.test_x, every, others)
        assert torch.allclose(kept, output, atol=1e-6)
        nothing = carried(known.net, known.test_x, [~mask for mask in every], others)
        assert torch.allclose(nothing, known.net[2](others[1]), atol=1e-6)
        figures = decision.figures(known, ranked, carried, (1.0,))
        assert all(value == pytest.approx(1, abs=1e-5) for value in figures.values())


def test_the_path_with_backgrounds_inside_the_logarithm_is_that_of_currents(script, monkeypatch) -> None:
    variants = script("faithfulness_variants")
    monkeypatch.setattr(variants, "STEPS", 64)
    known, count = network(script), 12
    x = known.x[:count]
    z = known.x[torch.randint(60, (count, 5), generator=torch.Generator().manual_seed(1))]
    method = nif.Currents(steps=64, by_class=False, rows=count, backgrounds=5)
    flow = nif.measure(known.net, x, method, background=z, progress=False)
    decision = variants.Decision.of(variants.Forward(known.net), (x,))
    decided = variants.decided_by(decision, known.net(x).detach(), None, 0.2, None)
    path, whole = variants.links_by(known, decided, x, z.flatten(0, 1), 1.0)
    for links, mine in zip(flow.links, path, strict=True):
        assert np.allclose(links.nats.T, mine.numpy() / count, atol=2e-4)
    assert torch.allclose(path[0], whole[0], atol=1e-5)  # inputs move evenly
    assert not torch.allclose(path[1], whole[1], atol=1e-3)


def test_links_are_patched_as_by_the_library(script) -> None:
    links, known = script("faithfulness_links"), network(script)
    flow = nif.measure(known.net, known.x, nif.Binned(), progress=False)
    library = link_rankings.eap_ig(link_problem(known.net, flow, known.x, seed=known.seed))
    for mine, other in zip(links.eap_ig(known), library.values(), strict=True):
        assert np.array_equal(mine, other)
    assert not np.allclose(links.eap(known)[1], links.eap_ig(known)[1], rtol=1e-3)


def test_shapley_values_by_orders_of_a_linear_network(script) -> None:
    attributions = script("faithfulness_attributions")
    known = network(script)
    net = nn.Sequential(nn.Linear(4, 2))
    linear = type(known)(known.data, net, 1, 0, known.x, known.y, known.test_x, known.test_y)
    mean = known.x.mean(0)
    exact = ((known.x - mean)[:, :, None] * net[0].weight.T).abs().mean(dim=(0, 2))
    found = attributions.shap_by_orders(linear)
    assert np.allclose(found, exact.detach().numpy(), rtol=0.1)


@pytest.mark.slow
def test_currents_stay_on_the_circuit_of_a_network_written_by_hand(script) -> None:
    circuits, handmade = script("faithfulness_circuits"), script("handmade")
    made = handmade.fraction(20, torch.Generator().manual_seed(0))
    assert torch.allclose(made.net(made.x), made.right, atol=1e-6)
    felt, sizes = circuits.circuit(made), circuits.currents(made)
    assert sum(int(values.sum()) for values in felt.values()) == 4
    for name, values in sizes.items():
        assert (values[felt[name]] > 0).all()
        assert (values[~felt[name]] == 0).all()


@pytest.mark.parametrize("name", ["previous_token", "induction", "majority"])
def test_networks_written_by_hand_answer_right(script, name: str) -> None:
    made = getattr(script("handmade"), name)(200, torch.Generator().manual_seed(0))
    assert (made.net(made.x).argmax(1) == made.right).all()


def test_paired_differences_with_their_intervals(script) -> None:
    tables = script("faithfulness_tables")
    rows = pd.DataFrame(
        [
            {"data": data, "hidden": 1, "seed": seed, "of": of, "figure": value}
            for data, seed, first in (("a", 0, 0.1), ("a", 1, 0.3), ("b", 0, 0.5), ("b", 1, 0.7))
            for of, value in (("currents", first), ("other", 0.0))
        ]
    )
    found = tables.differences(rows, ["figure"]).loc["other", "figure"]
    # 0.4 plus and minus 3.182 * 0.2582 / 2 over networks, and 12.706 * 0.2828 / sqrt(2) over data sets
    assert found == "+0.400 (-0.011 +0.811) [-2.141 +2.941]"


def test_layers_initialised_anew_are_those_at_the_top(script) -> None:
    randomised = script("faithfulness_randomised")
    known = network(script)
    before = torch.random.get_rng_state()
    other = randomised.initialised_from_top(known.net, 1, 5)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(other[0].weight, known.net[0].weight)
    assert not torch.equal(other[2].weight, known.net[2].weight)


def test_blocks_are_those_of_another_network_and_summaries_average_over_them(script) -> None:
    layers = script("faithfulness_layers")
    kind, before = layers.KINDS["table, 2 classes"], torch.random.get_rng_state()
    net, other = layers.untrained(kind, 1), layers.untrained(kind, 2)
    assert torch.equal(before, torch.random.get_rng_state())
    mixed = layers.with_blocks_of(net, other, [1])
    assert torch.equal(mixed[0][0].weight, net[0][0].weight) and mixed[0] is not net[0]
    assert torch.equal(mixed[1][0].weight, other[1][0].weight)
    x = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    assert layers.same_decisions(net, net, x) == 1
    figures = [("cascading", 1, 0.9), ("cascading", 2, 0.5), ("cascading", 3, 0.1)]
    figures += [("independent", 1, 0.2), ("independent", 2, 0.4), ("untrained", 0, 0.3)]
    rows = [{"how": how, "number": number, "figure": figure} for how, number, figure in figures]
    table = layers.summary(pd.DataFrame(rows).assign(network="one", of="currents", blocks=3))
    assert table.loc[("one", "currents")].tolist() == pytest.approx([0.9, 0.5, 0.1, 0.3, 0.3])


@pytest.mark.filterwarnings("ignore:The 20 explained rows were drawn with unequal chances")
def test_rankings_weigh_rows_as_the_flow_does(script) -> None:
    rankings = script("faithfulness_rankings")
    known = network(script)
    flow = rankings.measured(known, nif.Currents(rows=20, backgrounds=8, steps=4, paths=0))
    weights, rows = flow.local().attrs["weights"], flow.local().to_numpy()
    assert np.ptp(weights) > 0  # half of the rows are drawn by their information
    signs, of_rows = rankings.by_sign(flow), rankings.by_row(flow)
    assert np.allclose(signs["for"], weights @ np.clip(rows, 0, None), atol=1e-6)
    assert np.allclose(signs["absolute"], weights @ np.abs(rows), atol=1e-6)
    assert np.allclose(signs["absolute + 1/2 signed"], signs["absolute"] + signs["signed"] / 2)
    against = of_rows["absolute, by class"] - of_rows["for, by class"]
    assert (against >= -1e-9).all() and (of_rows["absolute, by class"] >= signs["absolute"] - 1e-6).all()
    assert np.allclose(of_rows["absolute, of rows"].sum(), 1)


def test_equal_rankings_are_evaluated_once(script, monkeypatch) -> None:
    rankings, seen = script("faithfulness_rankings"), []
    found = {"one": np.array([1.0, 3, 2, 0]), "two": np.array([0.1, 0.9, 0.3, 0]), "ties": np.zeros(4)}
    monkeypatch.setattr(rankings, "rankings", lambda network: found)
    monkeypatch.setattr(rankings, "areas", lambda network, values: seen.append(values) or {"area": len(seen)})
    rows = rankings.of_network(network(script))
    assert [row["area"] for row in rows] == [1, 1, 2] and [row["of"] for row in rows] == list(found)


def test_data_sets_that_nothing_was_chosen_on_are_drawn_by_their_seed(script) -> None:
    unseen, further = script("faithfulness_unseen"), script("faithfulness_further")
    every = (*unseen.UNSEEN, *further.FURTHER)
    assert len({data.name for data in every}) == len(every)
    for data in every:
        if data.name not in ("banknote", "penguins", "cars", "weather"):  # files
            (x, y), (again, _), (other, _) = (data.draw(np.random.default_rng(s)) for s in (0, 0, 1))
            assert np.array_equal(x, again) and len(x) == len(y) and np.isfinite(x).all()
            assert data.name == "iris" or not np.array_equal(x, other)


def test_problems_of_the_literature_are_as_their_authors_state_them(script) -> None:
    further = script("faithfulness_further")
    draw = {data.name: data.draw(np.random.default_rng(0)) for data in further.FURTHER[:5]}
    x, y = draw["monk 1"]
    a = [part.argmax(1) + 1 for part in np.split(x, np.cumsum([3, 3, 2, 3, 4]), axis=1)]
    assert np.array_equal(y == 1, (a[0] == a[1]) | (a[4] == 1))
    assert y.mean() == pytest.approx(0.5, abs=0.05)  # 1/3 + 2/3 * 1/4
    assert draw["monk 2"][1].mean() == pytest.approx(142 / 432, abs=0.05)
    assert draw["monk 3"][1].mean() == pytest.approx(0.05 + 0.9 * 228 / 432, abs=0.05)
    x, y = draw["waveform"]
    heights = [np.maximum(6 - np.abs(np.arange(1, 22) - middle), 0) for middle in (11, 15, 7)]
    for label, (one, two) in enumerate([(0, 1), (0, 2), (1, 2)]):
        assert np.abs(x[y == label].mean(0) - (heights[one] + heights[two]) / 2).max() < 0.4
    x, y = draw["display"]
    lit = x[y == 8][:, :7]
    assert lit.mean() == pytest.approx(0.9, abs=0.03) and len(np.unique(y)) == 10


def test_physical_functions_have_the_values_of_their_middle(script, monkeypatch) -> None:
    """Against the formulas in their usual form, at the middle of the domain."""
    further = script("faithfulness_further")
    monkeypatch.setattr(further, "value", lambda x, f, generator, noise=0.2: (x, f))

    class Middle:
        def uniform(self, low, high, size):
            return np.broadcast_to((np.asarray(low) + np.asarray(high)) / 2, size)

    def at(name):
        return next(data for data in further.FURTHER if data.name == name).draw(Middle())[1][0]

    log = np.log(25050 / 0.1)
    flow = 2 * np.pi * 89335 * (1050 - 760)
    flow /= log * (1 + 2 * 1400 * 89335 / (log * 0.1**2 * 10950) + 89335 / 89.55)
    assert at("borehole") == pytest.approx(flow)
    assert 3 < at("circuit") < 8 and 0.15 < at("piston") < 1.2 and 150 < at("wing") < 500
