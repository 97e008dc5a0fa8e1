"""Recurrent modules as layers: their last state, where no more of their steps is read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import nif
from nif.network import layers
from nif.network.forward import Forward
from nif.network.last_state import LastState, recurrent_layers
from nif.network.recording import record

ROWS, STEPS, FEATURES, UNITS = 60, 6, 3, 4


class Reader(nn.Module):
    """A recurrent module, and a head that reads some of what it returns."""

    def __init__(
        self, recurrent: nn.RNNBase, read: Callable[[Tensor, Tensor], Tensor], size: int = UNITS
    ) -> None:
        super().__init__()
        self.rnn, self.read, self.head = recurrent, read, nn.Linear(size, 2)

    def forward(self, x: Tensor) -> Tensor:
        steps, state = self.rnn(x if self.rnn.batch_first else x.transpose(0, 1))
        state = state[0] if isinstance(state, tuple) else state
        return self.head(self.read(steps, state))


def rows() -> Tensor:
    return torch.randn(ROWS, STEPS, FEATURES, generator=torch.Generator().manual_seed(0))


def last(steps: Tensor, _: Tensor) -> Tensor:
    return steps[:, -1]


def of_state(_: Tensor, state: Tensor) -> Tensor:
    return state[-1]


def both_ends(steps: Tensor, _: Tensor) -> Tensor:
    return torch.cat([steps[:, -1, :UNITS], steps[:, 0, UNITS:]], 1)


BATCH_FIRST = {"batch_first": True}
CASES = {
    "last of LSTM": (lambda: Reader(nn.LSTM(FEATURES, UNITS, **BATCH_FIRST), last), (5,) * 4),
    "last of GRU": (lambda: Reader(nn.GRU(FEATURES, UNITS, **BATCH_FIRST), last), (5,) * 4),
    "last of RNN": (lambda: Reader(nn.RNN(FEATURES, UNITS, **BATCH_FIRST), last), (5,) * 4),
    "third step": (
        lambda: Reader(nn.GRU(FEATURES, UNITS, **BATCH_FIRST), lambda steps, _: steps[:, 2]),
        (2,) * 4,
    ),
    "state of two layers": (lambda: Reader(nn.LSTM(FEATURES, UNITS, 2, **BATCH_FIRST), of_state), None),
    "time first": (lambda: Reader(nn.GRU(FEATURES, UNITS), lambda steps, _: steps[-1]), (5,) * 4),
    "state, time first": (lambda: Reader(nn.GRU(FEATURES, UNITS), of_state), None),
    "both ends of two directions": (
        lambda: Reader(nn.LSTM(FEATURES, UNITS, bidirectional=True, **BATCH_FIRST), both_ends, 2 * UNITS),
        (5,) * 4 + (0,) * 4,
    ),
    "states of two directions": (
        lambda: Reader(
            nn.LSTM(FEATURES, UNITS, bidirectional=True, **BATCH_FIRST),
            lambda _, state: torch.cat([state[0], state[1]], 1),
            2 * UNITS,
        ),
        None,
    ),
    "behind a dead activation": (
        lambda: Reader(nn.GRU(FEATURES, UNITS, **BATCH_FIRST), lambda steps, _: (steps[:, -1] - 9).relu()),
        None,
    ),
}


@pytest.mark.parametrize(("make", "steps"), CASES.values(), ids=CASES)
def test_the_state_that_is_read_is_recorded(
    make: Callable[[], Reader], steps: tuple[int, ...] | None
) -> None:
    torch.manual_seed(0)
    net, x = make().eval(), rows()
    [(name, found)] = recurrent_layers(Forward(net), [x]).items()
    assert name == "rnn" and found is not None and found.steps == steps
    frame = layers(net, x)
    assert frame["name"].tolist()[:2] == ["input", "rnn"] and frame["feeds"][0] == ("rnn",)
    flow = nif.measure(net, x, nif.GaussianCopula(), progress=False)
    assert [layer.name for layer in flow.layers] == frame["name"].tolist()
    assert flow.measurement.options["not_measured"] == []
    with torch.no_grad():
        returned, state = net.rnn(x if net.rnn.batch_first else x.transpose(0, 1))
        state = state[0] if isinstance(state, tuple) else state
        returned = returned if net.rnn.batch_first else returned.transpose(0, 1)
        if steps is None:
            expected = torch.cat([*state[-found.directions :]], 1)
        else:
            expected = torch.stack([returned[:, step, unit] for unit, step in enumerate(steps)], 1)
    assert not net.rnn.training and all(values.grad is None for values in net.parameters())
    with_state = recorded(net, x)
    np.testing.assert_allclose(with_state, expected, rtol=1e-6, atol=1e-7)


def recorded(net: nn.Module, x: Tensor) -> np.ndarray:
    """The activations of the layer as association sees them."""
    from dataclasses import replace

    from nif.data.rows import read
    from nif.network.network import Network
    from nif.network.recording import Recording

    network = replace(Network.of(net), recurrent=True)
    found = Recording.of(network, read(x, network.signature))
    return found.activations[[layer.name for layer in found.layers].index("rnn")]


@pytest.mark.parametrize(
    "read",
    [
        lambda steps, _: steps.mean(1),
        lambda steps, _: steps[:, -1] + steps[:, 0],
        lambda steps, _: steps.amax(1),
    ],
    ids=["mean", "two steps", "largest"],
)
def test_where_more_steps_are_read_they_are_positions(read: Callable[[Tensor, Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    net, x = Reader(nn.GRU(FEATURES, UNITS, batch_first=True), read).eval(), rows()
    assert recurrent_layers(Forward(net), [x]) == {"rnn": None}
    with torch.no_grad():
        np.testing.assert_allclose(recorded(net, x), net.rnn(x)[0].mean(1), rtol=1e-5, atol=1e-6)


def test_steps_are_positions_of_what_is_read_at_all_steps() -> None:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.LSTM(FEATURES, UNITS, batch_first=True)
            self.second = nn.GRU(UNITS, UNITS, batch_first=True)
            self.head = nn.Linear(UNITS, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.second(self.first(x)[0])[0])

    torch.manual_seed(0)
    net, x = Tagger(), rows()
    assert recurrent_layers(Forward(net), [x]) == {"first": None, "second": None}
    flow = nif.measure(net, x, nif.Association(nif.GaussianCopula()), reduce="positions", progress=False)
    assert [layer.name for layer in flow.layers] == ["input", "first", "second", "output"]
    assert flow.measurement.samples == ROWS * STEPS


def test_a_stack_has_all_steps_below_and_the_last_state_above() -> None:
    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(FEATURES, FEATURES, batch_first=True)
            self.head = nn.Linear(FEATURES, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(self.rnn(x)[0])[0])[:, -1]

    torch.manual_seed(0)
    found = recurrent_layers(Forward(Stack()), [rows()])
    assert found == {"rnn": None, "rnn#2": LastState(FEATURES, 1, 0, (5,) * 3)}


class Packed(nn.Module):
    """Rows of different lengths: 0 is padding."""

    def __init__(self, read_steps: bool) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(FEATURES, UNITS, batch_first=True), nn.Linear(UNITS, 1)
        self.read_steps = read_steps

    def forward(self, x: Tensor) -> Tensor:
        lengths = (x.abs().sum(2) > 0).sum(1).cpu()
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        steps, (state, _) = self.rnn(packed)
        padded = pad_packed_sequence(steps, batch_first=True, total_length=STEPS)[0]
        return self.head(padded[torch.arange(len(x)), lengths - 1] if self.read_steps else state[-1])


@pytest.mark.parametrize("read_steps", [False, True], ids=["state", "steps"])
def test_packed_sequences_have_their_final_state(read_steps: bool) -> None:
    torch.manual_seed(0)
    net, x = Packed(read_steps).eval(), rows()
    for row in range(ROWS):
        x[row, 2 + row % (STEPS - 2) :] = 0.0
    assert recurrent_layers(Forward(net), [x]) == {"rnn": LastState(UNITS, 1)}
    with torch.no_grad():
        expected = torch.stack([net.rnn(row[row.abs().sum(1) > 0][None])[0][0, -1] for row in x])
    np.testing.assert_allclose(recorded(net, x), expected, rtol=1e-5, atol=1e-6)


def test_one_input_that_carries_all_has_the_attribution() -> None:
    """Unit 0 of the state is the last step of feature 1 and alone decides; the others read other features."""
    torch.manual_seed(0)
    net = Reader(nn.RNN(FEATURES, UNITS, batch_first=True), last)
    with torch.no_grad():
        for values in net.parameters():
            values.zero_()
        net.rnn.weight_ih_l0.copy_(torch.tensor([[0, 1.0, 0], [1.0, 0, 0], [0, 0, 1.0], [1.0, 0, 1.0]]))
        net.head.weight.copy_(torch.tensor([[2.0, 0, 0, 0], [-2.0, 0, 0, 0]]))
    x = torch.randn(800, STEPS, FEATURES, generator=torch.Generator().manual_seed(1))
    flow = nif.measure(net, x, nif.Association(nif.Binned(), beta=0.0), progress=False)
    shares = flow.shares()["share"].to_numpy().reshape(STEPS, FEATURES)
    assert shares[-1, 1] > 0.9 and shares[-1, 1] == shares.max()
    of_state = flow.links[1].nats
    assert of_state[0].min() > 10 * np.abs(of_state[1:]).max()
    # With the mean over steps the last one would be one of six.
    assert flow.layers[1].kind == "RNN" and len(flow.layers[1]) == UNITS


def test_a_recurrent_network_leads_past_its_steps_if_other_layers_are_named() -> None:
    net = Reader(nn.GRU(FEATURES, UNITS, batch_first=True), lambda steps, _: steps[:, -1].relu())
    flow = nif.measure(net, rows(), nif.GaussianCopula(), layers=["relu"], progress=False)
    assert [layer.name for layer in flow.layers] == ["input", "relu", "output"]
    assert flow.measurement.options["not_measured"] == ["rnn (recurrent, links lead past it)"]


def test_without_gradients_all_steps_count() -> None:
    class Frozen(Reader):
        @torch.no_grad()
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)

    net = Frozen(nn.GRU(FEATURES, UNITS, batch_first=True), last)
    assert recurrent_layers(Forward(net), [rows()]) == {"rnn": None}
    assert recurrent_layers(Forward(nn.Linear(2, 2)), [torch.zeros(5, 2)]) == {}


def test_recording_by_itself_is_as_it_was() -> None:
    net = Reader(nn.GRU(FEATURES, UNITS, batch_first=True), last)
    assert [layer.name for layer in record(net, rows()).layers] == ["input", "output"]
