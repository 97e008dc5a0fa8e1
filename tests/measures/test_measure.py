"""The contract of a measure, and how `nif.measure` chooses one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import nif
from nif.core.errors import InputError
from nif.core.types import Advance, Links, ignore
from nif.data.rows import Rows, read
from nif.estimators.pairs import Resources
from nif.measures.chosen import chosen_measure
from nif.measures.measure import Measure, Measured
from nif.network.network import Network

X = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


@dataclass(frozen=True)
class Weights:
    """A measure that needs no activations: the squared weights of the last layer."""

    rows: int | None = 60

    @property
    def rows_read(self) -> int | None:
        return self.rows

    def work(self, network: Network, rows: Rows) -> float:
        return 1.0

    def measure(
        self, network: Network, rows: Rows, *, seed: int, resources: Resources, advance: Advance
    ) -> Measured:
        architecture = network.architecture(rows)
        assert architecture.connections[-1] == (1, 2)
        nats = network.module[2].weight.detach().square().numpy().T.astype(np.float64)  # type: ignore[index, operator]
        links = Links(1, 2, nats, np.zeros_like(nats), np.full_like(nats, 0.5), nats)
        advance(1.0)
        constant = tuple(np.zeros(len(layer), dtype=bool) for layer in architecture.layers)
        return Measured(
            architecture.layers,
            (links,),
            constant,
            None,
            None,
            len(rows),
            options={"rows": self.rows},
        )


def test_any_measure_makes_a_flow() -> None:
    flow = nif.measure(network(), X, Weights(), class_names=["no", "yes"], progress=False)
    assert isinstance(Weights(), Measure)
    assert flow.layers[-1].units == ("no", "yes") and flow.measurement.samples == 60
    assert "Weights(rows=60)\n  60 samples; seed 0" in repr(flow)
    assert flow.measurement.options == {"rows": 60}


def test_an_estimator_stands_for_association_with_it() -> None:
    assert chosen_measure(None) == nif.Currents()
    assert chosen_measure(nif.Ksg()) == nif.Association(nif.Ksg())
    assert chosen_measure(nif.SharedMine()) == nif.Association(nif.SharedMine(), critic="shared")
    assert chosen_measure(nif.DAVIS2019) is nif.DAVIS2019


@pytest.mark.parametrize("method", [nif.Flow, 0.1, nn.ReLU()], ids=str)
def test_what_is_no_method_is_refused(method: Any) -> None:
    with pytest.raises(InputError, match=r"method is .*; expected nif\.Currents\(\), nif\.Assoc"):
        nif.measure(network(), X, method)


@pytest.mark.parametrize(
    ("options", "instead"),
    [
        ({"estimator": nif.Binned()}, r"pass nif\.Association\(estimator=nif\.Binned\(\)\) as method\."),
        ({"decomposition": nif.DAVIS2019}, r"nif\.DAVIS2019 as method\."),
        ({"noise": 0.1}, r"pass nif\.Association\(noise=0\.1\) as method\."),
        ({"max_samples": 10}, r"pass nif\.Association\(rows=100_000\) as method\."),
        ({"stream": True}, "draws rows at random"),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
def test_arguments_of_the_last_version_say_what_to_write(options: dict[str, Any], instead: str) -> None:
    name = next(iter(options))
    with pytest.raises(TypeError, match=rf"measure\(\) has no argument '{name}'; .*{instead}"):
        nif.measure(network(), X, **options)
    if name in ("estimator", "decomposition", "noise"):
        with pytest.raises(TypeError, match=rf"Watch\(\) has no argument '{name}'"):
            nif.Watch(network(), X, **options)
    with pytest.raises(TypeError, match="measure\\(\\) has no argument 'nose'"):
        nif.measure(network(), X, nose=1)  # type: ignore[call-arg]


# Laws of every measure


MEASURES = [nif.Association(nif.Binned()), nif.Association(nif.GaussianCopula(), noise=0.1)]


def measured(method: Measure, model: nn.Module, x: torch.Tensor = X, seed: int = 0) -> Measured:
    made = Network.of(model)
    return method.measure(made, read(x, made.signature), seed=seed, resources=Resources(), advance=ignore)


@pytest.mark.parametrize("method", MEASURES, ids=repr)
def test_a_constant_unit_has_links_of_0(method: Measure) -> None:
    model = network()
    with torch.no_grad():
        model[0].weight[1], model[0].bias[1] = 0, -1  # type: ignore[index, operator]
    result = measured(method, model)
    assert result.constant[1].tolist() == [False, True, False, False]
    assert not result.links[0].nats[:, 1].any() and not result.links[1].nats[1].any()
    assert (result.links[1].p_value[1] == 1).all()


@pytest.mark.parametrize("method", MEASURES, ids=repr)
def test_the_same_seed_gives_the_same_bits_and_work_is_about_what_advance_counts(method: Measure) -> None:
    one, two = measured(method, network(), seed=3), measured(method, network(), seed=3)
    for a, b in zip(one.links, two.links, strict=True):
        np.testing.assert_array_equal(a.nats, b.nats)
        np.testing.assert_array_equal(a.stderr, b.stderr)
    made, steps = Network.of(network()), []
    rows = read(X, made.signature)
    method.measure(made, rows, seed=0, resources=Resources(), advance=steps.append)
    assert sum(steps) == pytest.approx(method.work(made, rows), rel=0.1)


@pytest.mark.parametrize("method", MEASURES[:1], ids=repr)
def test_features_may_be_renumbered(method: Measure) -> None:
    model, order = network(), torch.tensor([2, 0, 1])
    other = network()
    with torch.no_grad():
        other[0].weight.copy_(model[0].weight[:, order])  # type: ignore[index, operator, arg-type]
    one, two = measured(method, model), measured(method, other, X[:, order])
    np.testing.assert_allclose(two.links[0].nats, one.links[0].nats[order.numpy()], atol=0.01)


def test_a_network_is_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from nif.network import network as module

    runs, graph_of = [], module.graph_of
    monkeypatch.setattr(module, "graph_of", lambda *given: runs.append(1) or graph_of(*given))
    nif.measure(network(), X, replace(MEASURES[0], rows=100), progress=False)
    assert len(runs) == 1
