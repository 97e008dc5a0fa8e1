"""Recording of plain networks: data of every kind, names, what is refused, and what is left alone."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.neural_network import MLPClassifier, MLPRegressor
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from nif.core.errors import InputError
from nif.core.random import same_random_state
from nif.network.adapters import as_torch, unwrapped
from nif.network.recording import record
from support.networks import lenet, nested_chain
from support.recording_cases import ROWS, compiled


def inputs() -> Tensor:
    return torch.randn(ROWS, 4, generator=torch.Generator().manual_seed(0))


class Yields(IterableDataset):  # type: ignore[type-arg]
    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __iter__(self) -> Any:
        return iter(self.x)


FORMS: dict[str, Any] = {
    "Tensor": lambda x: x,
    "ndarray": lambda x: x.double().numpy(),
    "list": lambda x: x.tolist(),
    "DataFrame": lambda x: pd.DataFrame(x.numpy(), columns=list("abcd")),
    "Dataset": TensorDataset,
    "Dataset with labels": lambda x: TensorDataset(x, torch.arange(len(x))),
    "DataLoader": lambda x: DataLoader(TensorDataset(x, torch.arange(len(x))), batch_size=7),
    "DataLoader of mappings": lambda x: DataLoader(
        [{"pixels": row, "label": index} for index, row in enumerate(x)],  # type: ignore[arg-type]
        batch_size=7,
    ),
    "IterableDataset": Yields,
}


@pytest.mark.parametrize("form", FORMS)
def test_data_of_every_kind_give_the_same_recording(form: str) -> None:
    model, x = nested_chain(), inputs()
    expected, found = record(model, x), record(model, FORMS[form](x))
    for a, b in zip(expected.activations, found.activations, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    if "label" in form or form in {"DataLoader", "DataLoader of mappings"}:
        np.testing.assert_array_equal(found.labels, np.arange(ROWS))
    else:
        assert found.labels is None
    if form == "DataFrame":
        assert found.layers[0].units == tuple("abcd")


@pytest.mark.parametrize("form", ["Tensor", "ndarray", "DataFrame"])
def test_a_model_that_writes_into_its_input_does_not_write_into_the_data(form: str) -> None:
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 2)).to(
        torch.float64 if form == "ndarray" else torch.float32
    )
    x = FORMS[form](inputs())
    before = np.asarray(x).copy()
    found = record(model, x)
    np.testing.assert_array_equal(np.asarray(x), before)
    np.testing.assert_allclose(found.activations[0], before)
    np.testing.assert_allclose(found.activations[1], np.maximum(before, 0))


def test_what_is_exact_in_float32_is_kept_in_it() -> None:
    x = inputs()
    assert [values.dtype for values in record(nested_chain(), x).activations] == [np.float32] * 4
    assert record(nested_chain(), x.double()).activations[0].dtype == np.float64
    pixels = (255 * torch.rand(ROWS, 4)).to(torch.uint8)
    np.testing.assert_array_equal(record(nested_chain(), pixels).activations[0], pixels.float())


def test_a_shuffled_loader_keeps_its_generator_and_its_labels_beside_its_rows() -> None:
    x = inputs()
    loader = DataLoader(
        TensorDataset(x, torch.arange(ROWS)), batch_size=9, shuffle=True, generator=torch.Generator()
    )
    model, before, of_torch = nested_chain(), loader.generator.get_state(), torch.get_rng_state()
    found = record(model, loader)
    assert torch.equal(before, loader.generator.get_state()) and torch.equal(of_torch, torch.get_rng_state())
    assert not np.array_equal(found.labels, np.arange(ROWS))
    np.testing.assert_array_equal(found.activations[0], x.double().numpy()[found.labels])


def test_a_shuffled_loader_without_a_generator_leaves_the_random_state() -> None:
    model, loader = nested_chain(), DataLoader(TensorDataset(inputs()), shuffle=True)
    before = torch.get_rng_state()
    record(model, loader)
    assert torch.equal(before, torch.get_rng_state())


BAD_DATA: dict[str, tuple[Any, str]] = {
    "NaN": (torch.full((60, 4), torch.nan), r"NaN or infinite values, the first in row 0, column 0"),
    "infinity in a frame": (pd.DataFrame({"a": [np.inf] * 60, "b": 1.0}), r"row 0, column 'a'"),
    "text": (pd.DataFrame({"a": ["x"] * 60}), r"columns that are not numbers: a"),
    "object array": (np.array([["x"] * 4] * 60), r"not numeric"),
    "one axis": (torch.zeros(60), r"shape \[60\]; expected \[sample, feature\]"),
    "no column": (torch.zeros(60, 0), r"shape \[60, 0\]"),
    "complex": (torch.zeros(60, 4, dtype=torch.complex64), r"complex numbers"),
    "few rows": (torch.zeros(49, 4), r"49 rows; mutual information needs at least 50"),
    "tuple": ((torch.zeros(60, 4), torch.zeros(60), torch.zeros(60)), r"holds \(Tensor, Tensor, Tensor\)"),
    "number": (3, r"type int; expected a Tensor"),
    "wrong width": (torch.zeros(60, 5), r"module '0.0', Linear\(in_features=4.*was given \[\d+, 5\]"),
    "image": (torch.zeros(60, 1, 2, 5), r"module '0.0'"),
    "no batch": (DataLoader(TensorDataset(torch.zeros(0, 4))), r"yield no batch"),
    "two columns": (DataLoader([{"a": torch.zeros(2), "b": torch.zeros(2)}]), r"have the keys 'a', 'b'"),
    "labels too long": (
        DataLoader([(torch.zeros(60, 4), torch.zeros(61))], batch_size=None),
        r"\[60, 61\] rows",
    ),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data_is_refused_and_the_model_left_alone(name: str) -> None:
    data, message = BAD_DATA[name]
    model = nested_chain().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(InputError, match=message):
        record(model, data)
    assert all(module.training and not module._forward_hooks for module in model.modules())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


class Sums(nn.Module):
    """Leaves torch, or what one row is."""

    def __init__(self, give: Any) -> None:
        super().__init__()
        self.give = give

    def forward(self, x: Tensor) -> Any:
        return self.give(x)


def converted(static: bool) -> nn.Module:
    """A network whose weights are whole numbers."""
    if not static:
        return torch.ao.quantization.quantize_dynamic(nested_chain(), {nn.Linear})
    net = torch.ao.quantization.QuantWrapper(nn.Sequential(nn.Linear(4, 3))).eval()
    net.qconfig = torch.ao.quantization.get_default_qconfig("fbgemm")
    prepared = torch.ao.quantization.prepare(net)
    prepared(inputs())
    return nn.Sequential(nn.Identity(), torch.ao.quantization.convert(prepared))


@pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:.*quant")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sums(lambda x: x.numpy().sum(1)), "returns a ndarray; expected a tensor"),
        (lambda: Sums(lambda x: None), "returns a NoneType; expected a tensor"),
        (lambda: Sums(lambda x: x.sum()), r"output of the model has shape \[\] on 11 rows"),
        (lambda: Sums(lambda x: torch.ones(len(x), 2)), "does not depend on its input"),
        (lambda: torch.jit.script(nested_chain()), "The model is a TorchScript module"),
        (
            lambda: nn.Sequential(torch.jit.script(nested_chain())),
            "Module '0' of the model is a TorchScript module",
        ),
        (lambda: converted(static=True), "Module '1.* of the model computes with quantised weights"),
        (lambda: converted(static=False), "Module '0.* of the model computes with quantised weights"),
    ],
)
def test_models_that_cannot_be_followed(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        record(make(), inputs())


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_infinite_activations_name_the_layer(value: float) -> None:
    model = nn.Sequential(nested_chain()[0], nn.Sequential(nn.Linear(6, 6), nn.ReLU()), nn.Linear(6, 3))
    with torch.no_grad():
        model[1][0].bias[2] = value
    with pytest.raises(InputError, match=r"Layer '1\.1' has NaN or infinite activations"):
        record(model, inputs())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feature_names": ["a"]}, "feature_names has 1 names; expected 4"),
        ({"feature_names": list("aabc")}, "feature_names has 'a' more than once"),
        ({"class_names": ["a", "b"]}, "class_names has 2 names; expected 3"),
        ({"output": 3}, "returns one tensor; there is no output 3"),
        ({"layers": ["0.3x"]}, "no layer '0.3x'. Did you mean '0.3'"),
        ({"device": "nowhere"}, "Cannot move the model to device 'nowhere'"),
        ({"reduce": "median"}, "reduce is 'median'; expected"),
        ({"max_samples": 0}, "max_samples is 0"),
        ({"max_samples": 20}, "20 rows; mutual information needs"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        record(nested_chain(), inputs(), **options)


@pytest.mark.slow
def test_an_exported_program_is_refused() -> None:
    exported = torch.export.export(nn.Linear(3, 2), (torch.zeros(5, 3),)).module()
    with pytest.raises(InputError, match="Pass the module that it was exported from"):
        record(exported, torch.randn(60, 3))


def test_models_that_cannot_run_yet() -> None:
    with pytest.raises(InputError, match="uninitialised"):
        record(nn.Sequential(nn.LazyLinear(3)), inputs())
    with pytest.raises(InputError, match="meta device"):
        record(nn.Linear(4, 2, device="meta"), inputs())
    with pytest.raises(InputError, match=r"type str; expected a torch\.nn\.Module"):
        record("model", inputs())
    with pytest.raises(InputError, match="has not been fitted"):
        record(MLPClassifier(), inputs())


def test_names_of_units() -> None:
    found = record(
        nested_chain(), inputs(), feature_names=["a", "b", "c", "d"], class_names=["no", "yes", "both"]
    )
    assert found.layers[0].units == ("a", "b", "c", "d") and found.layers[-1].units == ("no", "yes", "both")
    assert found.layers[1].units[:2] == ("0.2[0]", "0.2[1]") and found.layers[1].kind == "ReLU"
    assert found.layers[-1].kind == "Softmax"


def test_names_may_come_as_arrays() -> None:
    found = record(
        nested_chain(), inputs(), feature_names=np.array(list("abcd")), class_names=np.array(list("xyz"))
    )
    assert found.layers[0].units == tuple("abcd") and found.layers[-1].units == tuple("xyz")


@pytest.mark.parametrize("classes", [2, 3])
def test_a_classifier_of_scikit_learn(classes: int) -> None:
    x = inputs().double().numpy()
    y = np.array(["b", "a", "c"])[np.arange(ROWS) % classes]
    fitted = MLPClassifier((5, 4), activation="tanh", max_iter=50, tol=10.0).fit(x, y)
    found = record(fitted, x)
    expected = fitted.predict_proba(x)
    expected = expected if classes == 3 else expected[:, 1:]
    np.testing.assert_allclose(found.activations[-1], expected, atol=1e-12)
    assert found.layers[-1].units == (("a", "b", "c") if classes == 3 else ("b",))
    assert [layer.name for layer in found.layers] == ["input", "tanh1", "tanh2", "output"]


def test_a_regressor_of_scikit_learn_knows_its_features() -> None:
    frame = pd.DataFrame(inputs().numpy(), columns=list("abcd"))
    fitted = MLPRegressor(hidden_layer_sizes=(5,), activation="logistic", max_iter=50, tol=10.0)
    fitted.fit(frame, frame["a"])
    found = record(fitted, frame.to_numpy())
    np.testing.assert_allclose(found.activations[-1][:, 0], fitted.predict(frame), atol=1e-6)
    assert found.layers[0].units == tuple("abcd")
    assert isinstance(as_torch(fitted), nn.Sequential)


def test_random_states_are_put_back() -> None:
    of_torch, of_python = torch.get_rng_state(), random.getstate()
    of_numpy = np.random.get_state()[1].copy()  # noqa: NPY002
    with pytest.raises(KeyError), same_random_state():
        torch.rand(1), np.random.rand(), random.random()  # noqa: NPY002
        raise KeyError
    assert torch.equal(of_torch, torch.get_rng_state()) and random.getstate() == of_python
    assert np.array_equal(np.random.get_state()[1], of_numpy)  # noqa: NPY002


class Counts(nn.Module):
    """Changes its own buffer and draws random numbers, in eval mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))
        self.linear = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return torch.relu(self.linear(x + 0.0 * torch.randn_like(x))) + 1


def test_buffers_that_the_model_changes_itself_are_put_back() -> None:
    model, state = Counts(), torch.get_rng_state()
    record(model, inputs())
    assert model.calls.item() == 0 and torch.equal(state, torch.get_rng_state())


def test_frozen_and_partly_trained_modes_are_put_back() -> None:
    model = nested_chain().train()
    model[0][1].eval()
    before = model[0][1].running_mean.clone()
    record(model, inputs())
    assert not model[0][1].training and model[0][3].training and model.training
    assert torch.equal(before, model[0][1].running_mean)


@pytest.mark.slow
def test_the_networks_of_skorch_and_of_nested_wrappers() -> None:
    class Net:  # as skorch's NeuralNet holds its module
        module_ = nested_chain()

    assert unwrapped(Net()) is Net.module_
    assert unwrapped(compiled(nn.DataParallel(Net.module_))) is Net.module_
    assert record(Net(), inputs()).layers[1].name == "0.2"


def test_whole_numbers_stay_whole_for_an_embedding_and_become_real_for_others() -> None:
    words = torch.randint(0, 9, (ROWS, 3))
    model = nn.Sequential(nn.Embedding(9, 5), nn.Flatten(), nn.Linear(15, 4), nn.ReLU(), nn.Linear(4, 2))
    np.testing.assert_array_equal(record(model, words).activations[0], words)
    assert record(nested_chain(), torch.randint(0, 9, (ROWS, 4))).samples == ROWS


def test_a_sample_keeps_labels_beside_rows() -> None:
    x = torch.arange(3000.0)[:, None].expand(-1, 4)
    found = record(nested_chain(), TensorDataset(x, x[:, 0]), max_samples=100)
    np.testing.assert_array_equal(found.activations[0][:, 0], found.labels)
    assert found.samples == 100


def test_batches_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = lenet(), torch.randn(ROWS, 1, 8, 8)
    expected = record(model, x)
    monkeypatch.setattr("nif.network.recording.LARGEST_ACTIVATION", 4 * 64 * 7)  # 7 rows a batch
    found = record(model, x)
    for a, b in zip(expected.activations, found.activations, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
