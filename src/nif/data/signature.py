"""The inputs that the ``forward`` of a model takes."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from torch import nn

EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)


@dataclass(frozen=True)
class Signature:
    """The parameters of a model's ``forward``.

    Attributes:
        names: All parameters that can be given by name.
        required: How many of the first ones have no default.
    """

    names: tuple[str, ...] = ()
    required: int = 1

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
        required = sum(p.default is p.empty for p in named)
        return cls(tuple(p.name for p in named), max(1, required))
