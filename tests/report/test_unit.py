"""A page in bits: no view has a number in nats, and none is without its unit."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import nif
from nif.flow.flow import Flow
from support.browsing import FLOW as ASSOCIATION
from support.browsing import column_of

NETWORK_OF_UNIT = "view=network&unit=3"


@pytest.fixture(scope="module")
def flows() -> tuple[Flow, Flow]:
    """Currents, and what units tell of the decision."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2))
    x = torch.randn(120, 3, generator=torch.Generator().manual_seed(0))
    methods: tuple[Any, ...] = (nif.Currents(backgrounds=8, rows=60), nif.DecisionInformation())
    used, known = (nif.measure(net, x, method, progress=False) for method in methods)
    return used, known


def views_of(page: Any) -> dict[str, str]:
    """The text of every view."""
    texts = {}
    for tab in page.locator("#tabs button:visible").all():
        name = tab.get_attribute("aria-controls")
        tab.click()
        page.wait_for_timeout(50)
        titles = [shape.text_content() or "" for shape in page.locator(f"#{name} svg text").all()]
        texts[name] = "\n".join([page.inner_text(f"#{name}"), *titles])
    return texts


@pytest.mark.slow
def test_every_view_of_currents_has_one_unit(show: Any, flows: tuple[Flow, Flow]) -> None:
    used, known = flows
    page = show(used, association=known, unit="bits", fragment=NETWORK_OF_UNIT)
    texts = views_of(page) | {"header": page.inner_text("header")}
    assert {"flow", "attribution", "rows", "known", "layers", "neurons", "links", "method"} <= set(texts)
    assert {name for name, text in texts.items() if re.search(r"\bnats?\b", text)} == set()
    for name in ("flow", "known", "layers", "neurons", "links", "method", "header"):
        assert "bits" in texts[name], name
    page.click("#tab-map")
    page.hover("#cells")
    assert re.search(r"[\d.]+ bits, 95 %", page.inner_text("#readout"))
    in_nats = views_of(show(used, association=known, fragment=NETWORK_OF_UNIT))
    assert not any(re.search(r"\bbits?\b", text) for text in in_nats.values())


@pytest.mark.slow
def test_numbers_in_bits_are_those_in_nats_over_ln_2(show: Any, flows: tuple[Flow, Flow]) -> None:
    used, _ = flows
    found = []
    for unit in ("nats", "bits"):
        page = show(used, unit=unit, fragment="view=neurons")
        column = [name.split("\n")[0] for name in page.locator("#neurons th").all_inner_texts()]
        texts = column_of(page, "neurons", column.index(f"current, {unit}") + 1)
        found.append([float(text.replace("\N{MINUS SIGN}", "-")) for text in texts])
        page.click("#tab-attribution")
        bars = page.locator("#attribution .bars .value").all_inner_texts()
        found.append([float(text.split(" ")[0].replace("\N{MINUS SIGN}", "-")) for text in bars])
    np.testing.assert_allclose(found[2], np.array(found[0]) / math.log(2), atol=1.5e-3)
    np.testing.assert_allclose(found[3], np.array(found[1]) / math.log(2), atol=1.5e-3)
    assert found[0] != found[2]


@pytest.mark.slow
def test_a_page_of_association_has_one_unit(show: Any) -> None:
    texts = views_of(show(ASSOCIATION, unit="bits", fragment=NETWORK_OF_UNIT))
    assert {name for name, text in texts.items() if re.search(r"\bnats?\b", text)} == set()
    assert "bits in" in texts["layers"] and "bits" in texts["links"]


def test_an_unknown_unit_is_refused_and_no_file_is_left(flows: tuple[Flow, Flow], tmp_path: Path) -> None:
    with pytest.raises(nif.InputError, match="unit"):
        flows[0].report(tmp_path / "flow.html", unit="bytes")
    assert not list(tmp_path.iterdir())
