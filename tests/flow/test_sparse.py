"""Sparse and dense storage of links give one result; large flows say which links they leave out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open

from nif.core.errors import InputError
from nif.core.types import LINK_ARRAYS, UNCONNECTED, Links
from nif.flow import communities, file, paths
from nif.flow.file import OLD_NAMES, load
from nif.flow.flow import Flow
from nif.flow.strongest import strongest
from nif.plots.community_bands import bands_of
from nif.plots.layout import heights
from nif.plots.link_map import links as link_map
from support.flows import flow_of, random_flow

OLD = Path(__file__).parents[1] / "support" / "flow-0.1.safetensors"
"""Written by nif 0.1: two convolutions, the second in four groups, and a linear layer."""

SIZES, SKIPS = [6, 9, 8, 7, 3], [(1, 3)]


def storages(patch: pytest.MonkeyPatch, fraction: float, seed: int) -> tuple[Flow, Flow]:
    """A flow with few connected pairs, stored sparse and dense; some units have no link, one is constant."""
    generator = np.random.default_rng(seed)
    arguments = []
    for links in random_flow(SIZES, SKIPS, seed=seed).links:
        flags = generator.random(links.shape) < fraction
        arrays = {name: np.where(flags, links.dense(name), UNCONNECTED[name]) for name in LINK_ARRAYS}
        arguments.append((links.source, links.target, arrays, flags))
    sparse, dense = [], []
    for source, target, arrays, flags in arguments:
        sparse.append(Links(source, target, **arrays, connected=flags))
        with patch.context() as forced:
            forced.setattr("nif.core.types.SPARSE_BELOW", 0.0)
            dense.append(Links(source, target, **arrays, connected=flags))
    assert all(links.sparse for links in sparse) and not any(links.sparse for links in dense)
    return tuple(flow_of(links, SIZES, constant=[(1, 4)]) for links in (sparse, dense))  # type: ignore


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("fraction", [0.1, 0.35])
@pytest.mark.parametrize("products", ["dense", "sparse"])
def test_storage_changes_no_result(
    monkeypatch: pytest.MonkeyPatch, fraction: float, seed: int, products: str
) -> None:
    if products == "sparse":
        monkeypatch.setattr(paths, "LARGEST_DENSE", 0)
    sparse, dense = storages(monkeypatch, fraction, seed)
    pd.testing.assert_frame_equal(sparse.edges(), dense.edges(), check_exact=True)
    pd.testing.assert_frame_equal(sparse.edges(top=5), dense.edges(top=5), check_exact=True)
    for clip in (True, False):
        pd.testing.assert_frame_equal(sparse.attribution(clip=clip), dense.attribution(clip=clip), rtol=1e-12)
        pd.testing.assert_frame_equal(
            sparse.attribution_stderr(clip=clip), dense.attribution_stderr(clip=clip), rtol=1e-12
        )
    pd.testing.assert_frame_equal(sparse.shares(), dense.shares(), rtol=1e-12)
    one, other = sparse.neurons(), dense.neurons()
    pd.testing.assert_frame_equal(one, other, rtol=1e-12)
    for name in ("p_value", "q_value", "silent", "community"):
        np.testing.assert_array_equal(one[name], other[name])
    assert sparse.modularity == dense.modularity and sparse.count == dense.count
    assert repr(sparse) == repr(dense)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("candidates", [1, 40, paths.CANDIDATES])
def test_storage_changes_no_path(monkeypatch: pytest.MonkeyPatch, seed: int, candidates: int) -> None:
    monkeypatch.setattr(paths, "CANDIDATES", candidates)
    sparse, dense = storages(monkeypatch, 0.35, seed)
    for feature in sparse.layers[0].units:
        for label in sparse.layers[-1].units:
            pd.testing.assert_frame_equal(sparse.paths(feature, label, 4), dense.paths(feature, label, 4))


def test_storage_changes_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    sparse, dense = storages(monkeypatch, 0.3, 0)
    for one, other in zip(heights(SIZES, sparse.links), heights(SIZES, dense.links), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(bands_of(sparse).between.values(), bands_of(dense).between.values(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    maps = [link_map(flow, 1, 2).images[0].get_array() for flow in (sparse, dense)]
    np.testing.assert_array_equal(*maps)
    monkeypatch.setattr("nif.plots.link_map.MOST_CELLS", 4)
    coarse = [np.asarray(link_map(flow, 1, 2).images[0].get_array()) for flow in (sparse, dense)]
    np.testing.assert_array_equal(*coarse)
    assert coarse[0].shape == (4, 4) and coarse[0].max() == sparse.links[1].nats.max()


@pytest.mark.parametrize("most", [1, 10, 1000])
def test_the_strongest_links_are_the_same(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    sparse, dense = (strongest(flow.links, SIZES, most) for flow in storages(monkeypatch, 0.3, 1))
    for name in ("source", "target", "nats", "stderr", "p_value"):
        np.testing.assert_array_equal(getattr(sparse, name), getattr(dense, name))
    assert (sparse.of, sparse.fraction) == (dense.of, dense.fraction)


# Files


def test_each_storage_goes_through_a_file_unchanged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, flow in zip(("sparse", "dense"), storages(monkeypatch, 0.3, 2), strict=True):
        flow.save(tmp_path / name)
        if name == "dense":
            monkeypatch.setattr("nif.core.types.SPARSE_BELOW", 0.0)
        assert load(tmp_path / name) == flow
    assert (tmp_path / "sparse").stat().st_size < (tmp_path / "dense").stat().st_size


def test_a_file_of_nif_0_1_is_read_bit_for_bit() -> None:
    flow = load(OLD)
    assert [links.sparse for links in flow.links] == [False, True, False]
    with safe_open(OLD, framework="numpy") as old:
        assert old.metadata()["version"] == "1" and "links/1/joined" in old.keys()  # noqa: SIM118
        for index, links in enumerate(flow.links):
            for name in LINK_ARRAYS:
                np.testing.assert_array_equal(links.dense(name), old.get_tensor(f"links/{index}/{name}"))
        flags = old.get_tensor("links/1/joined")
        np.testing.assert_array_equal(flow.links[1].connected.toarray(), flags)
        assert flow.errors is not None
        for name in ("attribution", "attribution_total", "layer_inflow", "layer_outflow"):
            saved = old.get_tensor(f"errors/{OLD_NAMES[name]}")
            np.testing.assert_array_equal(getattr(flow.errors, name), saved)
    assert len(flow.edges()) == 9 * 4 + 8 + 8 * 2


def test_an_old_file_goes_on_as_a_new_one(tmp_path: Path) -> None:
    load(OLD).save(tmp_path / "new")
    assert load(tmp_path / "new") == load(OLD)


# Many links


def test_the_top_edges_are_the_first_of_all() -> None:
    flow = random_flow([5, 6, 4], [(0, 2)])
    every = flow.edges().sort_values("nats", ascending=False, kind="stable")
    for top in (1, 7, 1000):
        pd.testing.assert_frame_equal(flow.edges(top=top), every.head(top), check_exact=True)
    with pytest.raises(InputError, match="top is 0; expected a whole number of 1 or more, or None"):
        flow.edges(top=0)


def test_a_large_flow_is_saved_by_what_carries_its_nats(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    flow = random_flow([20, 30, 10], seed=3)
    assert flow.count == 900
    monkeypatch.setattr(file, "MOST_LINKS", 900)
    flow.save(tmp_path / "whole")
    assert load(tmp_path / "whole") == flow
    monkeypatch.setattr(file, "MOST_LINKS", 899)
    flow.save(tmp_path / "large")
    loaded = load(tmp_path / "large")
    sizes = np.sort(np.abs(flow.edges()["nats"]))[::-1]
    kept = int(np.searchsorted(np.cumsum(sizes), 0.999 * sizes.sum()) + 1)
    assert loaded.count == kept < 900 and loaded.left_out is not None
    assert loaded.left_out.links == 900 - kept
    assert loaded.left_out.fraction == pytest.approx(1 - sizes[:kept].sum() / sizes.sum())
    said = f"{900 - kept:,} weakest links, 0.10% of the absolute nats, are not in the file"
    assert said in repr(loaded) and said in loaded._repr_html_()
    with safe_open(tmp_path / "large", framework="numpy") as header:
        assert f'"links": {900 - kept}' in header.metadata()["left_out"]
    loaded.report(tmp_path / "page.html")
    assert said in (tmp_path / "page.html").read_text("utf-8")
    flow.save(tmp_path / "all", keep=1.0)
    assert load(tmp_path / "all") == flow


def test_what_is_left_out_changes_no_silent_unit_and_few_nats(tmp_path: Path) -> None:
    flow = random_flow([20, 30, 10], seed=3)
    flow.save(tmp_path / "half", keep=0.6)
    half = load(tmp_path / "half")
    assert any(links.sparse for links in half.links)
    for name in ("p_value", "q_value", "silent"):
        np.testing.assert_array_equal(half.neurons()[name], flow.neurons()[name])
    assert half.edges()["nats"].abs().sum() >= 0.6 * flow.edges()["nats"].abs().sum()
    kept = flow.edges().merge(half.edges(), on=["source_unit", "target_unit"])
    assert len(kept) == half.count and (kept["nats_x"] == kept["nats_y"]).all()
    half.save(tmp_path / "again", keep=0.5)
    again = load(tmp_path / "again")
    assert again.left_out is not None and again.left_out.links == flow.count - again.count
    carried = again.edges()["nats"].abs().sum() / flow.edges()["nats"].abs().sum()
    assert again.left_out.fraction == pytest.approx(1 - carried)
    np.testing.assert_array_equal(again.neurons()["p_value"], flow.neurons()["p_value"])


@pytest.mark.parametrize("keep", [0.0, -1.0, 1.5, float("nan")])
def test_what_is_no_fraction_is_refused(tmp_path: Path, keep: float) -> None:
    with pytest.raises(InputError, match="expected a fraction above 0 and up to 1"):
        random_flow([2, 2]).save(tmp_path / "flow", keep=keep)


def test_a_page_holds_what_carries_the_nats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nats = np.array([[8.0, 1.9, 0.05, 0.05]])
    flow = flow_of([replace(random_flow([1, 4]).links[0], nats=nats)], [1, 4])
    monkeypatch.setattr("nif.report.content.CARRIED", 0.98)
    flow.report(tmp_path / "whole.html")
    assert "This page holds" not in (tmp_path / "whole.html").read_text("utf-8")
    monkeypatch.setattr("nif.report.content.MOST_LINKS", 3)
    flow.report(tmp_path / "large.html")
    said = "holds the strongest 2 links, which carry 99.0% of the information, and leaves out 2 weaker ones"
    assert said in (tmp_path / "large.html").read_text("utf-8")


def test_communities_of_many_links_are_those_of_the_strongest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    flow = random_flow([6, 8, 4], seed=2)
    every = communities.Graph.of([6, 8, 4], flow.links)
    monkeypatch.setattr(communities, "MOST_LINKS", 20)
    table = flow.neurons()
    assert table.attrs["communities_left_out"] == len(every.nats) - 20
    strong = communities.Graph.of([6, 8, 4], flow.links, most=20)
    assert strong.nats.min() == np.sort(every.nats)[-20]
    np.testing.assert_array_equal(table["community"], communities.communities(strong).label)
    assert flow.to_igraph().ecount() == len(every.nats)
    flow.report(tmp_path / "page.html")
    assert "those of the strongest 20 links" in (tmp_path / "page.html").read_text("utf-8")
