"""Token ids move between their embeddings; what a row has of its own stays; in models of every kind."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.flow.flow import Flow
from nif.measures.currents.decisions import decided_by
from nif.measures.currents.sample import Sample
from nif.network.decision import Decision, Scale
from support.currents import value_on_the_way
from support.sequence_models import LENGTH, MODELS, WORDS, Tabular, data_of, masks, model_of

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*backgrounds miss the total:UserWarning", "ignore:The model chooses its path:UserWarning"
)

FAST: dict[str, Any] = {"steps": 2, "rows": 6, "backgrounds": 4, "by_class": False, "paths": 0}

CUTS = {
    "gpt2": ["transformer.h.0", "transformer.ln_f"],
    "llama": ["model.layers.0", "model.norm"],
    "bert": ["bert.encoder.layer.0", "bert.pooler.dense"],
    "vit": ["vit.layers.0"],
    "encoder": ["encoder"],
    "attention": ["words", "attention"],
    "lstm": ["words"],
    "gru": ["words", "gru"],
    "padded": ["words", "encoder"],
    "bags": ["tanh"],
    "tabular": ["body.0", "body.1"],
}
"""Modules that all currents of a model pass."""


def measured(model: nn.Module, data: Any, background: Any = None, layers: Any = None, **options: Any) -> Flow:
    chosen = nif.Currents(**{**FAST, **options})
    return nif.measure(model, data, chosen, background=background, layers=layers, progress=False)


def features(flow: Flow) -> np.ndarray:
    assert flow.currents is not None
    units = zip(flow.layers, flow.currents.units, strict=True)
    return np.concatenate([of_layer.nats for layer, of_layer in units if layer.kind == "input"])


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_cut_carries_the_total(name: str) -> None:
    flow = measured(model_of(name), data_of(name), layers=CUTS.get(name), paths=None)
    assert flow.currents is not None
    total = flow.currents.total.nats
    cuts = [features(flow)] + [
        of_layer.nats
        for layer, of_layer in zip(flow.layers, flow.currents.units, strict=True)
        if layer.name in ("output", *CUTS.get(name, []))
    ]
    assert total > 1e-4
    assert len(cuts) == 2 + len(CUTS.get(name, []))
    for nats in cuts:
        assert abs(nats.sum() - total) <= 1e-5 * np.abs(nats).sum()


# The slow twin.

STEPS = 128


def by_midpoints(
    model: nn.Module, tables: dict[str, str], data: dict[str, Tensor], sample: Sample, value: Any, layer: str
) -> tuple[list[np.ndarray], np.ndarray]:
    """Currents of the tokens of each input and of the units of a layer: 128 midpoint gradients in float64.

    The model is run with hooks on its tables, whose names are those of the inputs; many steps at once.
    """
    modules, at_once = dict(model.named_modules()), 64
    rows, index = torch.from_numpy(sample.rows), torch.from_numpy(sample.backgrounds.index)
    here = {name: ids[rows].repeat_interleave(index.shape[1], 0) for name, ids in data.items()}
    ends = {
        name: (modules[table](data[name][index.flatten()]).detach(), modules[table](here[name]).detach())
        for name, table in tables.items()
    }
    here = {name: ids.repeat(at_once, 1) for name, ids in here.items()}
    fed: dict[str, Tensor] = {}
    hooks = [
        modules[table].register_forward_hook(lambda *_, name=name: fed[name])
        for name, table in tables.items()
    ]
    hooks.append(modules[layer].register_forward_hook(lambda *given: fed.__setitem__("", given[-1])))

    def run(shares: Tensor) -> tuple[Tensor, list[Tensor]]:
        stops = shares[:, None, None, None]
        fed.update(
            {name: (a + stops * (b - a)).flatten(0, 1).requires_grad_() for name, (a, b) in ends.items()}
        )
        logits = model(**here).logits[:, -1]
        return logits.unflatten(0, (at_once, *index.shape)), list(fed.values())

    sums = [torch.zeros(())] * (len(tables) + 1)
    for first in range(0, STEPS, at_once):
        steps = torch.arange(first, first + at_once, dtype=torch.float64)
        output, middle = run((steps + 0.5) / STEPS)
        slopes = torch.autograd.grad(value(output), middle)
        with torch.no_grad():
            before, after = (run(stops / STEPS)[1] for stops in (steps, steps + 1))
        moves = [b.detach() - a.detach() for a, b in zip(before, after, strict=True)]
        sums = [whole + (slope * move).sum(0) for whole, slope, move in zip(sums, slopes, moves, strict=True)]
    for hook in hooks:
        hook.remove()
    return [of_input.sum(-1).numpy() for of_input in sums[:-1]], sums[-1].sum(0).numpy()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tables", "layer"),
    [
        ("gpt2", {"input_ids": "transformer.wte"}, "transformer.h.0.mlp.act"),
        (
            "t5",
            {"input_ids": "encoder.embed_tokens", "decoder_input_ids": "decoder.embed_tokens"},
            "decoder.block.0.layer.2.DenseReluDense.act",
        ),
    ],
)
def test_tokens_and_units_share_as_by_many_midpoint_gradients(
    name: str, tables: dict[str, str], layer: str
) -> None:
    model, data = model_of(name), {key: ids[:5] for key, ids in data_of(name).items()}
    double = copy.deepcopy(model).double()
    with torch.no_grad():
        outputs = double(**data).logits[:, -1]
    decided = decided_by(Decision(Scale.LOGIT, WORDS, True), outputs, None, 0.2, None)
    sample = Sample.of(decided, outputs, 5, 4, np.random.default_rng(0))
    tokens, units = by_midpoints(
        double, tables, data, sample, value_on_the_way(sample, decided, outputs), layer
    )
    flow = measured(model, data, layers=[layer], steps=8)
    assert flow.currents is not None
    total = flow.currents.total.nats
    assert np.concatenate(tokens).sum() == pytest.approx(total, rel=1e-3)
    found = zip([*tokens, units], flow.currents.units, strict=False)
    worst = max(float(np.abs(of_layer.nats - expected).max()) for expected, of_layer in found)
    assert worst < 0.01 * total


# What carries nothing.


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_tokens_after_the_target_carry_exactly_nothing(name: str) -> None:
    nats = features(measured(model_of(name), data_of(name), target=("output", 2)))
    assert (nats[:3] != 0).all()
    assert (nats[3:] == 0).all()


@pytest.mark.parametrize("name", ["bert", "padded"])
def test_padded_tokens_carry_exactly_nothing(name: str) -> None:
    data = {key: values[::3] for key, values in data_of(name).items()}
    flow = measured(model_of(name), data)
    assert (features(flow)[4:] == 0).all()
    assert (features(flow)[:4] != 0).all()
    assert flow.currents is not None
    assert [layer.name for layer in flow.layers if layer.kind == "input"] == [f"input.{next(iter(data))}"]
    assert flow.measurement.options["held"] == [list(data)[1]]


def test_positions_that_are_the_same_in_every_row_carry_exactly_nothing() -> None:
    ids = data_of("bert")["input_ids"]
    data = {
        "input_ids": ids,
        "token_type_ids": ids % 2,
        "position_ids": torch.arange(LENGTH).expand(ids.shape),
    }
    model, by_name = model_of("bert"), {}
    flow = measured(model, data)
    assert flow.currents is not None
    for layer, units in zip(flow.layers, flow.currents.units, strict=True):
        by_name[layer.name] = units
    assert (by_name["input.position_ids"].nats == 0).all()
    assert (by_name["input.position_ids"].absolute == 0).all()
    assert (by_name["input.token_type_ids"].nats != 0).all()


def test_a_category_whose_embeddings_are_equal_carries_exactly_nothing() -> None:
    model = model_of("tabular")
    assert isinstance(model, Tabular)
    with torch.no_grad():
        model.second.weight[:] = model.second.weight[:1].clone()
    table = measured(model, data_of("tabular"), by_class=True).attribution()
    assert (table.loc["categories.x2"] == 0).all()
    assert (table.drop("categories.x2").to_numpy() != 0).all()
    assert list(table.index[:2]) == ["numbers.x1", "numbers.x2"]


# What it takes and refuses.


def test_one_hot_numbers_are_the_same_as_their_ids() -> None:
    torch.manual_seed(0)
    table, head = (
        nn.Embedding(5, 4),
        nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 3)),
    )
    ids = torch.randint(0, 5, (40, 3))
    by_table = measured(nn.Sequential(table, *head), ids, rows=40, backgrounds=39)
    linear = nn.Linear(5, 4, bias=False)
    linear.weight = nn.Parameter(table.weight.T.clone())
    by_numbers = measured(
        nn.Sequential(linear, *head), nn.functional.one_hot(ids, 5).float(), rows=40, backgrounds=39
    )
    expected = features(by_numbers).reshape(3, 5).sum(1)
    np.testing.assert_allclose(features(by_table), expected, atol=1e-6)
    np.testing.assert_allclose(by_table.links[0].nats.sum(1), expected, atol=1e-6)


class OfNumbers(nn.Module):
    """`Bags` on one-hot numbers: between these the way goes as between the rows of a table."""

    def __init__(self, bags: nn.Module) -> None:
        super().__init__()
        self.bags = bags

    def forward(self, x: Tensor) -> Tensor:
        table, of_bag = self.bags.table, self.bags.bag.weight
        first = nn.functional.one_hot(torch.zeros_like(x[:, :1, 0]).long(), WORDS).to(x)
        shifted = torch.cat([first, x[:, :-1]], 1)
        parts = [(x @ of_bag).mean(1), (x @ table).mean(1), (shifted @ table).amax(1), x[:, 2] @ table]
        return self.bags.head(torch.cat(parts, 1).tanh())


def test_every_way_of_looking_up_is_that_of_one_hot_numbers() -> None:
    ids = data_of("bags")["ids"][:20]
    options: dict[str, Any] = {"rows": 20, "backgrounds": 19, "steps": 2}
    by_table = measured(model_of("bags"), ids, **options)
    x = nn.functional.one_hot(ids, WORDS).float()
    by_numbers = measured(OfNumbers(model_of("bags")), x, **options)
    expected = features(by_numbers).reshape(LENGTH, WORDS).sum(1)
    np.testing.assert_allclose(features(by_table), expected, atol=1e-6)
    assert np.abs(expected).min() > 1e-5


def test_a_function_may_decide() -> None:
    def even(outputs: Tensor) -> Tensor:
        logs = outputs.log_softmax(1)
        return torch.stack([logs[:, ::2].logsumexp(1), logs[:, 1::2].logsumexp(1)], 1)

    flow = measured(model_of("gpt2"), data_of("gpt2"), decision=even)
    assert "2 outcomes of even" in flow.measurement.options["decision"]
    assert features(flow).sum() == pytest.approx(flow.currents.total.nats, rel=1e-4)


def test_a_model_stays_as_it_was() -> None:
    model = model_of("bert").train()
    before = copy.deepcopy(model.state_dict())
    measured(model, data_of("bert"))
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    for name, values in model.state_dict().items():
        assert torch.equal(values, before[name])


class Ids(nn.Module):
    """Does what it is told with token ids."""

    def __init__(self, run: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.words, self.linear, self.run = nn.Embedding(WORDS, 3), nn.Linear(LENGTH, 3), run

    def forward(self, ids: Tensor) -> Tensor:
        return self.run(self, ids)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda self, ids: self.linear(ids.float()), "reach the output without an embedding"),
        (
            lambda self, ids: self.words(ids).sum(1) + self.linear(ids.float()),
            "no background row with the same use of input beside its embedding",
        ),
        (
            lambda self, ids: self.words(ids).sum(1) + self.linear(torch.tensor(ids.tolist()).float()),
            "act on the output otherwise than through embeddings",
        ),
        (
            lambda self, ids: self.words(ids.gather(1, torch.tensor(ids.tolist()) % LENGTH)).sum(1),
            "depends on its values",
        ),
    ],
)
def test_what_cannot_be_explained_is_said(run: Callable[[Any, Tensor], Tensor], message: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(nif.InputError, match=message):
        measured(Ids(run), data_of("ids")["ids"])


def test_rows_are_compared_where_a_mask_made_of_the_ids_is_the_same() -> None:
    def run(self: Any, ids: Tensor) -> Tensor:
        mask = (ids != 0).float()[..., None]
        return (self.words(ids) * mask).sum(1) / mask.sum(1)

    torch.manual_seed(0)
    ids = torch.where(masks() == 1, data_of("ids")["ids"], 0)
    flow = measured(Ids(run), ids)
    assert flow.measurement.options["total_is"] == "I(X; Y), given use of input beside its embedding"
    assert abs(features(flow).sum() - flow.currents.total.nats) < 1e-6


class Counted(nn.Module):
    """Positions are counted by the mask, which so reaches an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places, self.linear = nn.Embedding(WORDS, 3), nn.Embedding(9, 3), nn.Linear(3, 3)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        hidden = self.words(ids) + self.places(mask.cumsum(1) * mask)
        return self.linear((hidden * mask[..., None]).tanh())


def test_a_mask_by_which_positions_are_counted_stays_a_mask() -> None:
    torch.manual_seed(0)
    flow = measured(Counted(), {"ids": data_of("ids")["ids"], "mask": masks()})
    assert flow.measurement.options["held"] == ["mask"]
    assert len(features(flow)) == LENGTH
    assert "no padding by 'mask'" in flow.measurement.options["decision"]


class Scaled(nn.Module):
    """Embeddings times a whole number of each row."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.linear = nn.Embedding(WORDS, 3), nn.Linear(3, 3)

    def forward(self, ids: Tensor, count: Tensor) -> Tensor:
        return self.linear(self.words(ids).sum(1) * count)


def test_whole_numbers_that_no_embedding_reads_are_named() -> None:
    torch.manual_seed(0)
    data = {"ids": data_of("ids")["ids"], "count": torch.arange(60)[:, None] % 3 + 1}
    with pytest.warns(UserWarning, match="No embedding reads the whole numbers of 'count'"):
        flow = measured(Scaled(), data)
    assert flow.measurement.options["held"] == ["count"]
    assert len(features(flow)) == LENGTH


def test_backgrounds_of_another_length_are_refused() -> None:
    ids = data_of("gpt2")["input_ids"]
    message = re.escape("The background has shape [60, 5] for data of shape [60, 6]")
    with pytest.raises(nif.InputError, match=message):
        measured(model_of("gpt2"), {"input_ids": ids}, background={"input_ids": ids[:, :5]})


def test_prompts_have_counterfactuals_of_their_own() -> None:
    data, other = data_of("gpt2"), data_of("gpt2")["input_ids"].clone()[:, None]
    other[:, 0, 3] = (other[:, 0, 3] + 1) % WORDS
    flow = measured(model_of("gpt2"), data, background={"input_ids": other})
    nats = features(flow)
    assert (nats[[0, 1, 2, 4, 5]] == 0).all()
    assert nats[3] == pytest.approx(flow.currents.total.nats, rel=1e-5)


@pytest.mark.parametrize("rounded", [True, False])
def test_categories_among_numbers_are_warned_of_and_codes_of_a_network_are_not(rounded: bool) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.table, self.codes, self.head = nn.Embedding(5, 3), nn.Linear(4, 5), nn.Linear(7, 2)

        def forward(self, x: Tensor) -> Tensor:
            place = x[:, 0].long() if rounded else self.codes(x).argmax(1)
            return self.head(torch.cat([self.table(place), x], 1))

    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    x[:, 0] = torch.arange(60) % 5
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nif.measure(Mixed(), x, nif.Currents(rows=8, backgrounds=32, steps=2), progress=False)
    said = [str(each.message) for each in caught if "how the categories are numbered" in str(each.message)]
    assert len(said) == rounded
