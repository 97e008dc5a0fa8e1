"""Links of few connected pairs are stored sparse, and read like others."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

from nif.core.errors import InputError
from nif.core.types import LINK_ARRAYS, UNCONNECTED, Links

SHAPE = (7, 5)


def made(fraction: float, seed: int = 0) -> tuple[Links, dict[str, np.ndarray], np.ndarray]:
    """Links, the arrays that they were made of, and the pairs that are connected."""
    generator = np.random.default_rng(seed)
    flags = np.zeros(35, dtype=bool)
    flags[generator.permutation(35)[: round(35 * fraction)]] = True
    connected = flags.reshape(SHAPE)
    arrays = {
        name: np.where(connected, generator.uniform(size=SHAPE), UNCONNECTED[name]) for name in LINK_ARRAYS
    }
    return Links(0, 1, **arrays, connected=connected), arrays, connected


@pytest.mark.parametrize(("fraction", "sparse"), [(0.0, True), (0.1, True), (0.4, True), (0.6, False)])
def test_few_connected_pairs_are_stored_sparse_and_read_dense(fraction: float, sparse: bool) -> None:
    links, arrays, connected = made(fraction)
    assert links.sparse == sparse and links.shape == SHAPE and links.count == connected.sum()
    rows, columns = np.nonzero(connected)
    np.testing.assert_array_equal(links.units(), (rows, columns))
    some = np.arange(links.count)[::2]
    np.testing.assert_array_equal(links.units(some), (rows[::2], columns[::2]))
    for name, values in arrays.items():
        assert (links.stored(name).ndim == 1) == sparse
        np.testing.assert_array_equal(getattr(links, name), values)
        np.testing.assert_array_equal(links.dense(name, np.array([4, 1])), values[[4, 1]])
        np.testing.assert_array_equal(links.values(name), values[connected])
    total = links.matrix(links.stored("nats"))
    np.testing.assert_allclose(total.sum(axis=0), arrays["nats"].sum(axis=0))
    np.testing.assert_allclose(total @ np.eye(5), arrays["nats"])


def test_links_without_flags_are_dense_and_not_copied() -> None:
    values = np.ones(SHAPE)
    links = Links(0, 1, values, values, values, values)
    assert links.nats is values and links.count == 35 and not links.sparse
    np.testing.assert_array_equal(links.units(np.array([6])), [[1], [1]])
    np.testing.assert_array_equal(links.outgoing(links.values("nats"), 0.0), values.T)


@pytest.mark.parametrize("fraction", [0.3, 0.7])
def test_all_forms_of_the_arguments_make_the_same_links(fraction: float) -> None:
    links, arrays, connected = made(fraction)
    flat = {name: values[connected] for name, values in arrays.items()}
    for flags in (connected, csr_array(connected)):
        for other in (Links(0, 1, **flat, connected=flags), Links(0, 1, **arrays, connected=flags)):
            assert other.sparse == links.sparse
            for name in LINK_ARRAYS:
                np.testing.assert_array_equal(other.stored(name), links.stored(name))


@pytest.mark.parametrize("fraction", [0.3, 0.7])
def test_links_can_be_replaced_and_pickled(fraction: float) -> None:
    links, arrays, _ = made(fraction)
    moved = pickle.loads(pickle.dumps(replace(links, source=2, target=3, nats=2 * links.nats)))
    assert (moved.source, moved.target, moved.sparse) == (2, 3, links.sparse)
    np.testing.assert_array_equal(moved.nats, 2 * arrays["nats"])
    np.testing.assert_array_equal(moved.p_value, arrays["p_value"])


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.8])
def test_links_stand_below_their_units(fraction: float) -> None:
    links, arrays, connected = made(fraction)
    into = links.incoming(links.values("nats"), np.nan)
    out = links.outgoing(links.values("nats"), np.nan)
    for target in range(5):
        column = into[:, target]
        np.testing.assert_array_equal(
            column[~np.isnan(column)], arrays["nats"][:, target][connected[:, target]]
        )
    for source in range(7):
        column = out[:, source]
        np.testing.assert_array_equal(column[~np.isnan(column)], arrays["nats"][source][connected[source]])
    assert len(into) == connected.sum(axis=0).max() and len(out) == connected.sum(axis=1).max()


def test_arrays_of_another_shape_are_refused() -> None:
    links, arrays, _ = made(0.3)
    with pytest.raises(
        InputError, match=r"stderr of the links has shape \(5, 7\) and connected has \(7, 5\)"
    ):
        replace(links, stderr=arrays["stderr"].T)
    with pytest.raises(InputError, match="one number for each of the 10 connected pairs"):
        replace(links, nats=np.ones(3))
