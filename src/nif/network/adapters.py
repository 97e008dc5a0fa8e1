"""Models of other libraries and of wrappers as plain torch modules."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm, SpectralNormLoadStateDictPreHook
from torch.nn.utils.weight_norm import WeightNorm

from nif.core.errors import InputError


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

    if isinstance(model, type):
        raise InputError(f"The model is the class {model.__name__}; pass a trained {model.__name__}(...).")
    if not isinstance(model, (MLPClassifier, MLPRegressor)):
        raise InputError(
            f"The model is of type {type(model).__name__}; expected a torch.nn.Module or scikit-learn's "
            "MLPClassifier or MLPRegressor, also as the last step of a pipeline."
        )
    if not hasattr(model, "coefs_"):
        raise InputError(f"The {type(model).__name__} has not been fitted; call its fit method first.")
    return _converted(model)


def without_weights(model: Any) -> bool:
    """Whether a model may get its weights with the first data: lazy modules, and what has a method fit."""
    if isinstance(model, nn.Module):
        return any(map(nn.parameter.is_lazy, model.parameters()))
    return hasattr(model, "fit")


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


WRAPPERS = {
    "OptimizedModule": "_orig_mod",  # torch.compile
    "DataParallel": "module",
    "DistributedDataParallel": "module",
}


def unwrapped(model: Any) -> Any:
    """The module that was compiled, made parallel, or trained by skorch; anything else is returned as is."""
    inside = WRAPPERS.get(type(model).__name__, "") if isinstance(model, nn.Module) else "module_"
    module = getattr(model, inside, None) if inside else None
    return unwrapped(module) if isinstance(module, nn.Module) else model


def make_plain(model: nn.Module) -> None:
    """Store in each layer, in place, the weights it computes with: weights made in each run cannot be cut.

    Example:
        >>> net = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
        >>> make_plain(net)
        >>> [name for name, _ in net.named_parameters()]
        ['bias', 'weight']
    """
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            _take_off(module)
        for hook in list(module._forward_pre_hooks.values()):
            if isinstance(hook, WeightNorm):
                remove_weight_norm(module, hook.name)
            elif isinstance(hook, SpectralNorm):
                _remove_spectral_norm(module, hook.name)


def _remove_spectral_norm(module: nn.Module, name: str) -> None:
    """With the hook that reads a state dict, which torch does not find because it wraps it."""
    remove_spectral_norm(module, name)
    for key, hook in list(module._load_state_dict_pre_hooks.items()):
        if isinstance(getattr(hook, "hook", hook), SpectralNormLoadStateDictPreHook):
            del module._load_state_dict_pre_hooks[key]


def _take_off(module: nn.Module) -> None:
    """By hand: torch's own function changes the class, which copies share with the user's module."""
    made = {name: getattr(module, name).detach().clone() for name in module.parametrizations}  # type: ignore[union-attr]
    module.__class__ = module.__class__.__bases__[0]
    del module.parametrizations
    for name, weight in made.items():
        module.register_parameter(name, nn.Parameter(weight))
