"""What decides: a position of a sequence or one unit of a layer, against models that return only that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.flow.flow import Flow
from nif.measures.currents.targets import Target
from support.networks import chain
from support.sequence_models import LENGTH, ROWS, data_of, masks, model_of

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*backgrounds miss the total:UserWarning", "ignore:The model chooses its path:UserWarning"
)

X = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(50, 1, 6, 6, generator=torch.Generator().manual_seed(0))


class Only(nn.Module):
    """A part of what a model returns."""

    def __init__(self, model: nn.Module, part: Callable[..., Tensor]) -> None:
        super().__init__()
        self.model, self.part = model, part

    def forward(self, ids: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        if padding_mask is None:
            return self.part(self.model(ids))
        return self.part(self.model(ids, padding_mask), padding_mask)


def measured(model: nn.Module, data: Any, **options: Any) -> Flow:
    layers, reduce = options.pop("layers", None), options.pop("reduce", "mean")
    chosen = nif.Currents(
        **{"steps": 2, "rows": 8, "backgrounds": 6, "by_class": False, "paths": 0, **options}
    )
    return nif.measure(model, data, chosen, layers=layers, reduce=reduce, progress=False)


def check_same(one: Flow, other: Flow, *, units: bool = True) -> None:
    """The totals, the units of every layer, and the links are the same."""
    assert one.currents is not None
    assert other.currents is not None
    assert one.currents.total.nats == pytest.approx(other.currents.total.nats, rel=1e-5)
    scale = 1e-5 * abs(other.currents.total.nats)
    for here, there in zip(one.currents.units, other.currents.units, strict=units):
        np.testing.assert_allclose(here.nats, there.nats, atol=scale)
        np.testing.assert_allclose(here.stderr, there.stderr, atol=scale)
    for links, expected in zip(one.links, other.links, strict=units):
        np.testing.assert_allclose(links.nats, expected.nats, atol=scale)


def test_a_unit_is_a_value_of_the_network_that_ends_there() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    short = nn.Sequential(*net[:4], nn.Linear(5, 1, bias=False))
    with torch.no_grad():
        short[4].weight[:] = torch.tensor([[0, 0, 1.0, 0, 0]])
    flow = measured(net, X, target=("3", 2))
    assert [(layer.name, layer.units) for layer in flow.layers[2:]] == [("3", ("3[2]",))]
    assert flow.measurement.options["decision"] == "a value, behind noise of 0.2 deviations, at 3[2]"
    assert "target=('3', 2)" in repr(flow)
    whole = measured(short, X)
    assert flow.currents is not None
    assert whole.currents is not None
    for layer in (0, 1):
        np.testing.assert_allclose(
            flow.currents.units[layer].nats, whole.currents.units[layer].nats, atol=1e-5
        )
    np.testing.assert_allclose(flow.links[0].nats, whole.links[0].nats, atol=1e-5)
    np.testing.assert_allclose(flow.links[1].nats[:, 0], whole.links[1].nats[:, 2], atol=1e-5)
    assert (whole.currents.units[2].nats[[0, 1, 3, 4]] == 0).all()


@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_a_channel_is_a_value_over_its_positions(reduce: str) -> None:
    torch.manual_seed(0)
    body = [nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 2), nn.ReLU()]
    pool = nn.AdaptiveAvgPool2d(1) if reduce == "mean" else nn.AdaptiveMaxPool2d(1)
    whole = nn.Sequential(*body, nn.Flatten(), nn.Linear(36, 2))
    short = Only(nn.Sequential(*body, pool, nn.Flatten()), lambda values: values[:, 1:2])
    flow = measured(whole, IMAGES, target=("3", 1), reduce=reduce)
    assert f"3[1], {reduce} of its positions" in repr(flow)
    expected = measured(short, IMAGES, decision="value")
    assert flow.currents is not None
    assert expected.currents is not None
    assert flow.currents.total.nats == pytest.approx(expected.currents.total.nats, rel=1e-5)
    np.testing.assert_allclose(flow.currents.units[0].nats, expected.currents.units[0].nats, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("position", [0, 2, -1])
def test_a_position_decides_as_a_model_that_returns_it(position: int) -> None:
    model, ids = model_of("gpt2"), data_of("gpt2")["input_ids"]
    short = Only(model, lambda returned: returned.logits[:, position])
    check_same(measured(model, ids, target=("output", position)), measured(short, ids))


@pytest.mark.slow
def test_the_last_position_decides_if_nothing_is_said() -> None:
    model, ids = model_of("gpt2"), data_of("gpt2")["input_ids"]
    flow = measured(model, ids)
    check_same(flow, measured(model, ids, target=("output", LENGTH - 1)))
    assert "at the output at the last position" in repr(flow)


@pytest.mark.slow
@pytest.mark.parametrize("left", [False, True])
def test_the_last_position_that_is_no_padding_decides(left: bool) -> None:
    def last(logits: Tensor, padding: Tensor) -> Tensor:
        places = [max(place for place in range(LENGTH) if not row[place]) for row in padding.tolist()]
        return logits[torch.arange(len(places)), places]

    data = data_of("padded")
    if left:
        data["padding_mask"] = data["padding_mask"].flip(1)
    model = model_of("padded")
    flow = measured(model, data)
    assert "the last position that is no padding by 'padding_mask'" in repr(flow)
    check_same(flow, measured(Only(model, last), {"ids": data["ids"], "padding_mask": data["padding_mask"]}))


@pytest.mark.slow
def test_an_attention_mask_has_ones_for_tokens() -> None:
    model, ids = model_of("gpt2"), data_of("gpt2")["input_ids"]
    some = {"input_ids": ids[::3], "attention_mask": masks()[::3]}
    flow = measured(model, some)
    check_same(flow, measured(model, some, target=("output", 3)))
    assert flow.currents is not None
    assert (flow.currents.units[0].nats[4:] == 0).all()


@pytest.mark.slow
def test_a_mask_of_the_encoder_says_nothing_of_the_decoder() -> None:
    data = data_of("t5")
    data["decoder_input_ids"] = torch.cat([data["decoder_input_ids"], data["input_ids"][:, :2]], 1)
    flow = measured(model_of("t5"), {**data, "attention_mask": masks()}, rows=6, layers=["lm_head"])
    assert "at the output at the last position" in flow.measurement.options["decision"]
    assert "padding" not in flow.measurement.options["decision"]


def test_a_unit_of_the_output_is_a_value() -> None:
    net = chain(4, 6, 3)
    flow = measured(net, X, target=("output", 1))
    expected = measured(Only(net, lambda values: values[:, 1:2]), X)
    check_same(flow, expected)
    assert flow.layers[-1].units == ("output[1]",)


def test_layers_behind_and_beside_the_target_are_left_out() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.relu1, self.relu2 = nn.Linear(4, 3), nn.Linear(4, 3), nn.ReLU(), nn.ReLU()
            self.c, self.relu3, self.last = nn.Linear(3, 3), nn.ReLU(), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            one, two = self.relu1(self.a(x)), self.relu2(self.b(x))
            return self.last(torch.cat([one, self.relu3(self.c(two))], 1))

    torch.manual_seed(0)
    flow = measured(Branches(), X, target=("relu3", 0))
    assert [layer.name for layer in flow.layers] == ["input", "relu2", "relu3"]
    assert [(links.source, links.target) for links in flow.links] == [(0, 1), (1, 2)]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (("relu2", 5), "no target 'relu2'"),
        (("1", 6), "has 6 units; expected 0 to 5"),
        (("output", -4), "has 3 units"),
        ("1", "expected the name of a layer and the number of a unit"),
        (("1", 0.5), "expected the name of a layer and the number of a unit"),
    ],
)
def test_what_is_no_target_is_refused(target: Any, message: str) -> None:
    with pytest.raises(nif.InputError, match=message):
        measured(chain(4, 6, 3), X, target=target)


@pytest.mark.parametrize("part", [lambda values: values.argmax(1, keepdim=True), lambda values: values > 0])
def test_decisions_that_were_taken_are_refused(part: Callable[..., Tensor]) -> None:
    with pytest.raises(nif.InputError, match="expected logits, probabilities or real values"):
        measured(Only(chain(4, 6, 3), part), X)


def test_images_as_outputs_have_no_last_position() -> None:
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 1))
    with pytest.raises(nif.InputError, match=r"16 positions, of which none is the last; choose one"):
        measured(net, IMAGES)
    chosen = measured(net, IMAGES, target=("output", 5))
    check_same(chosen, measured(Only(net, lambda values: values[:, :, 1, 1]), IMAGES))


@pytest.mark.slow
def test_logits_are_chosen_of_several_outputs() -> None:
    returned = model_of("t5")(**{name: ids[:2] for name, ids in data_of("t5").items()})
    assert len([values for values in returned.values() if isinstance(values, Tensor)]) > 1
    flow = measured(model_of("t5"), data_of("t5"), rows=4, layers=["lm_head"])
    assert flow.measurement.options["decision"].startswith("one of 23 classes")
    assert len(flow.layers[0].units) == LENGTH
    assert len(data_of("t5")["input_ids"]) == ROWS


def test_the_outputs_of_wide_networks_are_computed_a_few_rows_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []
    net = chain(4, 64, 3)
    x = torch.randn(90, 4, generator=torch.Generator().manual_seed(0))
    expected = nif.measure(net, x, nif.Currents(rows=8, backgrounds=2, steps=2, paths=0), progress=False)
    monkeypatch.setattr("nif.measures.currents.targets.LARGEST_ACTIVATION", 64 * 7)
    run = Target.run
    monkeypatch.setattr(Target, "run", lambda self, rows: (sizes.append(len(rows[0])), run(self, rows))[1])
    flow = nif.measure(net, x, nif.Currents(rows=8, backgrounds=2, steps=2, paths=0), progress=False)
    assert sizes == [7] * 12 + [6]
    assert flow.total.nats == pytest.approx(expected.total.nats, rel=1e-5)
