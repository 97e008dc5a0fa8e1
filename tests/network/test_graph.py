"""The capture matrix: networks of every build, with the layers and connections to be found in each."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.core.errors import InputError
from nif.network.network import layers
from nif.network.recording import Recording, record
from support.networks import TwoInputs, nested_chain
from support.recording_cases import CASES, ROWS, Case, state_of

FOUND = {name: case for name, case in CASES.items() if case.layers}


def recorded(case: Case, model: nn.Module, **options: Any) -> Recording:
    warned = pytest.warns(UserWarning, match=case.warns) if case.warns else contextlib.nullcontext()
    with warned:
        return record(model, case.inputs(), **case.options, **options)


def feeds_of(recording: Recording) -> set[tuple[str, str]]:
    names = [layer.name for layer in recording.layers]
    return {(names[source], names[target]) for source, target in recording.connections}


def same(before: Any, after: Any) -> bool:
    """Equal bit for bit, through dicts, tuples and tensors."""
    if isinstance(before, Tensor):
        return torch.equal(before, after)
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(same(before[key], after[key]) for key in before)
    if isinstance(before, (tuple, list)):
        return len(before) == len(after) and all(map(same, before, after))
    return bool(before == after)


@pytest.mark.parametrize("name", FOUND)
def test_layers_and_connections_are_those_of_the_network(name: str) -> None:
    case = FOUND[name]
    found = recorded(case, case.model())
    assert {layer.name: len(layer) for layer in found.layers} == case.layers
    assert feeds_of(found) == case.feeds
    assert [len(values) for values in found.activations] == [ROWS] * len(found.layers)
    assert all(source < target for source, target in found.connections)


@pytest.mark.parametrize("name", FOUND)
def test_the_model_is_left_as_it_was(name: str) -> None:
    case = FOUND[name]
    model = case.model()
    before, of_numpy = state_of(model), np.random.get_state()[1].copy()  # noqa: NPY002
    recorded(case, model)
    assert same(before, state_of(model))
    assert np.array_equal(of_numpy, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("name", FOUND)
def test_the_output_is_what_the_model_gives(name: str) -> None:
    case = FOUND[name]
    model = case.model()
    found = recorded(case, model)
    kind = next(model.parameters()).dtype
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        expected = model.eval()(case.inputs().to(kind))
    expected = expected[case.options["output"]] if case.options else expected
    np.testing.assert_allclose(found.activations[-1], expected.double().numpy(), atol=1e-6)


@pytest.mark.parametrize("name", ["plain chain", "residual", "concatenation", "LeNet", "ResNet"])
def test_activations_are_those_a_hook_sees(name: str) -> None:
    """Against hooks of our own that copy what each module returns."""
    case = FOUND[name]
    model = case.model()
    found = recorded(case, model)
    seen: dict[str, Tensor] = {}

    def keep(key: str) -> Any:
        def hook(module: nn.Module, args: Any, returned: Tensor) -> None:
            again = sum(other.split("#")[0] == key for other in seen)
            seen[key if not again else f"{key}#{again + 1}"] = returned.clone()

        return hook

    for key, module in model.named_modules():
        module.register_forward_hook(keep(key))
    with torch.no_grad():
        model.eval()(case.inputs())
    for layer, values in list(zip(found.layers, found.activations, strict=True))[1:-1]:
        expected = seen[layer.name].flatten(2).mean(2) if seen[layer.name].ndim > 2 else seen[layer.name]
        np.testing.assert_allclose(values, expected.numpy(), atol=1e-6)


def test_an_in_place_activation_does_not_change_what_was_recorded_before_it() -> None:
    case = CASES["in-place"]
    model, x = case.model(), case.inputs()
    _, tanh, relu, hard, _ = recorded(case, model).activations
    with torch.no_grad():
        expected = model[0](x).tanh()
    np.testing.assert_allclose(tanh, expected.numpy(), atol=1e-6)
    assert (tanh < 0).any()
    np.testing.assert_allclose(relu, expected.clamp(min=0).numpy(), atol=1e-6)
    np.testing.assert_allclose(hard, expected.clamp(0, 1).numpy(), atol=1e-6)


def test_heads_of_attention_are_units_side_by_side() -> None:
    case = CASES["attention by heads"]
    model, x = case.model(), case.inputs()
    found = recorded(case, model)
    with torch.no_grad():
        q, k, v = model.qkv(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4).unbind(0)
        heads = (q @ k.transpose(-1, -2) / 2).softmax(-1) @ v
        joined = heads.transpose(1, 2).flatten(2)
    np.testing.assert_allclose(found.activations[1], joined.mean(1).numpy(), atol=1e-5)


def test_tokens_first_gives_the_same_activations() -> None:
    first, second = CASES["transformer"], CASES["transformer, tokens first"]
    model, other = first.model(), second.model()
    other.load_state_dict(model.state_dict())
    for a, b in zip(recorded(first, model).activations, recorded(second, other).activations, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


class TokensFirst(nn.Module):
    """A rectifier over tokens, which are the first axis of its activation; samples are the second."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.act, self.head = nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.a(x.transpose(0, 1))).mean(dim=0))


@pytest.mark.parametrize("tokens", [10, 11, 13])
def test_any_number_of_tokens_may_come_first(tokens: int) -> None:
    model, x = TokensFirst(), torch.randn(ROWS, tokens, 3)
    with torch.no_grad():
        expected = model.a(x).relu().mean(1)
    np.testing.assert_allclose(record(model, x).activations[1], expected.numpy(), atol=1e-6)


def test_half_precision_is_close_to_single() -> None:
    single = recorded(CASES["plain chain"], CASES["plain chain"].model())
    half = recorded(CASES["float16"], CASES["float16"].model())
    np.testing.assert_allclose(half.activations[2], single.activations[2], atol=5e-3)
    assert half.activations[2].dtype == np.float32
    assert recorded(CASES["float64"], CASES["float64"].model()).activations[1].dtype == np.float64


def test_links_lead_past_recurrent_layers() -> None:
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.LSTM(5, 4, batch_first=True))

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = model, nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.body(x)[0][:, -1])

    net, x = Last(), torch.randn(ROWS, 6, 3)
    found = record(net, x)
    assert [layer.name for layer in found.layers] == ["input", "body.1", "output"]
    assert found.connections == ((0, 1), (1, 2))
    states = record(net, x, layers=["body.2"]).activations[1]
    with torch.no_grad():
        np.testing.assert_allclose(states, model(x)[0].mean(1), atol=1e-6)  # steps are positions
    flow = nif.measure(net, x, nif.GaussianCopula(), layers=["body.1"], progress=False)
    assert "body.2 (recurrent, links lead past it)" in flow.measurement.options["not_measured"]


@pytest.mark.parametrize("form", ["tuple", "mapping", "dataset", "dataset of mappings"])
def test_two_inputs_are_two_layers(form: str) -> None:
    left, right, labels = torch.randn(ROWS, 4), torch.randn(ROWS, 2), torch.arange(ROWS)
    data: Any = {
        "tuple": (left, right),
        "mapping": {"right": right.numpy(), "left": left, "y": labels},
        "dataset": torch.utils.data.TensorDataset(left, right, labels),
        "dataset of mappings": [
            {"left": a, "right": b, "y": y} for a, b, y in zip(left, right, labels, strict=True)
        ],
    }[form]
    found = record(TwoInputs(), data)
    assert {layer.name: len(layer) for layer in found.layers} == {
        **{"input.left": 4, "input.right": 2, "relu": 3, "tanh": 5, "output": 2}
    }
    assert feeds_of(found) == {
        *{("input.left", "relu"), ("input.right", "tanh"), ("relu", "output"), ("tanh", "output")}
    }
    assert found.layers[1].units == ("right.x1", "right.x2")
    np.testing.assert_array_equal(found.activations[1], right.numpy())
    assert form == "tuple" or np.array_equal(found.labels, labels)


def test_two_inputs_take_one_list_of_names() -> None:
    found = record(TwoInputs(), (torch.randn(ROWS, 4), torch.randn(ROWS, 2)), feature_names=list("abcdef"))
    assert found.layers[0].units == tuple("abcd") and found.layers[1].units == tuple("ef")


def test_a_missing_input_is_named() -> None:
    with pytest.raises(InputError, match="the model takes 'left', 'right'"):
        record(TwoInputs(), {"left": torch.randn(ROWS, 4), "rihgt": torch.randn(ROWS, 2)})


def test_a_tuple_asks_which_output_is_meant() -> None:
    case = CASES["two outputs"]
    with pytest.raises(InputError, match=r"tuple of 2 values.*output=0, output=1"):
        record(case.model(), case.inputs())
    with pytest.raises(InputError, match="no output '5'"):
        record(case.model(), case.inputs(), output=5)


class Named(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": x.tanh() @ torch.ones(4, 2), "hidden": x}


def test_an_output_is_chosen_by_name() -> None:
    found = record(Named(), torch.randn(ROWS, 4), output="logits")
    assert [len(layer) for layer in found.layers] == [4, 4, 2]
    with pytest.raises(InputError, match="Did you mean 'logits'"):
        record(Named(), torch.randn(ROWS, 4), output="logit")


class Sometimes(nn.Module):
    """A layer that runs only on rows above 0."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.act = nn.Linear(4, 4), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.a(x)) if x[0, 0] > 0 else self.a(x)


def test_a_layer_that_runs_on_some_rows_only_is_named() -> None:
    x = torch.rand(1500, 4)
    x[1024] = -1
    with (
        pytest.warns(UserWarning, match="chooses its path"),
        pytest.raises(InputError, match=r"'0\.act' ran on some"),
    ):
        record(nn.Sequential(Sometimes(), nn.Linear(4, 2)), x, layers=["0.act"])


class Shortens(nn.Module):
    """Where a value is large, a layer is given fewer rows than the data have."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.act = nn.Linear(4, 4), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.a(x[: -1 if x.max() > 9 else len(x)]))
        return torch.cat([y, y[:1]])[: len(x)]


def test_a_layer_with_fewer_rows_than_the_data_is_named() -> None:
    x = torch.rand(1500, 4)
    x[1024] = 10
    with (
        pytest.warns(UserWarning, match="chooses its path"),
        pytest.raises(InputError, match=r"'act' returned 475 rows for 476 rows"),
    ):
        record(Shortens(), x, layers=["act"])


def test_layers_by_name() -> None:
    model = CASES["reused module"].model()
    x = CASES["reused module"].inputs()
    assert [layer.name for layer in record(model, x, layers=["act"]).layers[1:-1]] == [
        "act",
        "act#2",
        "act#3",
    ]
    found = record(model, x, layers=["c", "act#2"])
    assert feeds_of(found) == {("input", "act#2"), ("act#2", "c"), ("c", "output")}
    with pytest.raises(InputError, match=r"no layer 'akt'\. Did you mean 'act'"):
        record(model, x, layers=["akt"])
    head = CASES["two outputs"].model()
    with pytest.raises(InputError, match="'act_second' does not lead to the model's output"):
        record(head, x, layers=["act_second"], output=0)


def test_an_output_that_ignores_the_input_is_refused() -> None:
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.ones(len(x), 2)

    with pytest.raises(InputError, match="does not depend on its input"):
        record(Constant(), torch.randn(ROWS, 4))


def test_table_of_layers() -> None:
    table = layers(CASES["residual"].model(), torch.zeros(1, 4))
    assert list(table["name"]) == ["input", "first", "inner", "last", "output"]
    assert list(table["kind"]) == ["input", "ReLU", "ReLU", "ReLU", "Linear"]
    assert list(table["units"]) == [4, 5, 5, 5, 2]
    assert list(table["feeds"])[1] == ("inner", "last")
    table = layers(CASES["LeNet"].model(), torch.zeros(1, 1, 8, 8))
    assert list(table["shape"]) == [(1, 8, 8), (4, 8, 8), (6, 4, 4), (8,), (3,)]


def test_a_module_hooked_by_the_user_keeps_its_hook() -> None:
    model, seen = nested_chain(), []
    handle = model[0].register_forward_hook(lambda *_: seen.append(1))
    record(model, torch.randn(ROWS, 4))
    assert seen and len(model[0]._forward_hooks) == 1
    handle.remove()


def test_units_of_weighed_nodes_are_their_features_and_not_the_nodes() -> None:
    """Graph attention by hand: weights that are computed from the data, times what they weigh."""

    class Weighed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.nodes, self.scores, self.head = nn.Linear(3, 6), nn.Linear(6, 1), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            hidden = self.nodes(x)
            weights = self.scores(hidden)[..., 0][:, None].expand(-1, 5, 5).softmax(-1)
            return self.head((weights @ hidden).tanh().mean(1))

    net, x = Weighed(), torch.randn(60, 5, 3)
    assert layers(net, x)["units"].tolist() == [15, 6, 2]
    flow = nif.measure(net, x, nif.GaussianCopula(), progress=False)
    small = nif.prune(net, flow, x, remove=0.5, tolerance=None, progress=False)
    assert small.model.nodes.out_features == 3
