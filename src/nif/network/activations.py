"""Modules that are one step of a network, and the activations among them that a user has written."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nif.core.random import same_random_state
from nif.network.operators import NONLINEAR_MODULES

CHANGES = 2
"""Numbers that are changed on trial."""


def hides_functions(module: nn.Module, root: nn.Module) -> bool:
    """Whether the module is one step of the network, whatever functions it calls inside.

    So are torch's own modules without parts, attention, and a user's activation: a module without parts and
    without weights, such as ``x * sigmoid(x)``.
    """
    if isinstance(module, NONLINEAR_MODULES):
        return True
    whole = next(module.children(), None) is None and module is not root
    own = type(module).__module__.startswith("torch.nn.modules")
    return whole and (own or next(module.parameters(recurse=False), None) is None)


def is_own_activation(module: nn.Module) -> bool:
    """Whether a module is a user's, without parts, weights or buffers, so that it can be tried by itself."""
    own = not type(module).__module__.startswith("torch.nn.modules")
    held = (module.children(), module.parameters(), module.buffers())
    return own and all(next(parts, None) is None for parts in held)


def treats_numbers_apart(module: nn.Module, given: Tensor) -> bool:
    """Whether a module treats every number by itself, tried on changed numbers."""
    try:
        with torch.no_grad(), same_random_state():
            return _only_what_changes_moves(module, given)
    except Exception:  # the user's code: it may need more than one tensor, and raise anything
        return False


def _only_what_changes_moves(module: nn.Module, given: Tensor) -> bool:
    before = module.forward(given.clone())
    if not isinstance(before, Tensor) or before.shape != given.shape:
        return False
    generator = torch.Generator().manual_seed(0)
    for _ in range(CHANGES):
        chosen = (torch.rand(given.shape, generator=generator, dtype=torch.float32) < 0.5).to(given.device)
        after = module.forward(torch.where(chosen, given + 1, given))
        if not torch.equal(before[~chosen], after[~chosen]):
            return False
    return True
