"""Torch's transformer encoders as the steps they are made of, where their units can be followed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from nif.recording.arguments import every_output

GIVES = "nif gives"
"""In what is noted of a node of the graph: the modules whose result it is, inner ones first."""


def traced(model: nn.Module, names: Sequence[str] = ()) -> fx.GraphModule:
    """The model as a graph in which an encoder is its attention, norms and feed-forward layers.

    `torch.fx` itself takes each module of torch as one step, and can not look into an encoder, which asks
    its inputs which of several programs to run. The graph gives a list of all tensors that the model returns.

    Args:
        model: It is not changed.
        names: Parameters of its ``forward`` that are inputs of the graph; the first one if there are none.

    Example:
        >>> layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        >>> graph = traced(nn.Sequential(nn.TransformerEncoder(layer, 1), nn.Flatten()))
        >>> "0.layers.0.linear1" in {node.target for node in graph.graph.nodes}
        True
    """
    return fx.GraphModule(model, _Tracer(names).trace(model))


@contextmanager
def unfused() -> Iterator[None]:
    """Inside, encoders run their modules one by one: a fused kernel calls none, so that no hook is told.

    Example:
        >>> with unfused():
        ...     torch.backends.mha.get_fastpath_enabled()
        False
    """
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


class _Tracer(fx.Tracer):
    """Looks into encoders, and takes every other module of torch as one step."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._names = names

    def create_args_for_root(
        self, root_fn: Any, is_module: bool, concrete_args: Any = None
    ) -> tuple[Any, list[Any]]:
        """Only what the data hold is open; parameters beside it are as by default, which decides the path."""
        given = [self.create_proxy("placeholder", name, (), {}) for name in self._names or ("input",)]
        named = dict(zip(self._names, given, strict=False))
        call = partial(root_fn, self.root, **named) if named else partial(root_fn, self.root, *given)
        return lambda: every_output(call(), (Tensor, fx.Proxy)), []

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return _steps_of(m) is None and super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        found = super().call_module(m, _steps_of(m) or forward, args, kwargs)
        if isinstance(found, fx.Proxy):
            found.node.meta.setdefault(GIVES, []).append(self.path_of_module(m))
        return found


def _steps_of(module: nn.Module) -> Callable[..., Any] | None:
    """What an encoder computes, without the choice between programs; None of any other module."""
    for kind, steps in ((nn.TransformerEncoderLayer, _layer), (nn.TransformerEncoder, _encoder)):
        if isinstance(module, kind) and type(module).forward is kind.forward:
            return partial(steps, module)
    return None


def _layer(
    layer: Any, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False
) -> Any:
    """Attention, then feed-forward, each added to the stream; `is_causal` only says what kind the mask is."""

    def attended(x: Any) -> Any:
        return layer._sa_block(x, src_mask, src_key_padding_mask)

    if layer.norm_first:
        x = src + attended(layer.norm1(src))
        return x + layer._ff_block(layer.norm2(x))
    x = layer.norm1(src + attended(src))
    return layer.norm2(x + layer._ff_block(x))


def _encoder(
    encoder: Any, src: Any, mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool | None = None
) -> Any:
    """One layer after the other."""
    for layer in encoder.layers:
        src = layer(src, src_mask=mask, src_key_padding_mask=src_key_padding_mask)
    return src if encoder.norm is None else encoder.norm(src)
