"""Map every unit to the weight rows that compute it and the weight columns that read it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from nif.network.forward import Forward, Inputs, every_output
from nif.network.operators import function_name
from nif.network.tracing import CALL_SEPARATOR, _encoder, _layer
from nif.network.unit_labels import Labels, Unit, Units
from nif.network.unit_maps import over_positions
from nif.network.unit_operations import (
    CONVOLUTION,
    ELEMENTWISE,
    PAIRED,
    POOLING,
    SAME,
    averaged,
    concatenated,
    flattened,
    name_of,
    one_number_each,
    same,
    silenced_along,
)


@dataclass(eq=False)
class Wiring:
    """Which units every module of a network makes, keeps and reads.

    Attributes:
        labels: What ties units together.
        makes: Units that a Linear or convolution makes, by the module's name, in order of execution.
        reads: Units that it reads, one label for each input feature or channel.
        keeps: Units that a module with one number a channel (BatchNorm, depthwise convolution) passes on, and
            those of a module that can silence them and not be cut (LayerNorm, convolution in groups).
        at: Units at the output of every module and function; named as a recording names them.
        positions: How many numbers each of those units has in one row, for channels of an image.
    """

    labels: Labels = field(default_factory=Labels)
    makes: dict[str, Unit] = field(default_factory=dict)
    reads: dict[str, Unit] = field(default_factory=dict)
    keeps: dict[str, Unit] = field(default_factory=dict)
    at: dict[str, Unit] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)


def trace(call: Forward, example: Inputs) -> Wiring | None:
    """Run the model once and follow every unit from the weights that make it to those that read it.

    An operation that is not known pins the units it reads: they can be silenced, and are not cut out.

    Args:
        call: Runs the model, which is in eval mode and not changed.
        example: A few rows of data.

    Returns:
        The wiring; None where the model can not be traced by `torch.fx`, as with data-dependent control flow.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> wiring = trace(Forward(net), (torch.zeros(1, 2),))
        >>> wiring.makes["0"].tolist() == wiring.at["1"].tolist() == wiring.reads["2"].tolist()
        True
    """
    try:
        graph = traced(call.model, call.names)
    except Exception:  # tracing runs the user's code on stand-ins for tensors: anything may be raised
        return None
    follower = _Follower(graph)
    with torch.no_grad():
        follower.run(*example)
    return follower.wiring


class _Follower(fx.Interpreter):
    """Runs a traced model and notes the units of every tensor on the way."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.wiring = Wiring()
        self.units: dict[fx.Node, Units | None] = {}
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}
        self.pieces: dict[fx.Node, tuple[Units, ...]] = {}
        self.runs: Counter[str] = Counter()
        self.modules = {name for name, _ in graph.named_modules()}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.shapes[n] = tuple(value.shape)
        self.units[n] = found = self._behind(n) if n in self.shapes else None
        if self._ends(n, value):
            self._pin_inputs(n)
        if n.op == "output":
            for units in filter(None, self._given(n)):
                self.wiring.labels.give_out(units.labels)
        names = list(self._names(n)) if n.op.startswith("call") else []  # all runs count, also unknown ones
        if found is not None:
            for name in names:
                self.wiring.at[name] = found.labels
                self.wiring.positions[name] = math.prod(self.shapes[n][2:]) if found.axis == 1 else 1
        return value

    def _ends(self, node: fx.Node, value: Any) -> bool:
        """Whether the units that a step reads can not be followed through it."""
        if node.op == "output":
            return True
        if isinstance(value, (tuple, list)) and not isinstance(value, torch.Size):
            return not self._chunked(node)
        return node in self.shapes and self.units[node] is None

    def _names(self, node: fx.Node) -> Iterator[str]:
        """What a recording may call this step: by the function, and by all modules whose result it is."""
        names = list(node.meta.get(GIVES, ()))
        if node.op != "call_module":
            around = node.meta.get("nn_module_stack") or {"": ("", None)}
            inside = list(around.values())[-1][0]  # its key also counts the calls
            name = function_name(node.target)
            name = f"{inside}.{name}" if inside else name
            names.insert(0, f"{name}()" if name in self.modules else name)
        for name in names:
            self.runs[name] += 1
            yield name if self.runs[name] == 1 else f"{name}{CALL_SEPARATOR}{self.runs[name]}"

    def _behind(self, node: fx.Node) -> Units | None:
        if node.op == "call_module":
            return self._behind_module(node)
        if node.op in {"call_function", "call_method"}:
            name = name_of(node.target)
            return (
                self._piece(node, name) if name in {"getitem", "glu"} else self._behind_function(node, name)
            )
        return None

    def _behind_module(self, node: fx.Node) -> Units | None:
        module, before = self.fetch_attr(str(node.target)), self._given(node)[0]
        if isinstance(module, nn.Linear):
            return self._behind_weights(node, len(self.shapes[node]) - 1, module.in_features)
        if isinstance(module, CONVOLUTION) and module.groups == 1:
            return self._behind_weights(node, 1, module.in_channels)
        if isinstance(module, nn.GLU):
            return self._product_of_halves(node, module.dim)
        axis = silenced_along(module)
        if axis is not None and (before is None or not one_number_each(module)):
            return self._silenced(node, axis % len(self.shapes[node]))
        return None if before is None else self._behind_channelwise(node, module, before)

    def _behind_channelwise(self, node: fx.Node, module: nn.Module, before: Units) -> Units | None:
        """Units behind a module without weights between them; None where it is not known to be one."""
        if isinstance(module, ELEMENTWISE):
            return same(before, self.shapes[node])
        if before.axis != 1:
            return None
        if one_number_each(module):
            return self._kept(node, before)
        if isinstance(module, (*POOLING, nn.PReLU)):
            return same(before, self.shapes[node])
        if isinstance(module, nn.Flatten):
            return flattened(before, self.shapes[self._tensors(node)[0]], self.shapes[node])
        return None

    def _behind_weights(self, node: fx.Node, axis: int, width: int) -> Units:
        """New units, and the old ones noted as read; run twice, a module makes and reads the same ones."""
        wiring, name = self.wiring, str(node.target)
        before = self._given(node)[0]
        if before is None or before.axis != axis or len(before.labels) != width:
            self._pin_inputs(node)
            before = Units(axis, wiring.labels.new(width))
            wiring.labels.pin(before.labels)
        if name in wiring.reads:
            wiring.labels.join(wiring.reads[name], before.labels)
        else:
            wiring.reads[name] = before.labels
            wiring.makes[name] = wiring.labels.new(self.shapes[node][axis])
        return Units(axis, wiring.makes[name])

    def _kept(self, node: fx.Node, before: Units) -> Units:
        name = str(node.target)
        if name in self.wiring.keeps:
            self.wiring.labels.join(self.wiring.keeps[name], before.labels)
        self.wiring.keeps.setdefault(name, before.labels)
        return before

    def _silenced(self, node: fx.Node, axis: int) -> Units:
        """New units of a module that can silence them but not be cut, nor can what it reads."""
        self._pin_inputs(node)
        fresh = self.wiring.labels.new(self.shapes[node][axis])
        units = self.wiring.keeps.setdefault(str(node.target), fresh)
        self.wiring.labels.pin(units)
        return Units(axis, units)

    def _behind_function(self, node: fx.Node, name: str) -> Units | None:
        tensors, given = self._tensors(node), self._given(node)
        if name in {"cat", "concat", "concatenate"}:
            axis = self._axis(node, 1) % len(self.shapes[node])
            widths = [self.shapes[tensor][axis] for tensor in tensors]
            return concatenated(given, axis, widths, self.wiring.labels)
        if name in PAIRED:
            return self._paired(tensors, given, self.shapes[node])
        if not given or given[0] is None:
            return None
        before = self.shapes[tensors[0]]
        if name in SAME:
            return same(given[0], self.shapes[node])
        if name in {"flatten", "view", "reshape"}:
            return flattened(given[0], before, self.shapes[node])
        pooled = name in {"mean", "sum"} and over_positions((node.args, node.kwargs), len(before))
        return averaged(given[0], before, self.shapes[node]) if pooled else None

    def _chunked(self, node: fx.Node) -> bool:
        """Whether this is a chunk along the units, whose pieces are then known."""
        if name_of(node.target) != "chunk":
            return False
        count = node.args[1] if len(node.args) > 1 else node.kwargs["chunks"]
        if (pieces := self._pieces(node, count, self._axis(node, 2))) is not None:
            self.pieces[node] = pieces
        return pieces is not None

    def _pieces(self, node: fx.Node, count: Any, axis: int) -> tuple[Units, ...] | None:
        """Equal pieces of the units; those at one place of all go together, so that the pieces stay equal."""
        before, width = self._given(node)[0], len(self.shapes[self._tensors(node)[0]])
        if before is None or before.axis != axis % width or not isinstance(count, int):
            return None
        if len(before.labels) % count:
            return None
        first, *others = before.labels.reshape(count, -1)
        for other in others:
            self.wiring.labels.join(first, other)
        return tuple(Units(before.axis, piece) for piece in (first, *others))

    def _piece(self, node: fx.Node, name: str) -> Units | None:
        """Units of one piece of a chunk, or of the product of two halves."""
        if name == "getitem":
            chunk, index = node.args
            return self.pieces[chunk][index] if chunk in self.pieces else None  # type: ignore[index]
        return self._product_of_halves(node, self._axis(node, 1, -1))

    def _product_of_halves(self, node: fx.Node, axis: int) -> Units | None:
        halves = self._pieces(node, 2, axis)
        return None if halves is None else halves[0]

    def _paired(
        self, tensors: Sequence[fx.Node], given: Sequence[Units | None], shape: tuple[int, ...]
    ) -> Units | None:
        """Units of a sum or product; where both sides have units, each pair of them becomes one."""
        known = [units for units in given if units is not None]
        if len(known) < len(tensors) or any(same(units, shape) is None for units in known):
            return None
        if len({units.axis for units in known}) > 1 or len({len(self.shapes[node]) for node in tensors}) > 1:
            return None
        for other in known[1:]:
            self.wiring.labels.join(known[0].labels, other.labels)
        return known[0]

    def _axis(self, node: fx.Node, place: int, default: int = 0) -> int:
        axis = node.kwargs.get("dim", node.args[place] if len(node.args) > place else default)
        return axis if isinstance(axis, int) else 0

    def _tensors(self, node: fx.Node) -> list[fx.Node]:
        return [before for before in _arguments(node) if before in self.shapes]

    def _given(self, node: fx.Node) -> list[Units | None]:
        return [self.units[before] for before in self._tensors(node)] or [None]

    def _pin_inputs(self, node: fx.Node) -> None:
        for units in self._given(node):
            if units is not None:
                self.wiring.labels.pin(units.labels)


def _arguments(node: fx.Node) -> list[fx.Node]:
    """Every node among the arguments, as often as it is there (x + x has x twice)."""
    found: list[fx.Node] = []
    fx.map_arg((node.args, node.kwargs), found.append)
    return found


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
