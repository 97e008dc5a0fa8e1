"""Networks of `transformers` and recurrent ones: what is cut, what is left whole, and what is kept."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import nif
from nif.pruning.equivalent import from_linear, to_linear
from support.attention_cases import answers, flow_of_model, measured, without
from support.pruning_cases import flow_of
from support.sequence_models import data_of, model_of


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt2", "bert", "vit", "t5"])
def test_units_of_feed_forward_layers_are_cut_and_parameters_fall(name: str, tmp_path: Path) -> None:
    model, data = model_of(name), data_of(name)
    before = copy.deepcopy(model.state_dict())
    small = without(model, data, name, remove=0.5)
    hidden = {"gpt2": 2 * 64, "bert": 2 * 24 + 16, "vit": 2 * 24, "t5": 4 * 24}[name]
    assert len(small.removed) == hidden // 2 and set(small.removed["how"]) == {"cut"}
    assert small.size_after.parameters < small.size_before.parameters
    assert (
        small.size_after.bytes < small.size_before.bytes and small.size_after.flops < small.size_before.flops
    )
    assert "Layer" in small.notes[0] and "of attention, `heads=` removes heads" in small.notes[0]
    small.save(tmp_path / "small")
    again = nif.shrink(model_of(name), tmp_path / "small")
    assert torch.equal(answers(again, data), answers(small.model, data))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_gpt2_keeps_its_classes_and_its_score() -> None:
    """Trained to continue a sequence: at half of its units it is as right, and the tolerance holds."""
    torch.manual_seed(0)
    model, ids = model_of("gpt2"), data_of("gpt2")["input_ids"]
    ids = (ids[:, :1] + torch.arange(6)) % 23  # each word is the next of 23
    optimiser = torch.optim.Adam(model.train().parameters(), lr=0.01)
    for _ in range(60):
        optimiser.zero_grad()
        model(ids, labels=ids).loss.backward()
        optimiser.step()
    model.eval()
    words = ((ids + 1) % 23).numpy()
    small = nif.prune(model, flow_of_model("gpt2"), (ids, words), remove=0.5, tolerance=0.01, progress=False)
    assert small.score == "accuracy of positions" and small.score_before > 0.9
    assert small.score_after >= small.score_before - 0.01
    assert len(small.removed) > 0
    block = small.model.transformer.h[0].mlp
    gone = (small.removed["layer"] == "transformer.h.0.mlp.act").sum()
    assert type(block.c_fc) is type(model.transformer.h[0].mlp.c_fc)
    assert (block.c_fc.nf, block.c_proj.nx) == (64 - gone, 64 - gone)
    assert tuple(block.c_fc.weight.shape) == (16, 64 - gone)
    assert small.model.lm_head.weight is small.model.transformer.wte.weight


def test_weights_of_gpt2_as_linear_layers_compute_the_same_and_come_back() -> None:
    model, data = model_of("gpt2"), data_of("gpt2")
    before, text = answers(model, data), repr(model)
    weights = copy.deepcopy(model.state_dict())
    to_linear(model)
    assert isinstance(model.transformer.h[0].mlp.c_fc, nn.Linear)
    assert torch.allclose(answers(model, data), before, atol=1e-5)
    from_linear(model)
    assert repr(model) == text
    assert list(model.state_dict()) == list(weights)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("compensate", ["linear", "mean", None])
def test_parameters_of_t5_never_rise_and_its_ties_stay(compensate: str | None) -> None:
    """None of its layers has a bias; one unit costs 32 parameters, and its readers have 16 outputs."""
    model = model_of("t5")
    layer = "encoder.block.0.layer.1.DenseReluDense.act"
    small = without(model, data_of("t5"), "t5", remove={layer: 1 / 24}, compensate=compensate)
    assert len(small.removed) == 1
    biases = 0 if compensate is None else 16
    assert small.size_after.parameters == small.size_before.parameters - 32 + biases
    tables = small.model.shared, small.model.encoder.embed_tokens, small.model.decoder.embed_tokens
    ties = {id(table.weight) for table in tables}
    assert len(ties) == 1 and (small.model.lm_head.weight is small.model.shared.weight) == (
        model.lm_head.weight is model.shared.weight
    )


class Recurrent(nn.Module):
    """Linear layers on both sides of a recurrent one."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.state = nn.Linear(5, 8), kind(8, 6, batch_first=True)
        self.second, self.head = nn.Linear(6, 10), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.state(self.first(x).relu())
        return self.head(self.second(states[:, -1]).relu())


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_are_left_whole_and_cut_around(kind: type[nn.RNNBase]) -> None:
    model, x = Recurrent(kind).eval(), torch.randn(80, 4, 5, generator=torch.Generator().manual_seed(0))
    small = without(model, x, measured(model, x), remove=0.5)
    assert small.model.second.out_features == 5 and len(small.removed) == 5
    name = kind.__name__
    assert f"Layer 'relu' is left whole: 'state' ({name}) needs all of its units." in small.notes
    pairs = zip(small.model.state.parameters(), model.state.parameters(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_a_named_fraction_of_channels_counts_channels_and_not_their_positions() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2)).eval()
    x = torch.randn(80, 1, 8)
    flow = flow_of(model, x, ["2"])  # 64 numbers of 8 channels
    small = nif.prune(model, flow, x, remove={"2": 0.25}, tolerance=None, progress=False)
    assert small.model[0].out_channels == 6
    assert len(small.removed) == 2 * 8
