"""The options of association, and what they refuse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.core.errors import InputError

X = torch.randn(80, 3, generator=torch.Generator().manual_seed(0))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def test_the_published_preset() -> None:
    assert nif.Association(beta=1.0, relevance="layer", order="index", critic="joint") == nif.DAVIS2019


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"relevance": "neuron"}, "relevance is 'neuron'; expected 'unit' or 'layer'"),
        ({"order": "random"}, "order is 'random'"),
        ({"critic": "both"}, "critic is 'both'"),
        ({"beta": -1.0}, "beta is -1.0; expected a number from 0 up"),
        ({"beta": float("nan")}, "beta is nan"),
        ({"noise": -0.1}, "noise is -0.1; expected a number from 0 up"),
        ({"rows": 0}, "rows is 0; expected a whole number of 1 or more, or None"),
        ({"estimator": 3}, "estimator is 3; expected one such as"),
        ({"estimator": nif.SharedMine()}, r"critic='separate' cannot be combined with estimator=SharedMine"),
        (
            {"estimator": nif.Mine(), "critic": "joint"},
            r"cannot be combined .*; pass nif\.SharedMine\(\), or None",
        ),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, dict) else "",
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        nif.Association(**options)


def test_infinite_information_is_refused_or_warned_of() -> None:
    of_layer = nif.Association(nif.Binned(), relevance="layer")
    with pytest.raises(InputError, match="relevance='layer' is infinite without noise"):
        nif.measure(network(), X, of_layer, progress=False)
    assert nif.measure(network(), X, replace(of_layer, noise=0.1), progress=False).errors is None
    published = replace(nif.DAVIS2019, estimator=nif.SharedMine(steps=2))
    with pytest.warns(UserWarning, match="DAVIS2019 with noise=0") as warned:
        nif.measure(network(), X, published, progress=False)
    assert warned[0].filename == __file__


def test_the_flow_states_the_method_with_the_options_that_are_not_the_default() -> None:
    flow = nif.measure(network(), X, nif.Association(nif.Binned(), noise=0.1, rows=60), progress=False)
    assert "\n  Association(estimator=Binned(), noise=0.1, rows=60)\n" in repr(flow)
    assert flow.measurement.options == {
        "estimator": "Binned()",
        "beta": None,
        "relevance": "unit",
        "order": "average",
        "critic": "separate",
        "noise": 0.1,
        "rows": 60,
        "blocks": None,
        "automatic": False,
        "terms": 3 * 4 + 4 * 2 + 3 + 6,
        "not_measured": [],
    }
    assert flow.measurement.samples == 60


def test_duplicate_rows_are_warned_of_where_measure_is_called() -> None:
    with pytest.warns(UserWarning, match="50% of the rows are duplicates") as warned:
        nif.measure(network(), X.repeat(2, 1), nif.Binned(), progress=False)
    assert warned[0].filename == __file__


def test_the_estimator_is_chosen_by_the_number_of_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nif.estimators.arrays.MOST_TERMS_FOR_MINE", 28)
    flow = nif.measure(network(), X, nif.Association(), progress=False)
    assert flow.measurement.options["estimator"] == "Binned()"
    assert "Binned(), chosen automatically; 80 samples, 29 terms" in repr(flow)


@pytest.mark.parametrize("estimator", [nif.GaussianCopula(), nif.Binned()])
def test_layers_of_one_unit_beside_wide_ones(estimator: object) -> None:
    """A block of units of which none leads to the label has no rows to influence."""

    class Quantiles(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.middle = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 1))
            self.up, self.down = nn.Linear(4, 1), nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            middle = self.middle(x)
            up, down = nn.functional.softplus(self.up(x)), nn.functional.softplus(self.down(x))
            return torch.cat([middle, middle + up, middle - down], 1)

    x = torch.randn(120, 4, generator=torch.Generator().manual_seed(0))
    flow = nif.measure(Quantiles(), x, estimator, progress=False)
    errors = flow.attribution_stderr()
    assert errors.shape == flow.attribution().shape == (4, 3)
    assert np.isfinite(errors.to_numpy()).all() and (errors.to_numpy() > 0).all()
