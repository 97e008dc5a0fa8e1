"""prune(): silent units are removed, the tolerance holds, and the user's model is not changed."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.neural_network import MLPClassifier, MLPRegressor
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import nif
from nif.core.errors import InputError
from nif.flow.flow import Flow
from nif.network.adapters import as_torch
from nif.pruning.prune import prune
from nif.pruning.rules import RULES
from support.networks import chain, conv_net
from support.pruning_cases import Place, flow_of, network, ready, rows

DEAD, CONSTANT, UNREAD = [("1", 3), ("3", 0)], [("1", 5)], [("3", 7)]


@pytest.fixture
def planted() -> tuple[nn.Module, Tensor, Tensor]:
    """A network of 8-16-12-3 with dead, constant and never-read units."""
    model = chain(8, 16, 12, 3)
    with torch.no_grad():
        model[0].weight[3], model[0].bias[3] = 0, -1
        model[2].weight[0], model[2].bias[0] = 0, -2
        model[0].weight[5], model[0].bias[5] = 0, 2
        model[4].weight[:, 7] = 0
    return model, *rows(model, 8, count=300)


def places(table: pd.DataFrame) -> set[Place]:
    return set(zip(table["layer"], table["index"], strict=True))


def test_planted_units_go_and_no_others(planted: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, x, y = planted
    small = prune(model, flow_of(model, x, ["1", "3"], silent=UNREAD), TensorDataset(x, y))
    assert places(small.removed) == {*DEAD, *CONSTANT, *UNREAD}
    assert len(small.restored) == 0
    assert small.score == "accuracy"
    assert small.score_after == small.score_before == 1.0 or small.score_after == small.score_before
    assert [module.weight.shape for module in small.model if isinstance(module, nn.Linear)] == [
        (14, 8),
        (10, 14),
        (3, 10),
    ]
    with torch.no_grad():
        assert (small.model(x) - model(x)).abs().max() <= 1e-5


def test_constant_channels_of_a_convolution_change_nothing() -> None:
    torch.manual_seed(0)
    model = ready(conv_net(), 1, 8, 8)
    with torch.no_grad():
        model[0].weight[2], model[1].weight[2], model[1].bias[2] = 0, 0, -1  # always 0 behind the ReLU
        model[4].weight[5], model[4].bias[5] = 0, 2.5  # constant, read by a Linear
    x, _ = rows(model, 1, 8, 8)
    small = prune(model, flow_of(model, x, ["2", "5"]), x)
    assert {("2", 2), ("5", 5)} <= places(small.removed)
    assert small.score_after <= 1e-5


def test_a_constant_before_zero_padding_is_restored_because_of_the_border() -> None:
    torch.manual_seed(0)
    model = ready(conv_net(), 1, 8, 8)
    with torch.no_grad():
        model[0].weight[2], model[1].weight[2], model[1].bias[2] = 0, 0, 1
    x, _ = rows(model, 1, 8, 8)
    small = prune(model, flow_of(model, x, ["2", "5"]), x)
    assert places(small.restored) == {("2", 2)}
    assert small.score_after == 0


def test_zeroing_as_published_gives_the_same_outputs(planted: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, x, _ = planted
    flow = flow_of(model, x, ["1", "3"])
    zeroed, cut = (prune(model, flow, x, cut=how) for how in (False, True))
    assert set(zeroed.removed["how"]) == {"zeroed"}
    assert zeroed.size_after.parameters == zeroed.size_before.parameters > cut.size_after.parameters
    for layer, index in places(zeroed.removed):
        before, after = zeroed.model[int(layer) - 1], zeroed.model[int(layer) + 1]
        assert (
            before.weight[index].abs().sum() == before.bias[index] == after.weight[:, index].abs().sum() == 0
        )
    with torch.no_grad():
        assert torch.allclose(zeroed.model(x), cut.model(x), atol=1e-6)


def test_units_that_matter_are_restored_and_the_others_removed(
    planted: tuple[nn.Module, Tensor, Tensor],
) -> None:
    model, x, _ = planted
    wrong = [("1", 0), ("3", 4)]
    small = prune(model, flow_of(model, x, ["1", "3"], silent=[*wrong, *UNREAD]), x)
    assert places(small.restored) == set(wrong)
    assert places(small.removed) == {*DEAD, *CONSTANT, *UNREAD}
    assert small.score_after <= 1e-5


def test_nothing_can_be_removed_and_the_result_says_so(planted: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, x, _ = planted
    small = prune(model, flow_of(model, x, ["3"], silent=[("3", 4)]), x[:, :])
    assert ("3", 4) in places(small.restored)
    flow = flow_of(chain(8, 6, 3), x, ["1"], silent=[("1", 2)])
    kept = prune(chain(8, 6, 3), flow, x)
    assert len(kept.removed) == 0
    assert "Nothing was removed" in repr(kept)
    none = repr(prune(chain(8, 6, 3), flow_of(chain(8, 6, 3), x, ["1"]), x))
    assert "No units matched `remove`; nothing was removed. remove=0.5 or remove='most' also removes" in none


def test_one_unit_of_a_layer_stays() -> None:
    model = chain(4, 3, 2)
    with torch.no_grad():
        model[0].weight.zero_()
    x, _ = rows(model, 4)
    small = prune(model, flow_of(model, x, ["1"]), x)
    assert len(small.removed) == 2
    assert small.restored["reason"].tolist() == ["last unit of its layer"]


def test_a_share_that_would_leave_a_layer_empty_is_said() -> None:
    model = chain(4, 3, 2)
    x, _ = rows(model, 4)
    small = prune(model, flow_of(model, x, ["1"]), x, remove=0.99, tolerance=None)
    assert len(small.removed) == 2
    assert "1 unit was restored as the last of its layer." in small.notes
    assert small.restored["reason"].tolist() == ["last unit of its layer"]


@pytest.mark.parametrize("remove", ["silent", 0.5, "most"])
def test_the_model_and_the_random_state_are_untouched(
    planted: tuple[nn.Module, Tensor, Tensor], remove: Any
) -> None:
    model, x, y = planted
    model.train()
    before = copy.deepcopy(model.state_dict())
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - looked at, not drawn from
    flow = flow_of(model, x, ["1", "3"])
    small = prune(model, flow, TensorDataset(x, y), remove=remove, tolerance=0.05)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert all(module.training for module in small.model.modules())
    assert not any(module._forward_hooks for net in (model, small.model) for module in net.modules())
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1] == np.random.get_state()[1]).all()  # noqa: NPY002


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x, y: x,
        lambda x, y: x.numpy(),
        lambda x, y: pd.DataFrame(x.numpy()),
        TensorDataset,
        lambda x, y: DataLoader(TensorDataset(x, y), batch_size=32),
    ],
    ids=["tensor", "array", "frame", "dataset", "loader"],
)
def test_data_of_every_form(
    planted: tuple[nn.Module, Tensor, Tensor], wrap: Callable[[Tensor, Tensor], Any]
) -> None:
    model, x, y = planted
    data = wrap(x, y)
    small = prune(model, flow_of(model, x, ["1", "3"]), data)
    assert places(small.removed) == {*DEAD, *CONSTANT}
    labelled = isinstance(data, (TensorDataset, DataLoader))
    assert small.score == ("accuracy" if labelled else "largest change of output")


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_a_share_of_all_hidden_units_goes(planted: tuple[nn.Module, Tensor, Tensor], share: float) -> None:
    model, x, _ = planted
    small = prune(model, flow_of(model, x, ["1", "3"]), x, remove=share, tolerance=None)
    assert len(small.removed) == round(share * 28)
    assert all(module.out_features >= 1 for module in small.model if isinstance(module, nn.Linear))


def test_a_share_of_each_layer_goes(planted: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, x, _ = planted
    small = prune(model, flow_of(model, x, ["1", "3"]), x, remove={"1": 0.25, "3": 0.99}, tolerance=None)
    assert small.removed["layer"].value_counts().to_dict() == {"1": 4, "3": 11}


def test_most_keeps_its_promise_and_removes_more_where_more_is_allowed() -> None:
    model = chain(6, 40, 30, 3)
    x, y = rows(model, 6, count=400)
    flow = flow_of(model, x, ["1", "3"])
    counts = []
    for tolerance in (0.0, 0.03, 0.2):
        small = prune(model, flow, TensorDataset(x, y), remove="most", tolerance=tolerance)
        assert small.score_before - small.score_after <= tolerance + 1e-12
        assert len(small.removed) + len(small.restored) == 70
        counts.append(len(small.removed))
    assert counts[0] <= counts[1] <= counts[2]
    assert counts[2] > 20


def test_a_share_is_cut_back_to_keep_the_tolerance() -> None:
    model = chain(6, 40, 30, 3)
    x, y = rows(model, 6, count=400)
    flow = flow_of(model, x, ["1", "3"])
    small = prune(model, flow, TensorDataset(x, y), remove=0.9, tolerance=0.02)
    assert small.score_before - small.score_after <= 0.02 + 1e-12
    assert 0 < len(small.removed) < 63
    assert set(small.restored["reason"]) == {"exceeds the tolerance"}


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_scikit_learn_models_become_smaller_torch_modules(kind: type) -> None:
    x = np.random.default_rng(0).normal(size=(200, 4))
    y = np.where(x[:, 0] + x[:, 1] > 0, 7, 3) if kind is MLPClassifier else x[:, 0]
    fitted = kind(hidden_layer_sizes=(10,), max_iter=100, random_state=0, tol=1.0, n_iter_no_change=50).fit(
        x, y
    )
    fitted.coefs_[0][:, 4] = 0
    fitted.intercepts_[0][4] = 1
    net = as_torch(fitted)
    data = (x, y) if kind is MLPClassifier else x
    small = prune(fitted, flow_of(net, torch.from_numpy(x), ["relu1"]), data)
    assert ("relu1", 4) in places(small.removed)
    assert small.score_after == small.score_before if kind is MLPClassifier else small.score_after < 1e-5
    if kind is MLPClassifier:
        assert small.score_before == fitted.score(x, y)
    assert small.model[0].out_features == 10 - len(small.removed)
    assert fitted.coefs_[0].shape == (4, 10)


@pytest.mark.parametrize("precision", [torch.float64, torch.bfloat16, torch.float16])
def test_other_precisions(precision: torch.dtype) -> None:
    model = chain(8, 16, 3).to(precision)
    with torch.no_grad():
        model[0].weight[5], model[0].bias[5] = 0, 2
    x = torch.randn(100, 8, generator=torch.Generator().manual_seed(0)).to(precision)
    flow = flow_of(copy.deepcopy(model).float(), x.float(), ["1"])
    small = prune(model, flow, x)
    assert places(small.removed) == {("1", 5)}
    assert small.model[0].weight.dtype == precision
    assert set(prune(model, flow, x, remove=0.5, tolerance=None).removed["how"]) == {"cut"}


def test_a_flow_over_pixels_removes_a_channel_when_all_its_pixels_are_silent() -> None:
    torch.manual_seed(0)
    model = ready(conv_net(), 1, 8, 8)
    with torch.no_grad():
        model[4].weight[5], model[4].bias[5] = 0, 2.5
    x, _ = rows(model, 1, 8, 8)
    pixels = nn.Sequential(*model[:6], nn.Flatten(), nn.Unflatten(1, (8, 4, 4)), *model[6:]).eval()
    flow = flow_of(pixels, x, ["6"], silent=[("6", 16 * 3 + 2)])
    layer = dataclasses.replace(flow.layers[1], name="5")
    flow = Flow((flow.layers[0], layer, flow.layers[2]), flow.links, flow.constant, flow.measurement)
    small = prune(model, flow, x)
    assert {("5", 80 + place) for place in range(16)} <= places(small.removed)
    assert ("5", 50) not in places(small.removed)


def test_a_layer_that_cannot_be_followed_is_left_whole_and_said() -> None:
    model = nn.Sequential(
        nn.Linear(4, 6), nn.ReLU(), nn.Softmax(dim=1), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)
    )
    with torch.no_grad():
        model[3].weight[1], model[3].bias[1] = 0, 1
    x, _ = rows(model.eval(), 4)
    small = prune(model, flow_of(model, x, ["2", "4"]), x)
    assert ("4", 1) in places(small.removed)
    assert "Layer '2' is left whole" in repr(small)
    unknown = prune(model, flow_of(model, x, ["2"]), x, remove=0.5, tolerance=None)
    assert unknown.removed.empty and "Layer '2' is left whole" in repr(unknown)
    torch.testing.assert_close(unknown.model(x), model(x), rtol=0, atol=0)


@pytest.mark.parametrize("remove", ["silent", 0.5, "most"])
def test_of_a_network_without_hidden_layers_nothing_goes(remove: str | float) -> None:
    model = chain(4, 2)
    x, _ = rows(model, 4)
    small = prune(model, flow_of(model, x, []), x, remove=remove)
    assert len(small.removed) == 0
    assert "No units matched `remove`" in repr(small)


@pytest.mark.parametrize("called", [False, True], ids=["rows made", "called"])
def test_inference_mode_changes_nothing(called: bool) -> None:
    model = chain(8, 6, 3)
    x, _ = rows(model, 8)
    with torch.inference_mode():
        made = x.clone()
    with torch.inference_mode(called):
        flow = nif.measure(model, made, nif.Binned(), progress=False)
        small = prune(model, flow, made, remove=0.5, tolerance=None)
        assert torch.is_inference_mode_enabled() == called
    wanted = prune(model, nif.measure(model, x, nif.Binned(), progress=False), x, remove=0.5, tolerance=None)
    assert len(small.removed) == 3
    assert small.score_after == wanted.score_after


def test_a_wrapped_model_is_unwrapped() -> None:
    model = chain(8, 6, 3)
    with torch.no_grad():
        model[0].weight[5], model[0].bias[5] = 0, 2
    x, _ = rows(model, 8)
    small = prune(nn.DataParallel(model), flow_of(model, x, ["1"]), x)
    assert places(small.removed) == {("1", 5)}


def bad(message: str, **change: Any) -> Any:
    return pytest.param(change, message, id=message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        bad("NaN or infinite", data=torch.full((200, 8), float("nan"))),
        bad("40 rows", data=torch.zeros(40, 8)),
        bad("list of 3 items", data=[torch.zeros(100, 8)] * 3),
        bad("does not take inputs of shape", data=torch.zeros(200, 7)),
        bad(
            "contain a single class",
            data=TensorDataset(torch.randn(200, 8), torch.zeros(200, dtype=torch.long)),
        ),
        bad("expected class indices 0 to 2", data=TensorDataset(torch.randn(200, 8), torch.arange(200))),
        bad("expected one class a row", data=TensorDataset(torch.randn(200, 8), torch.zeros(200, 2))),
        bad("expected a torch.nn.Module", model="a model"),
        bad("has not been fitted", model=MLPClassifier()),
        bad("pass the model that the flow was measured on", model=chain(8, 4, 12, 3)),
        bad("the model gives 4 numbers a row", model=chain(8, 16, 12, 4)),
        bad("fraction of units to remove is 1.0", remove=1.0),
        bad("fraction of units to remove is 0.0", remove=0.0),
        bad("expected 'silent', 'most'", remove="all"),
        bad("Did you mean '1'", remove={"l1": 0.5}),
        bad("remove is an empty mapping", remove={}),
        bad("fraction of units to remove is 2.0", remove={"1": 2.0}),
        bad("compensate is 'median'", compensate="median"),
        bad("Unknown rule 'l2'", rule="l2"),
        bad("tolerance is -1", tolerance=-1.0),
        bad("tolerance is 'a'", tolerance="a"),
        bad("alpha is 2", alpha=2),
        bad("Unknown rule 3", rule=3),
        bad("pass one, such as 0.01", tolerance=None, remove="most"),
    ],
)
def test_bad_input_is_refused(
    planted: tuple[nn.Module, Tensor, Tensor], change: dict[str, Any], message: str
) -> None:
    model, x, _ = planted
    options = {"model": model, "flow": flow_of(model, x, ["1", "3"]), "data": x, **change}
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(InputError, match=message):
        prune(**options)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Pair(nn.Module):
    """Returns two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.net = chain(8, 6, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.net(x), x


def test_a_model_with_two_outputs_is_refused(planted: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, x, _ = planted
    with pytest.raises(InputError, match="returns a tuple"):
        prune(Pair(), flow_of(model, x, ["1", "3"]), x)


def test_an_output_of_nan_is_refused() -> None:
    model, x, _, layers = network("chain")
    flow = flow_of(model, x, layers)
    with torch.no_grad():
        model[4].bias[0] = float("nan")
    with pytest.raises(InputError, match="returns NaN or infinity on these data"):
        prune(model, flow, x)


def test_the_result_reads_well(planted: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, x, y = planted
    small = prune(model, flow_of(model, x, ["1", "3"]), TensorDataset(x, y))
    assert repr(small).startswith("Pruned: 3 units removed, 0 restored\n  accuracy ")
    assert "Pruned: 3 units removed, 0 restored" in small._repr_html_()
    assert repr(dataclasses.replace(small, removed=small.removed[:1])).startswith(
        "Pruned: 1 unit removed, 0 restored\n"
    )
    table = small.table()
    assert table.loc["parameters"].tolist() == [387, small.size_after.parameters]
    assert (table.loc[["flops", "bytes"], "after"] < table.loc[["flops", "bytes"], "before"]).all()
    assert all(isinstance(rule, Callable) for rule in RULES.values())
