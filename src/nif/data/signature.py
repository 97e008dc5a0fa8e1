"""The inputs that the ``forward`` of a model takes."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from nif.core.numbers import as_pandas, check_column_order

EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)

LABEL_KEYS = frozenset({"y", "label", "labels", "target", "targets"})


def is_label(name: Any) -> bool:
    """Whether an entry or a parameter of this name holds labels."""
    return str(name).lower() in LABEL_KEYS


@dataclass(frozen=True)
class Signature:
    """The parameters of a model's ``forward``.

    Attributes:
        names: All parameters that can be given by name, those without a default first.
        required: How many of the first ones have no default.
        optional: Parameters that are None if they are left out, and are no labels: further inputs.
        by_keyword: Whether the first parameter can only be given by name.
        mapping: Whether the model takes one mapping of all its inputs, as ``forward(batch: dict)``.
        keys: What such a model reads of it, as far as its source says.
        any_name: Whether the model takes keywords of any name and no other arguments.
        before: What is done to data before they reach the network, such as the steps of a pipeline.
        columns: Names of the columns that the model was fitted on, where it knows them.
    """

    names: tuple[str, ...] = ()
    required: int = 1
    optional: tuple[str, ...] = field(default=(), repr=False)
    by_keyword: bool = field(default=False, repr=False)
    mapping: bool = field(default=False, repr=False)
    keys: tuple[str, ...] = field(default=(), repr=False)
    any_name: bool = field(default=False, repr=False)
    before: Callable[[Any], Any] | None = field(default=None, repr=False)
    columns: tuple[str, ...] = field(default=(), repr=False)

    @property
    def needed(self) -> tuple[str, ...]:
        """The parameters without a default."""
        return self.names[: self.required]

    def prepared(self, data: Any) -> Any:
        """The data as the network takes them.

        Raises:
            InputError: A frame has the columns that the model was fitted on in another order.
        """
        data = type(data)(map(as_pandas, data)) if type(data) in (tuple, list) else as_pandas(data)
        data = data if self.before is None else self.before(data)
        table = data[0] if isinstance(data, (tuple, list)) and data else data
        if hasattr(table, "columns"):
            check_column_order(list(table.columns), self.columns, "the data", "training")
        return data

    @classmethod
    def of(cls, model: nn.Module) -> Signature:
        """Read them from the signature.

        Example:
            >>> Signature.of(nn.Bilinear(2, 3, 1))
            Signature(names=('input1', 'input2'), required=2)
        """
        try:
            parameters = list(inspect.signature(model.forward).parameters.values())
        except (TypeError, ValueError):
            return cls()
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        needed = [p for p in named if p.default is p.empty]
        further = [p for p in named if p.default is not p.empty]
        function = getattr(model.forward, "__func__", model.forward)
        keys = _keys(function, needed[0].name) if len(needed) == 1 else None
        annotated = len(needed) == 1 and _is_mapping(needed[0].annotation)
        return cls(
            names=tuple(p.name for p in (*needed, *further)),
            required=max(1, len(needed)),
            optional=tuple(p.name for p in further if p.default is None and not is_label(p.name)),
            by_keyword=bool(needed) and needed[0].kind is inspect.Parameter.KEYWORD_ONLY,
            mapping=annotated or keys is not None,
            keys=keys or (),
            any_name=[p.kind for p in parameters] == [inspect.Parameter.VAR_KEYWORD],
        )


def _is_mapping(annotation: Any) -> bool:
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    kind = text.rpartition(".")[2] if "[" not in text else text.partition("[")[0].rpartition(".")[2]
    return kind.lower() in {"dict", "mapping", "mutablemapping", "ordereddict", "batchencoding"}


@functools.lru_cache(maxsize=64)
def _keys(forward: Callable[..., Any], parameter: str) -> tuple[str, ...] | None:
    """The keys by which ``forward`` reads a parameter; None if it does not read it as a mapping."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(forward)))
    except (OSError, TypeError, SyntaxError):
        return None
    found = list(dict.fromkeys(_read_by(tree, parameter)))
    return tuple(found) if found else None


def _read_by(tree: ast.AST, parameter: str) -> Iterator[str]:
    """The text in ``parameter["text"]``, in the order of the source."""
    places = [node for node in ast.walk(tree) if isinstance(node, ast.Subscript)]
    for node in sorted(places, key=lambda place: (place.lineno, place.col_offset)):
        named = isinstance(node.value, ast.Name) and node.value.id == parameter
        if named and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            yield node.slice.value
