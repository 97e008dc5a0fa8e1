"""Data sets: shapes, scales, and errors for missing or damaged files."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from nif import datasets
from nif.core.errors import InputError

DATA = os.environ.get("NIF_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="NIF_DATA does not name the directory of the data")

BANKNOTE_ROWS = "3.6216,8.6661,-2.8073,-0.44699,0\n4.5459,8.1674,-2.4586,-1.4621,0\n-1.4,3.3,-1.4,-1.9,1\n"


def idx(values: np.ndarray) -> bytes:
    """An IDX file of bytes, gzipped, as MNIST is distributed."""
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, dtype=">i4").tobytes()
    return gzip.compress(header + values.astype(np.uint8).tobytes())


def offline(*_: object, **__: object) -> None:
    raise OSError("no network")


@pytest.mark.parametrize(
    ("name", "samples", "features", "classes"),
    [
        ("iris", 150, 4, 3),
        ("digits", 1797, 64, 10),
        pytest.param("banknote", 1372, 4, 2, marks=needs_data),
        pytest.param("mnist", 10_000, 784, 10, marks=needs_data),
    ],
)
def test_shape_names_and_types(name: str, samples: int, features: int, classes: int) -> None:
    data = datasets.load(name)
    assert data.x.shape == (samples, features)
    assert (data.x.dtype, data.y.dtype) == (np.float32, np.int64)
    assert len(set(data.feature_names)) == features
    assert len(data.class_names) == classes
    assert np.unique(data.y).tolist() == list(range(classes))


@needs_data
def test_banknote_is_the_table_of_uci() -> None:
    data = datasets.load("banknote")
    np.testing.assert_allclose(data.x[0], [3.6216, 8.6661, -2.8073, -0.44699], rtol=1e-6)
    assert np.bincount(data.y).tolist() == [762, 610]


@needs_data
def test_mnist_images_belong_to_their_labels() -> None:
    data = datasets.load("mnist")
    assert data.y[:5].tolist() == [7, 2, 1, 0, 4]
    ones, zeros = data.x[data.y == 1], data.x[data.y == 0]
    assert ones.sum(axis=1).mean() < zeros.sum(axis=1).mean()  # a stroke holds less ink than a ring


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        InputError, match="Unknown data set 'wine'; expected one of iris, banknote, digits, mnist"
    ):
        datasets.load("wine")


@pytest.mark.parametrize("name", ["banknote", "mnist"])
def test_offline_error_names_nif_data(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NIF_DATA", raising=False)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", offline)
    with pytest.raises(InputError, match=rf"{name} could not be fetched from OpenML \(no network\); set"):
        datasets.load(name)


def test_a_set_path_is_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIF_DATA", str(tmp_path))
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda *_, **__: pytest.fail("used the network"))
    with pytest.raises(InputError, match=r"which does not contain data_banknote_authentication\.txt"):
        datasets.load("banknote")


def test_openml_frame_becomes_the_same_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenML calls the classes "1" and "2"; they become 0 and 1."""
    import pandas as pd
    from sklearn.utils import Bunch

    table = pd.DataFrame(np.arange(12.0).reshape(3, 4), columns=["V1", "V2", "V3", "V4"])
    bunch = Bunch(data=table, target=pd.Series(["1", "2", "1"]).astype("category"))
    monkeypatch.delenv("NIF_DATA", raising=False)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda *_, **__: bunch)
    data = datasets.load("banknote")
    assert data.y.tolist() == [0, 1, 0]
    assert data.feature_names == datasets.BANKNOTE_FEATURES
    assert data.source == "OpenML"


def test_mnist_of_openml_is_its_last_ten_thousand_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    import pandas as pd
    from sklearn.utils import Bunch

    labels = np.arange(10_003) % 10
    pixels = pd.DataFrame(np.repeat(np.arange(10_003)[:, None], 784, axis=1))
    bunch = Bunch(data=pixels, target=pd.Series(labels.astype(str)))
    monkeypatch.delenv("NIF_DATA", raising=False)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda *_, **__: bunch)
    data = datasets.load("mnist")
    assert data.x[:, 0].tolist() == list(range(3, 10_003))
    assert np.array_equal(data.y, labels[3:])


def test_path_may_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(BANKNOTE_ROWS)
    monkeypatch.setenv("NIF_DATA", str(path))
    data = datasets.load("banknote")
    assert (len(data), data.source) == (3, str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1,2,3\n4,5,6\n", "has 3 columns; expected 4 features and the class"),
        ("variance,skewness\n", "is not the Banknote table"),
    ],
    ids=["columns", "text"],
)
def test_foreign_table_is_refused(
    content: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / datasets.BANKNOTE_FILE).write_text(content)
    monkeypatch.setenv("NIF_DATA", str(tmp_path))
    with pytest.raises(InputError, match=message):
        datasets.load("banknote")


def test_mnist_round_trip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, size=(20, 28, 28))
    labels = np.arange(20) % 10
    (tmp_path / f"mnist-{datasets.MNIST_IMAGES}").write_bytes(idx(images))
    (tmp_path / f"mnist-{datasets.MNIST_LABELS}").write_bytes(idx(labels))
    monkeypatch.setenv("NIF_DATA", str(tmp_path))
    data = datasets.load("mnist")
    assert np.array_equal(data.x, images.reshape(20, 784))
    assert np.array_equal(data.y, labels)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (b"not gzip", b"not gzip", "cannot be read as MNIST"),
        (idx(np.zeros((3, 28, 28)))[:-9], idx(np.zeros(3)), "cannot be read as MNIST"),
        (idx(np.zeros(3)), idx(np.zeros(3)), "no IDX file of bytes with 3 axes"),
        (idx(np.zeros((3, 28, 28))), idx(np.zeros(2)), "3 images and 2 labels"),
    ],
    ids=["not gzip", "truncated", "labels as images", "lengths"],
)
def test_damaged_mnist_is_refused(
    images: bytes, labels: bytes, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / datasets.MNIST_IMAGES).write_bytes(images)
    (tmp_path / datasets.MNIST_LABELS).write_bytes(labels)
    monkeypatch.setenv("NIF_DATA", str(tmp_path))
    with pytest.raises(InputError, match=message):
        datasets.load("mnist")


@pytest.mark.parametrize("hold_out", [0.1, 1 / 3, 0.9])
def test_split_keeps_every_row_once_and_the_fractions_of_classes(hold_out: float) -> None:
    data = datasets.load("iris")
    parts = datasets.split(data, hold_out=hold_out, seed=4)
    together = np.concatenate([parts.train.x, parts.test.x])
    assert np.array_equal(np.sort(together, axis=0), np.sort(parts.whole.x, axis=0))
    assert np.bincount(parts.test.y).tolist() == [round(hold_out * 50)] * 3


def test_split_scales_by_training_rows_alone() -> None:
    parts = datasets.split(datasets.load("iris"), seed=0)
    np.testing.assert_allclose(parts.train.x.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(parts.train.x.std(axis=0), 1, atol=1e-5)
    assert np.abs(parts.test.x.mean(axis=0)).max() > 1e-3


def test_split_of_constant_pixels_is_finite() -> None:
    parts = datasets.split(datasets.load("digits"), seed=0)
    assert np.isfinite(parts.whole.x).all()
    assert not parts.train.x[:, 0].any()  # the corner pixel is always blank


def test_split_depends_on_its_seed_only() -> None:
    data = datasets.load("iris")
    np.random.default_rng(1).normal()
    first, again, other = (datasets.split(data, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first.train.x, again.train.x)
    assert not np.array_equal(first.train.x, other.train.x)


@pytest.mark.parametrize("hold_out", [0.0, 1.0, -0.2, 1.5])
def test_hold_out_must_be_a_fraction(hold_out: float) -> None:
    with pytest.raises(InputError, match="expected a number between 0 and 1"):
        datasets.split(datasets.load("iris"), hold_out=hold_out)


def test_a_class_of_one_sample_cannot_be_split() -> None:
    iris = datasets.load("iris")
    with pytest.raises(InputError, match="Class 2 has one sample"):
        datasets.split(iris.rows(np.arange(101)))
