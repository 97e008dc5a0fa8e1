"""Flows from rows that are never held together equal those of all rows in memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import nif
from nif.contracts import InputError
from nif.estimators.halving import DEEPEST, halved
from nif.ranks import normal_scores
from nif.recording import rows as reading
from nif.recording.rows import pieces
from nif.streaming import cell_file
from nif.streaming.cell_file import Cuts
from nif.streaming.correlations import OF_MARGINS, Margins
from pruning_networks import chain

ROWS = 6_000
X = torch.randn(ROWS, 4, generator=torch.Generator().manual_seed(0))
X[:, 1] += X[:, 0]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PIECE", 700)


def measured(data: Any, **options: Any) -> nif.Flow:
    given = {"estimator": nif.GaussianCopula(), "progress": False} | options
    return nif.measure(chain(4, 6, 5, 3), data, **given)


def test_scores_by_the_whole_sample_are_those_of_the_ranks_and_beyond_it_they_end() -> None:
    values = np.maximum(np.random.default_rng(0).normal(size=(200, 3)), 0)
    margins = Margins.of(values)
    np.testing.assert_allclose(margins.scores(values), normal_scores(values), atol=1e-12)
    outside = margins.scores(np.array([[-9.0] * 3, [9.0] * 3]))
    assert np.isfinite(outside).all() and (outside[0] < outside[1]).all()


def test_with_the_margins_of_all_rows_it_is_the_flow_in_memory() -> None:
    streamed, whole = measured(X, stream=True), measured(X)
    assert streamed.measurement.samples == ROWS and streamed.measurement == whole.measurement
    for one, other in zip(streamed.links, whole.links, strict=True):
        for name in ("nats", "stderr", "p_value"):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-6)
    np.testing.assert_allclose(streamed.attribution_stderr(), whole.attribution_stderr(), rtol=1e-4)


def test_with_the_margins_of_a_sixth_it_is_within_the_errors_of_all_rows() -> None:
    streamed, whole = measured(X, stream=True, max_samples=ROWS // 6), measured(X)
    sampled = measured(X, max_samples=ROWS // 6)
    assert streamed.measurement.samples == ROWS and sampled.measurement.samples == ROWS // 6
    off, of_sample = [], []
    for one, two, other in zip(streamed.links, sampled.links, whole.links, strict=True):
        off.append(((one.nats - other.nats) / two.stderr).ravel())
        of_sample.append(((two.nats - other.nats) / two.stderr).ravel())
        np.testing.assert_allclose(one.stderr, other.stderr * np.sqrt(1 + 6 * OF_MARGINS**2), rtol=0.05)
    assert np.sqrt(np.square(np.concatenate(off)).mean()) < 1.5 * OF_MARGINS
    assert np.sqrt(np.square(np.concatenate(of_sample)).mean()) > 0.6  # what streaming saves
    ratio = sampled.attribution_stderr().to_numpy() / streamed.attribution_stderr().to_numpy()
    assert 1.8 < np.median(ratio) < 2.8  # the square root of 6, less what the margins add


def test_intervals_of_links_cover_the_information_of_normal_units() -> None:
    """Two inputs and the sum of both: -log(1 - rho^2) / 2."""
    model = nn.Sequential(nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0.75]]))
    rho2 = np.array([1.0, 0.75**2]) / (1 + 0.75**2)
    truth, covered = -0.5 * np.log1p(-rho2), []
    for seed in range(60):
        x = torch.randn(4_000, 2, generator=torch.Generator().manual_seed(seed))
        flow = nif.measure(
            model, x, estimator=nif.GaussianCopula(), stream=True, max_samples=400, seed=seed, progress=False
        )
        found = flow.links[0]
        covered.append(np.abs(found.relevance[:, 0] - truth) <= 1.96 * found.stderr[:, 0])
    assert 0.89 < np.mean(covered) <= 1.0


@pytest.mark.parametrize("kind", ["normal", "zeros", "discrete", "constant"])
def test_cells_of_the_whole_sample_are_those_of_halving(kind: str) -> None:
    values = np.random.default_rng(0).normal(size=(901, 2)).astype(np.float32)
    values = {"zeros": np.maximum(values, 0), "discrete": np.round(values), "constant": 0 * values}.get(
        kind, values
    )
    assert (Cuts.of(values).cells(values) == halved(values, DEEPEST).cells).all()


def test_binned_over_all_rows_is_that_of_the_rows_in_memory_but_for_the_draw_of_its_quarters() -> None:
    """Four quarters of 6,000 rows: their mean differs by a part of the standard error from draw to draw."""
    streamed, whole = (measured(X, estimator=nif.Binned(), stream=stream) for stream in (True, False))
    again = measured(X, estimator=nif.Binned(), seed=1)
    assert streamed.measurement.samples == ROWS == whole.measurement.samples
    of_draw, off = [], []
    for one, two, other in zip(streamed.links, again.links, whole.links, strict=True):
        moved = other.stderr > 0
        of_draw.append((two.nats - other.nats)[moved] / other.stderr[moved])
        off.append((one.nats - other.nats)[moved] / other.stderr[moved])
        np.testing.assert_allclose(one.p_value, other.p_value, atol=1e-12)
        np.testing.assert_array_equal(other.stderr == 0, one.stderr == 0)
    expected = np.sqrt(np.square(np.concatenate(of_draw)).mean())
    assert 0.1 < np.sqrt(np.square(np.concatenate(off)).mean()) < 1.5 * expected < 1


def test_quarters_are_drawn_whatever_the_order_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PIECE", ROWS)
    in_order = X[X[:, 0].argsort()]
    found, expected = (measured(data, estimator=nif.Binned(), stream=True) for data in (in_order, X))
    for one, other in zip(found.links, expected.links, strict=True):
        assert (np.abs(one.nats - other.nats) <= 3 * other.stderr).all()


def test_cuts_of_a_tenth_of_the_rows_serve_for_all() -> None:
    streamed, whole = (
        measured(X, estimator=nif.Binned(), **options)
        for options in ({"stream": True, "max_samples": 600}, {})
    )
    assert streamed.measurement.samples == ROWS
    off = []
    for one, other in zip(streamed.links, whole.links, strict=True):
        moved = other.stderr > 0
        off.append((one.nats - other.nats)[moved] / np.hypot(one.stderr, other.stderr)[moved])
        np.testing.assert_allclose(np.median(one.stderr[moved] / other.stderr[moved]), 1, atol=0.1)
    assert 0.1 < np.sqrt(np.square(np.concatenate(off)).mean()) < 0.8


def test_the_size_of_blocks_and_the_number_of_threads_do_not_move_a_bit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = measured(X, estimator=nif.Binned(), stream=True)
    monkeypatch.setattr(cell_file, "ROWS_AT_ONCE", 500)
    found = measured(X, estimator=nif.Binned(threads=1), stream=True, memory="2MB")
    for one, other in zip(found.links, expected.links, strict=True):
        for name in ("nats", "stderr", "p_value"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_binned_covers_and_rejects_at_its_level_over_all_rows() -> None:
    """A sum that hears two of three inputs: -log(1 - rho^2) / 2."""
    model = nn.Sequential(nn.Linear(3, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0.75, 0.0]]))
    truth = -0.5 * np.log1p(-np.array([1.0, 0.75**2, 0.0]) / (1 + 0.75**2))
    covered, rejected = [], []
    for seed in range(100):
        x = torch.randn(3_000, 3, generator=torch.Generator().manual_seed(seed))
        flow = nif.measure(model, x, stream=True, max_samples=300, seed=seed, progress=False)
        found = flow.links[0]
        covered.append(np.abs(found.relevance[:, 0] - truth)[:2] <= 1.96 * found.stderr[:2, 0])
        rejected.append(found.p_value[2, 0] < 0.05)
    assert 0.89 < np.mean(covered) <= 1.0
    assert 0 < np.mean(rejected) < 0.13


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full, which is always full")
@pytest.mark.parametrize("rows", [60, ROWS])
def test_a_disk_that_is_full_is_said(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    def full(*, prefix: str, buffering: int) -> Any:
        return Path("/dev/full").open("r+b", buffering=buffering)

    monkeypatch.setattr(cell_file.tempfile, "TemporaryFile", full)
    with pytest.raises(InputError, match=r"No space left on device.*Set TMPDIR"):
        measured(X[:rows], estimator=None, stream=True)


def test_a_disk_that_takes_a_part_at_a_time_gets_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Slow(io.FileIO):
        def write(self, values: Any) -> int:
            return super().write(values[:100])

    expected = measured(X, estimator=nif.Binned(), stream=True)
    monkeypatch.setattr(cell_file.tempfile, "TemporaryFile", lambda **_: Slow(tmp_path / "cells", "w+"))
    found = measured(X, estimator=nif.Binned(), stream=True)
    for one, other in zip(found.links, expected.links, strict=True):
        np.testing.assert_array_equal(one.nats, other.nats)


class Rows(IterableDataset):
    """The rows, made as they are read."""

    def __iter__(self) -> Iterator[Tensor]:
        yield from X.split(100)


@pytest.mark.parametrize(
    "data",
    [
        DataLoader(TensorDataset(X, torch.zeros(ROWS)), batch_size=96),
        TensorDataset(X),
        DataLoader(Rows(), batch_size=None),
        X.numpy(),
    ],
    ids=["loader", "dataset", "stream", "array"],
)
def test_all_kinds_of_data_give_the_same(data: Any) -> None:
    expected = measured(X, stream=True)
    assert len([len(piece) for piece in pieces(data)]) > 5
    found = measured(data, stream=True)
    for one, other in zip(found.links, expected.links, strict=True):
        np.testing.assert_allclose(one.nats, other.nats, atol=1e-6)


def test_of_a_file_that_is_mapped_only_the_rows_that_are_drawn_are_read(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", X.numpy())
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    for options in ({"max_samples": 700}, {"max_samples": 700, "stream": True}):
        found, expected = measured(mapped, **options), measured(X, **options)
        for one, other in zip(found.links, expected.links, strict=True):
            np.testing.assert_array_equal(one.nats, other.nats)


def test_the_bar_knows_the_number_of_rows_where_the_data_do(monkeypatch: pytest.MonkeyPatch) -> None:
    said = []

    @contextmanager
    def bar(label: str, total: float | None, *, shown: bool) -> Iterator[Any]:
        said.append((label, total, shown))
        yield lambda rows: said.append((label, rows))

    monkeypatch.setattr("nif.recording.pieces.progress_bar", bar)
    monkeypatch.setattr("nif.recording.rows.progress_bar", bar)
    measured(DataLoader(TensorDataset(X), batch_size=600), max_samples=700, stream=True, progress=True)
    first, *batches = [call for call in said if call[0] == "reading"]
    assert first == ("reading", ROWS, True) and sum(rows for _, rows in batches) == ROWS
    first, *pieces_ = [call for call in said if call[0] == "reading all rows"]
    assert first == ("reading all rows", ROWS, True) and sum(rows for _, rows in pieces_) == ROWS


class Two(nn.Module):
    """Two inputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right, self.head = nn.Linear(4, 3), nn.Linear(2, 3), nn.Linear(3, 2)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.head(torch.relu(self.left(left) + self.right(right)))


@pytest.mark.parametrize("estimator", [nif.GaussianCopula(), nif.Binned()], ids=repr)
def test_several_inputs_and_noise(estimator: Any) -> None:
    data = {"left": X, "right": torch.randn(ROWS, 2, generator=torch.Generator().manual_seed(1))}
    options: dict[str, Any] = {"estimator": estimator, "noise": 0.3, "progress": False}
    streamed, whole = (nif.measure(Two(), data, stream=on, **options) for on in (True, False))
    for one, other in zip(streamed.links, whole.links, strict=True):
        assert (np.abs(one.nats - other.nats) < 5 * other.stderr + 1e-3).all()  # the noise is drawn anew


@pytest.mark.filterwarnings("ignore:.* of the rows of the data repeat another row")
@pytest.mark.parametrize("estimator", [nif.GaussianCopula(), nif.Binned()], ids=repr)
def test_a_coin_tells_no_more_than_its_entropy(estimator: Any) -> None:
    model = nn.Sequential(nn.Linear(4, 4, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(4))
    flow = nif.measure(model, X.sign(), estimator=estimator, stream=True, max_samples=600, progress=False)
    np.testing.assert_allclose(np.diag(flow.links[0].relevance), np.log(2), atol=0.01)


@pytest.mark.filterwarnings("ignore:.* of the rows of the data repeat another row")
def test_a_number_that_tells_a_coin_tells_no_more_than_the_coin_holds() -> None:
    """What the bins see is extrapolated beyond it."""
    model = nn.Sequential(nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[10.0, 1.0]]))
    coin = torch.arange(ROWS) % 2 * 2.0 - 1
    flow = nif.measure(model, torch.stack([coin, X[:, 0]], 1), stream=True, max_samples=ROWS, progress=False)
    assert np.log(2) - 0.001 < flow.links[0].relevance[0, 0] <= np.log(2) + 1e-12


def test_the_random_state_and_the_model_are_left_as_they_were() -> None:
    model, before = chain(4, 5, 2), torch.get_rng_state()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    loader = DataLoader(TensorDataset(X), batch_size=500, shuffle=True)
    nif.measure(model, loader, estimator=nif.GaussianCopula(), stream=True, progress=False)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in weights.items())


@pytest.mark.parametrize(
    "options",
    [
        {"estimator": nif.Mine()},
        {"estimator": nif.Ksg()},
        {"decomposition": nif.Decomposition(relevance="layer"), "noise": 0.1},
        {"reduce": "positions"},
    ],
    ids=str,
)
def test_what_can_not_be_streamed_is_refused(options: dict[str, Any]) -> None:
    given = {"estimator": nif.GaussianCopula()} | options
    with pytest.raises(InputError, match=r"expected nif.Binned\(\) or nif.GaussianCopula\(\)"):
        nif.measure(chain(4, 5, 2), X[:200], stream=True, progress=False, **given)
