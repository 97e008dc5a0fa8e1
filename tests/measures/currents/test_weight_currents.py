"""Currents of parameters by their names, and of the heads of attention."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from nif.measures.currents.decisions import Classes
from nif.measures.currents.sample import Sample
from nif.measures.measure import Measured
from support.currents import by_midpoints, measured, total, trained, units
from support.networks import chain

X = torch.randn(120, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] + X[:, 1] * X[:, 2] > 0).long()
TOKENS = torch.randn(60, 3, 8, generator=torch.Generator().manual_seed(1))
CLOSE = 1e-3


def weight_of(result: Measured, name: str, array: str = "nats") -> np.ndarray:
    """Currents of a parameter as it lies."""
    assert result.currents is not None
    weight = next(weight for weight in result.currents.weights if name in weight.names)
    if weight.links is None:
        return weight.dense(array)
    links = result.links[weight.links].dense(array)
    return links.T if weight.transposed else links


def names_of(result: Measured) -> list[str]:
    assert result.currents is not None
    return [name for weight in result.currents.weights for name in weight.names]


def agree(one: np.ndarray, other: np.ndarray, scale: float = CLOSE) -> None:
    """Within a part of the largest."""
    np.testing.assert_allclose(one, other, rtol=0, atol=scale * np.abs(other).max())


def test_weights_of_a_chain_are_its_links_and_stored_once() -> None:
    result = measured(chain(4, 6, 5, 2), X)
    assert result.currents is not None
    assert [(w.links, w.transposed, w.nats) for w in result.currents.weights] == [
        (0, True, None), (1, True, None), (2, True, None)
    ]  # fmt: skip
    assert names_of(result) == ["0.weight", "2.weight", "4.weight"]
    assert weight_of(result, "2.weight").shape == (5, 6)


class Conv1D(nn.Module):
    """A linear layer whose parameter is ``[in, out]``, as in GPT-2 of `transformers`."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(linear.weight.detach().T.clone()), linear.bias

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight)


def test_a_parameter_that_lies_the_other_way_has_its_currents_so() -> None:
    plain, other = chain(4, 6, 5, 2), chain(4, 6, 5, 2)
    other[2] = Conv1D(other[2])
    one, two = measured(plain, X), measured(other, X)
    agree(weight_of(two, "2.weight"), weight_of(one, "2.weight").T)
    assert two.currents is not None
    assert [weight.transposed for weight in two.currents.weights] == [True, False, True]


class Grouped(nn.Module):
    """Grouped, transposed and pointwise convolutions, all of whose links are known by channel."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.r1 = nn.Conv1d(2, 4, 3, padding=1), nn.ReLU()
        self.b, self.r2 = nn.Conv1d(4, 6, 3, groups=2), nn.ReLU()
        self.c, self.r3 = nn.ConvTranspose1d(6, 4, 2, groups=2), nn.ReLU()
        self.d, self.r4, self.last = nn.Conv1d(4, 4, 1), nn.ReLU(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.r3(self.c(self.r2(self.b(self.r1(self.a(x))))))
        return self.last(self.r4(self.d(x)).mean(2))


def test_kernels_are_channel_by_channel_as_the_parameter_lies() -> None:
    result = measured(Grouped(), torch.randn(60, 2, 6, generator=torch.Generator().manual_seed(0)))
    links = {(part.source, part.target): part.nats for part in result.links}
    assert weight_of(result, "a.weight").shape == (4, 2)
    agree(weight_of(result, "a.weight").sum(1), units(result)[1])
    grouped = weight_of(result, "b.weight")  # [out, in / groups]
    assert grouped.shape == (6, 2)
    agree(grouped[:3], links[1, 2][:2, :3].T)
    agree(grouped[3:], links[1, 2][2:, 3:].T)
    transposed = weight_of(result, "c.weight")  # [in, out / groups]
    assert transposed.shape == (6, 2)
    agree(transposed[:3], links[2, 3][:3, :2])
    agree(transposed[3:], links[2, 3][3:, 2:])
    agree(weight_of(result, "d.weight"), links[3, 4].T)


def test_currents_of_weights_are_those_of_512_midpoint_steps() -> None:
    torch.manual_seed(0)
    net = trained(chain(4, 8, 2), X, Y)
    decided, outputs = Classes(lambda outputs: outputs.log_softmax(-1), 2, "one of 2"), net(X).detach()
    sample = Sample.of(decided, outputs, 40, 8, np.random.default_rng(0))
    _, expected = by_midpoints(net, X, sample, decided)
    result = measured(net, X, rows=40, backgrounds=8, steps=64)
    for name, weight in zip(("0.weight", "2.weight"), expected, strict=True):
        agree(weight_of(result, name), weight.T, 0.01)


class Attention(nn.Module):
    """Attention written out, or the module of torch with the same weights."""

    def __init__(self, module: nn.MultiheadAttention, written: bool) -> None:
        super().__init__()
        self.attention, self.written = module, written
        self.q, self.k, self.v, self.out = (nn.Linear(8, 8) for _ in range(4))
        for part, weight in zip((self.q, self.k, self.v), module.in_proj_weight.chunk(3), strict=True):
            part.weight.data, part.bias.data = weight.data.clone(), torch.zeros(8)
        self.out.load_state_dict(module.out_proj.state_dict())
        torch.manual_seed(1)
        self.last = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        if not self.written:
            return self.last(self.attention(x, x, x, need_weights=False)[0].mean(1))
        q, k, v = (part(x).unflatten(2, (2, 4)).transpose(1, 2) for part in (self.q, self.k, self.v))
        mixed = torch.softmax(q @ k.mT / 2, -1) @ v
        return self.last(self.out(mixed.transpose(1, 2).flatten(2)).mean(1))


@pytest.fixture(scope="module")
def attention() -> tuple[Measured, Measured]:
    torch.manual_seed(0)
    module = nn.MultiheadAttention(8, 2, batch_first=True)
    return tuple(measured(Attention(module, written), TOKENS, layers=[]) for written in (False, True))


def test_weights_of_attention_are_those_of_attention_written_out(
    attention: tuple[Measured, Measured],
) -> None:
    module, written = attention
    parts = [weight_of(written, f"{name}.weight") for name in "qkv"]
    agree(weight_of(module, "attention.in_proj_weight"), np.concatenate(parts))
    agree(weight_of(module, "attention.out_proj.weight"), weight_of(written, "out.weight"))


def test_errors_know_the_rows_of_attention_that_stand_time_first(
    attention: tuple[Measured, Measured],
) -> None:
    """The module of torch reads ``[token, row]``; a part of the variance is common to a whole parameter."""
    module, written = attention
    blocks = np.split(weight_of(module, "attention.in_proj_weight", "stderr"), 3)
    for block, name in zip(blocks, "qkv", strict=True):
        expected = weight_of(written, f"{name}.weight", "stderr")
        agree(block, expected * (block.sum() / expected.sum()))


def test_heads_add_up_to_what_flows_through_the_projection(attention: tuple[Measured, Measured]) -> None:
    module, written = attention
    for result, layer in ((module, "attention.out_proj"), (written, "out")):
        assert result.currents is not None
        (heads,) = result.currents.heads
        assert heads.layer == layer
        columns = weight_of(result, f"{layer}.weight").sum(0)  # by column, four of them a head
        agree(heads.nats, columns.reshape(2, 4).sum(1))
        assert heads.nats.sum() == pytest.approx(total(result), rel=1e-3)
        assert (heads.stderr > 0).all()


def test_a_head_whose_columns_are_zero_carries_nothing() -> None:
    torch.manual_seed(0)
    module = nn.MultiheadAttention(8, 4, batch_first=True)
    with torch.no_grad():
        module.out_proj.weight[:, 2:4] = 0
    result = measured(Attention(module, False), TOKENS, layers=[])
    assert result.currents is not None
    (heads,) = result.currents.heads
    assert heads.nats[1] == heads.stderr[1] == 0
    assert (heads.nats[[0, 2, 3]] != 0).all()


class Unrolled(nn.Module):
    """An RNN of torch, or the same steps with modules, each step with copies of its own."""

    def __init__(self, rnn: nn.RNN, written: bool) -> None:
        super().__init__()
        self.rnn, self.written = rnn, written
        torch.manual_seed(1)
        self.last = nn.Linear(5, 2)
        self.ins, self.hiddens = (nn.ModuleList() for _ in range(2))
        for _ in range(3):
            for parts, of in ((self.ins, "ih"), (self.hiddens, "hh")):
                part = nn.Linear(8 if of == "ih" else 5, 5)
                part.weight.data = getattr(rnn, f"weight_{of}_l0").data.clone()
                part.bias.data = getattr(rnn, f"bias_{of}_l0").data.clone()
                parts.append(part)

    def forward(self, x: Tensor) -> Tensor:
        if not self.written:
            return self.last(self.rnn(x)[0][:, -1])
        h = x.new_zeros(len(x), 5)
        for step in range(3):
            h = torch.tanh(self.ins[step](x[:, step]) + self.hiddens[step](h))
        return self.last(h)


@pytest.fixture
def recurrent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recurrent layers are run: all but their hidden units is known."""
    monkeypatch.setattr("nif.network.tracing.RECURRENT", (), raising=False)


@pytest.mark.usefixtures("recurrent")
def test_weights_of_a_recurrent_layer_are_the_sums_of_their_uses() -> None:
    torch.manual_seed(0)
    rnn = nn.RNN(8, 5, batch_first=True)
    one, other = (measured(Unrolled(rnn, written), TOKENS, layers=[]) for written in (False, True))
    for name, parts in (("rnn.weight_ih_l0", "ins"), ("rnn.weight_hh_l0", "hiddens")):
        uses = [weight_of(other, f"{parts}.{step}.weight") for step in range(3) if parts == "ins" or step]
        agree(weight_of(one, name), np.sum(uses, axis=0))
    assert (weight_of(one, "rnn.weight_ih_l0", "stderr") > 0).all()


@pytest.mark.usefixtures("recurrent")
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_gates_of_recurrent_layers_have_currents(kind: Callable[..., nn.Module]) -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.rnn, self.last = kind(8, 5, batch_first=True), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.rnn(x)[0][:, -1])

    net = Last()
    result = measured(net, TOKENS, layers=[])
    expected = [name for name, parameter in net.named_parameters() if parameter.dim() > 1]
    assert sorted(names_of(result)) == sorted(expected)
    assert weight_of(result, "rnn.weight_ih_l0").shape == net.rnn.weight_ih_l0.shape
    assert weight_of(result, "rnn.weight_ih_l0").sum() == pytest.approx(total(result), rel=1e-2)


class Shared(nn.Module):
    """One weight at two places, or two copies of it."""

    def __init__(self, tied: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)
        self.second.weight.data = self.first.weight.data.clone()
        if tied:
            self.second.weight = self.first.weight
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.relu2(self.second(self.relu1(self.first(x)))))


def test_a_tied_weight_has_the_sum_of_its_uses_under_each_name() -> None:
    tied, copies = measured(Shared(True), X), measured(Shared(False), X)
    expected = weight_of(copies, "first.weight") + weight_of(copies, "second.weight")
    assert names_of(tied) == ["first.weight", "second.weight", "last.weight"]
    for name in ("first.weight", "second.weight"):
        agree(weight_of(tied, name), expected)


def pruned(net: nn.Sequential) -> str:
    prune.l1_unstructured(net[2], "weight", 0.5)
    return "2.weight_orig"


def normed(net: nn.Sequential) -> str:
    nn.utils.parametrizations.weight_norm(net[2])
    return "2.parametrizations.weight.original1"


def spectral(net: nn.Sequential) -> str:
    weight = net[2].weight.detach().clone()
    nn.utils.parametrizations.spectral_norm(net[2])
    with torch.no_grad():
        net[2].parametrizations.weight.original.copy_(weight)
    return "2.parametrizations.weight.original"


@pytest.mark.parametrize("change", [pruned, normed, spectral])
def test_a_weight_that_is_scaled_belongs_to_its_parameter(change: Callable[[nn.Sequential], str]) -> None:
    net = chain(4, 6, 5, 2)
    name = change(net)
    net.eval()
    plain = chain(4, 6, 5, 2)
    for place in (0, 2, 4):
        plain[place].weight.data = net[place].weight.detach().clone()
        plain[place].bias.data = net[place].bias.detach().clone()
    agree(weight_of(measured(net, X), name), weight_of(measured(plain, X), "2.weight"))


class LowRank(nn.Module):
    """A weight that is the sum of a parameter and a product of two."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.whole, self.a, self.b = (nn.Parameter(torch.randn(n, m)) for n, m in ((3, 4), (3, 1), (1, 4)))
        self.relu, self.last = nn.ReLU(), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.relu(nn.functional.linear(x, self.whole + self.a @ self.b)))


def test_a_weight_of_several_parameters_belongs_to_none() -> None:
    result = measured(LowRank(), X)
    assert names_of(result) == ["last.weight"]
    assert result.options["in_proportion"] == []


class Stacked(nn.Module):
    """A stack of matrices, one for each part of the input."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stack, self.last = nn.Parameter(torch.randn(3, 8, 4)), nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.einsum("rti,tio->rto", x, self.stack).flatten(1).relu())


def test_a_stack_of_weights_has_a_current_for_each_matrix() -> None:
    result = measured(Stacked(), TOKENS, layers=[])
    currents = weight_of(result, "stack")
    assert currents.shape == (3, 8, 4)
    agree(currents.sum(2).ravel(), units(result)[0])


def test_the_model_that_was_copied_is_the_one_that_is_named() -> None:
    net = copy.deepcopy(chain(4, 6, 2))
    before = [parameter.clone() for parameter in net.parameters()]
    measured(net, X)
    assert all(torch.equal(one, two) for one, two in zip(before, net.parameters(), strict=True))
