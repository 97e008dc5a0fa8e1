"""Links, units, features and classes of a measurement of currents, and how they add up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nif.measures.currents.class_columns import NEGLIGIBLE
from nif.measures.currents.links import CLOSE
from nif.measures.measure import Measured
from support.currents import measured, total, trained, units
from support.networks import ResidualCNN, ResidualMLP, chain

IMAGES = torch.randn(80, 1, 6, 6, generator=torch.Generator().manual_seed(0))
X = torch.randn(120, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] + X[:, 1] * X[:, 2] > 0).long()


class Shortcut(nn.Module):
    """The output is the sum of a Linear on the input and one on hidden units."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.act = nn.Linear(4, 6), nn.ReLU()
        self.last, self.straight = nn.Linear(6, 2), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.act(self.hidden(x))) + self.straight(x)


def cnn() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, groups=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(54, 3),
    ).eval()  # fmt: skip


def check_sums(result: Measured) -> None:
    """The links out of a unit sum to its current, and so do those into it."""
    of_units = units(result)
    for layer, currents in enumerate(of_units):
        scale = CLOSE * np.abs(currents).sum()
        out = [links.nats.sum(1) for links in result.links if links.source == layer]
        into = [links.nats.sum(0) for links in result.links if links.target == layer]
        for sides in filter(None, (out, into)):
            np.testing.assert_allclose(np.sum(sides, axis=0), currents, rtol=0, atol=scale)


def test_links_of_a_chain_sum_to_units() -> None:
    check_sums(measured(chain(4, 6, 5, 2), X))


def test_links_of_a_cnn_lead_from_pixels_to_channels() -> None:
    result = measured(cnn(), IMAGES)
    assert [links.shape for links in result.links] == [(36, 4), (4, 6), (6, 3)]
    assert result.options["in_proportion"] == []
    check_sums(result)
    assert (result.links[1].nats[:2, 3:] == 0).all()  # channels of another group
    assert (result.links[1].nats[2:, :3] == 0).all()


def test_a_shortcut_has_links_of_its_own() -> None:
    torch.manual_seed(0)
    net = trained(Shortcut(), X, Y)
    result = measured(net, X)
    pairs = {(links.source, links.target): links for links in result.links}
    assert set(pairs) == {(0, 1), (1, 2), (0, 2)}
    assert sum(pairs[pair].nats.sum() for pair in ((1, 2), (0, 2))) == pytest.approx(total(result), rel=1e-4)
    out = pairs[0, 1].nats.sum(1) + pairs[0, 2].nats.sum(1)
    np.testing.assert_allclose(out, units(result)[0], atol=1e-5)
    np.testing.assert_allclose(pairs[0, 1].nats.sum(0), units(result)[1], atol=1e-5)


@pytest.mark.parametrize(("make", "x"), [(ResidualMLP, X), (ResidualCNN, IMAGES)])
def test_links_around_a_skip_sum_to_units(make: type[nn.Module], x: Tensor) -> None:
    torch.manual_seed(0)
    check_sums(measured(make().eval(), x))


def test_a_skip_leads_from_a_unit_to_itself() -> None:
    torch.manual_seed(0)
    net = ResidualMLP().eval()
    with torch.no_grad():
        net.b.weight.zero_()
    result = measured(net, X)
    skip = next(links for links in result.links if links.shape == (5, 5) and links.nats.any())
    np.testing.assert_array_equal(skip.nats, np.diag(np.diag(skip.nats)))


class Reversed(nn.Module):
    """Weights that read the units of a layer in another order, and a skip from the input."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.second = nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)
        self.act2, self.last = nn.ReLU(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.first(x))
        return self.last(self.act2(self.second(h.flip(1)) + x))


class Tokens(nn.Module):
    """A Linear on each of four tokens, and one on all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.second = nn.Linear(9, 6), nn.ReLU(), nn.Linear(24, 6)
        self.act2, self.last = nn.ReLU(), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.first(x.reshape(-1, 4, 9)))
        return self.last(self.act2(self.second(h.flatten(1))))


@pytest.mark.parametrize(("make", "x"), [(Reversed, X), (Tokens, IMAGES)])
def test_units_in_another_order_are_those_that_the_weights_read(make: type[nn.Module], x: Tensor) -> None:
    torch.manual_seed(0)
    result = measured(make(), x)
    assert result.options["in_proportion"] == []
    check_sums(result)


class Between(nn.Module):
    """A norm or a second weight between two layers, so that units meet."""

    def __init__(self, *between: nn.Module) -> None:
        super().__init__()
        self.first, self.act, self.between = nn.Linear(4, 6), nn.ReLU(), nn.Sequential(*between)
        self.act2, self.last = nn.ReLU(), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.act2(self.between(self.act(self.first(x)))))


@pytest.mark.parametrize("between", [
    (nn.LayerNorm(6), nn.Linear(6, 5)),
    (nn.Linear(6, 5), nn.LayerNorm(5)),
    (nn.Linear(6, 6), nn.Linear(6, 5)),
    (nn.Softmax(1), nn.Linear(6, 5)),
], ids=["norm before", "norm behind", "two weights", "softmax"])  # fmt: skip
def test_where_units_meet_between_layers_links_are_in_proportion(between: tuple[nn.Module, ...]) -> None:
    torch.manual_seed(0)
    result = measured(Between(*between), X)
    assert result.options["in_proportion"] == ["act to act2"]
    check_sums(result)


class PreNorm(nn.Module):
    """Blocks with a norm before a weight, and shortcuts past both."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.acts = nn.Linear(4, 6), nn.ModuleList(nn.Tanh() for _ in range(3))
        self.norms = nn.ModuleList(nn.LayerNorm(6) for _ in range(2))
        self.inner = nn.ModuleList(nn.Linear(6, 6) for _ in range(2))
        self.last = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.acts[0](self.first(x))
        for norm, inner, act in zip(self.norms, self.inner, self.acts[1:], strict=True):
            x = x + act(inner(norm(x)))
        return self.last(x)


@pytest.mark.parametrize("seed", [1, 5])
def test_links_in_proportion_add_up_on_both_sides_past_shortcuts(seed: int) -> None:
    torch.manual_seed(seed)
    result = measured(PreNorm(), X)  # with seed 5, what enters a layer nearly cancels
    assert result.options["in_proportion"]
    check_sums(result)


def test_pixels_lead_to_channels_through_a_transposed_convolution() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.ConvTranspose2d(1, 3, 2, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(432, 2))
    result = measured(net, IMAGES)
    assert result.options["in_proportion"] == []
    check_sums(result)


def test_groups_of_features_carry_the_sum_of_their_features() -> None:
    net, index = cnn(), np.arange(36) // 12
    one, grouped = measured(net, IMAGES), measured(net, IMAGES, groups=index)
    scale = 1e-5 * total(one)
    np.testing.assert_allclose(units(grouped)[0], units(one)[0].reshape(3, 12).sum(1), atol=scale)
    expected = one.links[0].nats.reshape(3, 12, 4).sum(1)
    np.testing.assert_allclose(grouped.links[0].nats, expected, atol=scale)
    assert one.currents is not None
    assert grouped.currents is not None
    assert grouped.currents.attribution.shape == (3, 1)
    # Pixels of a group that speak against each other on a row make no current.
    assert (grouped.currents.units[0].absolute < one.currents.units[0].absolute.reshape(3, 12).sum(1)).all()


def test_columns_of_classes_sum_to_the_feature() -> None:
    net = trained(chain(4, 8, 3), X, Y + (X[:, 3] > 1))
    result = measured(net, X, by_class=True)
    tables = result.currents
    assert tables is not None
    assert tables.attribution.shape == tables.attribution_stderr.shape == (4, 3)
    assert len(tables.classes) == 3
    np.testing.assert_allclose(tables.attribution.sum(1), units(result)[0], atol=1e-5 * total(result))


class Written(nn.Module):
    """Half of a memory of zeros is written, then all of it is read."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.out = nn.Linear(4, 2), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        memory = torch.zeros(len(x), 4)
        memory[:, :2] = self.first(x)
        return self.out(memory)


class LastOfGru(nn.Module):
    """The last state of a GRU over the features, one by one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gru, self.out = nn.GRU(1, 3, batch_first=True), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.gru(x[:, :, None])[0][:, -1])


@pytest.mark.parametrize("net", [Written(), LastOfGru()])
def test_class_columns_past_memory_that_is_written_in_parts_add_up_to_the_features(net: nn.Module) -> None:
    result = measured(net, X, by_class=True, rows=12, backgrounds=6, steps=2)
    assert result.currents is not None
    difference = result.currents.attribution.sum(1) - units(result)[0]
    np.testing.assert_allclose(difference, 0, atol=1e-5 * total(result))


def test_each_answer_has_a_column() -> None:
    net = nn.Sequential(nn.Linear(4, 2, bias=False))
    with torch.no_grad():
        net[0].weight[:] = torch.tensor([[2.0, 0, 0, 0], [0, 1.0, 0, 0]])
    tables = measured(net, X, by_class=True, decision="bernoulli").currents
    assert tables is not None
    assert (tables.attribution[[1, 2, 3], 0] == 0).all()
    assert (tables.attribution[[0, 2, 3], 1] == 0).all()
    assert (np.diag(tables.attribution) > 0.05).all()


def test_several_inputs_have_layers_of_their_own() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.act, self.last = nn.Linear(3, 4), nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2)

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.last(self.act(self.a(left) * self.b(right)))

    torch.manual_seed(0)
    result = measured(Two(), (X[:, :3], X[:, 2:]))
    assert [len(layer) for layer in units(result)] == [3, 2, 4, 2]
    assert units(result)[0].sum() + units(result)[1].sum() == pytest.approx(total(result), rel=1e-4)
    check_sums(result)


class FromTheLeft(nn.Module):
    """Multiplies columns by its weights, in place of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Parameter(torch.randn(5, 4)), nn.Parameter(torch.randn(3, 5))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return (self.last @ self.relu((self.first @ x.T).T).T).T


def test_weights_on_the_left_are_those_of_a_linear_layer() -> None:
    torch.manual_seed(0)
    left = FromTheLeft()
    linear = nn.Sequential(nn.Linear(4, 5, bias=False), nn.ReLU(), nn.Linear(5, 3, bias=False))
    linear[0].weight.data, linear[2].weight.data = left.first.data, left.last.data
    one, other = measured(left, X), measured(linear, X)
    assert one.options["in_proportion"] == []
    for links, expected in zip(one.links, other.links, strict=True):
        np.testing.assert_allclose(links.nats, expected.nats, atol=1e-5)
        np.testing.assert_allclose(links.stderr, expected.stderr, atol=1e-5)


def test_of_many_classes_ten_have_columns_and_the_rest_one() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 30, bias=False))
    with torch.no_grad():
        net[0].weight[12] *= 20
    every = measured(net, X, by_class=True, rows=40)
    tables = every.currents
    assert tables is not None
    assert len(tables.classes) == 11
    assert tables.classes[-1] == "the rest"
    assert every.layers[-1].units[12] in tables.classes
    assert tables.attribution.shape == tables.attribution_stderr.shape == (4, 11)
    np.testing.assert_allclose(tables.attribution.sum(1), units(every)[0], atol=1e-5 * total(every))
    smallest = tables.attribution[:, :10].sum(0).min()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nif.measures.currents.class_columns.MOST_COLUMNS", 30)
        alone = measured(net, X, by_class=True, rows=40).currents
    assert alone is not None
    of_each = dict(zip(alone.classes, alone.attribution.T, strict=True))
    shared = NEGLIGIBLE * total(every)  # of the classes of the least weight, in proportion
    for name, column in zip(tables.classes[:-1], tables.attribution.T, strict=False):
        np.testing.assert_allclose(column, of_each.pop(name), atol=shared)
    assert max(column.sum() for column in of_each.values()) <= smallest
    np.testing.assert_allclose(sum(of_each.values()), tables.attribution[:, 10], atol=shared)
