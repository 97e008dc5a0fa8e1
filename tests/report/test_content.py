"""The page as a file: it holds the numbers of the flow, and says what to keep in mind."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import nif
from nif.core.errors import InputError
from nif.core.types import Layer
from nif.report.caveats import caveats
from nif.report.images import pixels
from support.browsing import FLOW
from support.flows import flow_of, links_of


def embedded(path: Path, name: str, kind: str) -> np.ndarray:
    found = re.search(f'id="data-{name}">([^<]*)<', path.read_text("utf-8"))
    assert found
    return np.frombuffer(base64.b64decode(found[1]), dtype=kind)


def test_the_page_holds_the_numbers_of_the_flow(tmp_path: Path) -> None:
    FLOW.report(tmp_path / "flow.html")
    page, table = tmp_path / "flow.html", FLOW.neurons()
    for name in ("betweenness", "throughput", "inflow", "outflow", "p_value", "q_value"):
        np.testing.assert_allclose(embedded(page, name, "<f4"), table[name], rtol=1e-6, atol=1e-30)
    np.testing.assert_array_equal(embedded(page, "community", "<i4"), table["community"])
    np.testing.assert_array_equal(embedded(page, "silent", "u1"), table["silent"])
    edges = FLOW.edges().query("nats > 0").sort_values("nats", ascending=False)
    np.testing.assert_allclose(embedded(page, "nats", "<f4"), edges["nats"], rtol=1e-6)
    by_class = embedded(page, "attribution", "<f8").reshape(4, 4)
    np.testing.assert_allclose(by_class[:, :3], FLOW.attribution(), rtol=1e-5)
    np.testing.assert_allclose(by_class[:, 3], FLOW.attribution().sum(axis=1), rtol=1e-5)
    errors = embedded(page, "attribution_stderr", "<f8").reshape(4, 4)
    np.testing.assert_allclose(errors[:, :3], FLOW.attribution_stderr(), rtol=1e-5)


def test_the_error_of_all_classes_counts_what_they_share() -> None:
    one = flow_of([links_of([[0.5]], stderr=0.1), links_of([[1.0, 1.0]], 1, 2, stderr=0.0)], [1, 1, 2])
    from nif.flow.paths import Dag, attribution_stderr

    both = attribution_stderr(Dag((1, 1, 2), one.links), of=np.ones((2, 1)))
    np.testing.assert_allclose(both, [[0.2]])  # not the 0.1 * sqrt(2) of two independent ones


def test_a_path_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        FLOW.report(tmp_path / "missing" / "flow.html")
    (tmp_path / "taken").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        FLOW.report(tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_links_left_out_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nif.report.content.MOST_LINKS", 10)
    FLOW.report(tmp_path / "flow.html")
    text = (tmp_path / "flow.html").read_text("utf-8")
    total = int((FLOW.edges()["nats"] > 0).sum())
    assert re.search(f"strongest 10 links, which carry .* and leaves out {total - 10} weaker ones", text)
    assert len(embedded(tmp_path / "flow.html", "nats", "<f4")) == 10


def test_the_page_itself_is_small(tmp_path: Path) -> None:
    flow_of([links_of([[0.1]])], [1, 1]).report(tmp_path / "flow.html")
    assert (tmp_path / "flow.html").stat().st_size < 300_000


CAVEATS = {
    "layer": ({"relevance": "layer"}, {}, "the same for all its units"),
    "index": ({"order": "index"}, {}, "renumbering"),
    "joint": ({"critic": "joint"}, {}, "no maximum"),
    "beta": ({"beta": 1.0}, {}, "fixed beta of 1.0"),
    "no noise": ({"noise": 0.0}, {}, "No noise channel"),
    "noise": ({"noise": 0.25}, {}, "0.25 of its standard deviation"),
    "not converged": ({}, {"not_converged": 7}, "7 of 40 terms"),
    "few": ({}, {"samples": 60}, "Only 60 rows"),
}


@pytest.mark.parametrize(("options", "changes", "said"), CAVEATS.values(), ids=CAVEATS.keys())
def test_caveats_fit_the_options(options: dict[str, Any], changes: dict[str, Any], said: str) -> None:
    known = {"noise": 0.1, "terms": 40}
    plain = replace(FLOW.measurement, options=known, not_converged=0, samples=5000)
    other = replace(plain, options={**known, **options}, **changes)
    assert any(said in sentence for sentence in caveats(other))
    if said != "0.25 of its standard deviation":
        assert not any(said in sentence for sentence in caveats(plain))


def features(*names: str) -> Layer:
    return Layer("input", "input", names)


def test_pixels_are_read_from_names() -> None:
    assert pixels(features(*(f"pixel_{i}_{j}" for i in range(2) for j in range(3)))) == {
        "shape": [2, 3], "place": [0, 1, 2, 3, 4, 5],
    }  # fmt: skip
    channels = pixels(features(*(f"x[{c},{i},{j}]" for c in range(3) for i in range(2) for j in range(2))))
    assert channels == {"shape": [2, 2], "place": [0, 1, 2, 3] * 3}
    for names in (["a 1 2"], ["x1", "x2"], ["x[0,0]", "x[0,1]", "x[1,0]"], ["x[0,0]", "width"]):
        assert pixels(features(*names)) is None


@pytest.mark.parametrize(
    ("shape", "units", "expected"),
    [
        ((2, 3), 6, {"shape": [2, 3], "place": [0, 1, 2, 3, 4, 5]}),
        ((2, 2, 2), 8, {"shape": [2, 2], "place": [0, 1, 2, 3] * 2}),
        ((1, 6), 6, None),
        ((6,), 6, None),
    ],
)
def test_the_shape_of_a_layer_says_where_its_pixels_are(
    shape: tuple[int, ...], units: int, expected: object
) -> None:
    names = tuple(f"feature {i}" for i in range(units))
    assert pixels(Layer("input", "input", names, shape)) == expected


def test_the_time_is_told_and_does_not_tell_flows_apart(tmp_path: Path) -> None:
    timed = replace(FLOW.measurement, began="2026-03-01T09:30:12+00:00", seconds=3725.0)
    flow = replace(FLOW, measurement=timed)
    assert flow == FLOW
    flow.report(tmp_path / "flow.html")
    text = (tmp_path / "flow.html").read_text("utf-8")
    assert '["measured", "2026-03-01 09:30 UTC"], ["took", "1 h 2 min"]' in text
    FLOW.report(tmp_path / "flow.html")
    assert '["took"' not in (tmp_path / "flow.html").read_text("utf-8")


def test_a_measurement_is_timed() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    data = np.random.default_rng(0).normal(size=(100, 2))
    told = nif.measure(nn.Linear(2, 2), data, nif.Binned(), progress=False).measurement
    assert before <= datetime.fromisoformat(told.began or "") <= datetime.now(UTC)
    assert 0 < (told.seconds or 0) < 600
