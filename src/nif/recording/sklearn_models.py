"""scikit-learn's multilayer perceptrons as equal torch networks."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nif.contracts import InputError


class Exp(nn.Module):
    """The exponential, the output of a Poisson regressor."""

    def forward(self, x: Tensor) -> Tensor:
        return x.exp()


ACTIVATIONS: dict[str, Any] = {
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "softmax": lambda: nn.Softmax(dim=1),
    "exp": Exp,
}


def as_torch(model: Any) -> nn.Module:
    """The model as a torch module: itself, or a network equal to scikit-learn's multilayer perceptron.

    The network has the weights' own type (float64 as a rule) and modules named ``linear1``, ``relu1``, …;
    its outputs are those of ``predict_proba`` (one column for two classes) or ``predict``.

    Raises:
        InputError: The model is of another type, or not fitted.

    Example:
        >>> from sklearn.neural_network import MLPRegressor
        >>> fitted = MLPRegressor(hidden_layer_sizes=(3,), tol=1.0).fit([[0.0], [1.0]], [0.0, 1.0])
        >>> [name for name, _ in as_torch(fitted).named_children()]
        ['linear1', 'relu1', 'linear2']
    """
    if isinstance(model, nn.Module):
        return model
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    if not isinstance(model, (MLPClassifier, MLPRegressor)):
        raise InputError(
            f"The model is of type {type(model).__name__}; expected a torch.nn.Module or scikit-learn's "
            "MLPClassifier or MLPRegressor. Of a pipeline, give the last step, and the data that reach it."
        )
    if not hasattr(model, "coefs_"):
        raise InputError(f"The {type(model).__name__} has not been fitted; call its fit method first.")
    return _converted(model)


def sklearn_names(model: Any) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """Feature names and class names that a fitted scikit-learn model knows."""
    if isinstance(model, nn.Module):
        return None, None
    features = getattr(model, "feature_names_in_", None)
    classes = getattr(model, "classes_", None)
    return (
        None if features is None else tuple(map(str, features)),
        None if classes is None else tuple(map(str, classes)),
    )


def _converted(model: Any) -> nn.Sequential:
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    last = len(model.coefs_)
    for depth, (weight, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True), start=1):
        modules[f"linear{depth}"] = _linear(weight, bias)
        kind = model.activation if depth < last else model.out_activation_
        if kind != "identity":
            name = kind if depth == last else f"{kind}{depth}"
            modules[name] = ACTIVATIONS[kind]()
    return nn.Sequential(modules).eval()


def _linear(weight: np.ndarray, bias: np.ndarray) -> nn.Linear:
    kind = torch.from_numpy(weight).dtype
    # Empty first: drawing initial weights would move the global random state.
    layer = nn.utils.skip_init(nn.Linear, *weight.shape, dtype=kind)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight.T.copy()))
        layer.bias.copy_(torch.from_numpy(bias.copy()))
    return layer
