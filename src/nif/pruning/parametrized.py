"""Weights that are made of others before each run, such as those of weight norm, as plain ones."""

from __future__ import annotations

from torch import nn
from torch.nn.utils import parametrize, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm, SpectralNormLoadStateDictPreHook
from torch.nn.utils.weight_norm import WeightNorm


def make_plain(model: nn.Module) -> None:
    """Give each layer, in place, the weights it computes with: those made anew in each run can not be cut.

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
    """With the hook that reads a state dict, which torch looks for in vain since it wraps it."""
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
