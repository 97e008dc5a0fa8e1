"""Save a pruned network as one file without pickled classes, and load it onto a fresh network."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialised
from torch import Tensor, nn

from nif.core.arguments import checked_arguments
from nif.core.errors import InputError
from nif.core.files import whole_file
from nif.core.schema import Array, is_version, items, mapping, read_json, whole
from nif.pruning.equivalent import from_linear, to_linear
from nif.pruning.padded import PaddedLinear
from nif.pruning.problem import copied
from nif.pruning.removal import Kept, share_again, shrink_to, unshare_weights
from nif.pruning.size import plain

FORMAT = "nif-pruned"

VERSION = 2
"""Of files with a `PaddedLinear`; those of others are of version 1, which every nif reads."""

WEIGHTS, KEPT = "weights/", "kept/"

Shapes = dict[str, list[int]]
"""The shape of every tensor of a state dict, which identifies a network."""

_SHAPE = items(whole())

ORIGINAL = mapping(lambda value, where: list(_SHAPE(value, where)))
"""The form of `Shapes`."""


def shapes_of(model: nn.Module) -> Shapes:
    """Shapes of all tensors of the state dict."""
    return {name: list(tensor.shape) for name, tensor in model.state_dict().items()}


def save_pruned(
    path: str | os.PathLike[str],
    model: nn.Module,
    kept: Kept,
    original: Shapes,
    entries: Mapping[str, str] | None = None,
) -> None:
    """Write weights and kept indices as one safetensors file, with further entries of its header."""
    tensors = {WEIGHTS + name: tensor for name, tensor in plain(model).items()}
    for name, axes in kept.items():
        for axis, index in enumerate(axes):
            tensors[f"{KEPT}{axis}/{name}"] = torch.from_numpy(index)
    version = VERSION if any(isinstance(module, PaddedLinear) for module in model.modules()) else 1
    header = {"format": FORMAT, "version": str(version), "original": json.dumps(original), **(entries or {})}
    with whole_file(path, "The pruned network") as beside:
        beside.write_bytes(serialised(tensors, metadata=header))


@checked_arguments()
def shrink(model: Any, path: str | os.PathLike[str]) -> nn.Module:
    """Load the size and the weights of a saved pruned network onto a fresh one.

    Args:
        model: A network made by the same code as the one that was pruned, at its full size, with any weights;
            it is not changed.
        path: A file written by `Pruned.save`.

    Returns:
        A smaller copy of the network, in its mode.

    Raises:
        InputError: The file cannot be read, is of another kind, or was saved for a different network.

    Example:
        >>> import copy, tempfile
        >>> import numpy as np
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
        >>> half = {"0.weight": (np.array([1]), np.arange(2)), "0.bias": (np.array([1]),),
        ...         "2.weight": (np.arange(1), np.array([1]))}
        >>> small = copy.deepcopy(net)
        >>> shrink_to(small, half)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_pruned(f"{folder}/small.safetensors", small, half, shapes_of(net))
        ...     shrink(net, f"{folder}/small.safetensors")[0]
        Linear(in_features=2, out_features=1, bias=True)
    """
    tensors, original = _read(Path(path))
    network = copied(model)
    _same_network(shapes_of(network), original, path)
    weights = {
        name.removeprefix(WEIGHTS): value for name, value in tensors.items() if name.startswith(WEIGHTS)
    }
    whole = copied(network)
    to_linear(network)
    unshare_weights(network)
    try:
        _add_missing_biases(network, weights)
        shrink_to(network, _kept(tensors, shapes_of(network)))
        from_linear(network)
        _check_weights(network.state_dict(), weights)
    except InputError as error:
        raise InputError(
            f"{path} is not a complete pruned network ({str(error).rstrip('.')}); prune the network again "
            "and save it."
        ) from error
    network.load_state_dict(weights)
    share_again(network, whole)
    return network


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    """A file of `Pruned.save`, open for reading."""
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except InputError:
        raise
    except (
        OSError,
        SafetensorError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:  # torch: shapes too large
        raise InputError(
            f"Cannot read {Path(path)} ({error}); expected a file written by Pruned.save."
        ) from error


def _read(path: Path) -> tuple[dict[str, Tensor], Shapes]:
    with opened(path) as file:
        header = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    if header.get("format") != FORMAT:
        raise InputError(f"{path} contains no pruned network; expected a file written by Pruned.save.")
    version = header.get("version", "")
    if not is_version(version, VERSION):
        raise InputError(
            f"{path} has the format {version[:20]!r} and this nif reads up to {VERSION}; it was written by a "
            "newer version of nif, install that version."
        )
    return tensors, read_json(header.get("original", ""), ORIGINAL, f"{path}: original")


def _same_network(given: Shapes, wanted: Shapes, path: object) -> None:
    if given == wanted:
        return
    names = [*wanted, *(name for name in given if name not in wanted)]
    first = next(name for name in names if given.get(name) != wanted.get(name))
    raise InputError(
        f"{path} was saved for a different network: its {first!r} had shape {wanted.get(first, 'none')} "
        f"before pruning, this model has {given.get(first, 'none')}. Pass the model at its original size."
    )


def _kept(tensors: Mapping[str, Tensor], full: Shapes) -> Kept:
    """Indices by tensor, from names of the form ``kept/<axis>/<tensor>``."""
    axes_of: dict[str, dict[str, np.ndarray]] = {}
    for name, index in tensors.items():
        if name.startswith(KEPT):
            axis, _, tensor = name.removeprefix(KEPT).partition("/")
            if index.dtype != torch.int64:
                raise InputError(f"{name} has the type {index.dtype}; expected torch.int64")
            axes_of.setdefault(tensor, {})[axis] = index.numpy()
    kept = {}
    for tensor, axes in axes_of.items():
        shape = full.get(tensor, ())
        if axes.keys() != set(map(str, range(len(axes)))) or len(axes) > len(shape):
            raise InputError(f"the axes {', '.join(axes)} of {tensor!r} were kept, of the shape {shape}")
        kept[tensor] = tuple(axes[str(axis)] for axis in range(len(axes)))
        for places, size in zip(kept[tensor], shape, strict=False):
            Array("i", ("kept",), 0, size - 1).check(places, f"kept of {tensor!r}")
            if (np.diff(places) <= 0).any():
                raise InputError(f"the indices kept of {tensor!r} are not each once in order")
    return kept


def _add_missing_biases(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """A layer without a bias has one after its removed units were folded into it."""
    known = network.state_dict()
    for name in weights:
        owner, _, attribute = name.rpartition(".")
        if name not in known and attribute == "bias" and f"{owner}.weight" in known:
            module = network.get_submodule(owner)
            weight = module.get_parameter("weight")
            module.bias = nn.Parameter(weight.new_zeros(len(weight)))


def _check_weights(expected: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Each tensor of the smaller network, in its shape and of its kind of number, and no other."""
    for name in [*expected, *(name for name in weights if name not in expected)]:
        kinds = [None if one is None else _kind(one) for one in (weights.get(name), expected.get(name))]
        if kinds[0] != kinds[1]:
            raise InputError(f"the weight {name!r} is {kinds[0] or 'missing'}; expected {kinds[1] or 'none'}")


def _kind(tensor: Tensor) -> str:
    numbers = (
        "complex" if tensor.is_complex() else "real" if tensor.is_floating_point() else str(tensor.dtype)
    )
    return f"{numbers} of shape {list(tensor.shape)}"
