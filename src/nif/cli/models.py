"""Import a network by the path of its factory, and load its weights."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import pickle
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from sklearn.base import BaseEstimator
from torch import nn

from nif.core.errors import InputError, nearest

EXAMPLE = "such as mypackage.nets:make_net"


def network(path: str, weights: Path | None) -> Any:
    """Build the network of ``module:factory`` and load the weights of a file into it.

    The current directory is searched for the module first. The factory is called without arguments; an
    instance of a network is used directly. Fitted models of scikit-learn have their weights.

    Raises:
        InputError: The module or name does not exist, it is not a network, or the weights do not fit.
    """
    model = _built(path)
    fitted = isinstance(model, BaseEstimator) and weights is None
    if not isinstance(model, nn.Module) and not fitted:
        others = "" if weights is not None else ", or a fitted model of scikit-learn"
        raise InputError(f"{path} returned a {type(model).__name__}; expected a torch.nn.Module{others}.")
    if weights is not None:
        _load(model, _state_dict(weights), weights)
    return model


def _load(model: nn.Module, state: dict[str, Any], path: Path) -> None:
    kinds = {name: value.is_complex() for name, value in model.state_dict().items()}
    turned = [
        name for name, value in state.items() if kinds.get(name, value.is_complex()) != value.is_complex()
    ]
    if turned:
        raise InputError(f"The weight {turned[0]!r} in {path} is complex, or that of the network only.")
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"The weights in {path} do not fit the network: {error}") from error


def _built(path: str) -> Any:
    module_name, _, name = path.partition(":")
    if path != (meant := _meant(path)):
        raise InputError(f"The model is {path!r}; expected MODULE:FACTORY, {meant}.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    factory = _imported(module_name, path)
    for part in name.split("."):
        with _users_code(f"Looking up {path}"):
            found = hasattr(factory, part)
        if not found:
            near = nearest(part, [each for each in dir(factory) if not each.startswith("_")])
            raise InputError(
                f"{module_name} has no {name!r}; expected a function that returns the network.{near}"
            )
        factory = getattr(factory, part)
    if isinstance(factory, nn.Module):
        return factory
    if not callable(factory):
        raise InputError(
            f"{path} is a {type(factory).__name__}; expected a function that returns the network."
        )
    try:
        with contextlib.suppress(ValueError):  # some have no signature
            inspect.signature(factory).bind()
    except TypeError as error:
        raise InputError(
            f"{path} cannot be called without arguments ({error}); write a function that can."
        ) from error
    with _users_code(f"{path}()"):
        return factory()


def _imported(name: str, path: str) -> Any:
    """The module; a sentence of its own where there is none of that name, or in another place."""
    with _users_code(f"Importing {name}"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not f"{name}.".startswith(f"{error.name}."):  # but one that it imports
                raise
            below = next(Path().glob(f"*/{name.replace('.', '/')}.py"), None)
            there = f", or write {below.parent.name}.{path}" if below else ""
            raise InputError(
                f"Cannot import {name!r} ({error}); run nif in the directory that contains it{there}."
            ) from error


def _meant(path: str) -> str:
    """The path of a factory as it is expected, or how it is to be written.

    Example:
        >>> _meant("package.nets:net"), _meant("package/nets.py:net"), _meant("nets.net")
        ('package.nets:net', 'as package.nets:net', 'as nets:net')
    """
    module, colon, name = path.partition(":")
    dotted = re.sub(r"[/\\\\]+", ".", re.sub(r"^(\./)+|\.py$", "", module))
    name = name.removesuffix("()")
    if not colon and "." in dotted and not module.endswith(".py"):
        dotted, _, name = dotted.rpartition(".")
    if not dotted or ":" in name or not (name or module.endswith(".py")):
        return EXAMPLE
    meant = f"{dotted}:{name or 'net'}"
    return path if meant == path else f"as {meant}"


@contextlib.contextmanager
def _users_code(what: str) -> Iterator[None]:
    """Whatever code of the user raises becomes a sentence."""
    try:
        yield
    except SystemExit as error:
        raise InputError(f"{what} ended the program (exit status {error.code}); it must return.") from error
    except (InputError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise InputError(f"{what} failed ({type(error).__name__}: {error}).") from error


def _state_dict(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        # weights_only: a pickle that would execute code is refused.
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} contains more than tensors and was not loaded, because a pickle can execute code; "
            "save model.state_dict() instead of the model."
        ) from error
    except MemoryError as error:
        raise InputError(f"{path} does not fit into memory ({error}).") from error
    except Exception as error:  # a damaged file makes torch raise anything
        raise InputError(f"Cannot read weights from {path} ({error}).") from error
    if not isinstance(state, dict):
        raise InputError(
            f"{path} contains a {type(state).__name__}; expected a dict saved from model.state_dict()."
        )
    unnamed = [name for name in state if not isinstance(name, str)]
    if unnamed:
        raise InputError(f"{path} contains the key {unnamed[0]!r}; expected names, as in model.state_dict().")
    odd = [name for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if odd:
        raise InputError(
            f"{path} contains {odd[0]!r}, a {type(state[odd[0]]).__name__}; expected the tensors of "
            "model.state_dict() by their names and nothing else."
        )
    return state
