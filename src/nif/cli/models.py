"""A network from the path to the function that makes it, and the file with its weights."""

from __future__ import annotations

import importlib
import pickle
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from nif.core.errors import InputError

EXAMPLE = "such as mypackage.nets:make_net"


def network(path: str, weights: Path | None) -> nn.Module:
    """The network that ``module:factory`` makes, with the weights of a file.

    The module is looked for in the current directory first. The factory is called without arguments; a
    network that is there already is taken as it is.

    Raises:
        InputError: There is no such module or name, what it gives is no network, or the weights do not fit.
    """
    made = _made(path)
    if not isinstance(made, nn.Module):
        raise InputError(f"{path} gives a {type(made).__name__}; expected a torch.nn.Module.")
    if weights is not None:
        _load(made, weights)
    return made


def _made(path: str) -> Any:
    module_name, colon, name = path.partition(":")
    if not (module_name and colon and name):
        raise InputError(f"The model is {path!r}; expected MODULE:FACTORY, {EXAMPLE}.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = importlib.import_module(module_name)
    except ImportError as error:
        raise InputError(
            f"Module {module_name!r} can not be imported ({error}); run nif where it is."
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise InputError(f"{module_name} has no {name!r}; expected a function that makes the network.")
        found = getattr(found, part)
    if isinstance(found, nn.Module):
        return found
    if not callable(found):
        raise InputError(f"{path} is a {type(found).__name__}; expected a function that makes the network.")
    try:
        return found()
    except TypeError as error:
        raise InputError(
            f"{path} can not be called without arguments ({error}); write one that can."
        ) from error


def _load(model: nn.Module, path: Path) -> None:
    try:
        model.load_state_dict(_state_dict(path))
    except RuntimeError as error:
        raise InputError(f"The weights in {path} are of another network: {error}") from error


def _state_dict(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        # weights_only: a pickle that would run code is refused.
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} holds more than tensors and is not loaded, because it could run code; "
            "save model.state_dict() instead of the model."
        ) from error
    except (OSError, SafetensorError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(f"The weights can not be read from {path} ({error}).") from error
    if not isinstance(state, dict):
        raise InputError(f"{path} holds a {type(state).__name__}; expected what model.state_dict() gives.")
    return state
