"""The data sets of the paper and the demos: iris, banknote, digits, mnist.

Iris and digits ship with scikit-learn. Banknote and MNIST are read from the path that the environment
variable ``NIF_DATA`` names (the file itself or its directory) or, where it is not set, fetched from OpenML.
A missing data set is an error; it is never replaced.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from nif.core.arguments import checked_arguments
from nif.core.errors import InputError

BANKNOTE_FILE = "data_banknote_authentication.txt"
BANKNOTE_FEATURES = ("variance", "skewness", "curtosis", "entropy")

MNIST_IMAGES, MNIST_LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
MNIST_TEST_IMAGES = 10_000


@dataclass(frozen=True, eq=False)
class Dataset:
    """A classification data set.

    Attributes:
        name: The name passed to `load`.
        x: One row for each sample, one column for each feature.
        y: The class of each sample, an index into `class_names`.
        feature_names: One for each column of x.
        class_names: One for each value of y.
        source: Origin of the data, for display.
    """

    name: str
    x: Float32[np.ndarray, "sample feature"]
    y: Int64[np.ndarray, " sample"]
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    source: str

    def __len__(self) -> int:
        return len(self.y)

    def rows(self, index: Int64[np.ndarray, " row"]) -> Dataset:
        """The samples at `index`, in that order."""
        return replace(self, x=self.x[index], y=self.y[index])

    def __repr__(self) -> str:
        size = f"{len(self)} samples, {len(self.feature_names)} features, {len(self.class_names)} classes"
        return f"Dataset({self.name}: {size}, from {self.source})"


@dataclass(frozen=True, eq=False)
class Split:
    """A data set in two parts, each feature scaled to mean 0 and deviation 1 on the training rows.

    Attributes:
        train: Rows to train on.
        test: Rows held out.
        whole: All rows on the same scale, in their first order.
    """

    train: Dataset
    test: Dataset
    whole: Dataset


@checked_arguments()
def load(name: str) -> Dataset:
    """Load a data set by name.

    Args:
        name: ``"iris"``, ``"banknote"``, ``"digits"`` or ``"mnist"`` (the 10,000 test images).

    Raises:
        InputError: The name is unknown, ``NIF_DATA`` names no such file, or OpenML cannot be reached.

    References:
        Iris (Fisher, 1936). Banknote Authentication (Lohweg, 2012), https://archive.ics.uci.edu/dataset/267.
        Digits (Alpaydin & Kaynak, 1998). MNIST (LeCun, Cortes & Burges, 1998).

    Example:
        >>> load("iris")
        Dataset(iris: 150 samples, 4 features, 3 classes, from scikit-learn)
    """
    if name not in DATASETS:
        raise InputError(f"Unknown data set {name!r}; expected one of {', '.join(DATASETS)}.")
    return DATASETS[name]()


@checked_arguments()
def split(dataset: Dataset, *, hold_out: float = 1 / 3, seed: int = 0) -> Split:
    """Hold out the same fraction of every class, and standardise all rows by the training rows.

    A feature that is constant on the training rows is only centred.

    Args:
        dataset: The data set.
        hold_out: Fraction of the rows of each class in the test part.
        seed: Random seed.

    Example:
        >>> parts = split(load("iris"), seed=1)
        >>> len(parts.train), np.bincount(parts.test.y).tolist()
        (99, [17, 17, 17])
    """
    held_out = _stratified(dataset.y, hold_out, seed)
    training = dataset.x[~held_out]
    deviation = training.std(axis=0)
    scaled = (dataset.x - training.mean(axis=0)) / np.where(deviation > 0, deviation, 1).astype(np.float32)
    whole = replace(dataset, x=scaled)
    return Split(whole.rows(np.flatnonzero(~held_out)), whole.rows(np.flatnonzero(held_out)), whole)


def _stratified(y: Int64[np.ndarray, " sample"], fraction: float, seed: int) -> np.ndarray:
    """Mask of the rows held out: at least one of each class, and never all of it."""
    rng = np.random.default_rng(seed)
    held_out = np.zeros(len(y), dtype=bool)
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        if len(rows) < 2:
            raise InputError(
                f"Class {label} has one sample; a split needs two of each class. Remove that class."
            )
        held_out[rows[: min(max(round(fraction * len(rows)), 1), len(rows) - 1)]] = True
    return held_out


def _iris() -> Dataset:
    from sklearn.datasets import load_iris

    bunch = load_iris()
    names = tuple(name.removesuffix(" (cm)") for name in bunch.feature_names)
    return _dataset("iris", bunch.data, bunch.target, names, map(str, bunch.target_names), "scikit-learn")


def _digits() -> Dataset:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    names = (f"row {row} column {column}" for row in range(8) for column in range(8))
    return _dataset("digits", bunch.data, bunch.target, names, map(str, range(10)), "scikit-learn")


def _banknote() -> Dataset:
    path = _named_by_environment(BANKNOTE_FILE)
    if path is None:
        x, y = _openml("banknote", "banknote-authentication")
        source = "OpenML"
    else:
        table = _banknote_table(path)
        x, y, source = table[:, :4], table[:, 4], str(path)
    return _dataset("banknote", x, y, BANKNOTE_FEATURES, ("genuine", "forged"), source)


def _banknote_table(path: Path) -> np.ndarray:
    try:
        table = np.loadtxt(path, delimiter=",", ndmin=2)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is not the Banknote table ({error}); expected {BANKNOTE_FILE} of UCI."
        ) from error
    if table.shape[1] != 5:
        raise InputError(
            f"{path} has {table.shape[1]} columns; expected 4 features and the class, as in the file of UCI."
        )
    return table


def _mnist() -> Dataset:
    path = _named_by_environment(MNIST_IMAGES)
    if path is None:
        x, y = _openml("mnist", "mnist_784")
        x, y, source = x[-MNIST_TEST_IMAGES:], y[-MNIST_TEST_IMAGES:], "OpenML"
    else:
        labels = path.with_name(path.name.replace(MNIST_IMAGES, MNIST_LABELS))
        x, y, source = _idx(path, axes=3), _idx(labels, axes=1), str(path)
    if len(x) != len(y):
        raise InputError(
            f"MNIST has {len(x)} images and {len(y)} labels in {source}; fetch both files again."
        )
    names = (f"row {row} column {column}" for row in range(28) for column in range(28))
    return _dataset("mnist", x.reshape(len(x), -1), y, names, map(str, range(10)), source)


def _idx(path: Path, axes: int) -> np.ndarray:
    """The bytes of a gzipped IDX file: two zeros, the type (8: bytes), the number of axes, sizes, values."""
    try:
        content = gzip.decompress(path.read_bytes())
        header = 4 + 4 * axes
        if content[:4] != bytes([0, 0, 8, axes]):
            raise ValueError(f"no IDX file of bytes with {axes} axes")
        shape = np.frombuffer(content[4:header], dtype=">i4")
        return np.frombuffer(content[header:], dtype=np.uint8).reshape(shape)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(
            f"{path} cannot be read as MNIST ({error}); expected the gzipped IDX file."
        ) from error


def _named_by_environment(file: str) -> Path | None:
    """The path of `file` that NIF_DATA names, or None where NIF_DATA is not set."""
    setting = os.environ.get("NIF_DATA")
    if not setting:
        return None
    path = Path(setting).expanduser()
    files = [path] if path.is_file() else sorted(path.glob(f"*{file}"))
    if not files:
        raise InputError(
            f"NIF_DATA is {setting!r}, which does not contain {file}; expected that file or its directory."
        )
    return files[0]


def _openml(name: str, openml_name: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import fetch_openml

    try:
        bunch = fetch_openml(openml_name, version=1, as_frame=True, n_retries=1)
    except (OSError, ValueError) as error:
        file = BANKNOTE_FILE if name == "banknote" else f"{MNIST_IMAGES} and {MNIST_LABELS}"
        raise InputError(
            f"{name} could not be fetched from OpenML ({error}); "
            f"set NIF_DATA to a directory that contains {file}."
        ) from error
    return bunch.data.to_numpy(), bunch.target.to_numpy()


def _dataset(name: str, x: Any, y: Any, features: Any, classes: Any, source: str) -> Dataset:
    """Labels become indices 0, 1, ... in the order of their values."""
    _, index = np.unique(np.asarray(y).astype(np.int64), return_inverse=True)
    values = np.ascontiguousarray(x, dtype=np.float32)
    return Dataset(name, values, index.astype(np.int64), tuple(features), tuple(classes), source)


DATASETS: dict[str, Callable[[], Dataset]] = {
    "iris": _iris,
    "banknote": _banknote,
    "digits": _digits,
    "mnist": _mnist,
}
"""The function that loads each data set."""
