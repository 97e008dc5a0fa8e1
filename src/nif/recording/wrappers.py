"""The network inside what others have put around it."""

from __future__ import annotations

from typing import Any

from torch import nn

WRAPPERS = {
    "OptimizedModule": "_orig_mod",  # torch.compile
    "DataParallel": "module",
    "DistributedDataParallel": "module",
}


def unwrapped(model: Any) -> Any:
    """The module that was compiled, made parallel, or trained by skorch; anything else is returned as it is.

    Example:
        >>> unwrapped(nn.DataParallel(nn.ReLU()))
        ReLU()
    """
    inside = WRAPPERS.get(type(model).__name__, "") if isinstance(model, nn.Module) else "module_"
    found = getattr(model, inside, None) if inside else None
    return unwrapped(found) if isinstance(found, nn.Module) else model
