"""How a model is called: what stays a whole number or a truth value, and which of its outputs is taken."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import nif
from nif.core.errors import InputError
from nif.data.rows import read
from nif.network.forward import chosen_output
from nif.network.network import Network

IDS = torch.arange(120).reshape(60, 2) % 7


class Table(nn.Module):
    """Looks ids up in a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(7, 3))

    def forward(self, ids: Tensor) -> Tensor:
        return self.table[ids].sum(1)


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.linear(x.masked_fill(~mask, 0.0))


def test_whole_numbers_stay_whole_for_a_table_that_is_no_module() -> None:
    network = Network.of(Table())
    call = network.forward(read(IDS, network.signature))
    assert call.looks_up
    assert call.prepared([IDS])[0].dtype == torch.int64
    assert call([IDS]).shape == (60, 3)


def test_whole_numbers_become_numbers_where_the_model_takes_these() -> None:
    network = Network.of(nn.Linear(2, 3))
    call = network.forward(read(IDS, network.signature))
    assert not call.looks_up
    assert call.prepared([IDS])[0].dtype == torch.float32


def test_a_mask_of_truth_values_stays_one() -> None:
    network = Network.of(Masked())
    rows = read({"x": torch.randn(60, 2), "mask": IDS > 2}, network.signature)
    prepared = network.forward(rows).prepared(rows.inputs)
    assert [values.dtype for values in prepared] == [torch.float32, torch.bool]
    truths = Network.of(nn.Linear(2, 3))
    other = read(IDS > 2, truths.signature)
    assert truths.forward(other).prepared(other.inputs)[0].dtype == torch.float32


def test_a_model_that_fails_on_both_fails_as_before() -> None:
    network = Network.of(nn.Linear(5, 3))
    rows = read(IDS, network.signature)
    assert not network.forward(rows).looks_up
    with pytest.raises(InputError, match="The model failed on these data"):
        network.plan(rows)


def test_logits_are_taken_of_several_outputs() -> None:
    outputs = pytest.importorskip("transformers.modeling_outputs")
    logits, loss = torch.zeros(2, 3), torch.zeros(())
    returned = outputs.SequenceClassifierOutput(loss=loss, logits=logits)
    assert chosen_output(returned, None) is logits
    assert chosen_output(returned, "loss") is loss
    plain = outputs.BaseModelOutput(hidden_states=loss, attentions=logits)
    for other in ({"loss": loss, "logits": logits}, plain):
        with pytest.raises(InputError, match="expected one tensor"):
            chosen_output(other, None)


class Clipped(nn.Module):
    """Writes into its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x.clamp_(-1, 1)
        x[:, 0] *= 2
        head: Tensor = self.head(self.body(x).relu())
        return head


def test_a_model_that_writes_into_its_inputs_gets_copies() -> None:
    torch.manual_seed(0)
    model, x = Clipped(), torch.randn(80, 3)
    rows, y = x.clone(), (x[:, 0] > 0).long()
    flow = nif.measure(model, rows, nif.Currents(rows=40, backgrounds=40, paths=0), progress=False)
    assert torch.equal(rows, x)
    nif.layers(model, rows)
    nif.measure(model, rows, nif.Binned(), progress=False)
    small = nif.prune(model, flow, rows, remove=0.5, tolerance=None, progress=False)
    nif.compare(model, flow, rows, y, methods="ig", repeats=1, progress=False)
    assert torch.equal(rows, x)
    change = (small.model(x.clone()) - model(x.clone())).detach().abs().max()
    assert small.score_after == pytest.approx(float(change))
