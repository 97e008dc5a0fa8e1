"""Networks of the zoo that come inside of something else, or in another precision."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from zoo_cases import Case, numbers
from zoo_tables import mlp

TABLE, VALUES = numbers(8), numbers(8, classes=None)


def relu_net() -> nn.Sequential:
    return mlp(nn.ReLU(), nn.ReLU())


def scikit(name: str, task: Any) -> Any:
    """A multilayer perceptron of scikit-learn, fitted."""
    data = task()
    library = importlib.import_module("sklearn.neural_network")
    model = getattr(library, name)(hidden_layer_sizes=(10, 10), max_iter=300, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(data.data.double().numpy(), data.labels.squeeze().numpy())


def pipeline() -> Any:
    """A scaler, and a multilayer perceptron."""
    data = TABLE()
    steps = [importlib.import_module("sklearn.preprocessing").StandardScaler()]
    network = importlib.import_module("sklearn.neural_network").MLPClassifier(
        (10,), max_iter=300, random_state=0
    )
    made = importlib.import_module("sklearn.pipeline").make_pipeline(*steps, network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return made.fit(data.data.double().numpy(), data.labels.numpy())


def skorch_net() -> Any:
    """A net of skorch, fitted."""
    data = TABLE()
    net = importlib.import_module("skorch").NeuralNetClassifier(
        relu_net,
        criterion=nn.CrossEntropyLoss,
        max_epochs=20,
        lr=0.02,
        optimizer=torch.optim.Adam,
        verbose=0,
        train_split=None,
    )
    return net.fit(data.data.numpy(), data.labels.numpy())


def lightning() -> nn.Module:
    """A LightningModule."""

    class Module(importlib.import_module("lightning").LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = relu_net()

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.net(x)
            return found

    return Module()


def dynamic(model: nn.Module) -> nn.Module:
    """With weights of 8 bits, whose products are no tensors of torch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(model, {nn.Linear})


def traced(model: nn.Module) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(model, torch.randn(4, 8))


CASES: list[Case] = [
    Case("scikit-learn MLPClassifier", lambda: scikit("MLPClassifier", TABLE), TABLE, "probabilities"),
    Case("scikit-learn MLPRegressor", lambda: scikit("MLPRegressor", VALUES), VALUES, "value"),
    Case("scikit-learn pipeline", pipeline, TABLE, "probabilities"),
    Case("skorch", skorch_net, TABLE),
    Case("LightningModule", lightning, TABLE),
    Case("torch.compile", relu_net, TABLE, finish=torch.compile),
    Case("nn.DataParallel", relu_net, TABLE, finish=nn.DataParallel),
    Case("bfloat16", relu_net, TABLE, finish=lambda model: model.to(torch.bfloat16), check=False),
    Case("float16", relu_net, TABLE, finish=lambda model: model.half(), check=False),
    Case("float64", relu_net, TABLE, finish=lambda model: model.double(), check=False),
    Case("dynamic quantisation", relu_net, TABLE, finish=dynamic),
    Case("torch.jit.trace", relu_net, TABLE, finish=traced),
    Case("torch.fx", relu_net, TABLE, finish=torch.fx.symbolic_trace),
]
