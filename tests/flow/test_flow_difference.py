"""The difference of two flows of the same rows: paired errors, and what is refused."""

import numpy as np
import pytest
import torch
from torch import nn

import nif

OPTIONS = nif.Currents(by_class=False, paths=0, steps=2)


def logistic(*weights: float) -> nn.Sequential:
    net = nn.Sequential(nn.Linear(len(weights), 2, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(torch.stack([torch.zeros(len(weights)), torch.tensor(weights)]))
    return net


FIRST, SECOND = logistic(2.0, 1.0, 0.0), logistic(2.0, 0.6, 0.0)


def both(samples: int, seed: int) -> tuple[nif.Flow, nif.Flow]:
    x = torch.randn(samples, 3, generator=torch.Generator().manual_seed(seed))
    first, second = (nif.measure(net, x, OPTIONS, progress=False) for net in (FIRST, SECOND))
    return first, second


def test_a_flow_less_itself_is_nothing_without_error() -> None:
    flow, _ = both(100, 0)
    table = flow - flow
    assert (table[["nats", "stderr"]] == 0).all().all() and (table["p_value"] == 1).all()
    assert table.attrs["total"].stderr == 0


@pytest.mark.parametrize("samples", [200, 700])  # of the latter some rows are explained
def test_the_difference_is_that_of_the_currents_and_its_error_is_paired(samples: int) -> None:
    first, second = both(samples, 1)
    table = first - second
    one, other = (flow.neurons().loc["input"] for flow in (first, second))
    np.testing.assert_allclose(table["nats"], one["current"] - other["current"])
    unpaired = np.hypot(one["stderr"], other["stderr"]).to_numpy()
    assert (table["stderr"].to_numpy()[:2] < 0.8 * unpaired[:2]).all()
    assert table.loc["x3"].tolist() == [0.0, 0.0, 1.0, 1.0]
    assert table.attrs["total"].nats == pytest.approx(first.total.nats - second.total.nats)  # type: ignore[union-attr]


@pytest.mark.slow
def test_the_error_is_the_spread_over_samples() -> None:
    tables = [first - second for first, second in (both(200, seed) for seed in range(16))]
    nats = np.stack([table["nats"].to_numpy()[:2] for table in tables])
    claimed = np.sqrt(np.mean([table["stderr"].to_numpy()[:2] ** 2 for table in tables], axis=0))
    ratio = claimed / nats.std(axis=0, ddof=1)
    assert (ratio > 0.6).all() and (ratio < 1.7).all()  # the spread of 16 is known to 18 %


def test_flows_of_other_rows_seeds_features_or_methods_are_refused() -> None:
    first, _ = both(100, 0)
    x = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    for other in (
        both(100, 5)[0],
        nif.measure(FIRST, x[:90], OPTIONS, progress=False),
        nif.measure(FIRST, x, OPTIONS, seed=1, progress=False),
    ):
        with pytest.raises(nif.InputError, match="do not rest on the same rows"):
            first - other
    with pytest.raises(nif.InputError, match="different features"):
        first - nif.measure(logistic(1.0, 1.0), x[:, :2], OPTIONS, progress=False)
    with pytest.raises(nif.InputError, match="flow of association"):
        first - nif.measure(FIRST, x, nif.Association(nif.Binned()), progress=False)
    with pytest.raises(nif.InputError, match=r"other is 1\.0; expected the result of nif\.measure"):
        first - 1.0  # type: ignore[operator]
