"""Rows of several masks or lengths: each is compared with rows of its own kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import nif
from nif.flow.flow import Flow
from nif.measures.currents.decisions import decided_by
from nif.measures.currents.errors import totals_without
from nif.measures.currents.grouped_sums import GROUPS
from nif.measures.currents.kinds import Samples
from nif.network.decision import Decision, Scale
from support.sequence_models import LENGTH, ROWS, data_of, model_of

pytestmark = pytest.mark.filterwarnings("ignore:.*backgrounds miss the total:UserWarning")

SHORT = np.arange(ROWS) % 3 == 0
EVERY: dict[str, Any] = {"steps": 2, "rows": ROWS, "backgrounds": ROWS - 1, "by_class": False, "paths": 0}


def measured(data: dict[str, Tensor], background: Any = None, **options: Any) -> Flow:
    chosen = nif.Currents(**{**EVERY, **options})
    return nif.measure(model_of("padded"), data, chosen, background=background, progress=False)


def part_of(data: dict[str, Tensor], rows: Any) -> dict[str, Tensor]:
    index = torch.from_numpy(np.arange(ROWS)[rows])
    return {name: values[index] for name, values in data.items()}


@pytest.mark.slow
def test_the_currents_are_the_mean_of_those_of_each_kind() -> None:
    data = data_of("padded")
    whole, short, full = (measured(part_of(data, rows)) for rows in (SHORT | True, SHORT, ~SHORT))
    assert whole.measurement.options["total_is"] == "I(X; Y), given padding_mask"
    assert short.measurement.options["total_is"] == "I(X; Y)"
    parts = [(SHORT.mean(), short), (1 - SHORT.mean(), full)]
    totals = [share * flow.total.nats for share, flow in parts]
    assert whole.total.nats == pytest.approx(sum(totals), rel=1e-5)
    for layer, units in enumerate(whole.currents.units):
        expected = sum(share * flow.currents.units[layer].nats for share, flow in parts)
        np.testing.assert_allclose(units.nats, expected, atol=1e-6)


def drawn(
    kinds: np.ndarray, outputs: Tensor, chosen: str, labels: Any = None, **options: Any
) -> tuple[Any, Samples]:
    decision = Decision(Scale.LOGIT, outputs.shape[1], True)
    decided = decided_by(decision, outputs, chosen, 0.2, labels)
    given, both = options.pop("given", None), options.pop("both", (kinds, kinds))
    generator = np.random.default_rng(0)
    return decided, Samples.of(decided, outputs, 40, 6, generator, given, both, ("mask",))


@pytest.mark.parametrize("chosen", ["softmax", "value", "labels"])
def test_rows_and_backgrounds_are_of_one_kind(chosen: str) -> None:
    generator = torch.Generator().manual_seed(0)
    outputs, kinds = torch.randn(90, 3, generator=generator), np.arange(90) % 4
    labels = torch.randint(0, 3, (90,), generator=generator).numpy()
    decided, samples = drawn(kinds, outputs, chosen, labels)
    assert len(samples.kinds) == 4
    assert samples.weights.sum() == pytest.approx(1)
    assert len(samples.rows) == pytest.approx(40, abs=4)
    for kind in samples.kinds:
        assert len(set(kinds[kind.rows]) | set(kinds[kind.backgrounds.index.ravel()])) == 1
        assert (kind.backgrounds.index != kind.rows[:, None]).all()
        own = np.exp(kind.backgrounds.log_weights).sum(1) + kind.backgrounds.own
        np.testing.assert_allclose(own, 1)
    pilot = samples.pilot(8, 2)
    assert pilot.weights.sum() == pytest.approx(1)
    assert pilot.each == 2
    if chosen == "labels":  # the labels of a kind are its own
        index = torch.from_numpy(samples.rows)
        weight = decided.outcomes(outputs[index], index).weight
        assert (weight.argmax(1).numpy() == labels[samples.rows]).all()


@pytest.mark.parametrize("chosen", ["softmax", "value"])
def test_totals_without_a_group_are_means_over_the_kinds_that_are_left(chosen: str) -> None:
    generator = torch.Generator().manual_seed(0)
    outputs, kinds = 2 * torch.randn(80, 3, generator=generator), np.minimum(np.arange(80) // 5, 2)
    decided = decided_by(Decision(Scale.LOGIT, 3, True), outputs, chosen, 0.2, None)
    samples = Samples.of(decided, outputs, 80, 79, np.random.default_rng(0), None, (kinds, kinds))
    totals = totals_without(decided, outputs, samples)
    assert sorted(totals) == list(range(GROUPS))
    for group, total in totals.items():
        left = samples.groups != group
        here = outputs[torch.from_numpy(left)]
        again = decided_by(Decision(Scale.LOGIT, 3, True), here, chosen, 0.2, None)
        of_left = (kinds[left], kinds[left])
        exact = Samples.of(again, here, 80, 79, np.random.default_rng(0), None, of_left).exact
        assert total == pytest.approx(exact, rel=1e-5 if chosen == "softmax" else 0.005)


def test_a_row_without_another_of_its_kind_is_refused() -> None:
    data = data_of("padded")
    data["padding_mask"][7, 1:] = True
    with pytest.raises(nif.InputError, match="Row 7 of the data has no background row with the same padding"):
        measured(data)


def test_a_pool_must_have_rows_of_every_kind() -> None:
    data = data_of("padded")
    flow = measured(part_of(data, slice(0, 9)), background=part_of(data, slice(9, 60)))
    assert flow.currents is not None
    assert (flow.currents.units[0].stderr >= 0).all()
    with pytest.raises(nif.InputError, match="no background row with the same padding_mask"):
        measured(part_of(data, slice(0, 9)), background=part_of(data, ~SHORT))


def test_backgrounds_of_a_row_must_be_of_its_kind() -> None:
    data = part_of(data_of("padded"), slice(0, 12))
    paired = {name: torch.stack([values, values.roll(3, 0)], 1) for name, values in data.items()}
    assert measured(data, background=paired).total.nats > 0
    wrong = {name: torch.stack([values, values.roll(1, 0)], 1) for name, values in data.items()}
    with pytest.raises(nif.InputError, match="backgrounds of row 0 differ from it in padding_mask"):
        measured(data, background=wrong)


@pytest.mark.slow
def test_backgrounds_must_be_for_the_same_inputs() -> None:
    data = data_of("bert")
    chosen, background = nif.Currents(**EVERY), {"input_ids": data["input_ids"]}
    with pytest.raises(nif.InputError, match="expected the same"):
        nif.measure(model_of("bert"), data, chosen, background=background, progress=False)


@pytest.mark.slow
def test_one_row_has_the_error_of_its_backgrounds() -> None:
    ids = data_of("gpt2")["input_ids"]
    errors = {}
    for form in (ids[1:41], ids[None, 1:41]):
        chosen = nif.Currents(**EVERY)
        flow = nif.measure(model_of("gpt2"), ids[:1], chosen, background=form, progress=False)
        assert flow.currents is not None
        assert 0 < flow.currents.total.stderr < flow.currents.total.nats
        assert (flow.currents.units[0].stderr > 0).sum() == LENGTH
        errors[form.dim()] = flow.currents.units[0].nats
    np.testing.assert_allclose(errors[2], errors[3], atol=1e-6)


@pytest.mark.slow
def test_one_row_with_one_background_has_no_known_error() -> None:
    ids = data_of("gpt2")["input_ids"]
    with pytest.warns(UserWarning, match="standard errors are not known"):
        flow = nif.measure(
            model_of("gpt2"), ids[:1], nif.Currents(**EVERY), background=ids[None, 1:2], progress=False
        )
    assert flow.currents is not None
    units = flow.currents.units[0]
    np.testing.assert_array_equal(units.stderr, np.abs(units.nats))
    assert not flow.neurons()["silent"].any() or (units.nats == 0).any()
