"""Shares are what is shown of association: nats to the power of the depth have no size."""

from __future__ import annotations

import re

import numpy as np
import pytest

from nif.cli import sections
from nif.flow.flow import Flow, example
from nif.plots import attribution as bars
from support.flows import flow_of, links_of


def deep(nats: float, layers: int = 30) -> Flow:
    """Of many layers, whose products leave the range of what can be read."""
    weights = nats * np.random.default_rng(0).uniform(0.5, 1, (3, 3))
    return flow_of(
        [links_of(weights, each, each + 1, stderr=abs(nats) / 100) for each in range(layers - 1)],
        [3] * layers,
    )


@pytest.mark.parametrize("nats", [1e-3, 40.0])
def test_what_is_shown_of_a_deep_network_are_shares(nats: float) -> None:
    flow = deep(nats)
    values = flow.attribution().to_numpy()
    assert not 1e-30 < values.max() < 1e30  # for code that reads it
    np.testing.assert_allclose(flow.shares(by_class=True), values / values.sum(), rtol=1e-12)
    np.testing.assert_allclose(flow.shares(by_class=True).sum(axis=1), flow.shares()["share"], rtol=1e-9)
    found = flow.paths(k=3)
    assert list(found.columns) == ["share", "path"] and len(found.attrs["products"]) == 3
    assert (found["share"] > 0).all() and found["share"].sum() < 1
    shown = [
        sections.attribution(flow),
        repr(flow),
        re.sub(r"<style.*</style>|<[^>]+>", "", flow._repr_html_(), flags=re.S),
    ]
    shown.append(bars(flow, label="output[1]").get_xlabel())
    for text in shown:
        assert not re.search(r"\d(e[+-]?\d|\d{9})|nats\^|nats\$", text), text


def test_shares_of_nothing_are_zero() -> None:
    flow = deep(-1.0)
    assert not flow.shares(by_class=True).to_numpy().any() and not flow.shares()["share"].any()
    assert example().shares(by_class=True).to_numpy().sum() == pytest.approx(1)
