"""Links follow the path of every unit: a channel feeds its own features, a group its own channels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn
from torch.nn import functional

import nif
from nif.measures.association.decomposition import links, redundancy
from nif.network.recording import record

IMAGES = torch.randn(80, 4, 4, 4, generator=torch.Generator().manual_seed(0))
TABLE = torch.randn(80, 6, generator=torch.Generator().manual_seed(0))


class Runs(nn.Module):
    """Modules, and how they are called."""

    def __init__(self, run: Callable[..., Tensor], **modules: nn.Module) -> None:
        super().__init__()
        self.run = run
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


def conv(before: int, after: int, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1, groups=groups)


def depthwise(net: nn.Module, x: Tensor) -> Tensor:
    return net.head(torch.tanh(net.down(torch.tanh(net.conv(x)))).mean((2, 3)))


def shuffled(net: nn.Module, x: Tensor) -> Tensor:
    """The channels the other way round."""
    hidden = torch.tanh(net.conv(x))
    mixed = hidden.flip(1)
    return net.head(torch.tanh(mixed).flatten(1))


def skip(net: nn.Module, x: Tensor) -> Tensor:
    hidden = torch.tanh(net.conv(x))
    return net.head(torch.tanh(hidden + net.norm(torch.sigmoid(net.second(hidden)))).mean((2, 3)))


def joined_end_to_end(net: nn.Module, x: Tensor) -> Tensor:
    left, right = torch.tanh(net.left(x)), torch.tanh(net.right(x))
    return net.head(torch.sigmoid(torch.cat([left, 2 * right], dim=1)).amax((2, 3)))


def attended(net: nn.Module, x: Tensor) -> Tensor:
    """Squeeze and excitation: every channel is scaled by all."""
    hidden = torch.tanh(net.conv(x))
    scale = net.scale(hidden.mean((2, 3)))[:, :, None, None]
    return net.head(torch.tanh(hidden * scale).mean((2, 3)))


def in_place(net: nn.Module, x: Tensor) -> Tensor:
    hidden = torch.tanh(net.conv(x))
    hidden = functional.avg_pool2d(hidden.add(1), 2)
    return net.head(functional.elu_(functional.dropout2d(hidden, training=False)).flatten(1))


def grouped(*sizes: int, groups: tuple[int, int] = (1, 1)) -> Callable[[], nn.Module]:
    first, second, third = sizes
    return lambda: Runs(
        depthwise,
        conv=conv(first, second, groups[0]),
        down=conv(second, third, groups[1]),
        head=nn.Linear(third, 2),
    )


def with_skip() -> nn.Module:
    return Runs(skip, conv=conv(4, 5), second=conv(5, 5), norm=nn.BatchNorm2d(5), head=nn.Linear(5, 2))


CASES: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "grouped convolution": (grouped(4, 6, 4, groups=(1, 2)), IMAGES),
    "depthwise convolution": (grouped(4, 5, 5, groups=(1, 5)), IMAGES),
    "depthwise from the input": (grouped(4, 8, 3, groups=(4, 1)), IMAGES),
    "channels turned round": (lambda: Runs(shuffled, conv=conv(4, 3), head=nn.Linear(48, 2)), IMAGES),
    "residual": (with_skip, IMAGES),
    "concatenation": (
        lambda: Runs(joined_end_to_end, left=conv(4, 2), right=conv(4, 3), head=nn.Linear(5, 2)),
        IMAGES,
    ),
    "squeeze and excitation": (
        lambda: Runs(attended, conv=conv(4, 5), scale=nn.Linear(5, 5), head=nn.Linear(5, 2)),
        IMAGES,
    ),
    "in place": (lambda: Runs(in_place, conv=conv(4, 5), head=nn.Linear(20, 2)), IMAGES),
    "two activations": (
        lambda: nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Sigmoid(), nn.Linear(4, 2)),
        TABLE,
    ),
    "activation of the input": (lambda: nn.Sequential(nn.Tanh(), nn.Linear(6, 2)), TABLE),
    "flattened, then an activation": (
        lambda: nn.Sequential(conv(4, 3), nn.Tanh(), nn.Flatten(), nn.Sigmoid(), nn.Linear(48, 2)),
        IMAGES,
    ),
}

SPARSE = {
    "grouped convolution": {("tanh", "tanh#2"): 12},
    "depthwise convolution": {("tanh", "tanh#2"): 5},
    "depthwise from the input": {("input", "tanh"): 4 * 16 * 2},
    "channels turned round": {("tanh", "tanh#2"): 3},
    "residual": {("tanh", "tanh#2"): 5, ("sigmoid", "tanh#2"): 5},
    "concatenation": {("tanh", "sigmoid"): 2, ("tanh#2", "sigmoid"): 3},
    "squeeze and excitation": {},
    "in place": {("tanh", "elu"): 5},
    "two activations": {("1", "2"): 4},
    "activation of the input": {("input", "0"): 6},
    "flattened, then an activation": {("1", "3"): 48},
}
"""The connections in which not all units are joined, and how many pairs are."""


@pytest.mark.parametrize("name", CASES)
def test_units_are_joined_where_a_path_joins_them(name: str) -> None:
    torch.manual_seed(0)
    make, x = CASES[name]
    found = record(make(), x)
    counts = {
        tuple(found.layers[end].name for end in ends): int(flags.sum())
        for ends, flags in zip(found.connections, found.connected, strict=True)
        if flags is not None
    }
    assert counts == SPARSE[name]
    for (source, target), flags in zip(found.connections, found.connected, strict=True):
        if flags is not None:
            assert flags.shape == (len(found.layers[source]), len(found.layers[target]))


def test_they_are_the_pairs_that_have_a_slope() -> None:
    """By automatic differentiation, where nothing is between the two layers."""
    torch.manual_seed(0)
    first, second = conv(4, 6), conv(6, 4, 2)
    hidden = torch.tanh(first(IMAGES)).detach().requires_grad_()
    out = torch.tanh(second(hidden)).sum((0, 2, 3))
    slopes = [
        torch.autograd.grad(each, hidden, retain_graph=True)[0].abs().sum((0, 2, 3)) > 0 for each in out
    ]
    net = Runs(depthwise, conv=first, down=second, head=nn.Linear(4, 2))
    joined = record(net, IMAGES).connected_between(1, 2)
    np.testing.assert_array_equal(joined, torch.stack(slopes, dim=1) > 0)


def test_patches_are_joined_to_what_their_pixels_are() -> None:
    net = grouped(4, 8, 3, groups=(4, 1))()
    by_channel = np.arange(4)[:, None, None] * np.ones((4, 4), dtype=int)
    found = record(net, IMAGES, input_groups=by_channel)
    np.testing.assert_array_equal(found.connected_between(0, 1), np.kron(np.eye(4), np.ones((1, 2))))
    assert record(net, IMAGES, input_groups=2).connected_between(0, 1).all()


@pytest.fixture
def flow() -> nif.Flow:
    torch.manual_seed(0)
    net = grouped(4, 6, 4, groups=(1, 2))()
    x = torch.randn(400, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    return nif.measure(net, x, nif.Binned(), input_groups=4, progress=False)


def test_where_no_path_joins_two_units_there_is_no_link(flow: nif.Flow, tmp_path: Path) -> None:
    links = next(links for links in flow.links if links.connected is not None)
    connected = csr_array(links.connected).toarray()
    assert (~connected).sum() == 12 and links.count == 12
    assert (links.nats[~connected] == 0).all() and (links.p_value[~connected] == 1).all()
    assert (links.stderr[~connected] == 0).all() and (links.nats[connected] != 0).all()
    edges = flow.edges()
    inside = edges[(edges["source_layer"] == "tanh") & (edges["target_layer"] == "tanh#2")]
    assert len(inside) == 12 and f"{len(edges)} links" in repr(flow)
    # Every pair of units once in each sum, but not those that are not joined.
    sizes = [len(layer) for layer in flow.layers]
    within = sum(size * (size - 1) // 2 for size in sizes[:-1])
    assert flow.measurement.options["terms"] == within + len(edges)
    flow.save(tmp_path / "flow")
    assert nif.load(tmp_path / "flow") == flow


def test_redundancy_is_that_of_the_units_a_target_hears() -> None:
    generator = np.random.default_rng(0)
    pairs = generator.uniform(size=(5, 5))
    joined, relevance = generator.uniform(size=(5, 3)) < 0.6, generator.uniform(size=(5, 3))

    def estimate(nats: np.ndarray) -> nif.Estimate:
        return nif.Estimate.of(nats, stderr=0.1, p_value=0.5, samples=100, estimator="by hand")

    shared = redundancy(estimate(pairs), connected=joined)
    found = links(estimate(relevance), shared, 0, 1, connected=joined)
    for target in range(3):
        heard = np.flatnonzero(joined[:, target])
        alone = redundancy(estimate(pairs[np.ix_(heard, heard)]))
        expected = links(estimate(relevance[heard][:, [target]]), alone, 0, 1)
        np.testing.assert_allclose(found.nats[heard, target], expected.nats[:, 0])
        np.testing.assert_allclose(found.stderr[heard, target], expected.stderr[:, 0])


def test_a_single_link_is_not_drowned_by_those_that_are_not_there() -> None:
    """Of 60 channels, each hears one: its p-value is that of its one link."""
    model = nn.Sequential(nn.Tanh(), nn.Linear(60, 2))
    x = torch.randn(200, 60, generator=torch.Generator().manual_seed(0))
    flow = nif.measure(model, x, nif.Binned(), progress=False)
    into = next(each for each in flow.links if each.target == 1)
    assert into.count == 60 and (np.diag(into.nats) > 1).all()
    np.testing.assert_array_equal(into.nats, into.relevance)
